"""Large runs wait for each other: what active runs hold in memory stays within a budget."""

import asyncio
import copy
import gc
import tracemalloc
import weakref

import orjson
import pytest

from podium.api.child_runs import CHILD_ANNOTATIONS
from podium.api.reasons import RunReason
from podium.api.source.files import parse
from podium.cluster.runs.memory import (
    LIGHT_BYTES,
    MB,
    MemoryBudget,
    Weight,
    weigh,
    weigh_output,
    weigh_outputs_in_slices,
    weigh_run,
)
from podium.cluster.runs.turnstile import Turnstile
from podium.cluster.settings import Limits, Settings
from podium.cluster.watch.store import InformerCache
from podium.cluster.worker import ObjectKey
from podium.engine import AttemptPhase, Engine, Observation, Plan, RunInfo, initial_status
from podium.judge.slices import in_slices
from tests.unit.cluster import support
from tests.unit.cluster.runs.controller_test import KEY, OBJECT, World
from tests.unit.cluster.runs.turnstile_test import RUNNING, run
from tests.unit.judge.reader_test import NODE, wide
from tests.unit.judge.reader_test import run as body_of

LIMITS = {"activeRunsMegabytes": 30, "activeRunsMegabytesPerNamespace": 20}
LARGE = Weight(8 * MB)


def inline(context=None, nodes=1, **fields):
    graph = {"nodes": [{**each, **fields} for each in wide(nodes)]}
    return body_of({"workflowSpec": graph, "context": context or {}})


# What weighs how much


@pytest.mark.parametrize(
    ("body", "most"),
    [
        (inline({f"k{i}": "" for i in range(98_000)}), 2),
        (inline({f"key-{i:07}": i for i in range(50_000)}), 2),
        (inline({"b": [{"a": 1}] * 49_000}), 4),
        (inline({"b": ["\U0001f600"] * 90_000}), 6),
        (inline({"b": "a" * 1_300_000 + "\U0001f600"}), 2),
        (inline({"b": "a" * 1_300_000}), 2),
        (inline({"b": [{}] * 98_000}), 6),
        (inline(nodes=2000), 2),
        (inline(nodes=2000, condition="context.a == 1 or context.b == 2"), 2),
    ],
    ids=[
        *("keys", "long keys", "objects", "short strings", "wide characters", "a string"),
        *("empty objects", "nodes", "conditions"),
    ],
)
def test_a_run_weighs_what_python_needs_for_it_and_not_much_more(body, most):
    data = orjson.dumps(body)
    weight = weigh_run(orjson.loads(data)).own
    _make(orjson.dumps(inline()))  # what is made once for all
    gc.collect()
    tracemalloc.start()
    kept = _make(data)
    gc.collect()
    real, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept
    assert 0.9 * real <= weight <= most * real


def _make(data):
    """Make what is kept of an active run."""
    spec = parse(orjson.loads(data)).spec
    plan = Plan.build(spec.workflow_spec, workflow_id="x")
    return Engine(plan, RunInfo("r", "r"), spec.context, initial_status(plan, 1.0))


def test_what_is_small_is_light():
    assert weigh_run(inline({"a": "x"}, nodes=3)).is_light
    assert weigh_run(inline({f"k{i}": i for i in range(600)})).is_light
    assert not weigh_run(inline({f"k{i}": i for i in range(1000)})).is_light
    assert weigh({"deep": _deep(300)}) == 0, "it is refused elsewhere"


def _deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return {"a": value, "b": [1] * 500}


# The budget


def budget(**limits):
    return MemoryBudget(Limits.model_validate({**LIMITS, **limits}))


def test_a_namespace_has_a_share_and_all_have_a_limit():
    memory = budget()
    memory.hold(("a", "1"), LARGE)
    memory.hold(("a", "2"), LARGE)
    said = memory.lacks(("a", "3"), LARGE)
    assert "the active runs of the namespace a hold 16 MB of the operator's memory" in said
    assert "this run takes 8 MB, and 20 MB is the limit" in said
    assert "(limits.activeRunsMegabytesPerNamespace)" in said
    assert not memory.lacks(("a", "3"), Weight(LIGHT_BYTES - 1)), "a light run never waits"
    memory.hold(("b", "1"), LARGE)
    assert "of this cluster hold 24 MB" in memory.lacks(("b", "2"), LARGE)
    assert not memory.lacks(("c", "1"), LARGE), "who has nothing large may begin one"
    memory.release(("a", "1"))
    memory.release(("a", "1"))
    assert not memory.lacks(("b", "2"), LARGE)
    for key in list(memory.held):
        memory.release(key)
    assert (memory.used, memory._heavy, memory._sharing) == ({}, {}, {})


def test_a_definition_counts_once():
    memory = budget()
    weight = Weight(MB, 15 * MB, "w-1")
    memory.hold(("a", "1"), weight)
    assert not memory.lacks(("a", "2"), weight)
    memory.hold(("a", "2"), weight)
    assert memory.used["a"] == 17 * MB
    assert memory.lacks(("a", "3"), Weight(MB, 15 * MB, "w-2"))
    assert memory.takes("b", weight) == 16 * MB, "by another namespace it is not shared"
    memory.release(("a", "1"))
    assert memory.used["a"] == 16 * MB
    memory.release(("a", "2"))
    assert not memory.used


