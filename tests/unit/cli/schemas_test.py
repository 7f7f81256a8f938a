"""The schemas of definition files accept what podium accepts, and refuse what a schema can see."""

import copy
import json
import re
import textwrap
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft7Validator

from podium.api import names, shape
from podium.api.problems import errors
from podium.api.resources import Workflow, WorkflowRun
from podium.api.source import source_map
from podium.api.source.files import read_text
from podium.cli import main, schema_parts, schemas
from podium.cli.checked_file import check_file

ROOT = Path(schemas.__file__).parents[3]
VALIDATORS = {name: Draft7Validator(schemas.schema(name)) for name in schemas.NAMES}


def refusals(document, name="podium"):
    return [error.message for error in VALIDATORS[name].iter_errors(document)]


# The files


def test_the_page_for_editors_names_each_file():
    page = (ROOT / "docs/editor-and-shell.md").read_text()
    files = [file.name for file in (ROOT / "docs/schema").glob("*.json")]
    assert len(files) > 8
    assert [name for name in files if f"{name}`" not in page and f"schema/{name}" not in page] == []


def test_the_files_are_what_the_models_say(capsys):
    assert schemas.main(["check"]) == 0, capsys.readouterr().err


def test_a_file_that_drifts_is_reported(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(schemas, "__file__", str(tmp_path / "operator/podium/cli/schemas.py"))
    assert schemas.main(["write"]) == schemas.main(["check"]) == 0
    file = tmp_path / "docs/schema/workflow.json"
    file.write_text(file.read_text().replace('"maxLength": 63', '"maxLength": 64', 1))
    (tmp_path / "docs/schema/other.json").write_text("{}")
    assert schemas.main(["check"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "docs/schema/other.json is not what the models say: run `make crds`",
        "docs/schema/workflow.json is not what the models say: run `make crds`",
    ]


def test_the_module_has_two_uses(capsys):
    assert schemas.main([]) == 2
    assert "write|check" in capsys.readouterr().err


@pytest.mark.parametrize("name", schemas.NAMES)
def test_each_is_a_schema_that_the_verb_prints(name):
    Draft7Validator.check_schema(schemas.schema(name))
    committed = (ROOT / "docs" / "schema" / f"{name}.json").read_text()
    assert CliRunner().invoke(main, ["schema", name]).stdout == committed


def test_the_verb_prints_that_of_all_files_by_default():
    assert json.loads(CliRunner().invoke(main, ["schema"]).stdout) == schemas.schema("podium")
    done = CliRunner().invoke(main, ["schema", "pod"])
    assert done.exit_code == 2
    assert "workflowrun" in done.stderr


def parts(part):
    if isinstance(part, dict):
        yield part
        for value in part.values():
            yield from parts(value)
    elif isinstance(part, list):
        for value in part:
            yield from parts(value)


@pytest.mark.parametrize("name", schemas.NAMES)
def test_every_field_has_a_description_and_every_reference_a_target(name):
    made = schemas.schema(name)
    for definition, part in made["definitions"].items():
        for field, inner in part.get("properties", {}).items():
            if definition != "Seed":
                assert inner.get("description") or "$ref" in inner, (definition, field)
    for part in parts(made):
        target = part.get("$ref", "#")
        assert target == "#" or target.removeprefix("#/definitions/") in made["definitions"]
        assert not [key for key in part if key.startswith("x-kubernetes")]


def test_the_snake_case_is_that_of_the_seeds_reader():
    waiting, seen = [Workflow, WorkflowRun], set()
    while waiting:
        model = waiting.pop()
        if model not in seen:
            seen.add(model)
            for field in shape.fields(model).values():
                assert schema_parts.snake_name(field.alias) == field.snake
                waiting += [field.model] if field.model else []


# What is accepted


def documents(text):
    return [each.data for each in source_map.read(text, "") if each.data is not None]


def texts():
    """Yield texts of definition files: examples, cases of both shells, blocks of the pages."""
    for path in sorted((ROOT / "examples").glob("*/*.yaml")):
        yield path, path.read_text()
    for path in sorted((ROOT / "tests/conformance/cases").glob("*.yaml")):
        yield path, path.read_text().rpartition("\n---\n")[0]
    head = "apiVersion: podium.dev/v1alpha1\nkind: Workflow\nmetadata: {name: page}\nspec:\n"
    for path in sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]):
        for block in re.findall(
            r"^```yaml\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL
        ):
            yield path, head + textwrap.indent(block, "  ") if block[:6] == "nodes:" else block


