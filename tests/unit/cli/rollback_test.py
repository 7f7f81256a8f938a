"""Compensations on the command line: shown once they are needed, and never named in a re-run."""

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
  - id: a
    executor: script
    config: {script: echo done}
    compensation: {config: {script: echo undone}}
  - {id: b, executor: script, dependsOn: [a], config: {script: test -e mended}}
"""


@pytest.fixture
def podium(tmp_path, monkeypatch):
    (tmp_path / "w.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)

    def call(*arguments, code=0):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == code, done.output
        return done.output

    return call


def rows(text):
    return [line.split()[:3] for line in text.splitlines() if line][3:]


def test_a_rollback_is_told_and_shown(podium):
    said = podium("run", "w.yaml", "--run-name", "r", code=1)
    assert "w: 2 nodes" in said
    assert "all nodes have ended (Failed): 1 node to undo" in said
    assert "  rollback: what completed is undone" in said
    assert "rerun r --failed" in said
    shown = rows(podium("get", "r"))
    assert shown == [
        ["a", "Completed", "Compensated"],
        ["a.compensation", "Completed", "1"],
        ["b", "Failed", "Error"],
    ]
    assert "undone by a.compensation-1" in podium("get", "r", "a")
    assert podium("logs", "r", "a") == "[a] done\n[a.compensation] undone\n"
    assert podium("logs", "r", "a.compensation") == "undone\n"


def test_the_end_of_a_rollback_is_told_after_the_compensations(podium):
    said = [line.split()[1:3] for line in podium("run", "w.yaml", code=1).splitlines()[1:]]
    told = [
        words
        for words in said
        if words and words[0] in ("a.compensation", "b", "RunRollingBack", "RunRolledBack")
    ]
    order = [" ".join(words) if "Rol" not in words[0] else words[0] for words in told]
    order = [each for each in order if not each.endswith("Running")]
    assert order[:4] == ["b Failed", "RunRollingBack", "a.compensation Completed", "RunRolledBack"]


def test_a_rerun_takes_what_was_undone(podium, tmp_path):
    podium("run", "w.yaml", "--run-name", "r", code=1)
    refused = podium("rerun", "r", "--node", "a.compensation", code=2)
    assert "a.compensation is a compensation: name its node, which runs again" in refused
    assert "2 of 2 nodes would be run again" in podium("rerun", "r", "--node", "b", "--dry-run")
    (tmp_path / "mended").touch()
    podium("rerun", "r", "--node", "b")
    assert [row[0] for row in rows(podium("get", "r"))] == ["a", "b"]
    nodes = json.loads(podium("get", "r", "-o", "json"))["status"]["nodes"]
    assert nodes["a.compensation"]["reason"] == "NotNeeded"
    assert podium("logs", "r", "a") == "done\n"


def test_a_run_that_needs_none_shows_none(podium, tmp_path):
    (tmp_path / "mended").touch()
    said = podium("run", "w.yaml", "--run-name", "r")
    assert "compensation" not in said
    assert "rollback" not in said
    assert [row[0] for row in rows(podium("get", "r"))] == ["a", "b"]
    assert "2 nodes would be run" in podium("run", "w.yaml", "--dry-run")


def test_what_a_compensation_lacks_is_found_before_anything_starts(podium, tmp_path):
    file = FILE.replace("{script: echo undone}", "{script: x, interpreter: [no-such-program]}")
    (tmp_path / "w.yaml").write_text(file)
    said = podium("run", "w.yaml", code=2)
    assert "a.compensation" in said
    assert "no-such-program" in said
