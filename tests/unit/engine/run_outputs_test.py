"""What a run hands over, and whose limits hold for it."""

import json

from podium.api.workflow import WorkflowSpec
from podium.engine import Plan, dump_status
from podium.engine.verdicts import ValueQuestion
from tests.unit.engine.judged import Judged
from tests.unit.engine.support import Run, node

BIG = list(range(5000))
SLOW = "4999 in context.big and context.a.n"
"""Takes more steps than are made at once."""
TEXT = {"text": ["x" * 90] * 600}


def condition(run):
    found = next(c for c in run.engine.status.conditions if c.type == "Succeeded")
    return found.reason, found.message


def test_outputs_are_evaluated_once_all_has_ended():
    run = Run(node("a"), node("b"), outputs={"n": "context.a.n", "b": "nodes.b.status"}).step()
    run.ok("a-1", {"n": 1})
    assert run.engine.status.outputs is None
    run.ok("b-1")
    assert run.engine.status.outputs == {"n": 1, "b": "Completed"}
    assert json.loads(json.dumps(dump_status(run.engine.status)))["outputs"]["n"] == 1


def test_a_run_that_is_reopened_hands_nothing_over_until_its_end():
    run = Run(node("a"), outputs={"n": "context.a.n"}).step().ok("a-1", {"n": 1})
    run.rerun("a")
    assert run.engine.status.outputs is None
    run.ok("a-2", {"n": 2})
    assert run.engine.status.outputs == {"n": 2}


def test_a_number_beyond_64_bits_is_no_output():
    run = Run(node("a"), outputs={"n": "context.a.n * context.a.n"}).step()
    run.ok("a-1", {"n": 2**62})
    assert run.phase == "Failed"
    assert condition(run) == ("Outputs", "outputs.n: is a whole number of more than 64 bits")


def test_what_takes_long_is_answered_beside_the_run_and_asked_again_after_a_crash():
    run = Judged(node("a"), outputs={"quick": "context.a.n", "slow": SLOW}, context={"big": BIG})
    run.step().ok("a-1", {"n": 5})
    assert run.phase == "Running"
    assert [type(each) for each in run.verdicts.questions] == [ValueQuestion]
    run.step()
    assert len(run.verdicts.questions) == 1, "it is asked once"
    run.crash().step()
    assert run.phase == "Running"
    run.answered()
    assert run.phase == "Succeeded"
    assert run.engine.status.outputs == {"quick": 5, "slow": 5}


def test_many_that_take_a_while_are_evaluated_over_several_steps():
    outputs = {f"n{i}": "len(str(context.a.text))" for i in range(50)}
    run = Judged(node("a"), outputs=outputs).step()
    run.ok("a-1", TEXT)
    steps = 0
    while run.phase == "Running":
        assert run.wakes == [run.now], "the rest is due at once"
        run.step()
        steps += 1
    assert steps
    assert len(run.engine.status.outputs) == 50


def test_an_answer_that_comes_after_a_re_run_counts_for_nothing():
    run = Judged(node("a"), outputs={"slow": SLOW}, context={"big": BIG}).step()
    run.ok("a-1", {"n": 1})
    late = run.verdicts.answers(run)
    run.rerun("a")
    run.step(*late)
    assert run.phase == "Running"
    run.ok("a-2", {"n": 2})
    run.answered()
    assert run.engine.status.outputs == {"slow": 2}


def test_limits_are_those_of_the_run_else_of_the_workflow_else_ten():
    nodes = [node(f"n{i}") for i in range(12)]
    for own, of_workflow, expected in [(3, 2, 3), (None, 2, 2), (None, None, 10)]:
        spec = {} if of_workflow is None else {"maxParallel": of_workflow}
        run = Run(*nodes, max_parallel=own, **spec).step()
        assert len(run.launched) == expected
    for own, of_workflow, ended in [(False, True, 0), (None, True, 1), (True, False, 1)]:
        run = Run(*nodes[:2], fail_fast=own, failFast=of_workflow).step().fail("n0-1")
        assert len(run.stopped) == ended


def test_a_newer_definition_brings_its_own_limit():
    run = Run(*(node(f"n{i}") for i in range(4)), max_parallel=None, maxParallel=1).step()
    assert len(run.launched) == 1
    newer = WorkflowSpec.model_validate(
        {"nodes": [node(f"n{i}") for i in range(4)], "maxParallel": 3}
    )
    run.rerun("n0", plan=Plan.build(newer, workflow_id="w"))
    assert run.engine.plan.max_parallel == 3
    assert run.launched == ["n1-1", "n2-1", "n3-1"], "n0 is being stopped"
