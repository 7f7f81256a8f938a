"""Budgets: every attempt is charged, and a call that would pass a limit is not made."""

import pytest

from podium.personas.document import Limits, Model
from podium.personas.errors import PersonaError
from podium.personas.usage import Budget, Charge, Usage
from tests.unit.personas.model_server import Turn, fails, model, says
from tests.unit.personas.nodes import work

PRICES = {"prices": {"input": 2.0, "output": 10.0}}


def test_cost_is_counted_by_the_prices_cached_tokens_by_theirs(tmp_path):
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "prompt_tokens_details": {"cached_tokens": 400},
    }
    prices = {"prices": {"input": 2.0, "output": 10.0, "cachedInput": 0.5}}
    with model(says({}, usage=usage)) as server:
        done = work(tmp_path, server.url, model=prices)
    assert done.usage["cost"] == pytest.approx((600 * 2 + 400 * 0.5 + 100 * 10) / 1e6)
    assert done.usage["cachedTokens"] == 400


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": -5, "completion_tokens": 1}, {"prompt_tokens": "1"}, "x"]
)
def test_what_a_server_does_not_count_is_estimated_from_above(tmp_path, usage):
    with model(says({"a": "b"}, usage=usage)) as server:
        done = work(tmp_path, server.url)
    assert done.usage["unmeasuredCalls"] == 1
    assert done.usage["promptTokens"] > 100


def test_failed_attempts_and_answers_that_are_not_accepted_are_charged(tmp_path):
    cut = Turn(says({}).body, cut=20)
    with model(cut, fails(503), says("no"), says({"a": 1})) as server:
        done = work(tmp_path, server.url)
    assert len(server.asked) == 4
    assert (done.usage["calls"], done.usage["unmeasuredCalls"]) == (4, 1)
    assert done.usage["completionTokens"] == 20


def test_a_call_that_would_pass_the_limit_of_tokens_is_not_made(tmp_path):
    with model(says("no", usage={"prompt_tokens": 900, "completion_tokens": 60})) as server:
        done = work(tmp_path, server.url, limits={"tokens": 1000})
    assert (done.reason, len(server.asked)) == ("Budget", 1)
    assert "limits.tokens: 1,000: 40 are left" in str(done.error)
    assert done.usage["totalTokens"] == 960
    assert server.asked[0]["max_tokens"] < 1000, "the answer may not pass it, either"


def test_a_call_that_would_pass_the_limit_of_cost_is_not_made(tmp_path):
    spent = {"prompt_tokens": 1000, "completion_tokens": 790}
    with model(says("no", usage=spent)) as server:
        done = work(tmp_path, server.url, model=PRICES, limits={"cost": 0.01})
    assert (done.reason, len(server.asked)) == ("Budget", 1)
    assert done.usage["cost"] == pytest.approx(0.0099)
    assert server.asked[0]["max_tokens"] < 1000


def test_a_limit_of_cost_needs_prices(tmp_path):
    with model(says({})) as server:
        done = work(tmp_path, server.url, limits={"cost": 0.01})
    assert (done.reason, server.asked) == ("Config", [])
    assert "has no prices" in str(done.error)


def test_a_persona_has_a_budget_of_its_own(tmp_path):
    personas = {"p": {"limits": {"tokens": 10}}, "q": {}}
    with model(says({"a": 1})) as server:
        done = work(tmp_path, server.url, personas=personas)
    assert done.reason == "Budget"
    assert "p: persona p: limits.tokens: 10" in str(done.error)


def test_members_side_by_side_share_what_is_left():
    of = Model("m", "http://x")
    budget = Budget(Limits(tokens=3000), "")
    budget.sharers = 3
    for _ in range(3):
        room = budget.room(of, 100)
        assert room == 900
        budget.reserve(of, 100, room)
    with pytest.raises(PersonaError, match="tokens: 3,000"):
        budget.room(of, 100)


def test_what_was_set_aside_is_given_back():
    of = Model("m", "http://x", prices={"input": 1, "output": 1})
    budget = Budget(Limits(tokens=1000, cost=1), "")
    reserved = budget.reserve(of, 100, 900)
    budget.settle(of, reserved, Charge(50, 50))
    assert budget.room(of, 0) == 900


def test_several_models_are_counted_apart():
    usage = Usage()
    usage.count(Model("m", "http://x"), Charge(1, 2))
    assert "models" not in usage.dump()
    usage.count(Model("n", "http://x", prices={"output": 1e6}), Charge(3, 4))
    made = usage.dump()
    assert (made["totalTokens"], made["cost"]) == (10, 4)
    assert made["models"]["n"] == {
        "calls": 1,
        "promptTokens": 3,
        "completionTokens": 4,
        "totalTokens": 7,
        "cost": 4,
    }
