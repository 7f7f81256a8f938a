"""What a run that no podium worked on for a while does when it is resumed."""

import asyncio
import os
import time

from podium.api.run import WorkflowRunSpec
from podium.api.workflow import WorkflowSpec
from podium.engine import Plan, initial_status
from podium.local.shell import LocalRun
from podium.local.store import RunDirectory, RunRecord
from tests.unit.local.shell_test import again, script, stands, started, until


def begin(tmp_path, *nodes, **fields):
    spec = WorkflowSpec.model_validate({"nodes": nodes, **fields})
    plan = Plan.build(spec, workflow_id="w")
    record = RunRecord("r", "uid", 1.0, "w", str(tmp_path), spec, WorkflowRunSpec())
    directory = RunDirectory(tmp_path / "state", "r")
    status = initial_status(plan, 1.0)
    directory.create(record, status)
    return LocalRun(directory, record, plan, status)


def long_ago(directory, seconds):
    """Make it that long ago that a podium worked on the run."""
    state = directory.load()[1]
    moved = time.time() - seconds
    for name in ("lock", "log.jsonl"):
        if (directory.path / name).exists():
            os.utime(directory.path / name, (moved, moved))
    return state


async def test_the_time_limit_of_a_run_does_not_count_the_time_after_an_interrupt(tmp_path):
    text = "touch $PODIUM_ARTIFACTS_OUT/ready; [ -e go ] || sleep 600"
    run = begin(tmp_path, script("a", text), script("b", "true", "a"), timeoutSeconds=100)
    task = asyncio.create_task(run.run())
    await until((run.directory.execution("a-1") / "artifacts/ready").exists)
    run.interrupt()
    await task
    (tmp_path / "go").touch()
    deadline = long_ago(run.directory, 1000).deadline
    other = again(run)
    # 900 s of the deadline have passed for an absolute clock; none of them for the run's.
    assert 990 < other.status.deadline - deadline < 1010
    await other.run()
    assert stands(other) == {"a": "Completed", "b": "Completed"}


async def test_nor_the_time_after_podium_was_killed(tmp_path):
    run = begin(tmp_path, script("a", "true"), script("b", "true", "a"), timeoutSeconds=100)
    await started(run)
    deadline = long_ago(run.directory, 1000).deadline
    other = again(run)
    assert 990 < other.status.deadline - deadline < 1010
    await other.run()
    assert stands(other) == {"a": "Completed", "b": "Completed"}


async def test_a_podium_that_works_says_so_on_and_on(tmp_path, monkeypatch):
    monkeypatch.setattr("podium.local.shell._BEAT_SECONDS", 0.01)
    run = begin(tmp_path, script("a", "while [ ! -e go ]; do sleep 0.05; done"))
    task = asyncio.create_task(run.run())
    await until((run.directory.execution("a-1") / "log").exists)
    long_ago(run.directory, 1000)
    await until(lambda: time.time() - run.directory.last_beat < 500)
    (tmp_path / "go").touch()
    await task
