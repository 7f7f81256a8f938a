"""Nodes of `finally`: they run once everything else has ended, whatever the end."""

import pytest

from podium.api.problems import InvalidError, errors
from podium.api.workflow import WorkflowSpec
from podium.dag import WorkflowDAG
from podium.engine import AttemptPhase, Control, Plan, RerunRequest, RestoreRequest
from tests.unit.engine.support import Run, node

CANCEL = Control(cancel=True)
SUSPEND = Control(suspend=True)
TERMINATE = Control(suspend=True, terminate=True)


def run_of(*nodes, last=("clean",), **spec):
    last = [each if isinstance(each, dict) else node(each) for each in last]
    return Run(*nodes, **{"finally": last, **spec}).step()


def condition(run, kind="Succeeded"):
    return next(c for c in run.engine.status.conditions if c.type == kind)


def told(run, execution="clean-1"):
    return run.launches[execution].input["run"]


def test_they_begin_once_all_others_have_ended_and_the_run_ends_after_them():
    run = run_of(node("a"), node("b"), last=["clean", node("report", "clean")])
    assert run.stands("clean") == "Pending"
    run.ok("a-1")
    assert run.launched == []
    run.ok("b-1")
    assert run.launched == ["clean-1"]
    assert run.phase == "Running"
    run.engine.take_changes()
    assert run.engine.status.reason == "Finishing"
    assert (condition(run).status.value, condition(run).reason) == ("Unknown", "Finishing")
    run.ok("clean-1")
    assert run.launched == ["report-1"]
    run.ok("report-1")
    assert run.phase == "Succeeded"
    assert condition(run).reason == "Completed"


def test_a_run_without_them_is_written_as_before():
    run = Run(node("a")).step().ok("a-1")
    assert run.engine.status.finishing_since is None
    assert "run" not in run.launches["a-1"].input


@pytest.mark.parametrize("is_allowed", [False, True])
def test_one_that_fails_fails_the_run(is_allowed):
    run = run_of(node("a"), last=[node("clean", allowFailure=is_allowed)]).ok("a-1")
    run.fail("clean-1", reason="Error")
    assert run.phase == ("Succeeded" if is_allowed else "Failed")
    assert condition(run).message == ("" if is_allowed else "failed: clean (Error)")


def test_they_run_after_a_failure_and_are_told_of_it():
    run = run_of(node("a"), node("b", "a"), node("may", allowFailure=True))
    run.fail("may-1", reason="Error").fail("a-1", reason="Error", message="no such host")
    failures = [{"node": "a", "reason": "Error", "message": "no such host"}]
    assert told(run) == {"phase": "Failed", "failures": failures}
    run.ok("clean-1")
    assert run.phase == "Failed"
    assert condition(run).message == "failed: a (Error)"


def test_fail_fast_cancels_none_of_them_neither_does_their_own_failure():
    run = run_of(
        node("a"), node("b"), last=["clean", "report", node("later", "clean")], fail_fast=True
    )
    run.fail("a-1", reason="Error")
    assert run.stopped == ["b-1"]
    assert run.launched == [], "b is not gone"
    run.step(run.see("b-1", AttemptPhase.GONE))
    assert run.launched == ["clean-1", "report-1"]
    run.fail("clean-1", reason="Error")
    assert run.stands("report") == "Running"
    run.ok("report-1")
    assert run.stands("later") == "Skipped UpstreamFailed"
    assert run.phase == "Failed"


def test_they_run_after_the_time_out_of_the_run_with_a_time_of_their_own():
    run = run_of(node("a"), timeoutSeconds=50, finallyTimeoutSeconds=30).later(50)
    assert run.stopped == ["a-1"]
    run.later(7)
    run.step(run.see("a-1", AttemptPhase.GONE))
    assert told(run)["phase"] == "Failed"
    assert run.wakes == [run.now + 30]
    run.later(30)
    assert run.stands("clean") == "Cancelled FinallyTimeout"
    assert run.stopped == ["clean-1"]
    assert (run.phase, condition(run).reason) == ("Failed", "Timeout")
    assert condition(run).message == "the run took longer than 50 s"


