"""podium get: runs, one run, one node; as they are and as they change."""

import json
import signal
import subprocess

import pytest
import yaml

from podium.cli.tables import Table, wrapped
from tests.unit.cli.support import Directory, script


@pytest.fixture
def here(tmp_path):
    return Directory(tmp_path)


def test_a_run_that_cannot_be_read_does_not_hide_the_others(here):
    file = here.workflow(script("a", "true"))
    for name in ("one", "two", "three", "four"):
        here.podium("run", file, "--run-name", name)
    runs = here.path / ".podium/runs"
    (runs / "one/run.json").write_text("[]")
    (runs / "two/log.jsonl").write_text('{"status": []}')
    (runs / "three/run.json").unlink()
    done = here.podium("get")
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[1:]}
    assert {name: rows[name] for name in ("one", "two", "three")} == {
        "one": ["Unreadable"],
        "two": ["Unreadable"],
        "three": ["Unreadable"],
    }
    assert rows["four"][:2] == ["w", "Succeeded"]
    assert done.stderr.count("podium delete") == 3
    items = json.loads(here.podium("get", "-o", "json").stdout)["items"]
    assert [item["metadata"]["name"] for item in items] == ["four"]


def test_a_node_is_shown_with_its_tries(here):
    flaky = script("a", "test -e ok || { touch ok; exit 3; }; echo '{\"n\": 1}' >$PODIUM_OUTPUT")
    file = here.workflow({**flaky, "retryPolicy": {"maxAttempts": 2, "backoffSeconds": 0.1}})
    here.podium("run", file, "--run-name", "one")
    shown = here.podium("get", "one", "a").stdout
    lines = dict(line.split(":", 1) for line in shown.splitlines() if ": " in line)
    assert lines["status"].strip() == "Completed"
    assert lines["execution"].strip() == "a-2"
    assert '"n": 1' in shown
    assert [line.split()[:3] for line in shown.splitlines()][-1] == ["a-1", "Failed", "Error"]
    document = json.loads(here.podium("get", "one", "a", "-o", "json").stdout)
    assert document["id"] == "a"
    assert document["output"] == {"n": 1}
    assert "no node 'b': nodes are a" in here.podium("get", "one", "b", code=2).stderr


def test_of_a_large_output_its_size_and_what_is_read_are_shown(here):
    text = "x" * 5000
    make = script("a", f"""echo '{{"n": 7, "text": "{text}"}}' >$PODIUM_OUTPUT""")
    use = {**script("b", "true"), "dependsOn": ["a"], "condition": "context.a.n > 1"}
    file = here.workflow({**make, "largeOutput": True}, use)
    here.podium("run", file, "--run-name", "one")
    shown = here.podium("get", "one", "a").stdout
    assert "stored:     5,017 bytes of output; what expressions read of it:" in shown
    assert '"n": 7' in shown
    assert text not in shown


def test_long_messages_of_a_node_are_wrapped_beside_their_labels(here):
    words = " ".join(f"word{number}" for number in range(40))
    file = here.workflow(
        script("a", f"printf '%s\\n' '{words}' '{'x' * 100}' >&2; exit 3"),
        script("b", f"""echo '{{"v": "{words}"}}' >$PODIUM_OUTPUT"""),
    )
    here.podium("run", file, "--run-name", "one", code=1)
    shown = here.podium("get", "one", "a", COLUMNS="80").stdout.splitlines()
    assert max(map(len, shown)) <= 80
    start = next(i for i, line in enumerate(shown) if line.startswith("message:"))
    end = next(i for i, line in enumerate(shown) if line.startswith("execution:"))
    assert end - start > 5
    assert all(line.startswith(" " * 12) and line[12] != " " for line in shown[start + 1 : end])
    joined = " ".join(line[12:] for line in shown[start:end])
    assert words in joined
    assert "x" * 100 in joined.replace(" ", "")
    assert f'"v": "{words}"' in here.podium("get", "one", "b", COLUMNS="80").stdout


def test_a_wrapped_line_keeps_its_indentation(monkeypatch):
    monkeypatch.setenv("COLUMNS", "32")
    assert wrapped("  - one two three four five", 12) == ["  - one two three", "  four five"]
    assert wrapped("  short", 12) == ["  short"]
    assert wrapped(" " * 50, 12) == [""]


def test_a_run_is_watched_to_its_end(here):
    file = here.workflow(
        script("a", "touch started; while ! test -e go; do sleep 0.1; done"),
        script("b", "true", "a"),
    )
    podium = here.start("run", file, "--run-name", "one", stdout=subprocess.DEVNULL)
    while not (here.path / "started").exists():
        assert podium.poll() is None
    watcher = here.start("get", "one", "--watch")
    assert "NAME" in watcher.stdout.readline()
    (here.path / "go").touch()
    lines = [line.split() for line in watcher.communicate(timeout=60)[0].splitlines()]
    assert watcher.returncode == 0
    assert ["b", "Completed"] in [line[:2] for line in lines]
    assert lines[-1][:3] == ["one", "w", "Succeeded"]
    podium.wait(timeout=60)


