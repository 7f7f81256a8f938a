"""podium cancel, delete and prune."""

import json
import signal
import subprocess
import time

import pytest

from tests.unit.cli.support import Directory, exists, script


@pytest.fixture
def here(tmp_path):
    return Directory(tmp_path)


WAITS = script("a", "echo $$ >>pids; test -e go || sleep 600")


def phase(here, name="one"):
    return here.podium("get", name).stdout.splitlines()[1].split()[2]


def names(here):
    return sorted(path.name for path in (here.path / ".podium/runs").iterdir())


def test_a_run_is_cancelled_from_another_shell(here):
    file = here.workflow(WAITS, script("b", "true", "a"))
    podium = here.start("run", file, "--run-name", "one")
    pid = int(here.until("pids"))
    assert here.podium("cancel", "one").stdout == "run one has ended: Cancelled\n"
    assert "Cancelled in" in podium.communicate(timeout=60)[0]
    assert podium.returncode == 1
    assert not exists(pid)
    assert phase(here) == "Cancelled"
    assert "has ended: Cancelled" in here.podium("resume", "one", code=1).stdout
    assert here.podium("cancel", "one").stdout == "run one has ended: Cancelled\n"
    # What is asked for afterwards runs.
    (here.path / "go").touch()
    here.podium("rerun", "one", "--failed")
    assert phase(here) == "Succeeded"


def test_a_run_is_cancelled_and_what_would_clean_up_is_terminated(here):
    last = [script("clean", "echo $$ >>cleaning; exec sleep 600")]
    podium = here.start("run", here.workflow(WAITS, **{"finally": last}), "--run-name", "one")
    here.until("pids")
    cancel = here.start("cancel", "one")
    pid = int(here.until("cleaning"))
    assert exists(pid)
    assert here.podium("terminate", "one").stdout == "run one has ended: Cancelled\n"
    assert not exists(pid)
    assert cancel.wait(timeout=60) == 0
    assert "Cancelled in" in podium.communicate(timeout=60)[0]


def test_an_interrupted_run_is_cancelled_and_starts_nothing(here):
    file = here.workflow(WAITS, script("b", "true", "a"))
    podium = here.start("run", file, "--run-name", "one", stdout=subprocess.DEVNULL)
    here.until("pids")
    podium.send_signal(signal.SIGINT)
    assert podium.wait(timeout=60) == 130
    here.podium("cancel", "one")
    assert here.read("pids").count("\n") == 1
    assert phase(here) == "Cancelled"


def test_what_survived_its_podium_is_cancelled(here):
    podium = here.start("run", here.workflow(WAITS), "--run-name", "one", stdout=subprocess.DEVNULL)
    pid = int(here.until("pids"))
    podium.kill()
    podium.wait()
    assert exists(pid)
    said = here.podium("delete", "one", code=2).stderr
    assert "still run (a-1)" in said
    assert "podium cancel one" in said
    here.podium("cancel", "one")
    assert not exists(pid)
    assert phase(here) == "Cancelled"
    here.podium("delete", "one")


def test_a_run_that_is_not_there_cannot_be_cancelled(here):
    assert "there is no run named 'one'" in here.podium("cancel", "one", code=2).stderr


def test_runs_are_deleted_with_all_that_is_in_them(here):
    file = here.workflow(script("a", "cd $PODIUM_ARTIFACTS_OUT; mkdir x; touch x/y; chmod 0 x"))
    for name in ("one", "two", "three"):
        here.podium("run", file, "--run-name", name)
    (here.path / ".podium/runs/two/run.json").write_text("[")
    done = here.podium("delete", "one", "nope", "two", "A", code=2)
    assert done.stdout == "run one deleted\nrun two deleted\n"
    assert "there is no run named 'nope'" in done.stderr
    assert "'A' is not a valid name of a run" in done.stderr
    assert names(here) == ["three"]


def test_a_run_that_runs_is_neither_deleted_nor_pruned(here):
    podium = here.start("run", here.workflow(WAITS), "--run-name", "one", stdout=subprocess.DEVNULL)
    here.until("pids")
    assert "another podium works on the run" in here.podium("delete", "one", code=2).stderr
    assert here.podium("prune", "--keep", "0", "-y").stdout == "no runs to delete\n"
    phases = [f"--phase={phase}" for phase in ("interrupted", "Unreadable", "failed")]
    assert here.podium("prune", *phases, "-y").stdout == "no runs to delete\n"
    here.podium("cancel", "one")
    podium.wait(timeout=60)


def test_runs_are_pruned_by_age_number_and_phase(here):
    good = here.workflow(script("a", "true"))
    bad = here.workflow(script("a", "false"), file="bad.yaml")
    for name in ("one", "two", "three"):
        here.podium("run", good, "--run-name", name)
    here.podium("run", bad, "--run-name", "failed", code=1)
    runs = here.path / ".podium/runs"

    def chosen(*arguments):
        lines = here.podium("prune", "--dry-run", *arguments).stdout.splitlines()
        return [line.split()[0] for line in lines[1:]]

    assert chosen("--keep", "2") == ["two", "one"]
    assert chosen("--phase", "Failed") == ["failed"]
    assert chosen("--phase", "succeeded", "--keep", "1") == ["two", "one"]
    assert chosen("--older-than", "1h") == []
    while len(chosen("--older-than", "1s")) < 4:
        time.sleep(0.2)
    (runs / "one/run.json").unlink()
    assert chosen("--phase", "Unreadable") == ["one"]
    assert len(names(here)) == 4
    said = here.podium("prune", "--keep", "1", code=2).stderr
    assert "Delete 2 runs? There is no terminal to ask on: give --yes" in said
    here.podium("prune", "--keep", "1", "--yes")
    assert names(here) == ["failed", "one"]
    assert "name the runs: --older-than" in here.podium("prune", code=2).stderr
    assert "'7' is not a duration" in here.podium("prune", "--older-than", "7", code=2).stderr


def test_runs_that_their_workflow_does_not_keep_go_at_the_end_of_another(here):
    kept = {"successfulRuns": 2, "failedRuns": 1}
    good = here.workflow(script("a", "true"), retention=kept)
    for name in ("one", "two"):
        here.podium("run", good, "--run-name", name)
    bad = here.workflow(script("a", "false"), retention=kept)
    here.podium("run", bad, "--run-name", "bad", code=1)
    assert names(here) == ["bad", "one", "two"]
    good = here.workflow(script("a", "true"), retention=kept)
    done = here.podium("run", good, "--run-name", "three")
    assert done.stdout.splitlines()[-1] == "run one deleted, as retention says"
    assert names(here) == ["bad", "three", "two"]
    none = here.workflow(script("a", "true"), retention={"successfulRuns": 0, "failedRuns": 0})
    done = here.podium("run", none, "--run-name", "four", "-o", "json")
    assert json.loads(done.stdout)["status"]["phase"] == "Succeeded"
    assert names(here) == ["four"], "the one that has just ended stays"
    assert here.podium("get", "four").stdout