def test_their_time_out_fails_a_run_that_succeeded():
    run = run_of(node("a")).ok("a-1").later(599)
    assert run.phase == "Running"
    run.later(1)
    assert (run.phase, condition(run).reason) == ("Failed", "Timeout")
    assert condition(run).message == "finally took longer than 600 s (finallyTimeoutSeconds)"


def test_suspended_time_does_not_count_and_nothing_of_them_starts():
    run = run_of(node("a"), last=["clean", node("report", "clean")], finallyTimeoutSeconds=30)
    run.step(run.see("a-1", AttemptPhase.SUCCEEDED), control=SUSPEND)
    assert (run.phase, run.launched) == ("Paused", [])
    run.later(100).later(10, control=SUSPEND)
    assert run.phase == "Paused"
    run.later(100, control=SUSPEND)
    assert run.stands("clean") == "Running"
    run.later(5)
    assert condition(run).reason == "Finishing"
    run.later(19)
    assert run.stands("clean") == "Running"
    run.later(1)
    assert run.stands("clean") == "Cancelled FinallyTimeout"


def test_a_cancelled_run_runs_them_and_stays_cancelled():
    run = run_of(node("a"), node("b", "a")).step(control=CANCEL)
    assert run.launched == []
    run.step(run.see("a-1", AttemptPhase.GONE), control=CANCEL)
    assert run.launched == ["clean-1"]
    assert told(run) == {"phase": "Cancelled", "failures": []}
    run.step(run.see("clean-1", AttemptPhase.FAILED), control=CANCEL)
    assert (run.phase, condition(run).reason) == ("Cancelled", "Cancelled")


def test_cancel_lifts_a_suspension():
    both = Control(suspend=True, cancel=True)
    run = run_of(node("a")).step(control=SUSPEND)
    run.step(control=both).step(run.see("a-1", AttemptPhase.GONE), control=both)
    assert run.launched == ["clean-1"]
    run.step(run.see("clean-1", AttemptPhase.SUCCEEDED), control=both)
    assert run.phase == "Cancelled"


def test_a_run_that_is_cancelled_before_it_began_runs_none_of_them():
    run = Run(node("a"), **{"finally": [node("clean")]}).step(control=SUSPEND)
    run.step(control=Control(suspend=True, cancel=True))
    assert run.stands("clean") == "Cancelled RunCancelled"
    assert run.phase == "Cancelled"


def test_a_cancel_that_comes_while_they_run_stops_nothing():
    run = run_of(node("a")).ok("a-1").step(control=CANCEL)
    assert run.stopped == []
    run.step(run.see("clean-1", AttemptPhase.SUCCEEDED), control=CANCEL)
    assert run.phase == "Succeeded"


def test_terminate_cancels_them_with_all_others():
    run = run_of(node("a")).step(control=TERMINATE)
    assert (run.stopped, run.launched) == (["a-1"], [])
    assert (run.stands("a"), run.stands("clean")) == ("Cancelled RunCancelled",) * 2
    assert run.phase == "Cancelled"


@pytest.mark.parametrize("has_crashed", [False, True])
def test_terminate_stops_them_while_they_run_or_wait_for_what_was_stopped(has_crashed):
    run = run_of(node("a"), last=["clean", node("report", "clean")]).ok("a-1")
    if has_crashed:
        run.crash().step(run.see("clean-1", AttemptPhase.RUNNING))
    run.step(control=TERMINATE)
    assert run.stopped == ["clean-1"]
    assert (run.phase, run.stands("report")) == ("Cancelled", "Cancelled RunCancelled")
    run = run_of(node("a")).step(control=CANCEL).step(control=TERMINATE)
    assert (run.phase, run.stands("clean")) == ("Cancelled", "Cancelled RunCancelled")


