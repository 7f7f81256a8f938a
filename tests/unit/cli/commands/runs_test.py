"""Runs through the command line, on real processes."""

import json
import os
import pty
import re
import signal
import subprocess
import time

import pytest

from podium.api.resources import WorkflowRun
from podium.api.run import NodeState, NodeStatus, RunPhase
from podium.cli.screen import _interesting
from tests.unit.cli.support import ENV, PODIUM, Directory, exists, script

HELLO = (
    script("a", """echo to-the-log; echo '{"n": 1}' >$PODIUM_OUTPUT"""),
    script("b", "grep -q '\"n\":1' $PODIUM_INPUT", "a", condition="context.a.n == 1"),
    script("c", "exit 9", "a", condition="context.a.n == 2"),
)


@pytest.fixture
def here(tmp_path):
    return Directory(tmp_path)


def test_a_run_piped_is_lines_and_a_summary(here):
    said = here.podium("run", here.workflow(*HELLO), "--run-name", "one").stdout
    words = re.sub(r"\d\d:\d\d:\d\d|\d+\.\ds", "", said)
    lines = [line.split() for line in words.splitlines()]
    # What ends within a moment may never be seen to run.
    assert [line for line in lines if line[1:] != ["Running"]][:4] == [
        ["run", "one", "of", "w:", "3", "nodes"],
        ["a", "Completed"],
        ["c", "Skipped", "ConditionFalse:", "context.a.n", "==", "2"],
        ["b", "Completed"],
    ]
    assert "Succeeded in" in said
    assert "podium logs one" in said
    assert ".podium/runs/one" in said
    assert here.podium("logs", "one", "a").stdout == "to-the-log\n"
    assert here.podium("logs", "one").stdout == "[a] to-the-log\n"
    table = [line.split() for line in here.podium("get").stdout.splitlines()]
    assert table[0] == ["NAME", "WORKFLOW", "PHASE", "PROGRESS", "CURRENT", "DURATION", "AGE"]
    assert table[1][:4] == ["one", "w", "Succeeded", "2/2"]  # and one was skipped
    assert "ConditionFalse" in here.podium("get", "one").stdout


def test_what_takes_longer_is_seen_to_run(here):
    said = here.podium("run", here.workflow(script("a", "sleep 1"))).stdout
    seen = [word for word in said.split() if word in ("Running", "Completed")]
    assert seen == ["Running", "Completed"]


def test_standard_output_is_the_run_alone_also_when_it_failed(here):
    file = here.workflow(script("a", "echo oops >&2; exit 3"))
    done = here.podium("run", file, "-o", "json", "-c", "x.y=[1, yes]", code=1)
    document = json.loads(done.stdout)
    run = WorkflowRun.model_validate(document)
    assert re.fullmatch(r"w-[a-z]{5}", run.metadata.name)
    assert set(document["metadata"]) == {"name", "uid", "creationTimestamp"}
    assert document["spec"] == {
        "workflowRef": {"name": "w"},
        "context": {"x": {"y": [1, "yes"]}},
    }
    assert run.status.phase is RunPhase.FAILED
    assert run.status.nodes["a"].error.message == "exit code 3; last lines: oops"
    assert "Failed" in done.stderr
    assert json.loads(here.podium("get", run.metadata.name, "-o", "json").stdout) == document


@pytest.mark.parametrize("declared", [True, False])
def test_missing_context_is_named_at_once_and_nothing_starts(here, declared):
    nodes = [
        script("a", "touch started", condition="context.first == 1"),
        script("b", "touch started", "a", inputContract={"requiredFields": ["second"]}),
    ]
    inputs = {"inputs": {"type": "object", "required": ["first", "second"]}} if declared else {}
    file = here.workflow(*nodes, **inputs)
    said = here.podium("run", file, code=2).stderr
    assert "-c first=… -c second=…" in said
    here.podium("run", file, "-c", "first=1", "-c", "second=2")
    assert (here.path / "started").exists()


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (
            {"id": "ask", "executor": "persona", "config": {"personas": ["p"]}},
            "nodes ask ask personas",
        ),
        ({"id": "box", "executor": "container", "config": {"image": "i"}}, "nodes box run contain"),
    ],
)
def test_what_cannot_run_here_is_refused_before_anything_starts(here, node, said):
    file = here.workflow(script("a", "true"), node)
    assert said in here.podium("run", file, code=2, PATH="/nonexistent").stderr
    assert not (here.path / ".podium").exists()


