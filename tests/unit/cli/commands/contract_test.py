"""`podium contract`: versions of files, and contracts along edges."""

import json
import subprocess

import pytest
import yaml

from tests.unit.cli.support import ENV, PODIUM

INTEGER, STRING, NUMBER = {"type": "integer"}, {"type": "string"}, {"type": "number"}


def podium(*arguments):
    done = subprocess.run(
        [PODIUM, *arguments], env=ENV, capture_output=True, text=True, check=False, timeout=120
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def schema(*sizes, **spec):
    versions = [
        {"version": str(n), "schema": {"type": "object", "properties": {"size": size}}}
        for n, size in enumerate(sizes, 1)
    ]
    return {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "ContractSchema",
        "metadata": {"name": "sizes"},
        "spec": {**spec, "versions": versions},
    }


def workflow(version, needs, produces=("size",)):
    make = {"schemaRef": {"name": "sizes", "version": version}, "produces": list(produces)}
    script = {"executor": "script", "config": {"script": "echo {} > $PODIUM_OUTPUT"}}
    wanted = {
        "properties": {
            "make": {"type": "object", "properties": {"size": needs}, "required": ["size"]}
        }
    }
    return {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "w"},
        "spec": {
            "nodes": [
                {"id": "make", **script, "outputContract": make},
                {"id": "use", **script, "dependsOn": ["make"], "inputContract": {"schema": wanted}},
            ]
        },
    }


def write(path, *documents):
    path.write_text("---\n".join(yaml.safe_dump(each, sort_keys=False) for each in documents))
    return path.name


def test_versions_are_checked_each_with_the_one_before_it_that_is_compatible(here):
    name = write(here / "s.yaml", schema(INTEGER, STRING, NUMBER))
    done = podium("contract", "check", name)
    assert done.returncode == 1
    first, second, third = done.stdout.splitlines()
    assert first == "s.yaml:7: sizes version 1: the first"
    assert "sizes version 2: not compatible: what was made for '1' may not do for '2'" in second
    assert "size: may be integer, and string is needed" in second
    assert third.endswith("sizes version 3: compatible with 1 (Backward)")
    found = json.loads(podium("contract", "check", name, "-o", "json").stdout)
    assert found["compatible"] is False
    assert [each["compatible"] for each in found["versions"]] == [True, False, True]
    assert (
        podium("contract", "check", write(here / "t.yaml", schema(INTEGER, NUMBER))).returncode == 0
    )


@pytest.mark.parametrize(
    ("newer", "words"),
    [
        (schema(INTEGER, NUMBER), ""),
        (schema(NUMBER, NUMBER), "sizes version 1: not compatible: is published and differs"),
        (schema(NUMBER, compatibility="None"), "sizes version 1: not compatible: is published and"),
        (schema(INTEGER, direction="Input"), "spec.direction was Both, and is fixed"),
    ],
)
def test_what_an_earlier_file_has_is_published_and_must_not_change(here, newer, words):
    old, new = write(here / "old.yaml", schema(INTEGER)), write(here / "new.yaml", newer)
    done = podium("contract", "check", old, new)
    assert (words in done.stdout, done.returncode) == (True, 1 if words else 0)
    gone = podium("contract", "check", new, write(here / "z.yaml", schema()), old)
    assert gone.returncode == 2, "a ContractSchema without versions is not valid"


def test_contracts_are_tested_along_edges_without_running_anything(here):
    name = write(here / "w.yaml", schema(INTEGER, NUMBER), workflow("1", NUMBER))
    done = podium("contract", "test", name)
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        ["make → use: satisfied", "1 edge, 0 broken"],
    )
    name = write(here / "w.yaml", schema(INTEGER, NUMBER), workflow("2", INTEGER))
    done = podium("contract", "test", name)
    assert done.returncode == 1
    assert "make.size: may be number, and integer is needed" in done.stdout
    found = json.loads(podium("contract", "test", name, "-o", "json").stdout)
    (edge,) = found["edges"]
    assert (found["satisfied"], edge["from"], edge["to"], edge["verdict"]) == (
        False,
        "make",
        "use",
        "broken",
    )
    (problem,) = edge["problems"]
    assert (problem["path"], problem["severity"]) == ("make.size", "error")
    assert problem["field"] == "spec.nodes[1].inputContract.schema"
    assert problem["line"] > 1


def test_what_is_left_open_is_a_warning_and_fails_where_asked(here):
    more = {**workflow("1", INTEGER), "metadata": {"name": "w"}}
    more["spec"]["nodes"][1]["inputContract"] = {"requiredFields": ["make.other"]}
    schemas, name = write(here / "s.yaml", schema(INTEGER)), write(here / "w.yaml", more)
    done = podium("contract", "test", name, "-f", schemas)
    assert done.returncode == 0
    assert "make.other: is needed, and the promise does not declare it" in done.stdout
    assert podium("contract", "test", name, "-f", schemas, "--strict").returncode == 1


def test_bad_usage_and_files_that_are_not_valid_end_with_two(here):
    workflow_file = write(here / "w.yaml", workflow("1", INTEGER))
    missing = podium("contract", "test", workflow_file)
    assert missing.returncode == 2
    assert "there is no ContractSchema 'sizes'" in missing.stderr
    assert podium("contract", "check", workflow_file).returncode == 2
    assert (
        podium("contract", "check", write(here / "s.yaml", schema({"type": "x"}))).returncode == 2
    )
    assert podium("contract", "check", "s.yaml", "--strict").returncode == 2
    assert podium("contract", "check", "gone.yaml").returncode == 2
    assert podium("contract", "judge", "s.yaml").returncode == 2


def test_a_run_finds_its_schemas_in_a_file_beside(here):
    schemas = write(here / "s.yaml", schema(INTEGER))
    name = write(here / "w.yaml", workflow("1", INTEGER))
    done = podium("run", name, "-f", schemas)
    assert done.returncode == 1
    assert "size" in done.stderr + done.stdout
    wrong = write(here / "v.yaml", workflow("7", INTEGER))
    done = podium("run", wrong, "-f", schemas)
    assert (done.returncode, "has no version '7': it has 1" in done.stderr) == (2, True)
