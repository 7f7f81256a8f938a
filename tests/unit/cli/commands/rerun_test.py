"""podium rerun --failed, and what the end of a run says to type."""

import json
import shlex

import pytest

from tests.unit.cli.support import Directory, exists, script


@pytest.fixture
def here(tmp_path):
    return Directory(tmp_path)


def again(said):
    """Return the command that the end of a run names, as a shell reads it."""
    line = next(line for line in said.splitlines() if line.startswith("again:"))
    return shlex.split(line.removeprefix("again:"))[1:]


def statuses(here, name="one"):
    nodes = json.loads(here.podium("get", name, "-o", "json").stdout)["status"]["nodes"]
    return {node: state["status"] for node, state in nodes.items()}


def test_all_that_failed_or_did_not_run_because_of_it_runs_again(here):
    file = here.workflow(
        script("good", "echo x >>good"),
        *(script(f"t{i}", "test -e mended") for i in range(15)),
        script("late", "true", *(f"t{i}" for i in range(15))),
        script("other", "true", "good", condition="false"),
    )
    said = here.podium("run", file, "--run-name", "one", code=1).stdout
    (here.path / "mended").touch()
    preview = here.podium("rerun", "one", "--failed", "--dry-run").stdout
    assert preview.startswith("16 of 18 nodes would be run again:")
    assert "good" not in preview
    assert again(said) == ["rerun", "one", "--failed"]
    here.podium(*again(said))
    assert set(statuses(here).values()) == {"Completed", "Skipped"}
    assert statuses(here)["other"] == "Skipped"
    assert here.read("good") == "x\n"
    assert "has no node that failed" in here.podium("rerun", "one", "--failed").stdout


@pytest.mark.parametrize("fail_fast", [True, False])
def test_the_printed_command_can_succeed_whatever_stopped_the_run(here, fail_fast):
    file = here.workflow(
        script("lint", "while ! test -e started; do sleep 0.1; done; test -e mended"),
        script("tests", "touch started; test -e mended || sleep " + ("60" if fail_fast else "0")),
        script("publish", "true", "lint", "tests"),
        script("side", "true", "tests"),
    )
    options = ["--fail-fast"] if fail_fast else []
    said = here.podium("run", file, "--run-name", "one", *options, code=1).stdout
    (here.path / "mended").touch()
    here.podium(*again(said))
    assert set(statuses(here).values()) == {"Completed"}


def test_after_a_time_out_of_the_run_too(here):
    file = here.workflow(script("a", "test -e mended || sleep 60"), timeoutSeconds=0.5)
    said = here.podium("run", file, "--run-name", "one", code=3).stdout
    (here.path / "mended").touch()
    here.podium(*again(said))
    assert statuses(here) == {"a": "Completed"}


def test_a_file_that_was_edited_meanwhile_is_said(here):
    here.workflow(script("a", "exit 1"))
    here.podium("run", "w.yaml", "--run-name", "one", code=1)
    assert "has changed" not in here.podium("rerun", "one", "--failed", code=1).stderr
    here.workflow(script("a", "exit 0"))
    for options in (["--failed"], ["--node", "a"], ["--failed", "--dry-run"]):
        code = 0 if "--dry-run" in options else 1
        said = here.podium("rerun", "one", *options, code=code).stderr
        assert "w.yaml has changed since" in said
        assert "--latest" in said
    said = here.podium("rerun", "one", "--failed", "--latest")
    assert "has changed" not in said.stderr
    assert statuses(here) == {"a": "Completed"}
    here.write("w.yaml", "nothing: here")
    here.podium("rerun", "one", "--node", "a")


def test_what_failed_and_is_gone_from_the_definition_is_left_out(here):
    here.workflow(script("a", "exit 1"), script("b", "exit 1"))
    here.podium("run", "w.yaml", "--run-name", "one", code=1)
    here.workflow(script("b", "true"))
    here.podium("rerun", "one", "--failed", "--latest")
    assert statuses(here) == {"b": "Completed"}


