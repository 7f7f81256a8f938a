"""podium approve and reject, and what `podium run` asks on a terminal."""

import json
import os
import pty
import select
import subprocess
import time

import pytest

from tests.unit.cli.support import ENV, PODIUM, Directory, script


@pytest.fixture
def here(tmp_path):
    return Directory(tmp_path)


def gate(name="gate", *after, **config):
    return {"id": name, "type": "approval", "dependsOn": list(after), "config": config}


FIELDS = {
    "properties": {"region": {"enum": ["eu", "us"]}, "percent": {"type": "integer", "default": 10}},
    "required": ["region"],
}


def waiting(here, node="gate"):
    while True:
        done = here.bash("podium get one -o json")
        if done.returncode == 0:
            state = json.loads(done.stdout)["status"]["nodes"][node]
            if state.get("reason") == "WaitingForApproval":
                return state
        time.sleep(0.05)


def nodes(here):
    return json.loads(here.podium("get", "one", "-o", "json").stdout)["status"]["nodes"]


def test_another_shell_decides(here):
    file = here.workflow(gate(message="Ship?", fields=FIELDS), script("ship", "true", "gate"))
    process = here.start("run", file, "--run-name", "one")
    state = waiting(here)
    assert state["message"] == "Ship?: podium approve one gate"
    for values, said in (
        ((), "'region' is missing"),
        (("-v", "region=moon"), "values.region"),
        (("-v", "region=eu", "-v", "percent=much"), "values.percent"),
        (("-v", "region"), "-v region: write KEY=VALUE"),
        (("--comment", "x" * 2000), "--comment: has 2000 characters"),
    ):
        assert said in here.podium("approve", "one", "gate", *values, code=2).stderr
    assert waiting(here)["executionId"] == "gate-1"
    here.write("values.yaml", "region: us\n")
    said = here.podium(
        "approve", "one", "--values-file", "values.yaml", "-v", "percent=5", "--comment", "go"
    ).stdout
    assert said == "gate of run one is approved\n"
    assert process.wait(60) == 0
    output = nodes(here)["gate"]["output"]
    assert output["values"] == {"region": "us", "percent": 5}
    assert output["comment"] == "go"
    assert output["by"]
    assert "nothing waits for approval" in here.podium("approve", "one", code=2).stderr
    assert not list((here.path / ".podium/runs/one/approvals").iterdir())


def test_a_rejection_fails_the_run(here):
    file = here.workflow(gate(), gate("other"))
    process = here.start("run", file, "--run-name", "one")
    waiting(here, "other")
    assert "name the NODE: what waits is gate, other" in here.podium("reject", "one", code=2).stderr
    assert "no node 'nope'" in here.podium("reject", "one", "nope", code=2).stderr
    here.podium("reject", "one", "other", "--comment", "no")
    here.podium("approve", "one", "gate")
    assert process.wait(60) == 1
    assert nodes(here)["other"]["reason"] == "Rejected"


def test_an_interrupted_run_is_carried_on(here):
    file = here.workflow(gate(), script("ship", "echo shipped > out", "gate"))
    process = here.start("run", file, "--run-name", "one")
    waiting(here)
    process.terminate()
    assert process.wait(60) == 130
    assert "Succeeded" in here.podium("approve", "one").stdout
    assert here.read("out") == "shipped\n"


def test_a_decision_that_a_killed_podium_did_not_carry_out_is_not_lost(here):
    file = here.workflow(gate())
    process = here.start("run", file, "--run-name", "one")
    waiting(here)
    process.kill()
    process.wait(60)
    place = here.path / ".podium/runs/one/approvals"
    place.mkdir()
    decision = {"node": "gate", "executionId": "gate-1", "approved": True, "by": "me"}
    (place / "0123-abcd").write_text(json.dumps({**decision, "comment": "", "values": {}}))
    (place / "4567").write_text("not this")
    (place / "89ab-cdef").symlink_to("/dev/zero")
    here.podium("resume", "one")
    assert nodes(here)["gate"]["output"]["by"] == "me"


def on_terminal(here, answers, *arguments):
    """Run podium on a terminal and type an answer to each thing that is said."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [PODIUM, *arguments],
        cwd=here.path,
        env={**ENV, "TERM": "xterm"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # noqa: PLW1509 - its own terminal
    )
    os.close(slave)
    shown, seen = "", 0
    for said, typed in answers:
        while said not in shown[seen:]:
            assert select.select([master], [], [], 60)[0], shown
            shown += os.read(master, 4096).decode()
        seen = shown.index(said, seen) + len(said)
        if callable(typed):
            typed()
        else:
            os.write(master, typed.encode() + b"\n")
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:  # its end
            break
        if not part:
            break
        shown += part.decode()
    code = process.wait(60)
    os.close(master)
    return code, shown


def test_a_terminal_is_asked(here):
    file = here.workflow(gate(message="Ship it?", fields=FIELDS), script("ship", "true", "gate"))
    answers = [
        ("Ship it?", "what"),
        ("Approve?", "y"),
        ("region (['eu', 'us'])", "moon"),
        ("percent", ""),
        ("Comment", ""),
        ("values.region", "y"),
        ("region", "eu"),
        ("percent", "20"),
        ("Comment", "fine"),
    ]
    code, shown = on_terminal(here, answers, "run", file, "--run-name", "one")
    assert code == 0, shown
    output = nodes(here)["gate"]["output"]
    assert output["values"] == {"region": "eu", "percent": 20}
    assert output["comment"] == "fine"


def test_a_terminal_can_say_no(here):
    answers = [("Approve?", "n"), ("Comment", "not now")]
    file = here.workflow(gate())
    code, shown = on_terminal(here, answers, "run", file, "--run-name", "one")
    assert code == 1, shown
    assert nodes(here)["gate"]["message"].endswith(": not now")


def test_what_another_shell_decides_is_not_asked_any_more(here):
    file = here.workflow(gate(), gate("second", "gate"))
    answers = [
        ("Approve?", lambda: here.podium("approve", "one", "gate")),
        ("Approve?", lambda: here.podium("approve", "one", "second")),
    ]
    code, shown = on_terminal(here, answers, "run", file, "--run-name", "one")
    assert code == 0, shown
    assert shown.count("Approve?") == 2
