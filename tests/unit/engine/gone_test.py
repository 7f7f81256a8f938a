"""What waits for an end starts when what was stopped is gone (semantics.md 3)."""

import pytest

from podium.engine import AttemptPhase, Control
from podium.engine.ready_queue import HOLD_SECONDS
from tests.unit.engine.support import Run, node


def timed_out(*nodes, **facts):
    """A run whose node `job` was stopped by its time-out."""
    run = Run(node("job", timeoutSeconds=10), *nodes, **facts)
    run.step().step(run.see("job-1", AttemptPhase.RUNNING))
    run.later(11)
    assert "job-1" in run.stopped
    assert run.stands("job") == "Failed Timeout"
    return run


def gone(run, execution="job-1"):
    return run.step(run.see(execution, AttemptPhase.GONE))


@pytest.mark.parametrize("rule", ["AllDone", "OneFailed"])
def test_a_follower_of_what_was_stopped_waits_until_it_is_gone(rule):
    run = timed_out(node("cleanup", "job", triggerRule=rule))
    assert (run.launched, run.stands("cleanup")) == ([], "WaitingForDependencies")
    assert run.phase == "Running"
    run.step(run.see("job-1", AttemptPhase.RUNNING))
    assert run.launched == []
    assert gone(run).launched == ["cleanup-1"]


def test_a_clean_up_behind_a_skipped_node_waits_too():
    run = timed_out(node("mid", "job"), node("cleanup", "mid", triggerRule="AllDone"))
    assert run.stands("mid") == "WaitingForDependencies"
    assert gone(run).launched == ["cleanup-1"]
    assert run.stands("mid") == "Skipped UpstreamFailed"


def test_too_many_disruptions_hold_followers_too():
    run = Run(node("job", maxDisruptions=0), node("cleanup", "job", triggerRule="AllDone"))
    run.step().step(run.see("job-1", AttemptPhase.DISRUPTED))
    assert run.stands("job") == "Failed TooManyDisruptions"
    assert run.launched == []
    assert gone(run).launched == ["cleanup-1"]


def test_a_follower_waits_after_a_crash_while_the_program_is_seen():
    run = timed_out(node("cleanup", "job", triggerRule="AllDone"))
    run.crash().step(run.see("job-1", AttemptPhase.RUNNING))
    assert (run.stopped, run.launched) == (["job-1"], [])
    assert gone(run).launched == ["cleanup-1"]


def test_a_follower_starts_after_a_crash_when_nothing_is_seen():
    run = timed_out(node("cleanup", "job", triggerRule="AllDone"))
    assert run.crash().step().launched == ["cleanup-1"]


def test_a_re_run_of_the_follower_waits_too():
    run = timed_out(node("cleanup", "job", triggerRule="AllDone"))
    run.rerun("cleanup")
    assert run.launched == []
    assert gone(run).launched == ["cleanup-1"]


def test_a_lost_machine_does_not_hold_followers_without_end():
    run = timed_out(node("cleanup", "job", triggerRule="AllDone"))
    assert run.wakes == [run.now + HOLD_SECONDS]
    run.later(HOLD_SECONDS)
    assert run.launched == ["cleanup-1"]
    assert any(event.startswith("NodeNotGone") for event in run.events)
    run.rerun("job")
    assert gone(run, "cleanup-1").launched == [], "the same work never runs beside itself"
    assert gone(run).launched == ["job-2"]


def test_fail_fast_does_not_wait():
    run = timed_out(node("other"), node("cleanup", "job", triggerRule="AllDone"), fail_fast=True)
    assert run.stands("cleanup") == "Cancelled FailFast"
    assert run.phase == "Failed"


# Re-runs


def running(*more):
    """A run whose node `deploy`, behind `build` and `test`, runs."""
    run = Run(node("build"), node("test", "build"), node("deploy", "test"), *more)
    run.step().ok("build-1").ok("test-1")
    return run.step(run.see("deploy-1", AttemptPhase.RUNNING))


@pytest.mark.parametrize("named", ["build", "test", "deploy"])
def test_a_re_run_waits_until_what_it_stops_is_gone(named):
    run = running()
    run.rerun(named)
    assert (run.stopped, run.launched) == (["deploy-1"], [])
    run.step(run.see("deploy-1", AttemptPhase.RUNNING))
    assert run.launched == []
    assert gone(run, "deploy-1").launched == [f"{named}-2"]


def test_a_re_run_waits_after_a_crash_while_the_program_is_seen():
    run = running()
    run.rerun("build")
    run.crash().step(run.see("deploy-1", AttemptPhase.RUNNING))
    assert (run.stopped, run.launched) == (["deploy-1"], [])
    assert gone(run, "deploy-1").launched == ["build-2"]


def test_a_re_run_after_a_crash_does_not_wait_for_what_is_not_seen():
    run = running()
    run.rerun("build")
    assert run.crash().step().launched == ["build-2"]


def test_a_re_run_waits_for_all_that_it_stops():
    run = running(node("load", "build"))
    run.rerun("build")
    assert sorted(run.stopped) == ["deploy-1", "load-1"]
    assert gone(run, "deploy-1").launched == []
    assert gone(run, "load-1").launched == ["build-2"]


def test_a_re_run_does_not_wait_for_what_is_not_behind_it():
    run = running(node("other"))
    run.rerun("build", "other")
    assert run.launched == []
    run.rerun("other", id="q2")
    assert gone(run, "other-1").launched == ["other-2"]
    assert gone(run, "deploy-1").launched == ["build-2"]


def test_a_re_run_waits_for_a_node_that_the_newer_definition_removes():
    run = running()
    newer = Run(node("build", config={"script": "false"})).plan
    run.rerun("build", plan=newer, initial_context={})
    assert (run.stopped, run.launched) == (["deploy-1"], [])
    assert gone(run, "deploy-1").launched == ["build-2"]


def test_a_lost_machine_does_not_hold_a_re_run_forever():
    run = running()
    run.rerun("build")
    assert run.wakes == [run.now + HOLD_SECONDS]
    assert run.later(HOLD_SECONDS).launched == ["build-2"]
    assert any(event.startswith("NodeNotGone") for event in run.events)
    run.ok("build-2").ok("test-2")
    assert run.launched == [], "the same work never runs beside itself"
    assert gone(run, "deploy-1").launched == ["deploy-2"]


def test_a_removed_node_on_a_lost_machine_does_not_hold_a_re_run_forever():
    run = running()
    newer = Run(node("build", config={"script": "false"})).plan
    run.rerun("build", plan=newer, initial_context={})
    assert run.later(HOLD_SECONDS).launched == ["build-2"]


def test_a_launch_in_flight_is_waited_for():
    run = Run(node("build"), node("deploy", "build"))
    run.step()
    actions = run.engine.step(
        run.now, observations=[run.see("build-1", AttemptPhase.SUCCEEDED, output={})]
    )
    assert [getattr(each, "execution_id", "") for each in actions].count("deploy-1") == 1
    run.rerun("build")
    assert (run.stopped, run.launched) == (["deploy-1"], [])
    assert gone(run, "deploy-1").launched == ["build-2"]


def test_a_cancel_while_a_re_run_waits_ends_the_run():
    run = running()
    run.rerun("build").step(control=Control(cancel=True))
    assert run.phase == "Cancelled"
    assert gone(run, "deploy-1").launched == []
