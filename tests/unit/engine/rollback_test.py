"""Rollback: what completed nodes did is undone when the run fails or is cancelled."""

import pytest

from podium.api.problems import errors
from podium.api.run import WorkflowRunSpec
from podium.api.workflow import MAX_NODES, WorkflowSpec
from podium.dag import WorkflowDAG
from podium.engine import (
    AttemptPhase,
    Control,
    Emit,
    Engine,
    Plan,
    RerunRequest,
    RestoreRequest,
    check_start,
    failed_nodes,
)
from tests.unit.engine.support import Run, node

CANCEL = Control(cancel=True)
SUSPEND = Control(suspend=True)
TERMINATE = Control(terminate=True)


def undoable(id, *after, compensation=None, **fields):  # noqa: A002
    undo = {"config": {"script": "true"}, **(compensation or {})}
    return node(id, *after, compensation=undo, **fields)


def chain(*more, **spec):
    """Return a run whose a and b have completed, and whose c runs."""
    run = Run(undoable("a"), undoable("b", "a"), node("c", "b"), *more, **spec).step()
    return run.ok("a-1", {"n": 1}).ok("b-1")


def condition(run, kind="RolledBack"):
    found = [c for c in run.engine.status.conditions if c.type == kind]
    return (found[0].status.value, found[0].reason, found[0].message) if found else None


def test_a_run_without_a_rollback_says_nothing_of_one():
    run = chain().ok("c-1")
    assert run.phase == "Succeeded"
    assert condition(run) is None
    run.engine.take_changes()
    assert run.engine.status.progress == "3/3"
    assert run.stands("a.compensation") == "Skipped NotNeeded"
    assert run.state("a.compensation").execution_count == 0


def test_progress_phase_and_conditions_tell_of_it():
    run = chain()
    run.engine.take_changes()
    assert run.engine.status.progress == "2/3"
    run.fail("c-1", reason="Error")
    assert run.phase == "RollingBack"
    run.engine.take_changes()
    assert run.engine.status.progress == "3/5"
    assert condition(run, "Succeeded")[:2] == ("Unknown", "RollingBack")
    assert condition(run)[:2] == ("Unknown", "RollingBack")
    run.ok("b.compensation-1").ok("a.compensation-1")
    assert run.phase == "Failed"
    assert condition(run, "Succeeded")[:2] == ("False", "NodeFailed")
    assert condition(run)[:2] == ("True", "Completed")


def test_one_sees_what_its_node_saw_its_output_and_the_end():
    run = Run(
        node("first"),
        undoable("a", inputContract={"context": ["kept"]}),
        node("c", "a"),
        edges=[{"from": "first", "to": "a", "dataMapping": {"x.y": "mapped"}}],
        context={"kept": 1, "left": 2},
    )
    run.step().ok("first-1", {"x": {"y": 7}}).ok("a-1", {"n": 3})
    run.fail("c-1", reason="Error", message="no")
    given = run.launches["a.compensation-1"].input
    assert given["nodeId"] == "a.compensation"
    assert given["globalContext"] == {"kept": 1}
    assert given["dependencyOutputs"] == {"a": {"n": 3}, "first": {"x": {"y": 7}}}
    assert given["inputs"] == {"mapped": 7}
    failures = [{"node": "c", "reason": "Error", "message": "no"}]
    assert given["run"] == {"phase": "Failed", "failures": failures}
    assert run.launches["a-1"].input.get("run") is None


def test_it_runs_as_its_node_does_with_its_own_policy():
    own = {"retryPolicy": {"maxAttempts": 3}, "timeoutSeconds": 5, "executor": "container"}
    run = Run(
        undoable(
            "a",
            pod={"labels": {"x": "y"}},
            resources={"limits": {"cpu": "1"}},
            retryPolicy={"maxAttempts": 7},
            timeoutSeconds=9,
            allowFailure=True,
            compensation={**own, "config": {"image": "i"}},
        ),
        undoable("b", timeoutSeconds=9),
        defaults={"timeoutSeconds": 60},
    )
    made = run.plan.nodes["a.compensation"]
    assert (made.retry.max_attempts, made.timeout) == (3, 5)
    assert made.definition.executor == "container"
    assert made.definition.pod.labels == {"x": "y"}
    assert made.definition.resources.limits == {"cpu": "1"}
    assert not made.definition.allow_failure
    other = run.plan.nodes["b.compensation"]
    assert (other.definition.executor, other.timeout) == ("script", 60)


