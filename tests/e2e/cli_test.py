"""`podium --cluster` and `kubectl podium`: the verbs on runs of a cluster."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.support import HELD, let_go, output, script, started, workflow_run

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

BIN = Path(sys.executable).parent
WORKFLOW = """\
apiVersion: podium.dev/v1alpha1
kind: Workflow
metadata: {name: pair}
spec:
  globalContext: {word: hello}
  outputs: {said: context.first.said}
  nodes:
  - id: first
    executor: script
    config:
      env: [{name: WORD, value: "${{ context.word }}"}]
      script: |
        echo "saying $WORD"
        echo "{\\"said\\": \\"$WORD\\"}" > "$PODIUM_OUTPUT"
  - {id: second, dependsOn: [first], executor: script, config: {script: "echo done"}}
"""


@pytest.fixture
def podium(mine, tmp_path):
    """The command line, in a namespace of the test's own; gives what it printed."""
    (tmp_path / "pair.yaml").write_text(WORKFLOW)

    def call(*arguments, code=0, program=("podium", "--cluster")):
        done = subprocess.run(
            [BIN / program[0], *program[1:], *arguments, "-n", mine.namespace],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    call.namespace = mine.namespace
    return call


def test_submit_look_and_run_again(podium):
    shown = podium("submit", "pair.yaml", "-c", "word=moin", "--run-name", "r", "-w")
    assert shown.startswith("workflow pair applied\nrun r created\n")
    assert "Succeeded" in shown
    assert shown.splitlines()[-1] == 'said = "moin"'
    assert podium("get").split()[7:10] == ["r", "pair", "Succeeded"]
    found = json.loads(podium("get", "@latest", "-o", "json"))
    assert found["status"]["outputs"] == {"said": "moin"}
    assert '"said": "moin"' in podium("get", "r", "first")
    assert podium("logs", "r") == "[first] saying moin\n[second] done\n"
    assert podium("logs", "r", "first") == "saying moin\n"
    assert "has not started" not in podium("logs", "r", "first", "--previous", code=2)

    shown = podium("rerun", "r", "--node", "first", "-c", "word=hej", "-w")
    assert "run r accepted the re-run" in shown
    assert podium("logs", "r", "first", program=("kubectl-podium",)) == "saying hej\n"
    assert podium("logs", "r", "first", "--previous") == "saying moin\n"
    assert "unknown node nope" in podium("rerun", "r", "--node", "nope", code=2)
    assert podium("wait", "r", "--timeout", "5m") == "run r has ended: Succeeded\n"

    again = podium("submit", "--from", "pair", "-o", "name").strip()
    name = again.removeprefix("workflowrun.podium.dev/")
    assert podium("wait", name, "--timeout", "5m") == f"run {name} has ended: Succeeded\n"
    assert sorted(podium("list", "-o", "name").split()) == sorted(
        [again, "workflowrun.podium.dev/r"]
    )
    assert podium("delete", "r", name) == f"run r deleted\nrun {name} deleted\n"
    assert "no runs in namespace" in podium("get")


def test_a_run_that_goes_on(podium, mine, tmp_path):
    held = script("a", f"echo begun; {HELD} {output(v=1)}")
    mine.apply(workflow_run("held", held, script("b", "true", "a")))
    pod = started(mine, "a")
    following = subprocess.Popen(
        [BIN / "podium", "--cluster", "logs", "held", "-f", "-n", mine.namespace],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert following.stdout.readline() == "[a] begun\n"
    assert "has not ended within 1.0s" in podium("wait", "held", "--timeout", "1s", code=3)
    assert podium("suspend", "held") == "run held is suspended\n"
    let_go(mine, pod)
    mine.wait_node("held", "a", "Completed")
    assert mine.status("held")["phase"] == "Paused"
    assert podium("resume", "held") == "run held is resumed\n"
    mine.wait("held")
    assert following.wait(60) == 0
    following.stdout.close()

    mine.apply(workflow_run("long", script("a", "sleep 300")))
    started(mine, "a")
    assert podium("cancel", "long") == "run long is to be cancelled\n"
    assert podium("wait", "long", "--timeout", "5m", code=1) == "run long has ended: Cancelled\n"
    assert podium("terminate", "long") == "run long has ended: Cancelled\n"


def test_what_cannot_be_done_is_said_in_a_line(podium, mine, tmp_path):
    assert "there is no run none in namespace" in podium("get", "none", code=2)
    assert "is not a valid name of a run" in podium("get", "a/../b", code=2)
    (tmp_path / "bad.yaml").write_text(WORKFLOW.replace("dependsOn: [first]", "dependsOn: [frist]"))
    assert "did you mean 'first'" in podium("submit", "bad.yaml", code=2)
    assert mine.items("workflows") == []
    assert "there is no Workflow 'none'" in podium("submit", "--from", "none", code=2)
    assert "name none" in podium("get", "--kube-context", "none", code=1)


def test_who_may_not_is_told_so(podium, mine, tmp_path, monkeypatch):
    mine("create", "serviceaccount", "reader")
    token = mine("create", "token", "reader").stdout.strip()
    config = json.loads(mine("config", "view", "--raw", "-o", "json").stdout)
    config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    monkeypatch.setitem(os.environ, "KUBECONFIG", str(tmp_path / "kubeconfig"))
    assert "forbidden" in podium("get", code=4)
    assert "forbidden" in podium("submit", "pair.yaml", code=4)


GATE = """\
apiVersion: podium.dev/v1alpha1
kind: Workflow
metadata: {name: gated}
spec:
  globalContext: {word: hello}
  nodes:
  - id: gate
    type: approval
    config:
      message: Say ${{ context.word }}?
      approvers: {groups: [system:authenticated]}
      fields: {properties: {loud: {type: boolean}}, required: [loud]}
  - id: say
    dependsOn: [gate]
    executor: script
    config:
      env: [{name: LOUD, value: "${{ context.gate.values.loud }}"}]
      script: 'echo "{\\"loud\\": $LOUD}" > "$PODIUM_OUTPUT"'
"""


def waiting(podium, run, node):
    """Wait until a node waits for approval; return what is said of it."""
    while "WaitingForApproval" not in (said := podium("get", run, node)):
        assert "Failed" not in said
    return said


def test_approve_reject_and_the_context(podium, tmp_path):
    (tmp_path / "gated.yaml").write_text(GATE)
    podium("submit", "gated.yaml", "--run-name", "r")
    said = waiting(podium, "r", "gate")
    assert "Say hello? (for members of system:authenticated)" in " ".join(said.split())
    assert f"kubectl podium -n {podium.namespace} approve r gate" in " ".join(said.split())
    assert "'loud' is missing" in podium("approve", "r", code=2)
    assert "values.loud" in podium("approve", "r", "gate", "-v", "loud=much", code=2)
    assert "run r has no node 'nope'" in podium("approve", "r", "nope", code=2)
    assert podium("approve", "r", "-v", "loud=true") == "gate of run r is approved\n"
    podium("wait", "r", "--timeout", "5m")
    assert '"loud": true' in podium("get", "r", "say")
    assert "does not wait (Completed)" in podium("reject", "r", "gate", code=2)

    podium("rerun", "r", "--node", "say", "-c", "word=moin")
    assert "Say moin?" in waiting(podium, "r", "gate")
    assert podium("reject", "r", "--comment", "too short") == "gate of run r is rejected\n"
    podium("wait", "r", "--timeout", "5m", code=1)
    assert "too short" in podium("get", "r", "gate")

    assert json.loads(podium("context", "r", "-o", "json"))["context"] == {"word": "moin"}
    assert json.loads(podium("context", "r", "--version", "0", "-o", "json")) == {
        "version": 0, "context": {"word": "hello"}, "outputs": {}
    }  # fmt: skip
    assert '- context.word: "hello"\n+ context.word: "moin"' in podium(
        "context", "r", "--diff", "0", "3"
    )
    assert "versions are 0 to" in podium("context", "r", "--version", "99", code=2)
