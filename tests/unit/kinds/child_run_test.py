"""A node with the executor workflow: what is checked, and what it launches."""

import pytest

from podium import kinds
from podium.api.run import RunPhase
from podium.api.workflow import Node
from podium.engine import AttemptPhase, ChildState, Launch, Observation, observe_child
from podium.kinds import JobShape
from tests.unit.engine.support import Run, node


def child(name="sub", context=None, **fields):
    config = {"workflowRef": {"name": "other"}} | ({"context": context} if context else {})
    return {"id": name, "executor": "workflow", "config": config, **fields}


def problems(**fields):
    checked = Node.model_validate(child() | fields)
    return [str(each) for each in kinds.of(checked).check(checked)]


def test_a_node_without_problems():
    assert not problems()
    limits = {"retryPolicy": {"maxAttempts": 2}, "timeoutSeconds": 5}
    assert not problems(outputContract={"produces": ["a"]}, **limits)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"config": {}}, "config.workflowRef: is missing"),
        ({"config": {"workflowRef": {"name": "${{ context.x }}"}}}, "which Workflow runs is fixed"),
        ({"config": {"workflowRef": {"name": "a"}, "more": 1}}, 'unknown field "more"'),
        ({"pod": {"env": []}}, "pod: a node with the executor workflow runs no program"),
        ({"largeOutput": True}, "largeOutput: a node with the executor workflow runs no program"),
        ({"cases": []}, "only a node of type conditional has it"),
    ],
)
def test_what_is_wrong_is_named(fields, said):
    (found,) = problems(**fields)
    assert said in found


def test_the_context_is_filled_in_and_keeps_its_types():
    sub = child(context={"n": "${{ context.n }}", "deep": [{"s": "v${{ context.n }}"}]})
    run = Run(sub, context={"n": 3}).step()
    (launch,) = run.launches.values()
    assert launch.shape is JobShape.CHILD
    assert launch.config["context"] == {"n": 3, "deep": [{"s": "v3"}]}
    assert launch.config["workflowRef"] == {"name": "other"}


def test_it_takes_no_slot_also_while_it_is_launched():
    run = Run(child("a"), child("b"), node("c"), node("d"), max_parallel=1)
    actions = run.engine.step(run.now)
    assert [each.execution_id for each in actions if isinstance(each, Launch)] == [
        "a-1",
        "b-1",
        "c-1",
    ]


def test_it_has_no_program_of_its_own():
    assert not kinds.runs_program(Node.model_validate(child()))
    assert kinds.runs_program(Node.model_validate(node("a")))


def test_a_child_that_could_not_begin_is_not_tried_again():
    began = ChildState(RunPhase.FAILED, 1.0, 2.0, "NodeFailed", "a")
    never = ChildState(RunPhase.FAILED, None, 2.0, "InvalidContext", "b")
    assert observe_child("a", "a-1", "r", began).retryable
    assert not observe_child("a", "a-1", "r", never).retryable


def test_the_status_names_the_child_of_the_latest_execution():
    run = Run(child(retryPolicy={"maxAttempts": 2})).step()
    seen = Observation("sub", "sub-1", AttemptPhase.RUNNING, job_uid="u1", child_run="r1")
    run.step(seen)
    assert (run.state("sub").child_run, run.state("sub").job_uid) == ("r1", "u1")
    failed = ChildState(RunPhase.FAILED, 1.0, 2.0, "NodeFailed", "a failed")
    run.step(observe_child("sub", "sub-1", "r1", failed, "u1"))
    assert run.launched == ["sub-2"]
    state = ChildState(RunPhase.SUCCEEDED, 3.0, 4.0, outputs={"n": 1})
    run.step(observe_child("sub", "sub-2", "r2", state, "u2"))
    assert (run.state("sub").child_run, run.state("sub").job_uid) == ("r2", "u2")
    assert run.stands("sub") == "Completed"
    assert run.state("sub").output == {"n": 1}
    (before,) = run.state("sub").history
    assert before.message == "its child run failed: NodeFailed: a failed"


def test_what_is_filled_in_is_bounded_although_values_are_shared():
    large = "x" * 50_000
    run = Run(child(context={"all": ["${{ context.v }}"] * 6}), context={"v": {"large": large}})
    run.step()
    assert run.stands("sub") == "Failed ConditionError"
    assert "config.context: what is filled in has more than 262,144" in run.state("sub").message