def test_it_begins_when_what_was_stopped_is_gone_or_given_up():
    run = Run(undoable("a"), node("b"), node("c"), fail_fast=True).step().ok("a-1")
    run.fail("b-1", reason="Error")
    assert run.stopped == ["c-1"]
    assert (run.phase, run.launched) == ("Running", [])
    assert condition(run) is None
    run.crash().step(run.see("c-1", AttemptPhase.RUNNING))
    assert (run.phase, run.launched) == ("Running", [])
    run.step(run.see("c-1", AttemptPhase.GONE))
    assert run.launched == ["a.compensation-1"]

    run = Run(undoable("a"), node("b"), node("c"), fail_fast=True).step().ok("a-1")
    run.fail("b-1", reason="Error").later(299)
    assert run.launched == []
    run.later(1)
    assert run.launched == ["a.compensation-1"]


def test_the_next_one_waits_for_a_program_that_was_stopped():
    run = Run(undoable("a"), undoable("b", "a", compensation={"timeoutSeconds": 5}), node("c", "b"))
    run.step().ok("a-1").ok("b-1").fail("c-1", reason="Error")
    run.step(run.see("b.compensation-1", AttemptPhase.RUNNING, started_at=run.now)).later(5)
    assert run.stopped == ["b.compensation-1"]
    assert run.launched == []
    run.crash().step(run.see("b.compensation-1", AttemptPhase.RUNNING))
    assert run.launched == []
    run.step(run.see("b.compensation-1", AttemptPhase.GONE))
    assert run.launched == ["a.compensation-1"]
    run.ok("a.compensation-1")
    assert run.stands("b") == "Completed CompensationFailed"
    assert condition(run) == (
        "False",
        "CompensationFailed",
        "not undone: b.compensation (Timeout)",
    )


def test_a_crash_at_any_moment_changes_nothing():
    def plainly():
        return chain(**{"finally": [node("clean")]}).fail("c-1", reason="Error")

    ends = ["b.compensation-1", "a.compensation-1", "clean-1"]
    for crashes in range(8):
        run = plainly()
        for place, execution in enumerate(ends):
            if crashes >> place & 1:
                run.crash().step(run.see(execution, AttemptPhase.RUNNING))
                assert run.launched == run.stopped == []
            run.ok(execution)
        assert run.phase == "Failed"
        assert run.stands("a") == run.stands("b") == "Completed Compensated"
        assert run.launches["clean-1"].input["run"]["phase"] == "Failed"
        assert condition(run)[0] == "True"


def test_a_launch_that_was_not_written_is_found_again():
    run = chain()
    before = run.engine.status.model_copy(deep=True)
    run.fail("c-1", reason="Error")
    assert run.launched == ["b.compensation-1"]
    run.engine = Engine(run.plan, run.engine.info, run.engine.initial_context, before)
    run.step(
        run.see("c-1", AttemptPhase.FAILED, reason="Error"),
        run.see("b.compensation-1", AttemptPhase.RUNNING),
    )
    assert run.launched == ["b.compensation-1"]
    assert run.stopped == []


def test_a_launch_that_was_not_written_is_found_again_when_the_run_was_suspended_meanwhile():
    run = chain()
    before = run.engine.status.model_copy(deep=True)
    run.fail("c-1", reason="Error")
    assert run.launched == ["b.compensation-1"]
    run.engine = Engine(run.plan, run.engine.info, run.engine.initial_context, before)
    running = run.see("b.compensation-1", AttemptPhase.RUNNING)
    failed = run.see("c-1", AttemptPhase.FAILED, reason="Error")
    run.step(failed, running, control=Control(suspend=True))
    assert run.stopped == []
    run.step(running)
    assert run.launched == ["b.compensation-1"]
    assert run.stopped == []


def test_a_mark_that_was_not_written_is_made_again():
    run = chain(**{"finally": [node("clean")]}).fail("c-1", reason="Error")
    run.ok("b.compensation-1")
    run.state("b").reason = run.state("b").message = ""
    run.crash()
    assert run.stands("b") == "Completed Compensated"