def test_a_terminated_run_refuses_requests_until_that_is_taken_back():
    run = run_of(node("a")).step(control=TERMINATE)
    run.step(control=TERMINATE, requests=[RerunRequest("q", ("a",))])
    assert run.events == ["RerunRefused the run is cancelled: set spec.terminate to false first"]
    run.step(run.see("a-1", AttemptPhase.GONE)).rerun("a", id="r")
    assert run.launched == ["a-2"]
    run.ok("a-2")
    assert run.launched == ["clean-1"]


def test_a_machine_that_is_lost_delays_them_by_five_minutes():
    run = run_of(node("a")).step(control=CANCEL)
    assert run.wakes == [run.now + 300]
    run.later(299, control=CANCEL)
    assert run.launched == []
    run.later(1, control=CANCEL)
    assert run.launched == ["clean-1"]


def test_what_was_launched_and_never_answered_is_waited_for_after_a_crash():
    run = run_of(node("a")).step(control=CANCEL).crash()
    run.step(run.see("a-1", AttemptPhase.RUNNING), control=CANCEL)
    assert (run.launched, run.stopped) == ([], ["a-1"])
    run.step(run.see("a-1", AttemptPhase.GONE), control=CANCEL)
    assert run.launched == ["clean-1"]


def test_what_a_predecessor_launched_and_nobody_recorded_is_stopped_first():
    run = run_of(node("a", retryPolicy={"maxAttempts": 2, "backoffSeconds": 60}))
    run.fail("a-1", reason="Error").crash()
    run.step(run.see("a-2", AttemptPhase.RUNNING), control=CANCEL)
    assert (run.launched, run.stopped) == ([], ["a-2"])
    run.step(run.see("a-2", AttemptPhase.GONE), control=CANCEL)
    assert run.launched == ["clean-1"]


def test_a_crash_while_they_run_changes_nothing():
    last = ["clean", node("report", "clean", condition='run.phase == "Failed"')]
    run = run_of(node("a"), last=last, finallyTimeoutSeconds=30)
    run.fail("a-1", reason="Error").later(10).crash()
    run.step(run.see("clean-1", AttemptPhase.RUNNING))
    assert run.launched == []
    assert run.wakes == [run.now + 20]
    run.ok("clean-1")
    assert run.launched == ["report-1"]
    assert told(run, "report-1") == told(run)


def test_requests_wait_until_the_run_has_ended():
    run = run_of(node("a"), node("b")).ok("a-1").ok("b-1")
    request = RerunRequest("q", ("a",))
    run.step(requests=[request])
    assert run.launched == []
    assert "q" not in run.engine.status.handled_requests
    actions = run.engine.step(
        run.now, observations=[run.see("clean-1", AttemptPhase.SUCCEEDED)], requests=[request]
    )
    assert run.phase == "Succeeded"
    assert actions[-1].at == run.now, "it is due at once"
    run.step(requests=[request])
    assert run.launched == ["a-2"]


def test_a_run_that_is_reopened_runs_all_of_them_again():
    last = ["clean", node("report", "clean")]
    run = run_of(node("a"), node("b"), last=last).fail("a-1", reason="Error").ok("b-1")
    run.ok("clean-1").ok("report-1")
    run.rerun("a")
    assert run.launched == ["a-2"]
    assert (run.stands("clean"), run.stands("report")) == ("Pending", "Pending")
    assert run.engine.status.finishing_since is None
    run.ok("a-2")
    assert run.launched == ["clean-2"]
    assert told(run, "clean-2") == {"phase": "Succeeded", "failures": []}
    run.ok("clean-2").ok("report-2")
    assert run.phase == "Succeeded"


def test_a_node_of_finally_run_again_brings_the_others_with_it():
    run = run_of(node("a"), last=["clean", "report"]).ok("a-1").ok("clean-1").ok("report-1")
    run.rerun("clean")
    assert run.launched == ["clean-2", "report-2"]


def test_a_restore_runs_all_of_them_again():
    run = run_of(node("a"), node("b", "a")).ok("a-1", {"n": 1}).ok("b-1").ok("clean-1")
    run.step(requests=[RestoreRequest("q", 1)])
    assert run.launched == ["b-2"]
    assert run.stands("clean") == "Pending"
    run.ok("b-2")
    assert run.launched == ["clean-2"]


