"""A run whose larger questions go to workers, as the operator has it."""

import asyncio

import pytest

from podium.engine import Engine, WakeAt
from podium.engine.questions import DECISION_STEPS, STEP_FUEL, Questions
from podium.engine.verdicts import InlineVerdicts
from podium.judge.pool import StarvedError
from podium.judge.verdicts import PooledVerdicts
from tests.unit.engine.questions_test import BIG, CONDITION, CONTRACT, TEMPLATE, chooses
from tests.unit.engine.support import Run, node
from tests.unit.judge.pool_test import running

EMPTY = [[] for _ in range(20_000)]
HIDDEN = {"additionalProperties": {"anyOf": [{"pattern": "^(a|a)*$"}, {}]}}
"""A bad pattern inside anyOf: each string takes as long as a pattern may."""
LONG = {f"k{i}": "a" * 40 + "!" for i in range(60)}


def doubling(times):
    doubled = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(times)}
    return {"$defs": {**doubled, f"d{times}": {}}, "$ref": "#/$defs/d0"}


class Pooled(Run):
    """A run that asks a pool."""

    def begin(self, pool):
        self.seen, self.told = [], asyncio.Event()
        verdicts = PooledVerdicts(pool, "team", self.take)
        engine = self.engine
        self.engine = Engine(
            self.plan, engine.info, engine.initial_context, engine.status, verdicts
        )
        return self

    def take(self, seen):
        self.seen.append(seen)
        self.told.set()

    async def answered(self):
        await self.told.wait()
        self.told.clear()
        seen, self.seen = self.seen, []
        return self.step(*seen)


@pytest.mark.parametrize(
    "first",
    [node("a", **CONTRACT), node("a", **TEMPLATE), node("a", **CONDITION), chooses()],
    ids=["input", "template", "condition", "cases"],
)
async def test_what_is_larger_is_answered_by_a_worker(first):
    async with running(seconds=20) as pool:
        run = Pooled(first, context={"big": BIG, "v": "aaa"}).begin(pool).step()
        assert run.stands("a").endswith("Judging")
        await run.answered()
        assert run.state("a").execution_id == "a-1"
        assert pool.answered == 1


async def test_a_machine_that_is_too_busy_for_workers_fails_no_node(monkeypatch):
    async with running(seconds=20) as pool:
        ask, asked = pool.ask, []

        async def busy(*question, **options):
            asked.append(question)
            if len(asked) < 3:
                raise StarvedError("a worker got less than 20 s of the processor in 400 s")
            return await ask(*question, **options)

        monkeypatch.setattr(pool, "ask", busy)
        run = Pooled(node("a", **CONDITION), context={"big": BIG, "v": "aaa"}).begin(pool).step()
        await run.answered()
        assert run.state("a").execution_id == "a-1"
        assert (len(asked), pool.answered) == (3, 1)


async def test_what_is_small_needs_no_worker():
    async with running() as pool:
        condition = {"condition": "context.v == 'aaa'"}
        run = Pooled(node("a", **condition), context={"v": "aaa"}).begin(pool).step()
        assert run.launched == ["a-1"]
        assert (pool.answered, pool.waiting) == (0, 0)


@pytest.mark.parametrize(
    ("schema", "output"), [(HIDDEN, LONG), (doubling(25), {"v": 1})], ids=["pattern", "references"]
)
async def test_a_contract_that_takes_too_long_fails_its_node(schema, output):
    contract = {"outputContract": {"schema": schema}}
    async with running(seconds=0.1) as pool:
        run = Pooled(node("a", **contract), node("b", "a")).begin(pool).step()
        run.ok("a-1", output)
        assert run.stands("a") == "Running Judging"
        await run.answered()
    assert run.stands("a") == "Failed OutputContract"
    said = run.state("a").message
    assert "takes more than 0.1 s" in said or "references" in said