def test_a_suspended_run_neither_begins_one_nor_ends():
    run = chain()
    run.step(run.see("c-1", AttemptPhase.FAILED, reason="Error"), control=SUSPEND)
    assert (run.phase, run.launched) == ("Paused", [])
    assert run.stands("a.compensation") == "Skipped NotNeeded"
    run.crash().later(100, control=SUSPEND)
    assert run.phase == "Paused"
    run.step()
    assert (run.phase, run.launched) == ("RollingBack", ["b.compensation-1"])
    run.step(control=SUSPEND).step(control=SUSPEND)
    assert run.phase == "Paused"
    run.step()
    assert run.phase == "RollingBack"


def test_the_time_out_of_the_run_does_not_bound_it():
    run = chain(timeoutSeconds=50).later(49).fail("c-1", reason="Error").later(5000)
    assert run.phase == "RollingBack"
    assert run.engine.status.deadline is None
    run.ok("b.compensation-1").ok("a.compensation-1")
    assert condition(run, "Succeeded")[1] == "NodeFailed"


@pytest.mark.parametrize(
    ("policy", "after_failure", "after_cancel"),
    [
        ("OnFailure", True, False),
        ("OnCancel", False, True),
        ("Always", True, True),
        ("Never", False, False),
    ],
)
def test_the_policy_says_after_which_end(policy, after_failure, after_cancel):
    run = chain(rollback=policy).fail("c-1", reason="Error")
    assert (run.phase == "RollingBack") is after_failure
    run = chain(rollback=policy).step(control=CANCEL)
    run.step(run.see("c-1", AttemptPhase.GONE), control=CANCEL)
    assert (run.phase == "RollingBack") is after_cancel
    run = chain(rollback=policy).step(control=TERMINATE)
    assert run.phase == "Cancelled"
    assert run.launched == []


def test_a_failed_node_of_finally_begins_none():
    run = chain(**{"finally": [node("clean")]}).ok("c-1").fail("clean-1", reason="Error")
    assert run.phase == "Failed"
    assert run.stands("a.compensation") == "Skipped NotNeeded"


def test_fail_fast_and_a_cancel_stop_no_compensation():
    run = Run(undoable("a"), undoable("b"), node("c"), fail_fast=True).step().ok("a-1").ok("b-1")
    run.fail("c-1", reason="Error")
    assert run.launched == ["b.compensation-1", "a.compensation-1"]
    run.fail("b.compensation-1", reason="Error").step(control=CANCEL)
    assert run.stopped == []
    assert run.stands("a.compensation") == "Running"
    run.step(run.see("a.compensation-1", AttemptPhase.SUCCEEDED), control=CANCEL)
    assert run.phase == "Failed"


def test_terminate_stops_what_runs_of_it():
    run = chain(**{"finally": [node("clean")]}).fail("c-1", reason="Error")
    run.step(control=TERMINATE)
    assert run.stopped == ["b.compensation-1"]
    assert run.phase == "Cancelled"
    assert condition(run)[:2] == ("False", "CompensationFailed")
    assert run.stands("a") == "Completed"
    assert run.stands("b") == "Completed CompensationFailed"
    run.step(run.see("b.compensation-1", AttemptPhase.GONE))
    run.rerun("c", cascade=False)
    assert run.launched == ["b-2"], "a was not undone"


def test_requests_wait_for_the_end_of_the_run():
    run = chain().fail("c-1", reason="Error")
    request = RerunRequest("q1", ("c",))
    run.step(requests=[request])
    assert run.engine.status.handled_requests == []
    run.ok("b.compensation-1")
    run.step(run.see("a.compensation-1", AttemptPhase.SUCCEEDED), requests=[request])
    assert run.phase == "Failed"
    assert run.wakes == [run.now]
    run.step(requests=[request])
    assert run.launched == ["a-2"]
    assert condition(run) is None
    assert run.stands("a.compensation") == "Skipped NotNeeded"
    assert [r.status.value for r in run.state("a.compensation").history] == ["Completed"]


def test_a_second_rollback_goes_on_counting_executions():
    run = chain().fail("c-1", reason="Error").ok("b.compensation-1").ok("a.compensation-1")
    run.rerun("c").ok("a-2").ok("b-2").fail("c-2", reason="Error")
    assert run.launched == ["b.compensation-2"]
    run.ok("b.compensation-2").ok("a.compensation-2")
    assert condition(run)[0] == "True"


