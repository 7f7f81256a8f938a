"""What personas spent: on the node, summed on the run, and told once however often it is seen."""

import json

import pytest

from podium.engine import Engine, dump_status, load_status
from podium.executors.outcome import told_usage
from tests.unit.engine.support import Run, node

SPENT = {"promptTokens": 10, "completionTokens": 5, "totalTokens": 15, "calls": 2, "cost": 0.25}


def persona(id="a", *after, **fields):  # noqa: A002
    return node(id, *after, executor="persona", config={"personas": ["p"]}, **fields)


def usage_of(state):
    return state.token_usage and (state.token_usage.total_tokens, state.cost)


def test_the_run_sums_what_its_nodes_spent_and_the_output_is_without_it():
    run = Run(persona("a"), persona("b", "a")).step()
    run.ok("a-1", {"podiumUsage": SPENT, "x": 1}, usage=SPENT)
    assert run.state("a").output == {"x": 1}
    assert usage_of(run.state("a")) == (15, 0.25)
    run.ok("b-1", {"y": 1}, usage={"totalTokens": 1, "calls": 1})
    assert usage_of(run.state("b")) == (1, None)
    assert usage_of(run.engine.status) == (16, 0.25)
    assert run.engine.status.token_usage.calls == 3


def test_failed_attempts_are_charged_too():
    run = Run(persona("a", retryPolicy={"maxAttempts": 2})).step()
    run.fail("a-1", usage=SPENT)
    assert usage_of(run.state("a").history[0]) == (15, 0.25)
    run.crash().later(1)
    run.ok("a-2", {"x": 1}, usage=SPENT)
    assert usage_of(run.state("a")) == (15, 0.25)
    assert usage_of(run.engine.status) == (30, 0.5)


def test_an_end_that_is_seen_again_while_its_output_is_judged_counts_once():
    run = Run(persona("a")).step()
    before = load_status(json.loads(json.dumps(dump_status(run.engine.status))))
    run.ok("a-1", {"x": 1}, usage=SPENT)
    written = run.engine.status
    # What was written while the node still ran: the counts of it and of its run go together.
    before.token_usage, before.cost = written.token_usage, written.cost
    state = before.nodes["a"]
    state.token_usage, state.cost = written.nodes["a"].token_usage, written.nodes["a"].cost
    run.engine = Engine(run.plan, run.engine.info, run.engine.initial_context, before)
    run.ok("a-1", {"x": 1}, usage=SPENT)
    assert run.phase == "Succeeded"
    assert usage_of(run.engine.status) == (15, 0.25)


def test_only_personas_are_believed():
    run = Run(node("a")).step()
    run.ok("a-1", {"podiumUsage": SPENT}, usage=SPENT)
    assert run.state("a").output == {"podiumUsage": SPENT}
    assert run.engine.status.token_usage is None


def test_answers_that_were_given_again_are_never_taken_for_live():
    run = Run(persona("a")).step()
    told = {"calls": 0, "keptAnswers": 2}
    run.ok("a-1", {"x": 1}, usage=told)
    assert run.state("a").warnings == [
        "answers of earlier runs were given again, and no model was asked: 2"
    ]
    run.rerun("a").ok("a-2", {"x": 1}, usage=SPENT)
    assert run.state("a").warnings == []


@pytest.mark.parametrize("wrong", [-1, 1.5, "7", True, 10**20, None, [], float("nan")])
def test_what_is_no_count_counts_for_nothing(wrong):
    run = Run(persona("a")).step()
    run.ok("a-1", usage=dict.fromkeys(["totalTokens", "calls", "evil"], wrong))
    assert run.engine.status.token_usage.total_tokens == 0
    run.rerun("a").ok("a-2", usage={"cost": float("inf")})
    assert run.engine.status.cost is None


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('{"podiumUsage":{"calls":1},"a":1}', {"calls": 1}),
        ('{"podiumUsage":{"calls":1},"a":"cut o', {"calls": 1}),
        ('{"podiumError":{"reason":"Model","message":"m","usage":{"calls":1}}}', {"calls": 1}),
        ('{"podiumError":{"reason":"Model","message":"m"}}', None),
        ('{"podiumUsage":7}', None),
        ('{"podiumUsage":' + "[" * 5000, None),
        ('{"a":1}', None),
        ("", None),
    ],
)
def test_what_a_message_tells(written, told):
    assert told_usage(written) == told