async def test_an_input_that_takes_too_long_fails_its_node():
    contract = {"inputContract": {"schema": HIDDEN}}
    async with running(seconds=0.1) as pool:
        run = Pooled(node("a", **contract), context=LONG).begin(pool).step()
        await run.answered()
        assert pool.over_budget == 1
    assert run.stands("a") == "Failed InputContract"
    assert "takes more than 0.1 s" in run.state("a").message


async def test_conditions_full_of_texts_of_a_large_value_cost_what_they_touch():
    """64 of them would have taken 25 ms each, and counted as one step each."""
    condition = f"[{','.join(['str(context.b)'] * 64)}] == 0"
    many = [node(f"n{i}", condition=condition) for i in range(3)]
    async with running(seconds=20) as pool:
        run = Pooled(*many, context={"b": EMPTY}).begin(pool).step()
        while run.phase == "Running":
            await run.answered()
        assert pool.answered == 3
    assert run.stands("n0") == "Failed ConditionError"
    assert "more than 10000 steps" in run.state("n0").message


def wide(count, **fields):
    return [node(f"n{i}", **fields) for i in range(count)]


class Bounded(Run):
    """A run whose steps are bounded, as in an operator that has others to look after."""

    def begin(self):
        engine = self.engine
        self.engine = Engine(
            self.plan, engine.info, engine.initial_context, engine.status, InlineVerdicts()
        )
        return self

    def steps_to_rest(self):
        """Step until nothing is left for the next step; return how many steps it took."""
        launched = []
        for count in range(1, 10_000):
            self.step()
            launched += self.launched
            wakes = [each.at for each in self.actions if isinstance(each, WakeAt)]
            if not wakes or wakes[-1] > self.now:
                self.launched_in_all = launched
                return count
        raise AssertionError("it never rests")


def test_a_large_run_is_decided_in_several_steps():
    count = 3 * STEP_FUEL // DECISION_STEPS
    run = Bounded(*wide(count), max_parallel=50).begin()
    assert run.steps_to_rest() >= 3
    assert sorted(run.launched_in_all) == sorted(f"n{i}-1" for i in range(50))
    at_once = Run(*wide(count), max_parallel=50).step()
    assert {run.stands(f"n{i}") for i in range(count)} == {
        at_once.stands(f"n{i}") for i in range(count)
    }


def test_a_step_looks_only_at_what_it_has_time_for(monkeypatch):
    """Not at all that is left: of 5,000 nodes that took longer than to decide the 250."""
    looked = 0
    may_go_on = Questions.may_go_on

    def counted(self, steps=0):
        nonlocal looked
        looked += 1
        return may_go_on(self, steps)

    monkeypatch.setattr(Questions, "may_go_on", counted)
    each = STEP_FUEL // DECISION_STEPS
    run = Bounded(*wide_named(20 * each)).begin()
    run.step()
    while run.phase == "Running":
        before = looked
        run.step()
        assert looked - before <= 3 * each
    assert run.phase == "Succeeded"


def test_small_conditions_of_many_nodes_are_evaluated_in_several_steps():
    """Each is small, and all of them together are not."""
    condition = "399 in context.big"
    run = Bounded(*wide(200, condition=condition), context={"big": BIG[:400]}).begin()
    assert run.steps_to_rest() > 1
    assert all(run.stands(f"n{i}") in ("Ready", "Running") for i in range(200))


def test_a_bounded_run_ends_as_another_one():
    chain = [
        node(f"n{i}", *([f"n{i - 1}"] if i else []), condition=f"{i} != 40") for i in range(90)
    ]
    ends = []
    for run in (Bounded(*chain, *wide_named(2000)).begin(), Run(*chain, *wide_named(2000))):
        while run.phase in ("Pending", "Running"):
            waiting = list(run.step().launched)
            while waiting:
                waiting += run.ok(waiting.pop()).launched
        ends.append((run.phase, [run.stands(each) for each in run.plan.nodes]))
    assert ends[0] == ends[1]


def wide_named(count):
    return [node(f"w{i}", condition="1 == 2") for i in range(count)]
