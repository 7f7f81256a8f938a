"""What is asked before a node starts: contracts and expressions that are not small."""

import pickle

import pytest

from podium.engine import Control, RerunRequest
from podium.engine.verdicts import InputQuestion, answer, is_small, read_by
from podium.expressions import parse
from podium.expressions.evaluator import Evaluation
from tests.unit.engine.judged import COSTLY, Judged
from tests.unit.engine.support import Run, node

BIG = list(range(5000))
SLOW = "4999 in context.big"
"""True where the context has BIG, after more steps than are made at once."""
CONTRACT = {"inputContract": {"schema": COSTLY}}
TEMPLATE = {"config": {"script": "true", "env": [{"name": "X", "value": f"${{{{ {SLOW} }}}}"}]}}
CONDITION = {"condition": SLOW}
CASES = {"type": "conditional", "cases": [{"when": SLOW, "value": "yes"}], "default": "no"}


def chooses():
    return {"id": "a", **CASES}


SLOW_STARTS = [
    pytest.param(node("a", **CONTRACT), "Ready Judging", id="input"),
    pytest.param(node("a", **TEMPLATE), "Ready Judging", id="template"),
    pytest.param(node("a", **CONDITION), "WaitingForDependencies Judging", id="condition"),
    pytest.param(chooses(), "Ready Judging", id="cases"),
]


def begun(first, **context):
    return Judged(first, node("b", "a"), context={"big": BIG, "v": "aaa", **context}).step()


@pytest.mark.parametrize(("first", "stands"), SLOW_STARTS)
def test_a_node_waits_for_the_answer_before_it_starts(first, stands):
    run = begun(first)
    assert (run.stands("a"), run.launched) == (stands, [])
    assert run.state("a").message
    assert run.step().stands("a") == stands
    assert len(run.verdicts.questions) == 1, "a question is asked once"
    run.answered()
    if "cases" in first:
        assert run.state("a").output == {"route": "yes"}
    else:
        assert run.launched == ["a-1"]
        assert run.stands("a") == "Running"
    assert run.state("a").execution_id == "a-1"


@pytest.mark.parametrize(("first", "stands"), SLOW_STARTS)
def test_what_is_asked_is_asked_again_after_a_crash(first, stands):
    run = begun(first)
    run.crash().step()
    assert run.stands("a") == stands
    assert len(run.verdicts.questions) == 1
    run.step(*run.verdicts.answers(run))
    assert run.state("a").execution_id == "a-1"


@pytest.mark.parametrize(("first", "stands"), SLOW_STARTS)
def test_an_answer_after_a_cancel_changes_nothing(first, stands):
    run = begun(first)
    late = run.verdicts.answers(run)
    run.step(control=Control(cancel=True))
    assert (run.phase, run.stopped) == ("Cancelled", [])
    run.step(*late)
    assert run.stands("a") == "Cancelled RunCancelled"
    assert run.launched == []


@pytest.mark.parametrize(("first", "stands"), SLOW_STARTS)
def test_an_answer_for_a_context_that_was_edited_since_is_not_used(first, stands):
    run = begun(first, v="b", big=[1, *BIG[:-1]])
    late = run.verdicts.answers(run)
    run.rerun("a", context={"big": BIG, "v": "aaa"})
    run.step(*late)
    assert run.stands("a") == stands
    run.answered()
    assert run.state("a").execution_id == "a-1"
    assert run.state("a").status in ("Running", "Completed")
    assert run.state("a").output in (None, {"route": "yes"})


@pytest.mark.parametrize(
    ("first", "end"),
    [
        (node("a", **CONTRACT), "Failed InputContract"),
        (node("a", **TEMPLATE), "Failed ConditionError"),
        (node("a", condition="4998 in context.big and context.big.x"), "Failed ConditionError"),
        (node("a", condition="4999 in context.big"), "Skipped ConditionFalse"),
        ({**chooses(), "default": None}, "Failed NoCase"),
    ],
)
def test_what_the_answer_refuses_is_as_if_it_had_been_said_at_once(first, end):
    context = {"v": "b", "big": BIG[:-1]}
    if first.get("config", {}).get("env"):
        first = {
            **first,
            "config": {
                "script": "true",
                "env": [{"name": "X", "value": f"${{{{ {SLOW} or context.big.x }}}}"}],
            },
        }
    run = begun(first, **context)
    assert run.stands("a").endswith("Judging")
    run.answered()
    assert run.stands("a") == end
    at_once = Run(first, node("b", "a"), context={"big": BIG, **context}).step()
    assert run.state("a").message == at_once.state("a").message
    assert run.state("a").execution_id == at_once.state("a").execution_id
    assert run.stands("b") == at_once.stands("b")
    assert run.phase == at_once.phase == ("Succeeded" if end.startswith("Skipped") else "Failed")


def edges_judged(rule="NoneFailedMinOneSuccess"):
    slow = [{"from": each, "to": "c", "condition": SLOW} for each in ("a", "b")]
    run = Judged(
        node("a"), node("b"), node("c", triggerRule=rule), edges=slow, context={"big": BIG}
    )
    return run.step().ok("a-1")


