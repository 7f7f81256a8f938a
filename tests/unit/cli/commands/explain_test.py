"""explain: every field that a file may have, from the models."""

import pytest
from click.testing import CliRunner

from podium import executors
from podium.api import shape
from podium.api.resources import Workflow, WorkflowRun
from podium.cli import fields, main


def explain(*arguments, code=0):
    done = CliRunner().invoke(main, ["explain", *arguments])
    assert done.exit_code == code, done.output
    return done


def test_a_field_with_fields():
    lines = explain("workflow.spec.nodes.retryPolicy").stdout.splitlines()
    assert lines[:3] == ["KIND:     Workflow", "VERSION:  podium.dev/v1alpha1", ""]
    assert lines[3] == "FIELD: retryPolicy <Object>"
    place = lines.index("  maxAttempts <integer>")
    assert "    Default: 1" in lines[place : place + 5]
    assert "    Limit: at least 1, at most 100" in lines[place : place + 5]


def test_a_field_without_fields():
    said = explain("workflow.spec.nodes.triggerRule").stdout
    assert "FIELD: triggerRule <string>" in said
    assert "One of: " in said
    assert "AllDone" in said
    assert "FIELDS" not in said


def test_what_is_required_says_so():
    said = explain("workflow.spec.nodes").stdout
    assert "FIELD: nodes <[]Object> -required-" in said
    assert "  id <string> -required-" in said
    assert "  title <string>\n" in said


@pytest.mark.parametrize("kind", fields.KINDS)
def test_kinds_and_every_field_fit_80_columns(kind):
    def paths(path, found):
        yield path
        for name, inner in found.fields.items():
            yield from paths(f"{path}.{name}", inner)

    every = list(paths(kind, fields.tree(kind)))
    assert len(every) > 10
    for path in every:
        assert max(map(len, explain(path).stdout.splitlines())) <= 80, path
    assert max(map(len, explain(kind, "--recursive").stdout.splitlines())) <= 80


@pytest.mark.parametrize("model", [Workflow, WorkflowRun])
def test_every_field_of_the_models_is_there_with_a_description(model):
    def compare(model, found, path):
        known = shape.fields(model)
        if path[-2:] in (("nodes", "nodes"), ("finally", "nodes")):
            assert not found.fields  # members of a group are nodes, whose fields are shown once
            return
        assert set(found.fields) == set(known), path
        for name, inner in found.fields.items():
            assert inner.description or name == "metadata", (path, name)
            if known[name].model is not None:
                compare(known[name].model, inner, (*path, name))

    compare(model, fields.tree(model.KIND.lower()), ())


def test_recursive_shows_all_fields_by_their_depth():
    lines = explain("workflow", "-R").stdout.splitlines()
    assert "  spec <Object> -required-" in lines
    assert "    nodes <[]Object> -required-" in lines
    assert "      retryPolicy <Object>" in lines
    assert "        maxAttempts <integer>" in lines


def test_the_config_of_every_executor():
    said = explain("executor").stdout
    for name in executors.names():
        assert f"  {name} <Object>" in said
    assert "-required-" in explain("executor.container.image").stdout
    assert "secretKeyRef <Object>" in explain("executor.script.env.valueFrom").stdout


def test_without_a_field_the_kinds():
    said = explain().stdout
    for kind in fields.KINDS:
        assert f"  {kind} " in said


@pytest.mark.parametrize(
    "path", ["wfl.spec", "workflows.spec", "Workflow.spec", "workflow.spec.nodes[12].pod"]
)
def test_other_ways_to_write_a_path(path):
    assert "FIELDS:" in explain(path).stdout


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("workflow.spec.nodes.retry_policy", "did you mean workflow.spec.nodes.retryPolicy?"),
        ("workflow.spec.nodes.retryPolicy.max", "it has maxAttempts, backoffSeconds"),
        ("workflow.spec.nods", "did you mean workflow.spec.nodes?"),
        ("workflo.spec", "there is no kind 'workflo'; did you mean workflow?"),
        ("pod", "begin with workflow, workflowrun, executor"),
        ("spec.nodes", "such as workflow.spec"),
        ("workflow.spec.nodes.config.script", "see executor.script"),
        ("workflow.spec.title.x", "workflow.spec.title is of type string"),
        ("workflow..spec", "has no field ''"),
        ("executor.bash", "executor has no field 'bash'"),
        ("workflow.\x1b[2J", "\\x1b[2J"),
    ],
)
def test_an_unknown_field_names_the_near_one(path, said):
    done = explain(path, code=2)
    assert said in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("word", "proposed"),
    [
        ("exec", "executor"),
        ("workflow", "workflowrun"),
        ("workflow.spec.no", "workflow.spec.nodes"),
        ("workflow.spec.no", "workflow.spec.nodes.id"),
        ("workflow.spec.nodes.retry", "workflow.spec.nodes.retryPolicy.maxAttempts"),
    ],
)
def test_paths_are_completed(word, proposed):
    found = [path for path, _ in fields.candidates(word)]
    assert proposed in found
    assert all(each.startswith(word) for each in found)
