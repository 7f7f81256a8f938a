"""Retries, disruptions, re-runs, restores: everything that makes a node run again."""

import pytest

from podium.api.run import NodeStatus, RunPhase
from podium.api.workflow import WorkflowSpec
from podium.engine import (
    AttemptPhase,
    Control,
    Plan,
    RerunRequest,
    RestoreRequest,
    VersionGoneError,
    context_at,
)
from tests.unit.engine.support import Run, node

P = AttemptPhase


def test_a_failed_node_is_tried_again_after_its_back_off():
    policy = {"maxAttempts": 3, "backoffSeconds": 10, "backoffFactor": 3}
    run = Run(node("a", retryPolicy=policy)).step()
    run.fail("a-1", reason="Error", exit_code=1)
    assert run.stands("a") == "Ready Error"
    assert run.wakes == [1010.0]
    assert run.later(10).launched == ["a-2"]
    run.fail("a-2")
    assert run.wakes == [1040.0]
    run.later(30).ok("a-3", {"x": 1})
    assert run.stands("a") == "Completed"
    state = run.state("a")
    assert (state.retry_count, state.execution_count, state.error) == (2, 3, None)
    assert [r.execution_id for r in state.history] == ["a-2", "a-1"]


def test_a_back_off_survives_a_crash():
    run = Run(node("a", retryPolicy={"maxAttempts": 2, "backoffSeconds": 10})).step()
    run.fail("a-1").crash()
    assert run.step().launched == []
    assert run.later(10).launched == ["a-2"]


def test_retry_on_names_the_reasons():
    run = Run(node("a", retryPolicy={"maxAttempts": 3, "retryOn": ["Timeout"]})).step()
    assert run.fail("a-1", reason="Error").stands("a") == "Failed Error"


def test_a_timed_out_execution_is_gone_before_the_next_one_starts():
    run = Run(node("a", timeoutSeconds=5, retryPolicy={"maxAttempts": 2})).step()
    run.step(run.see("a-1", P.RUNNING, started_at=1000.0))
    run.later(5)
    assert (run.stopped, run.launched) == (["a-1"], [])
    assert run.step(run.see("a-1", P.RUNNING)).launched == []
    assert run.step(run.see("a-1", P.GONE)).launched == ["a-2"]


def test_a_disruption_starts_the_same_execution_again_and_is_not_counted():
    run = Run(node("a", maxDisruptions=1)).step()
    run.step(run.see("a-1", P.DISRUPTED, attempt="pod-1", reason="Preempted"))
    assert run.stands("a") == "Running Preempted"
    run.step(run.see("a-1", P.DISRUPTED, attempt="pod-1", reason="Preempted"))
    assert run.state("a").disruptions == 1
    run.later(1)
    assert run.launched == ["a-1"]
    assert run.launches["a-1"].restart == 1
    assert (run.state("a").execution_count, run.state("a").retry_count) == (1, 0)
    run.step(run.see("a-1", P.DISRUPTED, attempt="pod-2"))
    assert run.stands("a") == "Failed TooManyDisruptions"


def diamond():
    return [node("a"), node("b", "a"), node("c", "a"), node("d", "b", "c")]


def ended_diamond():
    run = Run(*diamond()).step()
    for name in ("a-1", "b-1", "c-1", "d-1"):
        run.ok(name, {"from": name})
    assert run.phase == "Succeeded"
    return run


def test_rerun_with_cascade_runs_the_node_and_what_follows():
    run = ended_diamond().rerun("b")
    assert run.launched == ["b-2"]
    assert (run.phase, run.stands("d")) == ("Running", "WaitingForDependencies")
    run.ok("b-2")
    assert run.launched == ["d-2"]
    assert run.ok("d-2").phase == "Succeeded"
    assert run.state("d").history[0].output == {"from": "d-1"}
    assert run.state("c").execution_id == "c-1"


def test_rerun_without_cascade_leaves_what_follows_and_marks_it():
    run = ended_diamond().rerun("b", cascade=False)
    run.ok("b-2")
    assert run.phase == "Succeeded"
    assert (run.state("d").stale, run.state("c").stale) == (True, False)
    run.rerun("d", id="q2").ok("d-2")
    assert run.state("d").stale is False


def test_rerun_of_a_running_run_stops_descendants_first():
    run = Run(node("a"), node("b", "a")).step()
    run.ok("a-1")
    run.rerun("a")
    assert (run.stopped, run.launched) == (["b-1"], ["a-2"])
    assert run.ok("a-2").launched == []
    assert run.step(run.see("b-1", P.GONE)).launched == ["b-2"]


def test_rerun_with_edited_context_makes_a_version():
    run = Run(node("a"), inputs={"properties": {"n": {"type": "integer"}}}, context={"n": 1})
    run.step().ok("a-1", {"x": 1})
    run.rerun("a", context={"n": "one"})
    assert run.events[0].startswith("RerunRefused")
    assert "spec.context.n" in run.events[0]
    run.rerun("a", id="q2", context={"n": 2}).ok("a-2", {"x": 2})
    status = run.engine.status
    assert status.context_version == 3
    assert context_at(status, {"n": 1}, 1) == {
        "version": 1,
        "context": {"n": 1},
        "outputs": {"a": {"x": 1}},
    }
    assert context_at(status, {"n": 1}) == {
        "version": 3,
        "context": {"n": 2},
        "outputs": {"a": {"x": 2}},
    }


