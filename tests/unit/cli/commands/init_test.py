"""init: a workflow that runs at once and overwrites nothing."""

import json

import pytest

from podium.api.source.files import read_text
from podium.cli.commands.init import EXAMPLES
from tests.unit.cli.support import Directory


@pytest.fixture
def here(tmp_path):
    (tmp_path / ".podium" / "runs").mkdir(parents=True)
    return Directory(tmp_path)


@pytest.mark.parametrize("example", EXAMPLES)
def test_what_it_writes_is_valid_and_runs(here, example):
    said = here.podium("init", "--example", example)
    assert said.stdout.splitlines() == [
        "wrote workflow.yaml",
        "wrote podium.schema.json",
        "run it: podium run workflow.yaml",
    ]
    assert not here.podium("validate", "--strict", "workflow.yaml").stderr
    document = json.loads(here.podium("run", "workflow.yaml", "-o", "json").stdout)
    assert document["status"]["phase"] == "Succeeded"
    assert {node["status"] for node in document["status"]["nodes"].values()} == {"Completed"}


def test_hello_takes_a_name(here):
    here.podium("init")
    document = json.loads(here.podium("run", "workflow.yaml", "-c", "who=Ada", "-o", "json").stdout)
    nodes = document["status"]["nodes"]
    assert nodes["greet"]["output"] == {"letters": 3}
    assert nodes["praise"]["status"] == "Skipped"
    assert "Hello, Ada" in here.podium("logs", document["metadata"]["name"], "greet").stdout


def test_editors_find_the_schema(here):
    here.podium("init")
    first = here.read("workflow.yaml").splitlines()[0]
    assert first == "# yaml-language-server: $schema=podium.schema.json"
    assert here.read("podium.schema.json") == here.podium("schema").stdout


def test_a_directory_is_made(here):
    said = here.podium("init", "a b/c")
    assert "run it: podium run 'a b/c/workflow.yaml'" in said.stdout
    assert not read_text(here.read("a b/c/workflow.yaml")).problems


@pytest.mark.parametrize("make", ["file", "link", "dangling", "directory"])
def test_nothing_is_overwritten(here, make):
    path, other = here.path / "workflow.yaml", here.path / "other"
    match make:
        case "file":
            path.write_text("mine")
        case "link":
            other.write_text("mine")
            path.symlink_to(other)
        case "dangling":
            path.symlink_to(other)
        case "directory":
            path.mkdir()
    said = here.podium("init", code=2)
    assert said.stderr == (
        "podium: workflow.yaml exists already: remove it, or name another directory\n"
    )
    assert not (here.path / "podium.schema.json").exists()
    assert other.exists() == (make == "link")
    if make in ("file", "link"):
        assert path.read_text() == "mine"


def test_a_schema_that_is_there_stays(here):
    here.write("podium.schema.json", "{}")
    assert "schema" not in here.podium("init").stdout
    assert here.read("podium.schema.json") == "{}"


def test_a_place_that_cannot_be_written_is_named(here):
    here.write("taken", "")
    assert "taken" in here.podium("init", "taken/below", code=2).stderr
    assert "taken" in here.podium("init", "taken", code=2).stderr