def test_personas_answer_from_a_file_wherever_podium_is_called(here):
    here.write("answers.yaml", "answers: [{output: {x: 1}}]")
    file = here.workflow({"id": "ask", "executor": "persona", "config": {"personas": ["p"]}})
    (here.path / "below").mkdir()
    for module in ("yaml.py", "json.py", "podium.py"):  # are none of ours
        (here.path / "below" / module).write_text("raise SystemExit(7)")
    done = here.podium(
        "run", file, "--recorded", "answers.yaml", "--workdir", "below", "-o", "json"
    )
    document = json.loads(done.stdout)
    assert document["status"]["nodes"]["ask"]["output"] == {"x": 1}
    assert document["spec"]["recordedAnswers"] == {"file": str(here.path / "answers.yaml")}
    assert "no model was asked" in done.stderr
    here.write("answers.yaml", "answers: 3")
    assert (
        "answers: must be a list"
        in here.podium("run", file, "--recorded", "answers.yaml", code=2).stderr
    )


def test_the_run_of_a_file_is_taken_with_its_workflow(here):
    kinds = json.loads(here.read(here.workflow(script("a", "true"))))
    run = {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "WorkflowRun",
        "metadata": {"generateName": "mine-"},
        "spec": {"workflowRef": {"name": "w"}, "context": {"k": 1, "l": 1}, "maxParallel": 2},
    }
    here.write("both.yaml", f"{json.dumps(kinds)}\n{json.dumps(run)}\n")
    document = json.loads(here.podium("run", "both.yaml", "-c", "l=2", "-o", "json").stdout)
    assert document["metadata"]["name"].startswith("mine-")
    assert document["spec"] == {**run["spec"], "context": {"k": 1, "l": 2}}

    run["metadata"] = {"name": "fixed"}
    here.write("both.yaml", f"{json.dumps(kinds)}\n{json.dumps(run)}\n")
    assert "run fixed of w" in here.podium("run", "both.yaml").stdout
    assert "run fixed-" in here.podium("run", "both.yaml").stdout  # the file's name is taken
    given = ("run", "both.yaml", "--run-name", "fixed")
    assert "podium resume fixed" in here.podium(*given, code=2).stderr

    run["spec"]["workflowRef"]["name"] = "other"
    here.write("both.yaml", f"{json.dumps(kinds)}\n{json.dumps(run)}\n")
    for given in ((), ("--name", "w")):
        assert (
            "'other' is not in this file" in here.podium("run", "both.yaml", *given, code=2).stderr
        )

    run["spec"] = {"workflowSpec": kinds["spec"], "suspend": True}
    here.write("inline.yaml", json.dumps(run))
    assert "spec.suspend" in here.podium("run", "inline.yaml", code=2).stderr
    del run["spec"]["suspend"]
    here.write("inline.yaml", json.dumps(run))
    here.podium("run", "inline.yaml", "--run-name", "inline")

    two = {**kinds, "metadata": {"name": "w2"}}
    here.write("two.yaml", f"{json.dumps(kinds)}\n{json.dumps(two)}\n")
    assert "--name" in here.podium("run", "two.yaml", code=2).stderr
    assert "of w2" in here.podium("run", "two.yaml", "--name", "w2").stdout