def test_a_rerun_of_a_compensation_is_refused():
    run = chain().fail("c-1", reason="Error").ok("b.compensation-1").ok("a.compensation-1")
    run.rerun("a.compensation")
    (refused,) = [action for action in run.actions if isinstance(action, Emit)]
    assert refused.message == "a.compensation is a compensation: name its node, which runs again"
    assert run.launched == []
    assert run.phase == "Failed"


def test_what_was_undone_is_among_what_failed():
    run = chain().fail("c-1", reason="Error").ok("b.compensation-1")
    run.fail("a.compensation-1", reason="Error")
    assert failed_nodes(run.plan, run.engine.status) == ["c", "a", "b"]


def test_a_newer_definition_without_compensations_runs_again_what_was_undone():
    run = chain().fail("c-1", reason="Error").ok("b.compensation-1").ok("a.compensation-1")
    spec = {"nodes": [node("a"), node("b", "a"), node("c", "b")]}
    newer = Plan.build(WorkflowSpec.model_validate(spec), workflow_id="w")
    run.rerun("c", plan=newer, initial_context={})
    assert run.launched == ["a-2"]
    assert "a.compensation" not in run.engine.status.nodes
    assert condition(run) is None
    run.ok("a-2").ok("b-2").ok("c-2")
    assert run.phase == "Succeeded"


def test_a_newer_definition_with_a_compensation_runs_nothing_again_for_it():
    run = Run(node("a"), node("c", "a")).step().ok("a-1").fail("c-1", reason="Error")
    spec = {"nodes": [undoable("a"), node("c", "a")]}
    newer = Plan.build(WorkflowSpec.model_validate(spec), workflow_id="w")
    run.rerun(plan=newer, initial_context={}, failed=True)
    assert run.launched == ["c-2"]
    assert run.stands("a.compensation") == "Skipped NotNeeded"
    run.fail("c-2", reason="Error")
    assert run.launched == ["a.compensation-1"]


def test_a_newer_definition_without_compensations_ends_the_wait_for_a_rollback():
    run = Run(undoable("a"), node("b"), node("c"), fail_fast=True).step().ok("a-1")
    run.fail("b-1", reason="Error")
    assert run.phase == "Running", "c is not gone"
    spec = {"nodes": [node("a"), node("b"), node("c")]}
    newer = Plan.build(WorkflowSpec.model_validate(spec), workflow_id="w")
    run.rerun("b", plan=newer, initial_context={}).fail("b-2", reason="Error")
    assert run.phase == "Failed"


def test_a_restore_during_a_rollback_waits_and_runs_again_what_was_undone():
    run = chain().fail("c-1", reason="Error")
    request = RestoreRequest("q1", 1)
    run.step(requests=[request])
    run.ok("b.compensation-1").ok("a.compensation-1").step(requests=[request])
    assert run.launched == ["a-2"]


def test_a_rerun_waits_for_a_compensation_that_is_being_stopped():
    run = Run(undoable("a", compensation={"timeoutSeconds": 5}), node("b"), node("c", "a"))
    run.step().ok("a-1").ok("b-1").fail("c-1", reason="Error")
    run.step(run.see("a.compensation-1", AttemptPhase.RUNNING, started_at=run.now)).later(5)
    assert run.phase == "Failed"
    run.rerun("c", "b")
    assert run.launched == ["b-2"], "a is being undone"
    run.step(run.see("a.compensation-1", AttemptPhase.GONE))
    assert run.launched == ["a-2"]


def test_nodes_of_finally_get_the_outputs_of_undone_nodes_and_not_of_compensations():
    run = chain(**{"finally": [node("clean")]}).fail("c-1", reason="Error")
    run.ok("b.compensation-1", {"undone": True}).ok("a.compensation-1")
    assert run.launched == ["clean-1"]
    assert run.launches["clean-1"].input["dependencyOutputs"] == {"b": {}, "a": {"n": 1}}
    assert run.phase == "Running"
    run.ok("clean-1")
    assert run.phase == "Failed"


