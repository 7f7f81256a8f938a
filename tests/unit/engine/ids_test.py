"""Execution ids: one for each launch, spent when the launch is cancelled (semantics.md 4)."""

import pytest

from podium.engine import AttemptPhase, Control, Launch, RerunRequest, RestoreRequest, Stop
from podium.engine.plan import Plan
from tests.unit.engine.support import Run, node


def launches(actions):
    return [action.execution_id for action in actions if isinstance(action, Launch)]


def stops(actions):
    return [action.execution_id for action in actions if isinstance(action, Stop)]


def given_out(*nodes, **facts):
    """A run whose first launches are given out and not answered."""
    run = Run(*nodes, **facts)
    assert launches(run.engine.step(run.now)) == [f"{each['id']}-1" for each in nodes]
    return run


def cancel(run):
    return run.engine.step(run.now, control=Control(cancel=True))


def time_out(run):
    run.now += 100
    return run.engine.step(run.now)


def rerun(run):
    return run.engine.step(run.now, requests=[RerunRequest("r", ("a",))])


def move_on(run):
    spec = run.spec.model_copy(deep=True)
    spec.nodes[0].config = {"script": "false"}
    newer = Plan.build(spec, workflow_id="w")
    return run.engine.step(run.now, requests=[RerunRequest("l", (), plan=newer)])


@pytest.mark.parametrize("end", [cancel, time_out, rerun, move_on])
def test_a_launch_that_is_cancelled_before_its_answer_spends_its_id(end):
    run = given_out(node("a"), timeoutSeconds=50)
    assert stops(end(run)) == ["a-1"]
    state = run.state("a")
    assert (state.execution_count, state.cancelled_launches) == (0, 1)
    run.crash()
    run.step(run.see("a-1", AttemptPhase.GONE))
    again = [RerunRequest("again", ("a",))] if end in (cancel, time_out) else []
    run.step(requests=again)
    assert run.state("a").execution_id == "a-2"
    assert run.state("a").execution_count == 1


def test_the_end_of_a_cancelled_launch_is_not_that_of_the_next_one():
    run = given_out(node("lint"), node("deploy"), fail_fast=True)
    seen = [run.see("lint-1", AttemptPhase.LAUNCHED), run.see("lint-1", AttemptPhase.FAILED)]
    assert stops(run.engine.step(run.now, observations=seen)) == ["deploy-1"]
    run.step(run.see("deploy-1", AttemptPhase.GONE))
    run.rerun("lint", "deploy")
    assert run.launched == ["lint-2", "deploy-2"]
    run.ok("deploy-1", {"old": True})
    assert run.stands("deploy") == "Running"


def test_what_is_cancelled_in_the_step_that_launches_it_never_was():
    """No shell has seen it, so there is nothing to stop and no id to spend."""
    needs = {"schema": {"type": "object", "required": ["token"]}}
    run = Run(node("a"), node("b", inputContract=needs), fail_fast=True)
    run.step()
    assert (run.launched, run.stopped) == ([], [])
    assert run.stands("a") == "Cancelled FailFast"
    run.rerun("a", "b", context={"token": "x"})
    assert run.launched == ["a-1", "b-2"]


def test_a_launch_that_was_refused_for_now_is_stopped_before_the_re_run():
    """Its Job may exist, made for the definition and the context of then."""
    run = given_out(node("a"))
    run.step(run.see("a-1", AttemptPhase.REFUSED, reason="QuotaExceeded", retry_after=5))
    run.rerun("a")
    assert (run.stopped, run.launched) == (["a-1"], [])
    run.step(run.see("a-1", AttemptPhase.GONE))
    assert run.launched == ["a-2"]


def test_a_launch_repeated_after_a_crash_keeps_its_id():
    run = given_out(node("a"))
    run.crash().step(run.see("a-1", AttemptPhase.RUNNING))
    assert run.launched == ["a-1"]
    assert run.state("a").cancelled_launches == 0


@pytest.mark.parametrize("phase", [AttemptPhase.RUNNING, AttemptPhase.SUCCEEDED])
def test_what_a_crashed_predecessor_launched_is_not_adopted_by_a_later_re_run(phase):
    run = given_out(node("a"))
    run.crash()
    actions = run.engine.step(
        run.now, observations=[run.see("a-1", phase)], requests=[RerunRequest("r", ("a",))]
    )
    assert (stops(actions), launches(actions)) == (["a-1"], [])
    run.step(run.see("a-1", AttemptPhase.GONE))
    assert run.launched == ["a-2"]


@pytest.mark.parametrize("phase", [AttemptPhase.RUNNING, AttemptPhase.SUCCEEDED])
def test_what_a_crashed_predecessor_launched_for_a_re_run_is_found_again(phase):
    """It carried out the request, launched, and could not write so."""
    run = Run(node("a"), node("b", dependsOn=["a"])).step().ok("a-1").ok("b-1").crash()
    seen = [run.see("a-2", phase), run.see("b-2", phase)]
    request = RerunRequest("r", ("a",))
    actions = run.engine.step(run.now, observations=seen, requests=[request])
    assert (stops(actions), launches(actions)) == ([], ["a-2"])
    run.step(run.see("a-2", AttemptPhase.LAUNCHED)).ok("a-2").ok("b-2")
    assert run.engine.status.phase == "Succeeded"
    assert [run.state(each).execution_id for each in ("a", "b")] == ["a-2", "b-2"]
    assert run.state("a").cancelled_launches == 0