@pytest.mark.parametrize("name", ["../x", "a/b", "A", "", "x" * 300, "-x", "."])
def test_names_that_are_none_are_refused(here, name):
    file = here.workflow(script("a", "true"))
    assert (
        "is not a valid name of a run"
        in here.podium("run", file, "--run-name", name, code=2).stderr
    )
    if not name.startswith("-"):
        assert "is not a valid name of a run" in here.podium("resume", name, code=2).stderr


def test_a_run_that_takes_too_long_ends_with_3(here):
    file = here.workflow(script("a", "sleep 60"), timeoutSeconds=0.5)
    assert "the run took longer than" in here.podium("run", file, code=3).stdout


def test_a_state_directory_that_cannot_be_written(here):
    file = here.workflow(script("a", "true"))
    here.write("file", "")
    said = here.podium("run", file, "--state-dir", "file/below", code=2).stderr
    assert "cannot write" in said
    assert "Not a directory" in said


SLOW = script("a", "echo $$ >>pids; sleep 1.5; echo '{\"ok\": 1}' >$PODIUM_OUTPUT")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_children_are_gone_and_the_run_can_be_resumed(here, number):
    first = script("a", "sleep 60 & echo $! >>pids; [ $(wc -l <pids) = 2 ] || sleep 60")
    file = here.workflow(first, script("b", "true", "a"))
    podium = here.start("run", file, "--run-name", "one")
    pid = int(here.until("pids"))
    assert exists(pid)
    podium.send_signal(number)
    said = podium.communicate(timeout=60)[0]
    assert podium.returncode == 130
    assert "podium resume one" in said
    assert not exists(pid)
    assert "Interrupted" in here.podium("get").stdout
    assert "Succeeded" in here.podium("resume", "one").stdout
    status = json.loads(here.podium("get", "one", "-o", "json").stdout)["status"]
    assert status["nodes"]["a"]["executionCount"] == 1
    assert "has ended: Succeeded" in here.podium("resume", "one").stdout


def test_killed_the_run_goes_on_with_what_still_runs(here):
    file = here.workflow(SLOW, script("b", "true", "a"))
    podium = here.start("run", file, "--run-name", "one", stdout=subprocess.DEVNULL)
    pid = int(here.until("pids"))
    podium.kill()
    podium.wait()
    assert exists(pid)
    document = json.loads(here.podium("resume", "one", "-o", "json").stdout)
    assert here.read("pids") == f"{pid}\n"
    assert document["status"]["nodes"]["a"]["output"] == {"ok": 1}
    assert document["status"]["phase"] == "Succeeded"


def test_two_podiums_do_not_work_on_one_run(here):
    text = "touch started; while ! test -e go; do sleep 0.1; done"
    podium = here.start("run", here.workflow(script("a", text)), "--run-name", "one")
    while not (here.path / "started").exists():
        assert podium.poll() is None
    for verb in (("resume", "one"), ("rerun", "one", "--node", "a")):
        assert "another podium works on" in here.podium(*verb, code=2).stderr
    assert "Running" in here.podium("get").stdout
    (here.path / "go").touch()
    podium.communicate(timeout=60)
    assert podium.returncode == 0


def starts(here, name="one"):
    nodes = json.loads(here.podium("get", name, "-o", "json").stdout)["status"]["nodes"]
    return {node: state["executionCount"] for node, state in nodes.items()}


def test_nodes_run_again_with_what_comes_after_them(here):
    chain = (script("a", "true"), script("b", "true", "a"), script("c", "true", "b"))
    here.podium("run", here.workflow(*chain), "--run-name", "one")
    said = here.podium("rerun", "one", "--node", "b", "--dry-run").stdout
    assert [line.split() for line in said.splitlines()[1:]] == [
        ["b", "Completed"],
        ["c", "Completed"],
    ]
    assert starts(here) == {"a": 1, "b": 1, "c": 1}
    here.podium("rerun", "one", "--node", "b")
    assert starts(here) == {"a": 1, "b": 2, "c": 2}
    here.podium("rerun", "one", "--node", "a,b", "--no-cascade")
    assert starts(here) == {"a": 2, "b": 3, "c": 2}
    assert "Completed (stale)" in here.podium("get", "one").stdout
    said = here.podium("rerun", "one", "--node", "nope", code=2).stderr
    assert "unknown node nope: nodes are a, b, c" in said
    assert "--node" in here.podium("rerun", "one", code=2).stderr


