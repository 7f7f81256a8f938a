"""validate -o json: every problem with its place, for editors and CI."""

import json

import pytest
from click.testing import CliRunner

from podium.cli import main

GOOD = """\
apiVersion: podium.dev/v1alpha1
kind: Workflow
metadata: {name: good}
spec:
  nodes:
  - {id: a, executor: script, config: {script: exit 0}}
"""
BAD = """\
apiVersion: podium.dev/v1alpha1
kind: Workflow
metadata: {name: bad}
spec:
  nodes:
  - id: a
    executor: script
    config: {script: exit 0, scripts: x}
  - {id: b, executor: scrip, dependsOn: [a]}
  - id: c
    executor: script
    config: {script: exit 0}
    retryPolicy: {maxAttempts: three}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def validate(*arguments, code=0, stdin=None):
    done = CliRunner().invoke(main, ["validate", "-o", "json", *arguments], input=stdin)
    assert done.exit_code == code, done.output
    assert done.stderr == ""
    return json.loads(done.stdout)


def places(said):
    return [(each["path"], each["line"], each["column"]) for each in said["problems"]]


def test_a_sound_file(here):
    (here / "f.yaml").write_text(GOOD)
    assert validate("f.yaml") == {
        "valid": True,
        "files": [
            {
                "file": "f.yaml",
                "valid": True,
                "objects": [{"kind": "Workflow", "name": "good", "checked": True}],
            }
        ],
        "problems": [],
    }


def test_problems_of_several_files_have_their_places(here):
    (here / "good.yaml").write_text(GOOD)
    (here / "bad.yaml").write_text(f"{GOOD}---\n{BAD}")
    said = validate("good.yaml", "bad.yaml", "none.yaml", code=2)
    assert said["valid"] is False
    assert [each["valid"] for each in said["files"]] == [True, False, False]
    assert [each["name"] for each in said["files"][1]["objects"]] == ["good", "bad"]
    lines = f"{GOOD}---\n{BAD}".split("\n")
    found = {each["path"]: each for each in said["problems"]}
    for path, text in [
        ("spec.nodes[0].config.scripts", "scripts: x"),
        ("spec.nodes[1].executor", "executor: scrip,"),
        ("spec.nodes[2].retryPolicy.maxAttempts", "maxAttempts: three"),
    ]:
        problem = found[path]
        assert problem["file"] == "bad.yaml"
        assert problem["severity"] == "error"
        assert problem["message"]
        assert lines[problem["line"] - 1][problem["column"] - 1 :].startswith(text)
    assert found[""] == {
        "file": "none.yaml",
        "line": None,
        "column": None,
        "path": "",
        "severity": "error",
        "message": "no such file",
    }


def test_standard_input(here):
    said = validate("-", stdin=BAD, code=2)
    assert said["files"][0]["file"] == "<stdin>"
    assert {each["file"] for each in said["problems"]} == {"<stdin>"}
    assert all(each["column"] for each in said["problems"])


def test_warnings_are_errors_only_if_strict(here):
    text = GOOD + "  - {id: alone, executor: script, config: {script: exit 0}}\n"
    text += "  - {id: b, executor: script, config: {script: exit 0}, dependsOn: [a]}\n"
    said = validate("-", stdin=text)
    assert [each["severity"] for each in said["problems"]] == ["warning"]
    assert places(said) == [("spec.nodes[1]", 7, 5)]
    assert said["valid"] is True
    assert validate("-", "--strict", stdin=text, code=2)["valid"] is False


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("kind: [Workflow\n", 2, 1),
        ("a: 1\nb: {c: d: e}\n", 2, 9),
        ('{"apiVersion": "podium.dev/v1alpha1",\n  "kind" "Workflow"}', 2, 10),
        ("a: 1\n  \x07\n", 2, 3),
    ],
)
def test_a_syntax_error_has_a_place(here, text, line, column):
    (problem,) = validate("-", stdin=text, code=2)["problems"]
    assert (problem["line"], problem["column"]) == (line, column)


def test_json_files_and_lists_have_places_too(here):
    node = '{"id": "a", "executor": "script", "config": {"script": 3}}'
    flow = '{"apiVersion": "podium.dev/v1alpha1", "kind": "Workflow", "metadata": {"name": "w"},\n'
    flow += f' "spec": {{"nodes": [{node}]}}}}'
    ((path, line, column),) = places(validate("-", stdin=flow, code=2))
    assert path == "spec.nodes[0].config.script"
    assert flow.split("\n")[line - 1][column - 1 :].startswith('"script": 3')
    listed = f'{{"apiVersion": "v1", "kind": "List", "items": [\n{flow}]}}'
    ((_, line, column),) = places(validate("-", stdin=listed, code=2))
    assert listed.split("\n")[line - 1][column - 1 :].startswith('"script": 3')


def test_the_seeds_format_has_places(here):
    text = "workflow:\n  id: w\n  nodes:\n  - id: a\n    executor: script\n    depends: [b]\n"
    said = validate("-", stdin=text, code=2)
    assert ("workflow.nodes[0].depends", 6, 5) in places(said)


def test_what_a_terminal_would_act_on_is_escaped(here):
    name = "bad\x1b[2J.yaml"
    done = CliRunner().invoke(main, ["validate", "-o", "json", name])
    assert "\x1b" not in done.stdout
    assert json.loads(done.stdout)["problems"][0]["file"] == name
