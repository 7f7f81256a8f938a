"""Maps whose items are child runs: they take no slot, and how many run at a time has a bound."""

import pytest

from podium import kinds
from podium.api.workflow import Node
from podium.engine import Control, Launch, RerunRequest, Stop
from podium.kinds import JobShape
from tests.unit.engine.support import AttemptPhase, Run, node
from tests.unit.kinds.child_run_test import child

LIST = list(range(5))


def each(name="m", **fields):
    return child(name, **{"forEach": "context.list", **fields})


def begun(run):
    """Return what is launched by a step before any answer comes."""
    actions = run.engine.step(run.now)
    return [action.execution_id for action in actions if isinstance(action, Launch)]


def test_an_item_is_launched_as_a_child_run_with_its_item_in_the_context():
    context = {"n": "${{ item.value }}", "of": "${{ item.key }} ${{ index }}"}
    run = Run(each(context=context), context={"list": {"a": [1], "b": [2]}}).step()
    launch = run.launches["m[1]-1"]
    assert launch.shape is JobShape.CHILD
    assert launch.config["context"] == {"n": [2], "of": "b 1"}
    run.step(run.see("m[1]-1", AttemptPhase.RUNNING, child_run="made"))
    run.ok("m[1]-1", {"x": 1}).ok("m[0]-1")
    assert run.stands("m") == "Completed"
    assert run.state("m[1]").child_run == "made"


def test_children_take_no_slot_and_as_many_run_as_the_map_allows():
    run = Run(each(maxParallel=3), node("a"), node("b"), context={"list": LIST}, max_parallel=1)
    assert begun(run) == ["m[0]-1", "m[1]-1", "m[2]-1", "a-1"]
    run.step()
    assert "b-1" not in run.launches
    run.ok("m[1]-1")
    assert run.launched[-1] == "m[3]-1", "although the run has no slot left"
    run.ok("a-1")
    assert run.launched[-1] == "b-1"


def test_without_a_bound_of_its_own_as_many_run_as_of_the_run():
    run = Run(each(), each("n"), context={"list": LIST}, max_parallel=2).step()
    assert run.launched == ["m[0]-1", "m[1]-1", "n[0]-1", "n[1]-1"]
    for index in LIST:
        run.ok(f"m[{index}]-1")
    assert run.stands("m") == "Completed"
    assert run.stands("n") == "Running"


def test_a_try_again_waits_for_room_in_the_map():
    policy = {"maxAttempts": 2, "backoffSeconds": 5}
    run = Run(each(maxParallel=1, retryPolicy=policy), context={"list": LIST}).step()
    run.fail("m[0]-1")
    assert run.launched == ["m[1]-1"]
    run.now += 10
    run.step()
    assert run.launched == []
    run.ok("m[1]-1")
    assert run.launched[-1] == "m[0]-2", "before what has not begun"


def test_a_group_around_does_not_bound_them():
    group = {"id": "g", "type": "parallel_group", "maxParallel": 1}
    run = Run({**group, "nodes": [each(maxParallel=2), node("a"), child("b")]},
              context={"list": LIST})  # fmt: skip
    run.step()
    assert set(run.launched) == {"g.m[0]-1", "g.m[1]-1", "g.a-1", "g.b-1"}


def test_a_thousand_is_the_limit():
    run = Run(each(maxParallel=1), context={"list": [0] * 1000}).step()
    assert run.stands("m") == "Running"
    run = Run(each(), context={"list": [0] * 1001}).step()
    assert run.stands("m") == "Failed TooManyItems"
    assert "1001 items, and 1000 are the limit where each is a child run" in run.state("m").message


def test_a_re_run_of_one_item_makes_another_child_of_it_only():
    run = Run(each(), node("z", "m"), context={"list": [1, 2]}).step()
    run.ok("m[0]-1", {"x": 1}).ok("m[1]-1", {"x": 2}).ok("z-1")
    run.step(requests=[RerunRequest("q", ("m[1]",))])
    assert run.launched[-1] == "m[1]-2"
    run.ok("m[1]-2", {"x": 3})
    outputs = run.launches["z-2"].input["dependencyOutputs"]["m"]
    assert outputs["items"] == [{"x": 1}, {"x": 3}]


def test_a_cancel_stops_the_children_that_run_and_waits_for_them():
    run = Run(each(maxParallel=2), **{"finally": [node("last")]}, context={"list": LIST}).step()
    run.step(control=Control(cancel=True))
    stops = {action.execution_id for action in run.actions if isinstance(action, Stop)}
    assert stops == {"m[0]-1", "m[1]-1"}
    assert "last-1" not in run.launches
    gone = [run.see(each, AttemptPhase.GONE) for each in ("m[0]-1", "m[1]-1")]
    run.step(*gone, control=Control(cancel=True))
    assert run.launched[-1] == "last-1"


def test_what_they_read_of_the_context_is_what_their_config_names():
    run = Run(each(context={"a": "${{ context.a }}"}), context={"list": [], "a": 1})
    assert run.plan.identities["m"].reads == {"list", "a"}


@pytest.mark.parametrize("field", ["pod", "resources", "inputAs"])
def test_fields_of_a_program_are_refused_as_on_a_child_run(field):
    values = {"pod": {"env": []}, "resources": {}, "inputAs": "File"}
    checked = Node.model_validate(each() | {field: values[field]})
    (found,) = kinds.of(checked).check(checked)
    assert "runs no program of its own" in str(found)


def test_while_an_item_is_refused_no_other_one_begins():
    """Else each of a thousand would have a state that says so."""
    run = Run(each(maxParallel=2), context={"list": LIST})
    assert begun(run) == ["m[0]-1", "m[1]-1"]
    refused = {"reason": "OperatorLimit", "retry_after": 5}
    answers = [run.see(f"m[{index}]-1", AttemptPhase.REFUSED, **refused) for index in (0, 1)]
    assert not run.step(*answers).launched
    assert "m[2]" not in run.engine.status.nodes
    run.now += 10
    assert begun(run) == ["m[0]-1", "m[1]-1"]
    run.step(run.see("m[0]-1", AttemptPhase.LAUNCHED)).ok("m[0]-1")
    assert "m[2]" not in run.engine.status.nodes, "another one is still refused"
    run.step(run.see("m[1]-1", AttemptPhase.LAUNCHED))
    assert run.launched == ["m[2]-1"]
    for index in LIST[1:]:
        run.ok(f"m[{index}]-1")
    assert run.stands("m") == "Completed"
