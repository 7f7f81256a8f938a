"""What is made of what a shell saw."""

from podium.engine import AttemptPhase
from tests.unit.engine.support import Run, node

P = AttemptPhase


def test_the_reason_why_nothing_runs_is_shown():
    run = Run(node("a")).step()
    run.step(run.see("a-1", P.WAITING, reason="PullingImage", message="pulling busybox"))
    assert run.stands("a") == "Running PullingImage"
    run.step(run.see("a-1", P.RUNNING))
    run.step(run.see("a-1", P.WAITING, reason="PullingImage"))  # late
    assert run.stands("a") == "Running"


def test_an_unknown_live_execution_is_stopped_and_a_late_word_of_an_ended_one_is_not():
    run = Run(node("a"), node("b", "a")).step()
    run.ok("a-1")
    run.crash()
    run.step(
        run.see("a-1", P.RUNNING),  # stale
        run.see("b-1", P.RUNNING),
        run.see("gone-7", P.RUNNING),  # of a node that is not
    )
    assert run.stopped == ["gone-7"]
