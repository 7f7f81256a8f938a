"""Phases of a run: fail-fast, cancel, suspend, its end (semantics.md 5 and 6)."""

from podium.api.run import NodeStatus, RunPhase
from podium.engine import AttemptPhase, Control
from tests.unit.engine.support import Run, node

P = AttemptPhase


def test_the_run_counts_and_names_what_goes_on():
    run = Run(*[node(f"n{i}") for i in range(5)]).step()
    run.engine.take_changes()
    assert run.engine.status.current == "n0, n1, n2 +2"
    run.ok("n1-1")
    assert run.engine.take_changes().nodes == {"n1"}
    assert run.engine.status.progress == "1/5"


def test_fail_fast_stops_what_runs():
    run = Run(node("a"), node("b"), node("c", "b"), fail_fast=True).step()
    run.fail("a-1")
    assert run.stopped == ["b-1"]
    assert [run.stands(n) for n in "bc"] == ["Cancelled FailFast", "Cancelled FailFast"]
    assert run.phase == "Failed"


def test_cancel_stops_what_runs_and_ends_the_run():
    run = Run(node("a"), node("b", "a")).step()
    run.step(control=Control(cancel=True))
    assert run.stopped == ["a-1"]
    assert run.phase == "Cancelled"
    assert run.stands("b") == "Cancelled RunCancelled"


def test_suspend_before_the_start_leaves_everything_pending():
    run = Run(node("a")).step(control=Control(suspend=True))
    assert (run.phase, run.stands("a"), run.launched) == ("Paused", "Pending", [])
    assert run.step().launched == ["a-1"]
    assert run.phase == "Running"


def test_suspend_lets_what_runs_end_and_starts_nothing_new():
    run = Run(node("a"), node("b", "a")).step()
    run.step(run.see("a-1", P.SUCCEEDED), control=Control(suspend=True))
    assert (run.phase, run.stands("b"), run.launched) == ("Paused", "Ready", [])
    assert run.step().launched == ["b-1"]


def test_a_run_that_was_ended_from_outside_launches_nothing():
    """Such as one whose status was too large; a re-run of it that is refused changes nothing."""
    run = Run(node("a"), node("b", "a")).step().ok("a-1")
    run.engine.status.phase = RunPhase.FAILED
    run.state("b").status = NodeStatus.READY
    run.crash().rerun("unknown")
    assert run.launched == []
    assert run.phase == "Failed"
    assert run.rerun("b", id="q2").launched == ["b-2"]
    assert run.phase == "Running"
