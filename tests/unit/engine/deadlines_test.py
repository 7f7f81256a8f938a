"""Time-outs of nodes and of the run (semantics.md 5)."""

from dataclasses import replace
from itertools import permutations

import pytest

from podium.engine import AttemptPhase
from podium.engine.observing import REPORT_SECONDS
from tests.unit.engine.support import Run, node

P = AttemptPhase


def test_time_out_counts_from_the_start_of_the_program():
    run = Run(node("a", timeoutSeconds=60)).step()
    run.step(run.see("a-1", P.RUNNING, started_at=990.0))
    assert run.wakes == [1050.0]
    run.later(49.9)
    assert run.stands("a") == "Running"
    run.later(0.1)
    assert run.stands("a") == "Failed Timeout"
    assert run.stopped == ["a-1"]


def test_what_has_ended_never_becomes_a_time_out():
    run = Run(node("a", timeoutSeconds=60)).step()
    run.step(run.see("a-1", P.RUNNING, started_at=1000.0))
    run.now += 1000
    assert run.ok("a-1", at=1500.0).stands("a") == "Completed"


def test_a_timed_out_execution_is_gone_before_the_next_one_starts():
    run = Run(node("a", timeoutSeconds=5, retryPolicy={"maxAttempts": 2})).step()
    run.step(run.see("a-1", P.RUNNING, started_at=1000.0))
    run.later(5)
    assert (run.stopped, run.launched) == (["a-1"], [])
    assert run.step(run.see("a-1", P.RUNNING)).launched == []
    assert run.step(run.see("a-1", P.GONE)).launched == ["a-2"]


def test_the_start_time_out_does_not_count_time_unscheduled():
    run = Run(node("a"), node("own", startTimeoutSeconds=30)).step()
    run.step(
        run.see("a-1", P.WAITING, reason="Unschedulable", created_at=1000.0),
        run.see("own-1", P.WAITING, reason="Unschedulable", created_at=1000.0),
    )
    run.later(31)
    assert run.stands("own") == "Failed StartTimeout"
    run.later(5000)
    assert run.stands("a") == "Running Unschedulable"
    run.step(run.see("a-1", P.WAITING, reason="PullingImage", scheduled_at=run.now))
    run.later(600)
    assert run.stands("a") == "Failed StartTimeout"


def test_the_workflow_time_out_ends_the_run():
    run = Run(node("a"), node("b", "a"), timeoutSeconds=100).step()
    run.later(100)
    assert run.stopped == ["a-1"]
    assert run.phase == "Failed"
    assert run.engine.status.conditions[-1].reason == "Timeout"


def test_the_time_of_a_program_that_is_set_aside_counts_from_its_next_start():
    """As when its Job is suspended: nothing of it runs meanwhile."""
    run = Run(node("a", timeoutSeconds=60)).step()
    run.step(run.see("a-1", P.RUNNING, started_at=1000.0))
    run.now += 30
    run.step(run.see("a-1", P.WAITING, reason="Queued", idle=True))
    assert (run.stands("a"), run.state("a").started_at) == ("Running Queued", None)
    run.later(1000)
    assert run.stands("a") == "Running Queued"
    run.step(run.see("a-1", P.RUNNING, started_at=run.now))
    assert run.later(59).stands("a") == "Running"
    assert run.later(1).stands("a") == "Failed Timeout"
    assert run.state("a").execution_count == 1


def on_a_cluster(*nodes):
    """Return a run whose times are whole seconds, with its first execution launched."""
    run = Run(*nodes)
    run.engine._run.info = replace(run.engine.info, whole_seconds=True)
    return run.step()


@pytest.mark.parametrize("is_start_seen", [True, False])
@pytest.mark.parametrize("lag", [0.0, 1.0, 1.9])
def test_a_program_that_ended_in_time_is_not_timed_out_when_its_end_is_reported_late(
    is_start_seen, lag
):
    """It began at 1000.9, which Kubernetes writes as 1000, and ended at 1001.8."""
    run = on_a_cluster(node("a", timeoutSeconds=1, retryPolicy={"maxAttempts": 2}))
    if is_start_seen:
        run.now = 1001.8
        run.step(run.see("a-1", AttemptPhase.RUNNING, started_at=1000.0))
    run.now = 1001.8 + lag
    run.step()
    run.ok("a-1", started_at=1000.0, at=1001.0)
    assert run.stands("a") == "Completed"
    assert run.stopped == []


def test_a_program_by_whole_seconds_is_timed_out_all_the_same():
    run = on_a_cluster(node("a", timeoutSeconds=1))
    run.step(run.see("a-1", AttemptPhase.RUNNING, started_at=1000.0))
    assert run.wakes == [1001.0 + REPORT_SECONDS]
    run.now = run.wakes[0]
    assert run.step().stands("a") == "Failed Timeout"
    assert run.stopped == ["a-1"]


REPORTS = {
    "failed": (AttemptPhase.FAILED, {"reason": "Error", "exit_code": 143}),
    "succeeded": (AttemptPhase.SUCCEEDED, {"output": {}}),
    "running": (AttemptPhase.RUNNING, {"started_at": 1000.0}),
    "gone": (AttemptPhase.GONE, {}),
}


@pytest.mark.parametrize("crashes", [False, True])
@pytest.mark.parametrize(
    "order", [each for each in permutations([*REPORTS, "rerun"]) if each[-1] != "running"]
)
def test_a_rerun_of_a_node_whose_tries_timed_out_takes_no_late_report_for_its_own(order, crashes):
    run = Run(node("a", timeoutSeconds=4, retryPolicy={"maxAttempts": 2}), node("b", "a")).step()
    for execution in ("a-1", "a-2"):
        run.step(run.see(execution, AttemptPhase.RUNNING, started_at=run.now))
        run.later(5)
        if execution == "a-1":
            assert run.step(run.see("a-1", AttemptPhase.GONE)).launched == ["a-2"]
    assert run.stands("a") == "Failed Timeout"
    launched = []
    for each in order:
        if crashes:
            run.crash()
        if each == "rerun":
            run.rerun("a")
        else:
            phase, facts = REPORTS[each]
            run.step(run.see("a-2", phase, **facts))
        launched += run.launched
    launched += run.step(run.see("a-2", AttemptPhase.GONE)).launched
    assert launched == ["a-3"]
    run.ok("a-3")
    run.ok("b-1")
    state = run.state("a")
    assert (run.phase, state.execution_count, state.retry_count) == ("Succeeded", 3, 0)
    assert [(each.execution_id, each.status.value, each.reason) for each in state.history] == [
        ("a-2", "Failed", "Timeout"),
        ("a-1", "Failed", "Timeout"),
    ]