def test_the_context_is_edited_and_restored(here):
    text = 'printf "{\\"seen\\": \\"%s\\"}" "$K" >$PODIUM_OUTPUT'
    node = script("a", text)
    node["config"]["env"] = [{"name": "K", "value": "${{ context.k.x }}"}]
    here.podium("run", here.workflow(node), "--run-name", "one", "-c", "k={x: 1, y: 2}")
    here.podium("rerun", "one", "--node", "a", "-c", "k.x=3")

    def at(*arguments):
        return json.loads(here.podium("context", "one", "-o", "json", *arguments).stdout)

    assert at() == {
        "version": 3,
        "context": {"k": {"x": 3, "y": 2}},
        "outputs": {"a": {"seen": "3"}},
    }
    assert at("--version", "1")["outputs"] == {"a": {"seen": "1"}}
    assert at("--version", "0") == {"version": 0, "context": {"k": {"x": 1, "y": 2}}, "outputs": {}}
    here.podium("restore", "one", "--version", "1")
    assert at()["outputs"] == {"a": {"seen": "1"}}
    assert at()["context"] == {"k": {"x": 1, "y": 2}}
    for verb in ("restore", "context"):
        said = here.podium(verb, "one", "--version", "9", code=2).stderr
        assert "there is no context version 9" in said


def test_a_definition_is_mended_and_the_run_goes_on_with_it(here):
    here.workflow(script("a", "true"), script("b", "exit 1", "a"), script("c", "true", "b"))
    here.podium("run", "w.yaml", "--run-name", "one", code=1)
    here.workflow(script("a", "true"), script("b", "true", "a"), script("d", "true", "b"))
    said = here.podium("rerun", "one", "--latest", "--dry-run").stdout
    assert [line.split() for line in said.splitlines()[1:]] == [
        ["b", "Failed"],
        ["d", "new"],
        ["c", "would", "be", "removed"],
    ]
    here.podium("rerun", "one", "--latest")
    assert starts(here) == {"a": 1, "b": 2, "d": 1}
    assert "has not changed" in here.podium("rerun", "one", "--latest").stdout
    here.write("w.yaml", "nothing: here")
    here.podium("rerun", "one", "--latest", code=2)


def test_logs_follow_to_the_end(here):
    text = "echo one; while ! test -e go; do sleep 0.1; done; printf two"
    podium = here.start("run", here.workflow(script("a", text)), "--run-name", "one")
    log = here.path / ".podium/runs/one/executions/a-1/log"
    while not log.exists() or not log.stat().st_size:
        assert podium.poll() is None
    follower = here.start("logs", "one", "a", "--follow")
    assert follower.stdout.readline() == "one\n"
    (here.path / "go").touch()
    assert follower.communicate(timeout=60)[0] == "two\n"
    podium.communicate(timeout=60)
    said = here.podium("logs", "one", "nope", code=2).stderr
    assert "no node 'nope': nodes are a" in said


def test_a_secret_reaches_its_node_and_no_file_of_podium(here):
    node = script("a", 'test "$T" = $(echo c2VjcmV0LXZhbHVl | base64 -d) && echo "$T" && exit 7')
    selector = {"secretKeyRef": {"name": "api", "key": "token"}}
    node["config"]["env"] = [{"name": "T", "valueFrom": selector}]
    file = here.workflow(node)
    here.write("secrets.yaml", "api: {token: secret-value}")
    done = here.podium("run", file, "--run-name", "one", "--secrets", "secrets.yaml", code=1)
    assert "exit code 7; last lines: ***" in done.stdout
    here.podium("rerun", "one", "--node", "a", code=1)
    files = [p for p in (here.path / ".podium").rglob("*") if p.is_file()]
    assert not [p for p in files if b"secret-value" in p.read_bytes()]
    said = here.podium("run", file, code=1, token="from-the-environment").stdout
    assert "exit code 1" in said