def test_no_limit():
    memory = budget(activeRunsMegabytes=0, activeRunsMegabytesPerNamespace=0)
    memory.hold(("a", "1"), Weight(900 * MB))
    assert not memory.lacks(("a", "2"), LARGE)


# Outputs


def ended(node, output, phase=AttemptPhase.SUCCEEDED):
    return Observation(node, f"{node}-1", phase, output=output)


EMPTY = b'{"a":[' + b",".join([b"{}"] * 1300) + b"]}"


def test_an_output_weighs_what_python_needs_for_it_and_not_much_more():
    for output in (EMPTY, b'{"a":"' + b"x" * 4000 + b'"}', b'{"a":[' + b"0," * 1900 + b"0]}"):
        tracemalloc.start()
        kept = [orjson.loads(output) for _ in range(100)]
        real, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(kept) == 100
        assert 0.9 * real <= 100 * weigh_output(output) <= 25 * real


def test_what_nodes_hand_over_counts_once_and_is_refused_beyond_half_as_much_again():
    memory, key, outputs = budget(), ("a", "1"), {}
    memory.hold(key, Weight(LIGHT_BYTES))
    many = [ended(f"n{i}", EMPTY) for i in range(200)]
    failed = ended("x", EMPTY, AttemptPhase.FAILED)
    seen = memory.take_outputs(key, outputs, [*many, failed])
    taken = [each for each in seen[:-1] if each.phase is AttemptPhase.SUCCEEDED]
    assert seen[-1] is failed
    assert 10 < len(taken) < 100
    assert taken == many[: len(taken)]
    assert 29 * MB < memory.used["a"] == LIGHT_BYTES + sum(outputs.values()) <= 30 * MB
    first = seen[len(taken)]
    assert (first.reason, first.output, first.retryable) == ("OutputTooLarge", None, False)
    assert "the active runs of the namespace a hold 29" in first.message
    assert "30 MB is the limit (limits.activeRunsMegabytesPerNamespace, and half" in first.message
    before = memory.used["a"]
    assert memory.take_outputs(key, outputs, many[: len(taken)]) == taken
    assert memory.used["a"] == before
    small = ended("small", b'{"a": 1}')
    assert memory.take_outputs(key, outputs, [small]) == [small]
    assert memory.lacks(("a", "2"), LARGE), "others wait for what outputs hold"
    memory.release(key)
    assert not memory.used


def test_a_namespace_that_holds_little_is_not_refused_for_what_others_hold():
    memory = budget()
    for name in ("a", "b"):
        memory.hold((name, "1"), Weight(22 * MB))
    memory.hold(("c", "1"), Weight(LIGHT_BYTES))
    (taken,) = memory.take_outputs(("c", "1"), {}, [ended("n", EMPTY)])
    assert taken.phase is AttemptPhase.SUCCEEDED
    outputs = {}
    for i in range(40):
        (taken,) = memory.take_outputs(("c", "1"), outputs, [ended(f"n{i}", EMPTY)])
    assert "the active runs of this cluster hold" in taken.message
    assert memory.used["c"] <= 5 * MB


def test_no_limit_of_outputs():
    memory = budget(activeRunsMegabytes=0, activeRunsMegabytesPerNamespace=0)
    memory.hold(("a", "1"), Weight(900 * MB))
    assert memory.take_outputs(("a", "1"), {}, [ended("n", EMPTY)])[0].output == EMPTY


async def test_outputs_of_a_run_that_is_read_again_count():
    states = {"a": {"output": {"x": 1}}, "b": {}, "c": {"output": {}}, "d": None}
    assert await in_slices(weigh_outputs_in_slices(states)) == {"a": weigh_output(b'{"x":1}')}


# Who begins


def turnstile_with(*large):
    cache = InformerCache()
    turnstile = Turnstile(cache, Settings.model_validate({"limits": LIMITS}))
    for name in large:
        view = cache.put_run(run(name, status=RUNNING))
        assert turnstile.admit(view, LARGE) is None, "what has begun is always admitted"
    return cache, turnstile


def test_what_has_begun_is_admitted_and_the_others_begin_in_their_order():
    cache, turnstile = turnstile_with("1", "2", "3", "4")
    first, second = (cache.put_run(run(name)) for name in ("first", "second"))
    for view in (first, second):
        closed = turnstile.admit(view, LARGE)
        assert closed.reason is RunReason.ACTIVE_RUNS_TOO_LARGE
        assert turnstile.why_closed(view) == closed, "it is known without reading the run again"
    assert turnstile.next("another namespace") == [("team", "first")]
    for name in ("1", "2", "3", "4"):
        turnstile.forget(("team", name))
    assert "the run first came first" in turnstile.why_closed(second).message
    assert turnstile.why_closed(first) is None
    with turnstile.entering(("team", "first")):
        assert turnstile.memory.used["team"] == LARGE.own, "counted while it is being read"
        assert turnstile.admit(first, LARGE) is None
    assert turnstile.why_closed(second) is None
    assert turnstile.why_closed(cache.put_run(run("small"))) is None