def test_whatever_podium_takes_validates():
    checked = 0
    for path, text in texts():
        file = read_text(text)
        if errors(check_file(file).problems):
            continue
        for document in file.documents:
            assert not refusals(document.raw), path
            checked += 1
            if document.kind.lower() in VALIDATORS and not document.is_seed:
                assert not refusals(document.raw, document.kind.lower()), path
    assert checked > 90


def test_the_seeds_file_validates():
    (document,) = documents((ROOT / "examples/sdlc/sdlc_complete_workflow.yaml").read_text())
    assert not refusals(document)
    for path, value in [
        (("workflow", "nodes", 0, "retry_policy", "max_attempts"), "three"),
        (("workflow", "nodes", 0, "dependsOn"), []),
        (("workflow", "id"), None),
        (("apiVersion",), "podium.dev/v1alpha1"),
    ]:
        assert refusals(changed(document, path, value)), path


# What is refused

WORKFLOW = """
apiVersion: podium.dev/v1alpha1
kind: Workflow
metadata: {name: w, namespace: team, labels: {team: a}, finalizers: [x]}
spec:
  inputs: {type: object, properties: {who: {type: string}}}
  defaults: {timeoutSeconds: 5, resources: {limits: {cpu: 1, memory: 1Gi}}}
  nodes:
  - id: a
    executor: script
    config: {script: exit 0, env: [{name: A, value: b}]}
    retryPolicy: {maxAttempts: 3, retryOn: [Timeout]}
    pod: {env: [{name: B, valueFrom: {secretKeyRef: {name: s, key: k}}}]}
  - {id: b, executor: container, config: {image: busybox}, dependsOn: [a]}
  - {id: c, executor: persona_team, config: {personas: [x], tone: calm}}
  edges:
  - {from: a, to: c, type: produces_for, dataMapping: {x: z}}
"""
RUN = """
apiVersion: podium.dev/v1alpha1
kind: WorkflowRun
metadata: {generateName: w-}
spec: {workflowRef: {name: w}, context: {a: 1}, maxParallel: 3}
"""
GONE = object()


def changed(document, path, value):
    made = copy.deepcopy(document)
    where = made
    for part in path[:-1]:
        where = where[part]
    if value is GONE:
        del where[path[-1]]
    else:
        where[path[-1]] = value
    return made


NODE = ("spec", "nodes", 0)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("apiVersion",), "podium.dev/v1"),
        (("apiVersion",), GONE),
        (("kind",), "Workflw"),
        (("kind",), "Personality"),
        (("kind",), GONE),
        (("metadata",), GONE),
        (("metadata", "name"), "Not_A_Name"),
        (("metadata", "name"), GONE),
        (("metadata", "labels"), ["a"]),
        (("spec",), GONE),
        (("spec", "nodes"), GONE),
        (("spec", "nodes"), []),
        (("spec", "nodes"), {"a": {}}),
        (("spec", "node"), []),
        (("spec", "timeoutSeconds"), "5m"),
        (("spec", "timeoutSeconds"), 0),
        (("spec", "nodes", 0), None),
        ((*NODE, "id"), "1st"),
        ((*NODE, "id"), GONE),
        ((*NODE, "executor"), "My_Executor"),
        ((*NODE, "executor"), GONE),
        ((*NODE, "type"), "phases"),
        ((*NODE, "config"), GONE),
        ((*NODE, "config"), {}),
        ((*NODE, "config", "scripts"), "x"),
        ((*NODE, "config", "image"), 3),
        ((*NODE, "config", "env"), None),
        ((*NODE, "config", "interpreter"), 3),
        ((*NODE, "config", "env", 0, "value"), 1),
        ((*NODE, "config", "env", 0, "valueFrom"), {"fieldRef": {"fieldPath": "metadata.name"}}),
        ((*NODE, "retry_policy"), {}),
        ((*NODE, "retryPolicy", "maxAttempts"), 0),
        ((*NODE, "retryPolicy", "maxAttempts"), "3"),
        ((*NODE, "retryPolicy", "maxAttempt"), 1),
        ((*NODE, "dependsOn"), "b"),
        ((*NODE, "triggerRule"), "Sometimes"),
        ((*NODE, "allowFailure"), "yes"),
        ((*NODE, "pod", "hostNetwork"), True),
        ((*NODE, "pod", "env", 0, "valueFrom", "secretKeyRef", "key"), GONE),
        (("spec", "nodes", 1, "config"), {"command": ["x"]}),
        (("spec", "nodes", 2, "config"), {"personas": []}),
        (("spec", "edges", 0, "to"), GONE),
        (("spec", "edges", 0, "type"), "after"),
        (("spec", "edges", 0, "dataMapping", "x"), 1),
    ],
)
def test_what_podium_refuses_is_refused(path, value):
    (sound,) = documents(WORKFLOW)
    assert not refusals(sound)
    bad = changed(sound, path, value)
    assert refusals(bad)
    assert read_text(json.dumps(bad)).problems or refused_by_validate(bad)