def test_what_did_not_run_after_a_mended_failure_can_be_run_again(here):
    """Nothing is Failed any more, and the run has still not succeeded."""
    file = here.workflow(
        script("up", "test -e mended"), script("down", "true", "up"), script("last", "true", "down")
    )
    here.podium("run", file, "--run-name", "one", code=1)
    (here.path / "mended").touch()
    said = here.podium("rerun", "one", "--node", "up", "--no-cascade", code=1).stdout
    assert "not run after an earlier failure: down, last; re-run them\n" in said
    here.podium("rerun", "one", "--node", "down", "--no-cascade", code=1)
    said = here.podium("rerun", "one", "--node", "down", "--no-cascade", code=1).stdout
    assert "not run after an earlier failure: last; re-run it\n" in said
    here.podium(*again(said))
    assert statuses(here) == dict.fromkeys(("up", "down", "last"), "Completed")


def test_no_cascade_goes_with_named_nodes_alone(here):
    here.podium("run", here.workflow(script("a", "true")), "--run-name", "one")
    for options in (["--failed"], ["--latest"]):
        said = here.podium("rerun", "one", *options, "--no-cascade", code=2).stderr
        assert "--no-cascade goes with --node alone" in said
    assert "--failed" in here.podium("rerun", "one", code=2).stderr


@pytest.mark.parametrize(
    "name", ["with space", "it's", "a\nb", "$HOME`x`", "-x", "é\x1b[31m", "\\"]
)
def test_printed_commands_can_be_pasted_with_odd_names(here, name):
    file = here.workflow(script("a", "false"))
    said = here.podium("run", file, "--run-name", "one", f"--state-dir=./{name}", code=1).stdout
    line = next(line for line in said.splitlines() if line.startswith("again:"))
    found = here.bash(line.removeprefix("again:"))
    assert found.returncode == 1
    assert "Failed in" in found.stdout


def test_the_state_directory_is_named_only_where_it_would_not_be_found(here):
    file = here.workflow(script("a", "true"))
    assert "--state-dir" not in here.podium("run", file).stdout
    assert "--state-dir s" in here.podium("run", file, "--state-dir", "s").stdout
    said = here.podium("run", file, "--run-name", "one", PODIUM_STATE_DIR="s").stdout
    assert "--state-dir" not in said
    assert "one" in here.podium("get", PODIUM_STATE_DIR="s").stdout
    (here.path / "below").mkdir()
    below = Directory(here.path / "below")
    below.podium("run", "../w.yaml", "--run-name", "two")
    assert not (below.path / ".podium").exists()
    assert "two" in here.podium("get").stdout


def test_a_re_run_never_takes_over_what_a_killed_podium_was_launching(here):
    text = """
        echo "$PODIUM_EXECUTION $$" >>pids
        test -e mended || sleep 60
        echo "{\\"by\\": \\"$PODIUM_EXECUTION\\"}" >"$PODIUM_OUTPUT"
    """
    podium = here.start("run", here.workflow(script("a", text)), "--run-name", "one")
    former, pid = here.until("pids").split()
    podium.kill()
    podium.communicate()
    (here.path / "mended").touch()
    here.podium("rerun", "one", "--node", "a")
    assert not exists(int(pid))
    assert [line.split()[0] for line in here.read("pids").splitlines()] == [former, "a-2"]
    state = json.loads(here.podium("get", "one", "-o", "json").stdout)["status"]["nodes"]["a"]
    assert state["status"] == "Completed"
    assert state["executionId"] == "a-2"
    assert state["output"] == {"by": "a-2"}
    assert former == "a-1"
    kept = [(each["executionId"], each["status"]) for each in state.get("history", [])]
    assert kept in ([("a-1", "Cancelled")], [])  # was it killed before it wrote that a-1 runs?
