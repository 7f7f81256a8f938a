"""Time-outs of nodes and of the run (semantics.md 5)."""

from podium.engine import AttemptPhase
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
