"""Groups on the command line: folded where all went well, named by paths everywhere."""

import json

import pytest
from click.testing import CliRunner

from podium.cli import main

FILE = """
apiVersion: podium.dev/v1alpha1
kind: Workflow
metadata: {name: w}
spec:
  nodes:
  - id: good
    type: parallel_group
    nodes:
    - {id: a, executor: script, config: {script: 'echo from a; echo "{\\"n\\": 1}" > $PODIUM_OUTPUT'}}
    - {id: b, executor: script, dependsOn: [a], config: {script: echo from b}}
  - id: bad
    type: parallel_group
    dependsOn: [good]
    nodes:
    - {id: a, executor: script, config: {script: test -e mended}}
    - {id: c, executor: script, config: {script: 'echo x > $PODIUM_ARTIFACTS_OUT/f'}, artifacts: {out: [{name: f, path: f}]}}
"""


@pytest.fixture
def podium(tmp_path, monkeypatch):
    (tmp_path / "w.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)

    def call(*arguments, code=0):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == code, done.output
        return done.stdout

    call("run", "w.yaml", "--run-name", "r", code=1)
    return call


def rows(text):
    return [line.split() for line in text.splitlines() if line]


def test_a_group_that_ended_well_is_one_line(podium):
    shown = [row[:4] for row in rows(podium("get", "r"))[3:]]
    assert shown == [
        ["good", "Completed", "(2", "members)"],
        ["bad", "Failed", "MemberFailed", "1"],
        ["bad.a", "Failed", "Error", "1"],
        ["bad.c", "Completed", "1", shown[-1][-1]],
    ]


def test_a_group_by_itself_shows_its_members_and_their_outputs(podium):
    shown = podium("get", "r", "good")
    assert '"n": 1' in shown
    assert ["good.a", "Completed"] in [row[:2] for row in rows(shown)]
    assert podium("get", "r", "good.a").splitlines()[0].split() == ["node:", "good.a"]


def test_logs_of_a_group_are_those_of_its_members(podium):
    assert podium("logs", "r", "good") == "[good.a] from a\n[good.b] from b\n"
    assert podium("logs", "r", "good.b") == "from b\n"
    assert "has not started" not in podium("logs", "r")


def test_a_member_is_run_again_by_its_path(podium, tmp_path):
    (tmp_path / "mended").touch()
    plan = podium("rerun", "r", "--node", "bad.a", "--dry-run")
    assert plan.splitlines()[0] == "2 of 6 nodes would be run again:"
    podium("rerun", "r", "--failed")
    state = json.loads(podium("get", "r", "-o", "json"))["status"]["nodes"]
    assert state["bad"]["executionId"] == "bad-2"
    assert state["bad.c"]["executionId"] == "bad.c-1"


def test_artifacts_of_a_member(podium, tmp_path):
    assert "bad.c" in podium("artifacts", "ls", "r", "bad.c")
    podium("artifacts", "get", "r", "bad.c.f", "-o", str(tmp_path / "out"))
    assert (tmp_path / "out" / "f").read_text() == "x\n"


def test_context_puts_outputs_of_members_into_those_of_their_groups(podium):
    outputs = json.loads(podium("context", "r", "-o", "json"))["outputs"]
    assert outputs == {"good": {"a": {"n": 1}, "b": {}}, "bad.c": {}}


@pytest.mark.parametrize("form", ["ascii", "mermaid", "dot"])
def test_graphs_have_members(podium, form):
    assert "bad" in podium("graph", "w.yaml", "-o", form)
    shown = podium("graph", "w.yaml")
    assert [row[0] if not row[0].isdigit() else row[1] for row in rows(shown)] == [
        *("good", "good.a", "good.b", "bad", "bad.a", "bad.c")
    ]


UNDONE = """
apiVersion: podium.dev/v1alpha1
kind: Workflow
metadata: {name: w}
spec:
  nodes:
  - id: g
    type: parallel_group
    nodes:
    - id: a
      executor: script
      config: {script: 'echo "{\\"n\\": 1}" > $PODIUM_OUTPUT'}
      compensation: {config: {script: exit 0}}
    - {id: m, executor: script, forEach: "[1, 2]", config: {script: exit 0}}
    - {id: h, type: parallel_group, nodes: [{id: b, executor: script, config: {script: exit 0}}]}
  - {id: z, dependsOn: [g], executor: script, config: {script: exit 1}}
"""


def test_what_is_in_a_group_has_its_output_though_it_is_stored_nowhere(tmp_path, monkeypatch):
    (tmp_path / "w.yaml").write_text(UNDONE)
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(main, ["run", "w.yaml", "--run-name", "r"])

    def shown(*arguments):
        return CliRunner().invoke(main, ["get", "r", *arguments]).stdout

    assert "(4 members)" in shown()  # a, m, h and h.b: the compensation of a is no member
    assert '"n": 1' in shown("g.a")
    assert '"succeeded": 2' in shown("g.m")
    assert '"b": {}' in shown("g.h")
