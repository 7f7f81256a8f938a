"""executors, explain executor NAME, run -f: Executors that teams add, on the command line."""

import json

import pytest
from click.testing import CliRunner

from podium.cli import main
from tests.unit.cli.support import Directory

EXECUTOR = """\
apiVersion: podium.dev/v1alpha1
kind: Executor
metadata: {name: count}
spec:
  title: Counts its words
  description: For tests.
  config:
    required: [words]
    properties:
      words: {$ref: "#/$defs/words"}
      "on": {type: [string, "null"], description: A day., default: mon, maxLength: 9}
      deep: {type: object, properties: {inner: {enum: [a, b], pattern: x}}}
    $defs: {words: {type: array, items: {type: string}, description: What is counted.}}
  template: {spec: {containers: [{name: node}]}}
  local: {command: [sh, -c, 'echo "{\\"n\\": $#}" > "$PODIUM_OUTPUT"', count, "${{ config.words }}"]}
"""
NODE = {"id": "a", "executor": "count", "config": {"words": ["x", "y"]}}


@pytest.fixture
def here(tmp_path):
    return Directory(tmp_path)


def podium(*arguments, code=0, stdin=None):
    done = CliRunner().invoke(main, arguments, input=stdin)
    assert done.exit_code == code, done.output
    return done


def output(here):
    run = json.loads(here.podium("get", "r", "-o", "json").stdout)
    return run["status"]["nodes"]["a"]["output"]


def test_executors_of_files_and_directories_are_listed(here):
    here.write("count.yaml", EXECUTOR)
    for file in (here.path / "count.yaml", here.path):
        lines = podium("executors", "-f", str(file)).stdout.splitlines()
        assert lines[0].split() == ["NAME", "KIND", "TITLE"]
        assert lines[1].split()[:2] == ["script", "built-in"]
        assert lines[-1].split(maxsplit=2) == ["count", "Executor", "Counts its words"]
    shown = json.loads(podium("executors", "-f", str(here.path), "-o", "json").stdout)
    assert shown[-1] == {"name": "count", "kind": "Executor", "title": "Counts its words"}


def test_names_are_whole_in_a_narrow_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    lines = podium("executors").stdout.splitlines()
    assert {"container", "persona_team", "kubernetes"} <= {line.split()[0] for line in lines}
    assert max(map(len, lines)) <= 60


def test_those_of_a_cluster_come_from_kubectl():
    listed = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "podium.dev/v1alpha1",
                "kind": "ClusterExecutor",
                "metadata": {"name": "spark", "uid": "u", "managedFields": []},
                "spec": {"template": {"spec": {"containers": [{"name": "node"}]}}},
            }
        ],
    }
    lines = podium("executors", "-f", "-", stdin=json.dumps(listed)).stdout.splitlines()
    assert lines[-1].split() == ["spark", "ClusterExecutor"]


def test_a_broken_executor_is_not_listed(here):
    here.write("count.yaml", EXECUTOR.replace("config.words", "config.word"))
    said = podium("executors", "-f", str(here.path), code=2).stderr
    assert "count.yaml:15: spec.local.command[4]: config.word: unknown property" in said


def test_explain_shows_the_config(here):
    here.write("count.yaml", EXECUTOR)
    said = podium("explain", "executor", "count", "-f", str(here.path)).stdout
    assert said.splitlines()[:3] == [
        "KIND:     Executor",
        "NAME:     count",
        "TITLE:    Counts its words",
    ]
    assert "    For tests.\n" in said
    assert "  words <[]string> -required-\n    What is counted.\n" in said
    assert "  on <string or null>\n    A day.\n    Default: mon\n    Limit: at most 9 char" in said
    said = podium("explain", "executor", "count.deep.inner", "-f", str(here.path)).stdout
    assert "FIELD: inner <string>" in said
    assert "One of: a, b" in said
    assert "interpreter <string" in podium("explain", "executor", "script").stdout
    assert "FIELD: env" in podium("explain", "executor", "script.env").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["executor", "cout"], "no executor 'cout': known are script"),
        (["executor", "count.word"], "count has no field 'word'; it has words, on, deep"),
        (["workflow.spec", "nodes"], "FIELD is one path"),
    ],
)
def test_explain_says_what_there_is(here, arguments, message):
    here.write("count.yaml", EXECUTOR)
    assert message in podium("explain", *arguments, "-f", str(here.path), code=2).stderr


def test_a_run_finds_executors_of_other_files_and_keeps_them(here):
    here.write("count.yaml", EXECUTOR)
    here.workflow(NODE)
    assert "known are script" in here.podium("run", "w.yaml", code=2).stderr
    here.podium("run", "w.yaml", "-f", "count.yaml", "--run-name", "r")
    assert output(here) == {"n": 2}
    here.write("count.yaml", EXECUTOR.replace("$#}", "1$#}"))
    here.podium("rerun", "r", "--node", "a")
    assert output(here) == {"n": 2}
    (here.path / "count.yaml").unlink()
    here.podium("rerun", "r", "--node", "a")
    here.write("count.yaml", EXECUTOR.replace("$#}", "1$#}"))
    here.podium("rerun", "r", "--latest")
    assert output(here) == {"n": 12}


def test_validate_checks_the_config_of_a_node_with_line_and_field(here):
    workflow = here.workflow({**NODE, "config": {"words": "x", "of": 1}})
    here.write("count.yaml", EXECUTOR)
    said = here.podium("validate", workflow, "count.yaml", code=2).stderr
    assert 'spec.nodes[0].config.words: "x" is not of type array' in said
    assert "spec.nodes[0].config.of: unknown field: the executor count has words, on, deep" in said


def test_an_executor_may_not_hide_a_built_in_one(here):
    here.write("script.yaml", EXECUTOR.replace("name: count", "name: script"))
    said = here.podium("validate", "script.yaml", code=2).stderr
    assert "script.yaml:3: metadata.name: 'script' is built in" in said


def test_what_needs_a_container_is_refused_before_anything_starts(here):
    here.workflow({**NODE, "config": {"words": []}})
    alone = EXECUTOR[: EXECUTOR.index("  local:")]
    here.write("count.yaml", alone)
    said = here.podium("run", "w.yaml", "-f", "count.yaml", code=2).stderr
    assert "node a: the template of the executor count has more than one container" in said
    assert "give the Executor local.command" in said
    here.write("count.yaml", EXECUTOR.replace("[sh, -c", "[absent-program, -c"))
    said = here.podium("run", "w.yaml", "-f", "count.yaml", code=2).stderr
    assert "local.command of the executor count: there is no program 'absent-program'" in said