@pytest.mark.parametrize(
    ("nodes", "control", "said"),
    [
        (("nope",), Control(), "unknown node nope: nodes are a, b, c, d"),
        (("a",), Control(cancel=True), "set spec.cancel to false first"),
    ],
)
def test_a_request_that_cannot_be_carried_out_is_refused_with_the_reason(nodes, control, said):
    run = ended_diamond()
    run.step(requests=[RerunRequest("q", nodes)], control=control)
    assert said in run.events[0]
    assert run.engine.status.handled_requests == ["q"]
    assert run.phase == "Succeeded"


def test_a_suspended_run_queues_requests():
    run = ended_diamond()
    request = RerunRequest("q", ("d",))
    run.step(requests=[request], control=Control(suspend=True))
    assert run.engine.status.handled_requests == []
    assert run.step(requests=[request]).launched == ["d-2"]


def test_rerun_at_the_latest_definition_keeps_what_is_the_same():
    run = ended_diamond()
    changed = diamond()
    changed[1]["config"] = {"script": "echo new"}
    changed = [n for n in changed if n["id"] != "c"]
    changed[2]["dependsOn"] = ["b", "e"]
    changed.append(node("e", "a"))
    plan = Plan.build(WorkflowSpec(nodes=changed), workflow_id="w", revision="w-2")
    run.plan = plan
    run.step(requests=[RerunRequest("q", (), plan=plan)])
    assert run.launched == ["b-2", "e-1"]
    assert run.engine.status.workflow_revision == "w-2"
    assert set(run.engine.status.nodes) == {"a", "b", "d", "e"}
    assert run.engine.status.removed_nodes["c"].output == {"from": "c-1"}
    run.ok("b-2").ok("e-1").ok("d-2")
    assert run.phase == "Succeeded"
    assert run.state("a").execution_id == "a-1"


def test_restore_goes_back_and_runs_what_came_after():
    run = Run(node("a"), node("b", "a"), node("c", "b")).step()
    run.ok("a-1", {"v": 1})  # version 1
    run.ok("b-1", {"v": 1})  # version 2
    run.ok("c-1", {"v": 1})  # version 3
    run.rerun("b").ok("b-2", {"v": 2}).ok("c-2", {"v": 2})  # versions 4 and 5
    run.step(requests=[RestoreRequest("r", 2)])
    assert run.state("b").output == {"v": 1}
    assert run.launched == ["c-3"]
    assert context_at(run.engine.status, {})["outputs"] == {"a": {"v": 1}, "b": {"v": 1}}
    run.ok("c-3", {"v": 3})
    assert run.phase == "Succeeded"
    assert context_at(run.engine.status, {}, 5)["outputs"]["c"] == {"v": 2}


def test_restore_of_a_version_that_never_was_is_refused():
    run = ended_diamond().step(requests=[RestoreRequest("r", 9)])
    assert "there is no context version 9: versions are 0 to 4" in run.events[0]


def test_an_old_version_answers_with_a_clear_error_once_history_forgot_it():
    run = Run(node("a")).step()
    run.ok("a-1", {"n": 1})
    for number in range(2, 14):
        run.rerun("a", id=f"q{number}").ok(f"a-{number}", {"n": number})
    assert len(run.state("a").history) == 10
    with pytest.raises(VersionGoneError, match="no longer kept"):
        context_at(run.engine.status, {}, 1)


def test_a_node_that_comes_back_goes_on_counting():
    """Its first execution has a Job, which a second one of that id would be taken for."""
    with_b = Run(node("a"), node("b"), node("c", "b"))
    run = Run(node("a"), node("b"), node("c", "b")).step()
    run.ok("a-1").ok("b-1", {"v": 1})
    run.plan = Run(node("a")).plan
    run.step(requests=[RerunRequest("q1", (), plan=run.plan)])
    run.step(requests=[RerunRequest("q2", (), plan=with_b.plan)])
    run.plan = with_b.plan
    assert run.launched == ["b-2"]
    assert [record.output for record in run.state("b").history] == [{"v": 1}]
    run.ok("b-2")
    assert run.launched == [], "what was stopped may still run"
    run.step(run.see("c-1", P.GONE))
    assert run.launched == ["c-2"]
    run.ok("c-2")
    assert run.phase == "Succeeded"
    assert run.engine.status.removed_nodes == {}


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


def test_the_context_is_changed_no_more_often_than_the_status_has_room_for():
    run = Run(node("a"), context={"x": 0}).step().ok("a-1")
    for i in range(50):
        run.rerun("a", id=f"q{i}", context={"x": i + 1}).ok(f"a-{i + 2}")
    run.rerun("a", id="one-more", context={"x": -1})
    assert any("changed 50 times" in event for event in run.events)
    run.step(requests=[RestoreRequest("restore", 0)])
    assert any("changed 50 times" in event for event in run.events)
    assert run.crash().engine.status.context_edits[-1].context == {"x": 50}
    run.rerun("a", id="without")
    assert run.launches["a-52"].input["globalContext"] == {"x": 50}