def test_a_newer_definition_moves_nodes_to_and_from_finally():
    run = run_of(node("a"), node("b"), last=["clean"]).ok("a-1")
    newer = WorkflowSpec.model_validate(
        {"nodes": [node("a"), node("clean")], "finally": [node("b")]}
    )
    run.rerun(plan=Plan.build(newer, workflow_id="w"))
    assert run.launched == ["clean-1"]
    assert run.stopped == ["b-1"]
    assert run.stands("b") == "Pending"
    run.ok("clean-1")
    assert run.launched == [], "b is not gone"
    run.step(run.see("b-1", AttemptPhase.GONE))
    assert run.launched == ["b-2"]


def test_they_see_all_outputs_and_statuses():
    config = {"script": "true", "env": [{"name": "X", "value": "${{ nodes.b.status }}"}]}
    clean = node("clean", config=config, condition='context.a.n == 1 and run.phase == "Failed"')
    run = run_of(node("a"), node("b", "a"), last=[clean]).ok("a-1", {"n": 1})
    run.fail("b-1", reason="Error")
    launch = run.launches["clean-1"]
    assert launch.config["env"][0]["value"] == "Failed"
    assert launch.input["dependencyOutputs"] == {"a": {"n": 1}}


def test_of_many_the_last_two_hundred_are_handed_over():
    names = [f"n{i}" for i in range(300)]
    chain = [node(name, *names[max(0, i - 1) : i]) for i, name in enumerate(names)]
    last = [node("clean"), node("named", inputContract={"include": ["n0"]})]
    plan = Plan.build(
        WorkflowSpec.model_validate({"nodes": chain, "finally": last}), workflow_id="w"
    )
    assert plan.delivered("clean") == [f"n{i}" for i in range(299, 99, -1)]
    assert plan.delivered("named") == [*plan.delivered("clean"), "n0"]
    assert plan.delivered("n0") == []


def test_at_most_fifty_failures_are_told():
    run = Run(*(node(f"n{i}") for i in range(60)), max_parallel=60, **{"finally": [node("clean")]})
    run.step()
    for i in range(60):
        run.fail(f"n{i}-1", reason="Error", message="x" * 900)
    assert len(told(run)["failures"]) == 50
    assert max(len(each["message"]) for each in told(run)["failures"]) <= 257


WRONG = [
    ({"nodes": [node("a")], "finally": [node("c", "a")]}, "'c' is of finally"),
    ({"nodes": [node("a", "c")], "finally": [node("c")]}, "'c' is of finally"),
    ({"nodes": [node("a")], "finally": [node("a")]}, "duplicate node id 'a'"),
    ({"nodes": [node("a", condition="nodes.c.status == 'Failed'")], "finally": [node("c")]}, "it runs once"),
    ({"nodes": [node("a", condition="context.c.n")], "finally": [node("c")]}, "it runs once"),
    ({"nodes": [node("a", condition='run.phase == "Failed"')]}, "known only in nodes of finally"),
    ({"nodes": [node("a")], "outputs": {"x": "run.failures"}}, "known only in nodes of finally"),
    ({"nodes": [node("a")], "finally": [node("c", condition="run.fase")]}, "run has no field 'fase'"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "said"), WRONG)
def test_what_is_wrong_is_said(spec, said):
    spec = WorkflowSpec.model_validate(spec)
    assert said in "; ".join(str(each) for each in errors(WorkflowDAG(spec).problems()))
    with pytest.raises(InvalidError):
        Plan.build(spec, workflow_id="w")


def test_they_are_the_last_level_and_never_isolated():
    spec = {"nodes": [node("a"), node("b", "a")], "finally": [node("c"), node("d", "c")]}
    graph = WorkflowDAG(WorkflowSpec.model_validate(spec))
    assert graph.levels() == [["a"], ["b"], ["c"], ["d"]]
    assert graph.entry_points() == ["a"]
    assert graph.validate() == []
