"""What a run's status and events show of it: progress, reasons, conditions."""

from dataclasses import replace

import pytest

from podium.api.run import ConditionStatus
from podium.engine import LONG_WAIT_SECONDS, AttemptPhase, Control, Emit
from tests.unit.engine.support import Run, node


def shown(run):
    run.engine.take_changes()
    status = run.engine.status
    return status.progress, status.reason


def events(actions):
    return [(each.reason, each.message) for each in actions if isinstance(each, Emit)]


def conditions(run):
    return {c.type: c.status for c in run.engine.status.conditions}


def test_what_was_skipped_or_cancelled_is_not_done():
    run = Run(node("a"), node("b", condition="1 == 2"), node("c"), node("d", dependsOn=["c"]))
    run.step().ok("a-1")
    assert shown(run) == ("1/3", "")
    run.step(control=Control(cancel=True))
    assert shown(run) == ("1/3", "Cancelled")


def test_a_run_that_succeeds_ends_with_all_done():
    run = Run(node("a"), node("b", "a", condition="1 == 2"), node("c", "b")).step().ok("a-1")
    assert (run.phase, *shown(run)) == ("Succeeded", "1/1", "Completed")
    run.rerun("a")
    assert shown(run)[0] == "0/3"
    assert (shown(run.crash().step().ok("a-2"))[0]) == "1/1"


def test_what_failed_is_done():
    run = Run(node("a"), node("b", dependsOn=["a"])).step().fail("a-1")
    assert shown(run) == ("1/2", "NodeFailed")


@pytest.mark.parametrize("crashed", [False, True])
def test_the_reason_says_what_nodes_wait_for(crashed):
    run = Run(node("a"), node("b")).step()
    for execution, reason in (("a-1", "PullingImage"), ("b-1", "Unschedulable")):
        run.step(run.see(execution, AttemptPhase.WAITING, reason=reason, message="why"))
    assert shown(run) == ("0/2", "Unschedulable")
    if crashed:
        run.crash()
        run.step(run.see("a-1", AttemptPhase.WAITING, reason="Starting"))
        assert shown(run)[1] == "Unschedulable"
    run.step(run.see("b-1", AttemptPhase.RUNNING))
    assert shown(run)[1] == ""
    run.step(control=Control(suspend=True))
    assert shown(run)[1] == "Suspended"


def test_each_end_has_a_condition_and_all_ends_have_one():
    done = Run(node("a")).step().ok("a-1")
    failed = Run(node("a")).step().fail("a-1")
    cancelled = Run(node("a")).step().step(control=Control(cancel=True))
    yes, no = ConditionStatus.TRUE, ConditionStatus.FALSE
    assert conditions(done) == {"Succeeded": yes, "Complete": yes, "Finished": yes}
    assert conditions(failed) == {"Succeeded": no, "Failed": yes, "Finished": yes}
    assert conditions(cancelled) == {"Succeeded": no, "Failed": yes, "Finished": yes}
    failed.rerun("a")
    assert conditions(failed) == {"Succeeded": ConditionStatus.UNKNOWN}


def test_an_event_when_it_goes_on_again():
    run = Run(node("a"))
    assert events(run.engine.step(run.now))[0] == ("RunStarted", "1 node")
    run.engine.step(run.now, control=Control(suspend=True))
    assert events(run.engine.step(run.now)) == [("RunResumed", "nodes are started again")]


def test_a_long_wait_is_reported_once():
    run = Run(node("a")).step()
    seen = run.see("a-1", AttemptPhase.WAITING, reason="Unschedulable", message="0/3 nodes")
    run.step(seen)
    assert events(run.engine.step(run.now, observations=[seen])) == []
    run.now += LONG_WAIT_SECONDS
    told = "has not started yet: Unschedulable: 0/3 nodes"
    assert events(run.engine.step(run.now, observations=[seen])) == [("NodeWaiting", told)]
    assert events(run.engine.step(run.now, observations=[seen])) == []


@pytest.mark.parametrize(
    ("seconds", "whole", "told"),
    [(26, True, "in about 26s"), (0, True, "in about 1s or less"), (26, False, "in 26s")],
)
def test_a_duration_says_how_exact_it_is(seconds, whole, told):
    run = Run(node("a")).step()
    run.engine._run.info = replace(run.engine.info, whole_seconds=whole)
    seen = run.see("a-1", AttemptPhase.SUCCEEDED, started_at=run.now, at=run.now + seconds)
    run.now += seconds
    assert ("NodeCompleted", told) in events(run.engine.step(run.now, observations=[seen]))
