"""Where runs are kept, and what is read back of them."""

import errno
import json
import os
import stat

import pytest

from podium.api.run import WorkflowRunSpec
from podium.api.workflow import WorkflowSpec
from podium.engine.plan import Plan
from podium.engine.start import initial_status
from podium.local.store import RunDirectory, RunRecord, StoreError, find_state_dir, list_runs

WORKFLOW = WorkflowSpec.model_validate(
    {"nodes": [{"id": "a", "executor": "script", "config": {"script": "true"}}]}
)


def create(state_dir, name):
    directory = RunDirectory(state_dir, name)
    record = RunRecord(name, f"uid-{name}", 1.0, "w", "/", WORKFLOW, WorkflowRunSpec())
    directory.create(record, initial_status(Plan.build(WORKFLOW, workflow_id="w"), 1.0))
    return directory


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PODIUM_STATE_DIR", raising=False)
    return tmp_path


def test_only_its_user_reads_a_run_and_git_passes_over_it(here):
    create(here / ".podium", "one")
    modes = {
        path.relative_to(here).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in here.rglob("*")
    }
    assert modes == {
        ".podium": 0o700,
        ".podium/.gitignore": 0o600,
        ".podium/runs": 0o700,
        ".podium/runs/one": 0o700,
        ".podium/runs/one/executions": 0o700,
        ".podium/runs/one/run.json": 0o600,
        ".podium/runs/one/log.jsonl": 0o600,
    }
    ignored = (here / ".podium/.gitignore").read_text().splitlines()
    assert ignored[1:] == ["/runs/", "/volumes/", "/.gitignore"], (
        "a pattern * would hide artifacts from linters"
    )


def test_a_directory_that_is_not_ours_alone_is_left_as_it_is(here):
    (here / "shared").mkdir(mode=0o755)
    create(here / "shared", "one")
    assert sorted(path.name for path in (here / "shared").iterdir()) == ["runs"]
    assert stat.S_IMODE((here / "shared").stat().st_mode) == 0o755


def test_a_run_is_there_whole_or_not_at_all(here, monkeypatch):
    def full(_directory, _record):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RunDirectory, "_write_record", full)
    with pytest.raises(StoreError, match="No space left"):
        create(here, "one")
    assert list((here / "runs").iterdir()) == []
    monkeypatch.undo()
    create(here, "one")
    with pytest.raises(StoreError, match="there already is a run named 'one'"):
        create(here, "one")
    assert list_runs(here) == ["one"]


def test_the_nearest_state_directory_with_runs_is_found(here, monkeypatch):
    below = here / "a/b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert str(find_state_dir()) == ".podium"
    create(here / ".podium", "one")
    assert find_state_dir() == here / ".podium"
    (here / "a/.podium").mkdir()  # without runs, so of something else
    assert find_state_dir() == here / ".podium"
    create(here / "a/.podium", "two")
    assert find_state_dir() == here / "a/.podium"
    monkeypatch.setenv("PODIUM_STATE_DIR", "elsewhere")
    assert str(find_state_dir()) == "elsewhere"


def test_that_of_a_directory_where_all_may_write_is_passed_over(here, monkeypatch):
    create(here / ".podium", "one")
    (here / "a").mkdir()
    monkeypatch.chdir(here / "a")
    assert find_state_dir() == here / ".podium"
    here.chmod(0o1777)
    assert str(find_state_dir()) == ".podium"


def test_that_of_another_user_is_passed_over(here, monkeypatch):
    create(here / ".podium", "one")
    (here / "a").mkdir()
    monkeypatch.chdir(here / "a")
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    assert str(find_state_dir()) == ".podium"


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("run.json", None, "run.json is missing"),
        ("log.jsonl", None, "log.jsonl is missing"),
        ("run.json", "[]", "damaged"),
        ("run.json", "{", "damaged"),
        ("run.json", "{}", "damaged"),
        ("log.jsonl", '{"status": []}', "damaged"),
        ("log.jsonl", "[]", "damaged"),
        ("log.jsonl", "3", "damaged"),
        ("log.jsonl", '{"status": {"phase": "Other"}}', "damaged"),
        ("log.jsonl", '{"status": {"nodes": 3}}', "damaged"),
        ("run.json", json.dumps({"name": 1}), "damaged"),
    ],
)
def test_what_is_damaged_is_said_and_how_to_remove_it(here, file, text, problem):
    directory = create(here, "one")
    if text is None:
        (directory.path / file).unlink()
    else:
        (directory.path / file).write_text(text)
    with pytest.raises(StoreError, match=problem) as caught:
        directory.load()
    assert "podium delete one" in str(caught.value)
    assert str(directory.path) in str(caught.value)


def test_what_cannot_be_read_names_its_path(here):
    directory = create(here, "one")
    (directory.path / "run.json").unlink()
    (directory.path / "run.json").mkdir()
    with pytest.raises(StoreError, match=r"cannot read .*/one/run.json: run.json is a directory"):
        directory.load()
    with pytest.raises(StoreError, match="there is no run named 'two'"):
        RunDirectory(here, "two").load()


def test_what_is_no_run_is_not_listed(here):
    create(here, "one")
    (here / "runs/.new-x").mkdir()
    (here / "runs/file").write_text("")
    (here / "runs/bad").mkdir()
    assert sorted(list_runs(here)) == ["bad", "one"]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.parametrize("name", ["run.json", "log.jsonl", "lock"])
def test_no_file_of_a_run_makes_podium_wait(here, name, make):
    """A program may have put something else in the place of any file."""
    run = create(here, "one")
    (run.path / name).unlink(missing_ok=True)
    make(run.path / name)
    assert list_runs(here) == ["one"]
    assert run.is_held is False
    if name == "lock":
        assert run.load()
    else:
        with pytest.raises(StoreError, match=r"cannot read .*/runs/one"):
            run.load()


def test_a_run_that_others_could_read_is_private_once_podium_works_on_it(here):
    """Version 0.1.0 left that to the umask."""
    run = create(here, "one")
    run.path.chmod(0o755)
    with run.locked():
        assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