def test_secrets_without_a_value_are_named_before_anything_starts(here):
    nodes = [script("first", "touch started")]
    for name, key in (("api", "token"), ("db", "pin"), ("api", "token")):
        nodes.append(script(f"n{len(nodes)}", "true", "first"))
        selector = {"secretKeyRef": {"name": name, "key": key}}
        nodes[-1]["config"]["env"] = [{"name": "T", "valueFrom": selector}]
    optional = {"secretKeyRef": {"name": "x", "key": "y", "optional": True}}
    nodes[0]["config"]["env"] = [{"name": "T", "valueFrom": optional}]
    file = here.workflow(*nodes)
    said = here.podium("run", file, code=2).stderr
    for key, secret in (("token", "api"), ("pin", "db")):
        assert f"no value for key {key} of the secret {secret}: set {key}" in said
    assert not (here.path / "started").exists()
    assert not (here.path / ".podium").exists()
    here.podium("run", file, token="1", pin="2")


def test_variables_are_passed_to_all_programs(here):
    node = script("a", 'printf "{\\"v\\": \\"$A $B $C $D\\"}" >$PODIUM_OUTPUT; test -e go')
    here.write("vars", "# of a file\nA=1\nB=x y\nC\n")
    options = ("--env-file", "vars", "--env", "B=2", "--env", "D")

    def output():
        status = json.loads(here.podium("get", "one", "-o", "json").stdout)["status"]
        return (status["nodes"]["a"]["output"] or {})["v"]

    here.podium("run", here.workflow(node), "--run-name", "one", *options, code=1, C="3", D="4")
    (here.path / "go").touch()
    here.podium("rerun", "one", "--failed", C="5", D="6")
    assert output() == "1 2 5 6"
    here.podium("rerun", "one", "--node", "a", "--env", "A=7")
    assert output() == "7   "
    said = here.podium("run", here.workflow(node), "--env", "NOPE", code=2).stderr
    assert "NOPE is not set in podium's environment" in said


def test_what_would_run_is_printed_and_nothing_runs(here):
    file = here.workflow(
        script("a", "touch started"),
        script("b", "true", "a", condition="context.k == 1"),
        script("c", "true", "a"),
    )
    said = here.podium("run", file, "--dry-run", "-c", "k=1").stdout
    assert [line.split() for line in said.splitlines()] == [
        ["3", "nodes", "would", "be", "run,", "at", "most", "10", "at", "the", "same", "time:"],
        ["1", "a"],
        ["2", "b", "<-", "a", "if", "context.k", "==", "1"],
        ["c", "<-", "a"],
    ]
    assert "-c k=…" in here.podium("run", file, "--dry-run", code=2).stderr
    document = json.loads(here.podium("run", file, "--dry-run", "-c", "k=1", "-o", "json").stdout)
    assert document["status"]["phase"] == "Pending"
    assert not (here.path / "started").exists()
    assert not (here.path / ".podium").exists()
    here.podium("run", file, "-c", "k=1", "--run-name", "one")
    again = ("--dry-run", "-c", "k=1", "--run-name", "one")
    assert "there already is a run" in here.podium("run", file, *again, code=2).stderr