def test_a_large_run_that_is_cancelled_may_take_a_little_more():
    cache, turnstile = turnstile_with("1", "2")
    assert turnstile.admit(cache.put_run(run("waits")), LARGE)
    assert turnstile.admit(cache.put_run(run("b", cancel=True)), LARGE) is None
    assert turnstile.admit(cache.put_run(run("c", cancel=True)), LARGE), "one at a time"


def test_what_says_that_it_is_a_child_takes_no_more_of_the_memory_of_all_than_outputs():
    """Anyone may write that, or start runs at every depth: the operator must have room for all."""
    cache, turnstile = turnstile_with()
    keys = CHILD_ANNOTATIONS
    notes = {keys.run: "x", keys.uid: "x", keys.depth: "8"}
    for number in range(40):
        name, namespace = f"r{number}", f"team-{number % 3}"
        meta = {"name": name, "uid": name, "namespace": namespace, "annotations": notes}
        turnstile.admit(cache.put_run(support.run(metadata=meta, status=None)), LARGE)
    used = turnstile.memory.used
    assert used.total() <= 1.5 * LIMITS["activeRunsMegabytes"] * MB
    assert used.total() > LIMITS["activeRunsMegabytes"] * MB


def test_a_rerun_of_a_large_run_that_has_ended_waits():
    cache, turnstile = turnstile_with("1", "2")
    ended = cache.put_run(run("old", status={**RUNNING, "phase": "Failed"}))
    assert turnstile.admit(ended, LARGE)
    turnstile.forget(("team", "1"))
    assert turnstile.why_closed(ended) is None


def test_a_large_run_is_early_until_all_that_may_have_begun_were_looked_at():
    cache, turnstile = turnstile_with()
    view = cache.put_run(run("large"))
    turnstile.expect([("team", "begun"), ("team", "large")])
    turnstile.note(("team", "large"), LARGE)
    assert turnstile.is_early(view)
    assert not turnstile.is_early(cache.put_run(run("small")))
    turnstile.has_seen(("team", "large"))
    assert turnstile.is_early(view)
    turnstile.has_seen(("team", "begun"))
    assert not turnstile.is_early(view)


async def test_a_large_run_says_what_it_waits_for_and_begins_when_there_is_room():
    world = World()
    key, object_key = ("team", "release-x7"), ObjectKey("WorkflowRun", "team", "release-x7")
    world.runs.forget(key)
    memory = world.runs._turnstile.memory
    memory.hold(("team", "other"), Weight(60 * MB))
    body = world.server.body
    only = {**NODE, "condition": "1 == 2"}
    body["spec"]["workflowSpec"] = {"nodes": [only]}
    body["spec"]["context"] = {f"k{i}": "" for i in range(40_000)}
    body["status"] = {}
    body["metadata"]["resourceVersion"] = "200"
    world.cache.note_run(copy.deepcopy(body))
    reads = 0
    get = world.server.get_run

    async def counted(*name):
        nonlocal reads
        reads += 1
        return await get(*name)

    world.server.get_run = counted
    assert (await world.runs.reconcile(object_key)).requeue_after == 30
    status = world.server.body["status"]
    assert (status["phase"], status["reason"]) == ("Pending", "ActiveRunsTooLarge")
    (condition,) = status["conditions"]
    assert (condition["type"], condition["status"]) == ("Succeeded", "Unknown")
    assert "64 MB is the limit" in condition["message"]
    before = reads
    await world.runs.reconcile(object_key)
    assert (reads, len(world.warnings)) == (before, 1), "it is told once, and not read again"
    memory.release(("team", "other"))
    world.runs._let_next("elsewhere")
    assert await world.queue.get() == object_key
    world.queue.done(object_key)
    while key not in world.runs._runs:
        await world.runs.reconcile(object_key)
    assert memory.used["team"] > 5 * MB
    world.runs.forget(key)
    assert not memory.used


async def test_a_run_that_is_let_go_is_freed_without_a_collection_of_cycles():
    """What was kept for a minute is not looked at again before an hour has passed."""
    world = World()
    world.runs.forget(KEY)
    body = world.server.body
    body["spec"]["workflowSpec"] = {"nodes": [NODE]}
    body["status"] = {}
    body["metadata"]["resourceVersion"] = "200"
    world.cache.note_run(copy.deepcopy(body))
    while KEY not in world.runs._runs:
        await world.runs.reconcile(OBJECT)
    world.runs._runs[KEY].look_later("a Job", 100)
    kept = [weakref.ref(world.runs._runs[KEY].engine), weakref.ref(world.runs._runs[KEY].verdicts)]
    world.engine = world.run = None
    gc.collect()
    gc.disable()
    try:
        world.runs.forget(KEY)
        await asyncio.sleep(0.05)  # what was under way ends
        assert [each() for each in kept] == [None, None]
    finally:
        gc.enable()