def test_the_list_is_watched_until_interrupted(here):
    file = here.workflow(script("a", "true"))
    here.podium("run", file, "--run-name", "one")
    watcher = here.start("get", "-w")
    watcher.stdout.readline()
    assert watcher.stdout.readline().split()[:3] == ["one", "w", "Succeeded"]
    here.podium("run", file, "--run-name", "two")
    while (line := watcher.stdout.readline().split())[:3] != ["two", "w", "Succeeded"]:
        assert line[0] == "two"
    watcher.send_signal(signal.SIGINT)
    watcher.communicate(timeout=60)
    assert watcher.returncode == 130


def test_what_cannot_go_together_is_refused(here):
    assert "leave out -o and NODE" in here.podium("get", "-w", "-o", "json", code=2).stderr


def test_tables_fit_the_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    name, current = "n" * 60, ", ".join(["c" * 60] * 3)
    Table(
        [
            ("NAME", "WORKFLOW", "PHASE", "PROGRESS", "CURRENT", "DURATION", "AGE"),
            (name, "w" * 63, "Interrupted", "4999/5000", current, "100h59m", "1000h1m"),
        ]
    ).print()
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "100h59m" in lines[1]
    assert "…" in lines[1]


def test_in_a_pipe_names_stay_whole(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    Table([("NAME", "PHASE"), ("n" * 250, "Succeeded")]).print()
    assert "n" * 250 in capsys.readouterr().out


def test_what_a_run_hands_over_is_printed(here):
    file = here.workflow(
        script("a", """echo '{"image": "app:1", "n": 2}' >$PODIUM_OUTPUT"""),
        outputs={"image": "context.a.image", "all": "context.a"},
    )
    ran = here.podium("run", file, "--run-name", "one")
    assert '  image = "app:1"\n' in ran.stderr + ran.stdout
    assert '  all = {"image":"app:1","n":2}\n' in ran.stderr + ran.stdout
    shown = here.podium("get", "one").stdout
    assert 'image = "app:1"\n' in shown
    status = json.loads(here.podium("get", "one", "-o", "json").stdout)["status"]
    assert status["outputs"] == {"image": "app:1", "all": {"image": "app:1", "n": 2}}


def test_the_newest_run_is_named_latest(here):
    file = here.workflow(script("a", "echo said; echo '{}' >$PODIUM_OUTPUT"))
    assert "there are no runs in .podium" in here.podium("get", "@latest", code=2).stderr
    for name in ("one", "two"):
        here.podium("run", file, "--run-name", name)
    assert here.podium("get", "@latest", "-o", "name").stdout == "workflowrun.podium.dev/two\n"
    assert "said" in here.podium("logs", "@latest").stdout
    assert "a" in here.podium("graph", "@latest").stdout
    assert "no artifacts" in here.podium("artifacts", "ls", "@latest").stdout
    assert "run two of w" in here.podium("rerun", "@latest", "--node", "a").stdout
    assert here.podium("delete", "@latest", "@latest").stdout == "run two deleted\n"
    assert here.podium("list", "-o", "name").stdout == "workflowrun.podium.dev/one\n"


def test_a_child_run_is_not_the_latest(here):
    workflow = {"apiVersion": "podium.dev/v1alpha1", "kind": "Workflow"}
    child = script("a", "exit 0")
    sub = {"id": "sub", "executor": "workflow", "config": {"workflowRef": {"name": "other"}}}
    documents = [
        workflow | {"metadata": {"name": name}, "spec": {"nodes": [node]}}
        for name, node in (("w", sub), ("other", child))
    ]
    (here.path / "both.yaml").write_text(yaml.safe_dump_all(documents))
    here.podium("run", "both.yaml", "--name", "w", "--run-name", "one")
    assert len(here.podium("list", "-o", "name").stdout.splitlines()) == 2
    assert here.podium("get", "@latest", "-o", "name").stdout == "workflowrun.podium.dev/one\n"


def test_wide_says_why_a_run_ended_so(here):
    here.podium("run", here.workflow(script("a", "exit 1")), "--run-name", "one", code=1)
    header, row = here.podium("list", "-o", "wide").stdout.splitlines()
    assert (header.split()[-1], row.split()[-1]) == ("REASON", "NodeFailed")
    assert "REASON" in here.podium("get", "one", "-o", "wide").stdout.splitlines()[0]


def test_wait_ends_with_the_run_and_with_its_code(here):
    loop = "echo >>begun; while ! test -e go; do sleep 0.05; done; exit 1"
    running = here.start("run", here.workflow(script("a", loop)), "--run-name", "one")
    here.until("begun")
    said = here.podium("wait", "one", "--timeout", "0s", code=3).stderr
    assert "run one has not ended within 0" in said
    (here.path / "go").touch()
    assert here.podium("wait", "one", code=1).stdout == "run one has ended: Failed\n"
    running.communicate(timeout=60)
    assert running.returncode == 1
    assert "Failed" in here.podium("watch", "one").stdout


def test_wait_does_not_wait_for_what_nobody_works_on(here):
    file = here.workflow(script("a", "echo >>begun; sleep 60"))
    running = here.start("run", file, "--run-name", "one")
    here.until("begun")
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert "podium resume one" in here.podium("wait", "one", code=1).stderr
