"""Verdicts about outputs: at once where that is certainly quick, else when they come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.engine import AttemptPhase, Control
from podium.engine.verdicts import InlineVerdicts, OutputQuestion, answer, is_small
from tests.unit.engine.judged import COSTLY, Judged
from tests.unit.engine.support import node


def run_of(schema=COSTLY, **fields):
    contract = {"schema": schema}
    return Judged(node("a", outputContract=contract, **fields), node("b", "a")).step()


@pytest.mark.parametrize(("value", "end"), [("aaa", "Completed"), ("b", "Failed OutputContract")])
def test_a_node_waits_for_its_verdict(value, end):
    run = run_of().ok("a-1", {"v": value})
    assert run.stands("a") == "Running Judging"
    assert run.launched == []
    assert not run.engine.has_recorded_execution("a", "a-1")
    assert run.answered().stands("a") == end
    assert run.engine.has_recorded_execution("a", "a-1")
    assert run.launched == (["b-1"] if end == "Completed" else [])


def test_a_small_question_is_answered_at_once():
    run = run_of({"required": ["v"]}).ok("a-1", {"v": 1})
    assert run.stands("a") == "Completed"
    assert run.verdicts.questions == []


def test_the_time_of_a_program_ends_with_it():
    run = run_of(timeoutSeconds=5).ok("a-1", {"v": "aaa"})
    run.later(60)
    assert run.stands("a") == "Running Judging"
    assert run.answered().state("a").duration_seconds == 0


def test_late_words_about_the_program_change_nothing():
    run = run_of().ok("a-1", {"v": "aaa"})
    run.step(
        run.see("a-1", AttemptPhase.RUNNING), run.see("a-1", AttemptPhase.FAILED, reason="Error")
    )
    assert run.stands("a") == "Running Judging"


def test_a_question_is_asked_again_after_a_crash():
    run = run_of().ok("a-1", {"v": "aaa"}).crash().step()
    assert run.verdicts.questions == []
    run.ok("a-1", {"v": "aaa"})
    assert run.answered().stands("a") == "Completed"


def test_a_verdict_that_comes_too_late_changes_nothing():
    run = run_of().ok("a-1", {"v": "aaa"})
    late = run.verdicts.answers(run)
    run.step(control=Control(cancel=True))
    run.step(*late)
    assert run.stands("a") == "Cancelled RunCancelled"


def test_a_breach_is_retried():
    run = run_of(retryPolicy={"maxAttempts": 2}).ok("a-1", {"v": "b"}).answered()
    assert run.launched == ["a-2"]
    run.ok("a-2", {"v": "a"})
    assert run.answered().stands("a") == "Completed"


def question(output=None, schema=None, **fields):
    facts = {
        "node": "a",
        "execution": "a-1",
        "output": output or {},
        "produces": (),
        "schema": schema,
        "quality_threshold": None,
        "is_own_threshold": False,
        "quality_field": "quality_score",
    }
    return OutputQuestion(**{**facts, **fields})


@pytest.mark.parametrize(
    ("output", "schema", "small"),
    [
        ({"v": list(range(4000))}, None, True),
        ({"v": 1}, {"required": ["v"], "properties": {"v": {"type": "integer"}}}, True),
        ({"v": list(range(4000))}, {"properties": {"v": {"type": "array"}}}, False),
        ({}, {"properties": {f"p{i}": {"type": "string"} for i in range(40)}}, False),
        ({}, COSTLY, False),
        ({}, {"$ref": "#/$defs/x", "$defs": {"x": {}}}, False),
        ({}, {"items": {"items": {"anyOf": [{}, {}]}}}, False),
        ({}, {"uniqueItems": True}, False),
    ],
)
def test_what_is_small_for_certain(output, schema, small):
    assert is_small(question(output, schema)) is small


@given(
    st.recursive(st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_the_rule_takes_any_value(value):
    assert is_small(question({"v": value}, {})) in (True, False)


def test_the_rule_takes_time_for_no_more_than_is_small():
    nested = value = {}
    for _ in range(100_000):
        value["v"] = value = {}
    assert not is_small(question(nested, {}))


def test_inline_verdicts_are_the_verdicts():
    asked = question({"v": "b"}, COSTLY)
    assert InlineVerdicts().ask(asked) == answer(asked)
    assert not answer(asked).ok