def test_versions_of_the_context_are_compared(here):
    file = here.workflow(script("a", "echo '{\"n\": 1}' >$PODIUM_OUTPUT"))
    here.podium("run", file, "--run-name", "one", "-c", "k={x: 1, y: [1]}", "-c", "gone=1")
    here.podium("rerun", "one", "--node", "a", "-c", "k.x=true", "-c", "k.y=[1, 2]")
    assert here.podium("context", "one", "--diff", "0", "2").stdout.splitlines() == [
        "- context.k.x: 1",
        "+ context.k.x: true",
        "- context.k.y: [1]",
        "+ context.k.y: [1,2]",
        '+ outputs.a: {"n":1}',
    ]
    found = json.loads(here.podium("context", "one", "--diff", "1", "0", "-o", "json").stdout)
    assert found == [{"path": "outputs.a", "before": {"n": 1}}]
    assert (
        here.podium("context", "one", "--diff", "1", "1").stdout
        == "versions 1 and 1 are the same\n"
    )
    said = here.podium("context", "one", "--diff", "0", "9", code=2).stderr
    assert "there is no context version 9" in said
    assert (
        "leave out --version"
        in here.podium("context", "one", "--diff", "0", "1", "--version", "1", code=2).stderr
    )


def test_contexts_are_merged_the_same_in_run_and_rerun(here):
    shown = script("a", "cat $PODIUM_INPUT >seen")
    file = here.workflow(shown, globalContext={"db": {"host": "h", "port": 1}, "regions": ["eu"]})

    def seen():
        return json.loads(here.read("seen"))["globalContext"]

    expected = {"db": {"host": "h", "port": 2}, "regions": ["eu"]}
    here.podium("run", file, "--run-name", "one", "-c", "db.port=2")
    assert seen() == expected
    here.podium("run", file, "--run-name", "two")
    here.podium("rerun", "two", "--node", "a", "-c", "db.port=2")
    assert seen() == expected
    for verb in (("run", file), ("rerun", "two", "--node", "a")):
        said = here.podium(*verb, "-c", "regions.0=us", code=2).stderr
        assert "regions is a list" in said


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_closed_terminal_stops_what_runs_and_says_so(here, number):
    file = here.workflow(
        script("a", "trap 'echo bye >>ended; exit' TERM; echo $$ >>pids; sleep 60 & wait")
    )
    podium = here.start("run", file, "--run-name", "one")
    here.until("pids")
    podium.send_signal(number)
    said = podium.communicate(timeout=60)[0]
    assert podium.returncode == 130
    assert "podium resume one" in said
    assert here.read("ended") == "bye\n"


def test_under_nohup_a_run_goes_on(here):
    file = here.workflow(script("a", "touch started; while ! test -e go; do sleep 0.1; done"))
    podium = subprocess.Popen(
        ["nohup", PODIUM, "run", file],
        cwd=here.path,
        env=ENV,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (here.path / "started").exists():
        assert podium.poll() is None
        time.sleep(0.02)
    podium.send_signal(signal.SIGHUP)
    (here.path / "go").touch()
    assert podium.wait(timeout=60) == 0


def test_a_terminal_shows_a_line_for_each_node(here):
    file = here.workflow(*HELLO)
    ours, theirs = pty.openpty()
    podium = subprocess.Popen(
        [PODIUM, "run", file],
        cwd=here.path,
        env={**ENV, "TERM": "xterm", "LINES": "40"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 4096):
            seen += part
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(ours)
    assert podium.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    end = [line.split() for line in text.splitlines() if line.strip()][-8:]
    assert [line[:2] for line in end][:4] == [
        ["a", "Completed"],
        ["b", "Completed"],
        ["c", "Skipped"],
        ["3/3", "2"],
    ]


def test_of_many_nodes_the_interesting_ones_are_shown():
    states = {f"n{i}": NodeState(status=NodeStatus.WAITING) for i in range(100)}
    states["n50"].status = NodeStatus.FAILED
    states["n70"].status = NodeStatus.RUNNING
    shown = _interesting(states, 5)
    assert len(shown) == 5
    assert {"n50", "n70"} <= set(shown)
    assert len(_interesting(states, 100)) == 100
