"""What the clocks of a run count (semantics.md 5)."""

from podium.engine import AttemptPhase, Control
from tests.unit.engine.support import Run, node

SUSPEND = Control(suspend=True)


def running(seconds=10):
    run = Run(node("a"), node("b", "a"), timeoutSeconds=seconds).step()
    run.step(run.see("a-1", AttemptPhase.RUNNING))
    return run


def test_suspended_time_does_not_count_towards_the_time_out():
    run = running()
    run.later(4, control=SUSPEND)
    status = run.engine.status
    assert (status.deadline, status.remaining_seconds) == (None, 6)
    run.later(1000, control=SUSPEND).crash().later(1000, control=SUSPEND)
    run.later(0)
    status = run.engine.status
    assert (status.deadline, status.remaining_seconds) == (run.now + 6, None)
    assert run.wakes == [run.now + 6]
    run.later(5.9)
    assert run.phase == "Running"
    run.later(0.1)
    assert (run.phase, run.stands("a")) == ("Failed", "Cancelled RunTimeout")


def test_the_duration_is_the_time_in_which_the_run_could_run():
    run = running()
    run.later(3, control=SUSPEND)
    run.later(500, control=SUSPEND).later(0)
    run.now += 1
    run.ok("a-1")
    run.now += 2
    run.ok("b-1")
    status = run.engine.status
    assert (status.active_seconds, status.active_since, status.duration) == (6, None, "6.0s")
    run.now += 900
    run.rerun("b")
    assert status.deadline == run.now + 10, "a re-run has all of the time again"
    run.now += 1
    run.ok("b-2")
    assert (status.active_seconds, status.duration) == (7, "7.0s")
    assert (status.deadline, status.remaining_seconds) == (None, None)


def test_a_run_that_is_suspended_from_the_start_counts_from_its_start():
    run = Run(node("a"), timeoutSeconds=10)
    run.step(control=SUSPEND).later(50, control=SUSPEND).later(0)
    assert run.engine.status.deadline == run.now + 10
    run.now += 2
    run.ok("a-1")
    assert run.engine.status.duration == "2.0s"


def test_a_run_of_0_1_0_goes_on_from_its_start():
    run = running()
    status = run.engine.status
    status.format_version = status.active_since = None
    run.crash()
    run.later(3)
    run.ok("a-1").ok("b-1")
    assert run.engine.status.duration == "3.0s"


def test_a_suspended_run_of_0_1_0_stops_its_clock():
    run = running()
    run.later(4, control=SUSPEND)
    status = run.engine.status
    status.format_version, status.deadline, status.remaining_seconds = None, 1010.0, None
    run.crash().later(1, control=SUSPEND)
    assert (run.engine.status.deadline, run.engine.status.remaining_seconds) == (None, 5)