def refused_by_validate(document):
    """Refused by the graph's checks, which know the executors."""
    done = CliRunner().invoke(main, ["validate", "-"], input=json.dumps(document))
    return done.exit_code == 2


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "workflowRef"), GONE),
        (("spec", "workflowRef", "name"), GONE),
        (("spec", "workflowSpec"), {"nodes": [{"id": "a", "executor": "script"}]}),
        (("spec", "maxParallel"), 0),
        (("spec", "context"), []),
        (("spec", "suspended"), True),
        (("metadata", "generateName"), GONE),
    ],
)
def test_what_podium_refuses_of_a_run_is_refused(path, value):
    (sound,) = documents(RUN)
    assert not refusals(sound)
    bad = changed(sound, path, value)
    assert refusals(bad)
    assert read_text(json.dumps(bad)).problems


@pytest.mark.parametrize(
    "path",
    [
        ("spec", "title"),
        ("spec", "defaults"),
        (*NODE, "retryPolicy"),
        (*NODE, "retryPolicy", "maxAttempts"),
        (*NODE, "dependsOn"),
        (*NODE, "pod"),
        (*NODE, "timeoutSeconds"),
        ("spec", "edges"),
        ("metadata", "labels", "team"),
    ],
)
def test_a_null_is_a_field_left_out(path):
    (sound,) = documents(WORKFLOW)
    null = changed(sound, path, None)
    assert not read_text(json.dumps(null)).problems
    assert not refusals(null)


def test_other_kinds_and_lists_are_taken_as_they_are():
    (workflow,), (run,) = documents(WORKFLOW), documents(RUN)
    assert not refusals({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}})
    assert not refusals({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": 1})
    assert not refusals({"apiVersion": "v1", "kind": "List", "items": [workflow, run]})
    assert refusals({"apiVersion": "v1", "kind": "List", "items": [workflow, {**run, "spec": {}}]})
    for other in ([], {}, "text", {"spec": {}}):
        assert refusals(other)


def test_what_the_operator_wrote_is_passed_over():
    (workflow,) = documents(WORKFLOW)
    assert not refusals({**workflow, "status": {"nodes": "whatever"}})


# The line that editors read

MODELINE = re.compile(r"^# yaml-language-server: \$schema=(\S+)$", re.MULTILINE)


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in sorted((ROOT / "examples").glob("*/*.yaml"))
        if f"apiVersion: {names.API_VERSION}" in path.read_text()
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_document_of_the_examples_names_its_schema(path):
    """A language server looks for the line in each document of a file by itself."""
    checked = 0
    for text in path.read_text().split("\n---\n"):
        document = yaml.safe_load(text)
        if document["apiVersion"] == "podium.dev/v1alpha1":
            (target,) = MODELINE.findall(text)
            named = json.loads((path.parent / target).read_text())
            assert not list(Draft7Validator(named).iter_errors(document))
            checked += 1
    assert checked