def test_what_a_predecessor_launched_for_the_first_of_two_re_runs_is_stopped():
    run = Run(node("a")).step().ok("a-1").crash()
    requests = [RerunRequest("r", ("a",)), RerunRequest("s", ("a",), context={"x": 1})]
    seen = [run.see("a-2", AttemptPhase.RUNNING)]
    actions = run.engine.step(run.now, observations=seen, requests=requests)
    assert (stops(actions), launches(actions)) == (["a-2"], [])
    run.step(run.see("a-2", AttemptPhase.GONE))
    assert run.launched[-1] == "a-3"


def test_what_comes_to_light_after_the_node_has_ended_spends_its_id():
    run = given_out(node("a"))
    run.crash()
    run.engine.step(run.now, control=Control(cancel=True))
    run.step(run.see("a-1", AttemptPhase.SUCCEEDED), control=Control(cancel=True))
    run.rerun("a")
    assert run.launched == ["a-2"]


def test_a_number_far_ahead_is_not_of_a_predecessor():
    run = given_out(node("a"))
    run.ok("a-1")
    run.step(run.see("a-999999999", AttemptPhase.RUNNING))
    assert run.stopped == ["a-999999999"]
    run.step(run.see("a-999999999", AttemptPhase.GONE))
    run.rerun("a")
    assert run.launched == ["a-2"]


def test_a_node_that_was_removed_and_forgotten_does_not_begin_again_at_1(monkeypatch):
    monkeypatch.setattr("podium.engine.reruns.REMOVED_NODES", 0)
    run = Run(node("a"), node("b")).step().ok("b-1")
    without = Plan.build(run.spec.model_copy(update={"nodes": run.spec.nodes[:1]}), workflow_id="w")
    run.step(requests=[RerunRequest("1", (), plan=without)])
    assert "b" not in run.engine.status.removed_nodes
    run.step(requests=[RerunRequest("2", (), plan=run.plan)])
    assert run.launched == ["b-2"]


def test_a_restore_leaves_no_launch_behind():
    run = given_out(node("a"))
    run.step(run.see("a-1", AttemptPhase.SUCCEEDED))
    run.engine.step(run.now, requests=[RerunRequest("r", ("a",))])
    actions = run.engine.step(run.now, requests=[RestoreRequest("s", 1)])
    assert stops(actions) == ["a-2"]
    run.step(run.see("a-2", AttemptPhase.GONE))
    run.rerun("a")
    assert run.launched == ["a-3"]


NEEDS = {"inputContract": {"schema": {"type": "object", "required": ["token"]}}}
TEMPLATE = {"config": {"script": "true", "env": [{"name": "T", "value": "${{ context.token }}"}]}}


@pytest.mark.parametrize("fields", [NEEDS, TEMPLATE])
def test_a_start_that_fails_before_a_launch_has_an_id_of_its_own(fields):
    run = Run(node("a", retryPolicy={"maxAttempts": 3}, **fields)).step()
    state = run.state("a")
    assert (state.status, run.launched, run.stopped) == ("Failed", [], [])
    assert (state.execution_id, state.execution_count, state.retry_count) == ("a-1", 0, 0)
    run.crash().rerun("a", context={"token": "x"})
    assert run.launched == ["a-2"]
    assert [record.execution_id for record in run.state("a").history] == ["a-1"]
    assert run.state("a").history[0].reason == state.reason
    assert run.ok("a-2").state("a").execution_count == 1


def test_a_retry_that_cannot_start_has_an_id_of_its_own():
    policy = {"maxAttempts": 2, "backoffSeconds": 5}
    run = Run(node("a", retryPolicy=policy, **NEEDS), context={"token": 1})
    run.step().step(run.see("a-1", AttemptPhase.RUNNING)).fail("a-1")
    run.engine.initial_context.pop("token")  # no run can do so: the contract is met or it is not
    run.crash().later(5)
    state = run.state("a")
    assert (run.stands("a"), state.execution_id) == ("Failed InputContract", "a-2")
    assert (state.execution_count, state.started_at, state.duration_seconds) == (1, None, None)


def test_a_conditional_that_cannot_be_evaluated_has_run():
    cases = [{"when": "context.size > 1", "value": "large"}]
    run = Run({"id": "a", "type": "conditional", "cases": cases}).step()
    assert run.stands("a") == "Failed ConditionError"
    assert (run.state("a").execution_id, run.state("a").execution_count) == ("a-1", 1)
    run.rerun("a", context={"size": 2})
    assert (run.stands("a"), run.state("a").execution_id) == ("Completed", "a-2")


def test_what_runs_under_the_id_of_a_start_that_failed_is_stopped():
    """A predecessor launched it, before the context was edited, and could not write so."""
    run = Run(node("a", **NEEDS)).step().crash()
    run.step(run.see("a-1", AttemptPhase.RUNNING))
    assert (run.stands("a"), run.stopped) == ("Failed InputContract", ["a-1"])
    run.step(run.see("a-1", AttemptPhase.GONE)).rerun("a", context={"token": "x"})
    assert run.launched == ["a-2"]
    run.crash().step(run.see("a-1", AttemptPhase.RUNNING))
    assert "a-1" in run.stopped


def test_a_start_that_failed_without_an_id_in_an_earlier_version_is_run_again():
    run = Run(node("a", **NEEDS)).step()
    state = run.state("a")
    state.execution_id, state.cancelled_launches = None, 0
    run.crash().rerun("a", context={"token": "x"})
    assert run.launched == ["a-1"]
    assert run.state("a").history == []
