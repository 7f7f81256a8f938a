"""The engine's questions in another process: the same answers come back."""

import orjson
import pytest

from podium.contracts import InputVerdict, OutputVerdict, compile_schema, schema
from podium.engine.verdicts import (
    Answer,
    ConditionQuestion,
    InputQuestion,
    KindQuestion,
    OutputQuestion,
    answer,
)
from podium.expressions import parse
from podium.judge import tasks
from podium.judge.questions import answer_of, dump_question, load_answer, too_expensive
from tests.unit.engine.judged import COSTLY, Judged
from tests.unit.engine.questions_test import SLOW, begun, chooses
from tests.unit.engine.support import node

TEMPLATES = [
    {"name": "X", "value": f"${{{{ {SLOW} }}}}"},
    {"name": "Y", "value": "${{ context.v }} of ${{ run.name }}"},
]
STARTS = [
    node("a", inputContract={"schema": COSTLY, "requiredFields": ["v", "none.there"]}),
    node("a", config={"script": "true", "env": TEMPLATES}, timeoutSeconds=5),
    node("a", condition=SLOW),
    node("a", condition=f"{SLOW} and context.v.x"),
    node("a", condition="4999 in context.big or context.nowhere"),
    chooses(),
    {**chooses(), "cases": [{"when": f"{SLOW} and 1 / 0", "value": "yes"}]},
    {**chooses(), "cases": [{"when": f"not {SLOW}", "value": "yes"}], "default": None},
]
OUTPUTS = [
    ({"v": "aaa", "quality_score": 0.5}, {}),
    ({"v": "b"}, {"produces": ["w"], "qualityThreshold": 0.5}),
    ({"v": "a", "quality_score": 0.25}, {"qualityThreshold": 0.5}),
]


def there_and_back(question):
    body = dump_question(question)
    assert isinstance(orjson.loads(body), dict)
    return load_answer(question, answer_of(body))


@pytest.mark.parametrize("first", STARTS)
def test_a_start_is_answered_as_it_is_here(first):
    (asked,) = begun(first).verdicts.questions
    assert there_and_back(asked) == answer(asked)


@pytest.mark.parametrize(("output", "contract"), OUTPUTS)
def test_an_output_is_answered_as_it_is_here(output, contract):
    run = Judged(node("a", outputContract={"schema": COSTLY, **contract})).step().ok("a-1", output)
    (asked,) = run.verdicts.questions
    assert isinstance(asked, OutputQuestion)
    assert there_and_back(asked) == answer(asked)


def test_what_is_too_expensive_fails_its_node_and_says_why():
    why = "takes more than 2 s"
    condition = ConditionQuestion(1, "a", "a-1", None, "x", {})
    assert f"to evaluate it {why}" in too_expensive(condition, why).error
    kind = KindQuestion(2, "a", "a-1", None, {}, 0.0, is_recorded=False)
    assert f"its expressions {why}" in too_expensive(kind, why).error
    given = InputQuestion(3, "a", "a-1", {}, (), COSTLY, frozenset())
    said = too_expensive(given, why)
    assert isinstance(said, Answer)
    assert isinstance(said.input(), InputVerdict)
    assert f"to check the input {why}" in str(said.input().breaches[0])
    output = OutputQuestion("a", "a-1", {}, (), COSTLY, None, False, "quality_score")
    verdict = too_expensive(output, why)
    assert isinstance(verdict, OutputVerdict)
    assert (verdict.reason, verdict.ok) == ("OutputContract", False)
    assert f"to check the output {why}" in str(verdict.breaches[0])


def test_nothing_is_kept_of_a_large_question():
    parse("1 == 1")
    compile_schema({"type": "object"})
    tasks.forget()
    assert not len(parse)
    assert not len(schema._compiled)
