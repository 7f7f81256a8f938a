"""Phases of a run: fail-fast, cancel, suspend, its end (semantics.md 4)."""

from podium.api.run import NodeStatus, RunPhase
from podium.engine import AttemptPhase, Control, Hold, RerunRequest
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


# A run that must not begin


WAITS = Control(hold=Hold("ReferenceNotFound", "node b: there is no Secret"))
REFUSED = Control(hold=Hold("Forbidden", "node b: no", {"b": "no"}))


def test_a_run_that_is_held_back_waits_and_says_why_once():
    run = Run(node("a"), node("b", "a"))
    run.step(control=WAITS)
    assert (run.phase, run.launched) == ("Pending", [])
    assert run.events == ["ReferenceNotFound node b: there is no Secret"]
    run.engine.take_changes()
    assert run.engine.status.reason == "ReferenceNotFound"
    run.later(5, control=WAITS)
    assert (run.events, run.engine.changed) == ([], False)
    run.crash().later(5, control=WAITS)
    assert run.events == []
    run.later(5)
    assert (run.phase, run.launched) == ("Running", ["a-1"])


def test_time_in_which_a_run_is_held_back_does_not_count():
    run = Run(node("a"), timeoutSeconds=10)
    run.step(control=WAITS).later(60, control=WAITS).later(1)
    assert run.phase == "Running"
    assert run.later(9).phase == "Running"
    assert run.later(2).phase == "Failed"


def test_a_run_that_is_held_back_for_good_fails_and_nothing_starts():
    run = Run(node("a"), node("b", "a"), node("c", "b", triggerRule="AllDone"))
    run.step(control=REFUSED)
    assert (run.phase, run.launched) == ("Failed", [])
    assert [run.stands(name) for name in "abc"] == [
        *("Cancelled RunNotStarted", "Failed Forbidden", "Cancelled RunNotStarted")
    ]
    run.engine.take_changes()
    assert run.engine.status.reason == "Forbidden"
    assert run.events[-1] == "RunFailed node b: no"
    assert run.crash().later(5).launched == [], "it has begun and ended"
    assert run.phase == "Failed"


def test_a_run_that_was_held_back_for_good_runs_again_and_ends_by_its_nodes():
    run = Run(node("a"), node("b", "a"))
    run.step(control=REFUSED)
    run.rerun(failed=True)
    assert run.launched == ["a-1"]
    run.ok("a-1").fail("b-1", reason="Error")
    run.engine.take_changes()
    assert (run.phase, run.engine.status.reason) == ("Failed", "NodeFailed")


def test_requests_wait_while_a_run_is_held_back():
    run = Run(node("a"))
    run.step(control=WAITS, requests=[RerunRequest("q", ("a",))])
    assert (run.phase, run.launched, run.engine.status.handled_requests) == ("Pending", [], [])


def test_a_run_that_is_held_back_can_be_cancelled_and_suspended():
    run = Run(node("a"))
    run.step(control=Control(suspend=True, hold=WAITS.hold))
    assert run.phase == "Paused"
    assert run.step(control=WAITS).phase == "Pending"
    assert run.step(control=Control(cancel=True, hold=WAITS.hold)).phase == "Cancelled"