def test_one_whose_config_cannot_be_filled_in_fails_and_the_others_go_on():
    bad = {"config": {"script": "true", "env": [{"name": "X", "value": "${{ context.gone }}"}]}}
    run = Run(undoable("a"), undoable("b", "a", compensation=bad), node("c", "b"))
    run.step().ok("a-1").ok("b-1").fail("c-1", reason="Error")
    assert run.stands("b.compensation") == "Failed ConditionError"
    assert run.launched == ["a.compensation-1"]


def test_a_part_takes_the_compensations_of_its_nodes():
    spec = {"nodes": [undoable("a"), undoable("b", "a")]}
    plan = Plan.build(WorkflowSpec.model_validate(spec), workflow_id="w")
    wrong = WorkflowRunSpec(workflow_spec=plan.spec, only=["a.compensation"])
    assert "is a compensation: name its node" in str(check_start(plan, wrong)[0])
    # Of what is left out no context key is demanded, of the compensations of a part it is.
    keys = {"config": {"script": "true", "env": [{"name": "X", "value": "${{ context.key }}"}]}}
    spec = {"nodes": [undoable("a", compensation=keys), undoable("b", "a")]}
    plan = Plan.build(WorkflowSpec.model_validate(spec), workflow_id="w")
    only = [WorkflowRunSpec(workflow_spec=plan.spec, only=[each]) for each in ("a", "b")]
    assert [len(check_start(plan, each)) for each in only] == [1, 0]


def test_large_outputs_are_handed_to_a_compensation():
    plan = Run(undoable("a", largeOutput=True), undoable("b", "a"), undoable("c")).plan
    assert plan.given_large == {"a.compensation", "b", "b.compensation"}


def test_compensations_count_toward_the_limit_of_nodes():
    nodes = [undoable(f"n{i}") for i in range(MAX_NODES // 2 + 1)]
    found = errors(WorkflowDAG(WorkflowSpec.model_validate({"nodes": nodes})).problems())
    assert "5,002 nodes with their compensations" in str(found[0])


def test_a_compensation_with_a_path_that_is_too_long_is_refused():
    made = undoable("i" * 62)
    for name in ("h" * 62, "g" * 62):
        made = {"id": name, "type": "parallel_group", "nodes": [made]}
    (found,) = errors(WorkflowDAG(WorkflowSpec.model_validate({"nodes": [made]})).problems())
    place = "spec.nodes[0].nodes[0].nodes[0].compensation"
    assert str(found).startswith(f"{place}: its path has 201 characters, and 200 is the limit")


def test_only_nodes_of_finally_read_how_a_compensation_stands():
    last = node("clean", condition="nodes['a.compensation'].status == 'Completed'")
    spec = {"nodes": [undoable("a")], "finally": [last]}
    assert not errors(WorkflowDAG(WorkflowSpec.model_validate(spec)).problems())
    wrong = node("b", "a", condition="nodes['a.compensation'].status == 'Completed'")
    spec = {"nodes": [undoable("a"), wrong]}
    found = errors(WorkflowDAG(WorkflowSpec.model_validate(spec)).problems())
    assert "it runs once all others have ended" in str(found[0])


def test_a_restore_puts_no_execution_in_place_that_was_undone_before():
    run = chain().fail("c-1")
    version = run.engine.status.context_version
    run.ok("b.compensation-1").ok("a.compensation-1")
    run.rerun("c").ok("a-2", {"n": 2}).ok("b-2").ok("c-2")
    assert run.phase == "Succeeded"
    run.step(requests=[RestoreRequest("q2", version)])
    assert run.launched == ["a-3"]  # a-1 was undone
    assert run.stands("b") == "WaitingForDependencies"


def test_a_restore_puts_no_execution_in_place_that_was_undone_after_another_restore():
    run = Run(undoable("a"), node("c", "a")).step().ok("a-1", {"n": 1}).fail("c-1")
    run.ok("a.compensation-1").rerun("c").ok("a-2").ok("c-2")
    version = run.engine.status.context_version - 1  # a-2 has completed, c-2 has not
    run.rerun("a", id="q2").ok("a-3").ok("c-3")
    run.step(requests=[RestoreRequest("q3", version)])
    assert run.launched == ["c-4"]
    run.fail("c-4").ok("a.compensation-2")
    assert run.stands("a") == "Completed Compensated"
    run.rerun("c", id="q4").ok("a-4").ok("c-5")
    run.step(requests=[RestoreRequest("q5", version)])
    assert run.launched == ["a-5"]