def test_conditions_of_edges_are_judged_one_by_one():
    run = edges_judged()
    assert run.stands("c") == "WaitingForDependencies Judging"
    run.answered()
    assert run.stands("c") == "WaitingForDependencies", "b has not ended"
    run.ok("b-1")
    assert run.stands("c") == "WaitingForDependencies Judging"
    assert run.answered().launched == ["c-1"]


def test_a_join_that_needs_one_edge_does_not_wait_for_the_others_answer():
    run = edges_judged("OneSuccess").ok("b-1")
    first, second = run.verdicts.answers(run)
    assert run.step(second).launched == ["c-1"]
    assert run.step(first).launched == []
    assert run.stands("c") == "Running"


def test_edges_are_judged_again_after_a_crash():
    run = edges_judged().ok("b-1").crash().step()
    assert run.stands("c") == "WaitingForDependencies Judging"
    assert run.answered().launched == ["c-1"]


def test_a_node_that_is_judged_takes_no_slot():
    run = Judged(node("a", **TEMPLATE), node("b"), context={"big": BIG}, max_parallel=1).step()
    assert run.launched == ["b-1"]
    run.answered()
    assert (run.stands("a"), run.launched) == ("Ready", [])
    assert run.ok("b-1").launched == ["a-1"]


def test_a_suspended_run_starts_nothing_that_was_judged():
    run = begun(node("a", **TEMPLATE))
    answers = run.verdicts.answers(run)
    run.step(*answers, control=Control(suspend=True))
    assert (run.launched, run.stands("a")) == ([], "Ready")
    assert run.step().launched == ["a-1"]


def test_small_expressions_and_inputs_are_answered_at_once():
    small = {
        "condition": "1 in context.big",
        **TEMPLATE,
        "inputContract": {"requiredFields": ["v"]},
    }
    small["config"] = {"script": "true", "env": [{"name": "X", "value": "${{ context.v }}"}]}
    run = begun(node("a", **small))
    assert run.launched == ["a-1"]
    assert run.verdicts.questions == []


def test_a_move_to_a_newer_definition_asks_again():
    run = begun(node("a", **CONDITION))
    late = run.verdicts.answers(run)
    newer = Run(node("a", title="new", **CONDITION), node("b", "a"), context={"big": BIG}).plan
    run.plan = newer
    run.step(requests=[RerunRequest("q", (), plan=newer)])
    run.step(*late)
    assert run.answered().launched == ["a-1"]


def test_a_question_holds_all_that_is_read_and_nothing_else():
    run = begun(node("a", condition=f"{SLOW} and default(context.no, run.name) == 'run'"))
    (asked,) = run.verdicts.questions
    assert asked.scope == {"context": {"big": BIG}, "run": {**asked.scope["run"], "name": "run"}}
    assert set(asked.scope["run"]) == {"name"}


@pytest.mark.parametrize(("first", "stands"), SLOW_STARTS)
def test_a_question_can_be_asked_of_another_process(first, stands):
    run = begun(first)
    (asked,) = run.verdicts.questions
    there = pickle.loads(pickle.dumps(asked))
    assert there == asked
    assert pickle.loads(pickle.dumps(answer(there))) == answer(asked)


@pytest.mark.parametrize(
    ("condition", "keys"),
    [
        ("context.v == 'x' and context.w.x", {"v"}),
        ("context[context.v]", {"v", "big", "none"}),
        ("'v' in context", {"v", "big", "none"}),
        ("exists(context.none)", {"none"}),
    ],
)
def test_what_a_condition_reads(condition, keys):
    scope = {"context": {"v": 1, "big": 2, "none": None}}
    assert set(read_by(parse(condition).references, scope)["context"]) == keys


@pytest.mark.parametrize(
    ("fields", "schema", "small"),
    [
        ((), None, True),
        (("a.b",), {"required": ["a"]}, True),
        (tuple(f"f{i}" for i in range(5000)), None, False),
        ((), COSTLY, False),
    ],
)
def test_which_inputs_are_small(fields, schema, small):
    asked = InputQuestion(1, "a", "a-1", {"a": {"b": 1}}, fields, schema, frozenset())
    assert is_small(asked) is small


def test_what_was_asked_is_not_evaluated_again_beside_the_answer(monkeypatch):
    """Each try takes milliseconds before it is given up, and each step would make one."""
    tried = []
    spend = Evaluation.spend

    def counted(self, steps=1):
        tried.append(steps)
        spend(self, steps)

    monkeypatch.setattr(Evaluation, "spend", counted)
    run = begun(node("a", **CONDITION))
    first = len(tried)
    for _ in range(5):
        run.engine._run.questions.changed.append("a")
        run.step()
    assert (len(tried), len(run.verdicts.questions)) == (first, 1)
    run.answered()
    assert run.launched == ["a-1"]
