"""Nodes whose executor is a resource: what is judged, launched, failed, and the same."""

import pytest

from podium.api.workflow import WorkflowSpec
from podium.engine import Plan
from podium.engine.verdicts import KindQuestion, answer
from podium.judge.questions import answer_of, dump_question, load_answer
from tests.unit.engine.judged import Judged
from tests.unit.engine.support import Run, node

SAY = {
    "config": {"properties": {"word": {"type": "string", "default": "x"}}},
    "template": {"spec": {"containers": [{"name": "node", "image": "say"}]}},
    "command": ["say", "${{ config.word }}", "${{ node.executionId }}"],
}
COSTLY = {"properties": {"word": {"type": "string", "pattern": "^(a|a)*$"}}}
NUMBER = {"properties": {"word": {"type": "integer"}}}
MANY = {"command": ["${{ " + " + ".join(["1"] * 40) + " }}"] * 40}
"""Small to write, and more steps than are made at once."""


def say(id="a", *after, **fields):  # noqa: A002
    return node(id, *after, **{"executor": "say", "config": {"word": "hi"}, **fields})


def test_it_is_launched_with_its_template_filled_in():
    run = Run(say(), executors={"say": SAY}).step()
    launch = run.launches["a-1"]
    assert launch.config == {"word": "hi"}
    assert launch.template["command"] == ["say", "hi", "a-1"]


@pytest.mark.parametrize("executor", [{**SAY, "config": COSTLY}, {**SAY, **MANY}])
def test_what_may_take_long_is_asked_and_answered_elsewhere_as_here(executor):
    run = Judged(say(config={"word": "aaa"}), executors={"say": executor}).step()
    (asked,) = run.verdicts.questions
    assert isinstance(asked, KindQuestion)
    assert load_answer(asked, answer_of(dump_question(asked))) == answer(asked)
    assert run.launches == {}
    run.answered()
    assert run.launches["a-1"].template["template"] == executor["template"]


@pytest.mark.parametrize("executor", [{**SAY, "config": NUMBER}, {**SAY, "config": COSTLY}])
def test_a_config_that_breaks_the_schema_fails_for_good(executor):
    first = say(config={"word": "${{ context.word }}"}, retryPolicy={"maxAttempts": 3})
    run = Judged(first, node("b", "a"), executors={"say": executor}, context={"word": "b"}).step()
    if run.verdicts.questions:
        run.answered()
    state = run.state("a")
    assert (state.status, state.reason) == ("Failed", "Config")
    assert "config.word" in state.message
    assert state.execution_id == "a-1"
    assert run.launches == {}
    assert run.state("b").reason == "UpstreamFailed"


def test_latest_compares_what_an_executor_does():
    def identity(**change):
        spec = WorkflowSpec.model_validate(
            {"nodes": [say()], "executors": {"say": {**SAY, **change}}}
        )
        return Plan.build(spec, workflow_id="w").identities["a"].digest

    assert identity(title="Says", icon="x", description="y") == identity()
    assert identity(command=["say"]) != identity()
    assert identity(config={"additionalProperties": True}) != identity()
