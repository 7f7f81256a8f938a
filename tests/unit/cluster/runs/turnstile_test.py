"""A namespace has so many active runs; the others wait, say why, and begin in their order."""

import copy

from podium.api.reasons import RunReason
from podium.cluster.runs.memory import Weight
from podium.cluster.runs.turnstile import Closed, Turnstile
from podium.cluster.settings import Settings
from podium.cluster.watch.store import InformerCache
from podium.cluster.worker import ObjectKey
from tests.unit.cluster import support
from tests.unit.cluster.runs.controller_test import KEY, OBJECT, World

LIMIT = {"limits": {"maxActiveRunsPerNamespace": 2}}
RUNNING = {"phase": "Running", "nodes": {"a": {"status": "Running"}}}


def run(name, namespace="team", version=1, status=None, **spec):
    meta = {"name": name, "namespace": namespace, "uid": name, "resourceVersion": str(version)}
    return support.changed(support.run(metadata=meta, spec=spec), {"status": None}) | {
        "status": status or {}
    }


def make(*running):
    cache = InformerCache()
    for name in running:
        cache.put_run(run(name, status=RUNNING))
    return cache, Turnstile(cache, Settings.model_validate(LIMIT))


def test_runs_are_counted_from_their_beginning_to_their_end():
    cache, turnstile = make("a")
    fresh = cache.put_run(run("new"))
    assert not turnstile.why_closed(fresh)
    cache.put_run(run("b", status=RUNNING))
    cache.put_run(run("b", version=2, status=RUNNING))
    assert dict(cache.active_runs) == {"team": 2}
    assert turnstile.why_closed(fresh)
    assert not turnstile.why_closed(cache.put_run(run("new", namespace="other")))
    cache.put_run(run("b", version=3, status={**RUNNING, "phase": "Failed"}))
    assert not turnstile.why_closed(fresh)
    cache.drop_run(("team", "a"), "a")
    assert not cache.active_runs


def test_what_has_begun_has_ended_or_is_cancelled_does_not_wait():
    cache, turnstile = make("a", "b")
    assert not turnstile.why_closed(cache.runs["team", "a"])
    assert not turnstile.why_closed(cache.put_run(run("c", status={"phase": "Failed"})))
    assert not turnstile.why_closed(cache.put_run(run("d", cancel=True)))


def test_those_that_begin_at_the_same_time_are_counted():
    cache, turnstile = make("a")
    fresh = cache.put_run(run("new"))
    with turnstile.entering(("team", "b")):
        assert turnstile.why_closed(fresh)
    assert not turnstile.why_closed(fresh)


def test_who_came_first_begins_first():
    cache, turnstile = make("a")
    closed = Closed(RunReason.TOO_MANY_ACTIVE_RUNS, "")
    assert turnstile.wait(("team", "first"), closed)
    assert not turnstile.wait(("team", "first"), closed), "it is told once"
    assert turnstile.why_closed(cache.put_run(run("second")))
    assert not turnstile.why_closed(cache.put_run(run("first")))
    assert turnstile.next("team") == [("team", "first")]
    turnstile.forget(("team", "first"))
    assert turnstile.next("team") == []


def test_no_limit():
    cache = InformerCache()
    cache.put_run(run("a", status=RUNNING))
    limits = {"limits": {"maxActiveRunsPerNamespace": 0}}
    turnstile = Turnstile(cache, Settings.model_validate(limits))
    assert not turnstile.why_closed(cache.put_run(run("new")))


async def test_a_run_that_waits_says_so_and_begins_when_another_one_ends():
    world = World()
    world.runs.forget(KEY)
    world.runs._turnstile.limit = 1
    world.cache.put_run(run("busy", status=RUNNING))
    body = world.server.body
    only = {"id": "a", "executor": "script", "condition": "1 == 2", "config": {"script": "true"}}
    body["spec"]["workflowSpec"] = {"nodes": [only]}
    body["status"] = {}
    body["metadata"]["resourceVersion"] = "200"
    world.cache.put_run(copy.deepcopy(body))
    result = await world.runs.reconcile(OBJECT)
    assert result.requeue_after == 30
    status = world.server.body["status"]
    assert (status["phase"], status["reason"]) == ("Pending", "TooManyActiveRuns")
    (condition,) = status["conditions"]
    assert (condition["type"], condition["status"]) == ("Succeeded", "Unknown")
    assert "allows (1, limits.maxActiveRunsPerNamespace)" in condition["message"]
    assert len(world.warnings) == 1
    await world.runs.reconcile(OBJECT)
    assert (world.server.body["status"], len(world.warnings)) == (status, 1)
    world.cache.drop_run(("team", "busy"), "busy")
    world.runs.forget(("team", "busy"))
    world.runs._let_next("team")
    assert await world.queue.get() == ObjectKey("WorkflowRun", *KEY)
    await world.runs.reconcile(OBJECT)
    assert KEY in world.runs._runs
    assert dict(world.cache.active_runs) == {"team": 1}


def child(name, depth, **fields):
    body = run(name, **fields)
    notes = {"parent-run": "p", "parent-run-uid": "p", "depth": str(depth)}
    body["metadata"]["annotations"] = {f"podium.dev/{key}": value for key, value in notes.items()}
    return body


def test_each_depth_of_child_runs_is_counted_by_itself():
    """A run waits only for runs as deep as itself, which wait only for deeper ones."""
    cache, turnstile = make("a", "b")
    first = cache.put_run(child("first", 1))
    assert turnstile.why_closed(cache.put_run(run("new")))
    assert not turnstile.why_closed(first)
    for name in ("c", "d"):
        cache.put_run(child(name, 1, status=RUNNING))
    closed = turnstile.why_closed(first)
    assert closed
    assert turnstile.wait(("team", "first"), closed)
    assert turnstile.waits(("team", "first"))
    assert not turnstile.why_closed(cache.put_run(child("deeper", 2)))
    assert turnstile.next("team") == [("team", "first")]
    cache.drop_run(("team", "c"), "c")
    assert not turnstile.why_closed(first)
    assert dict(cache.active_runs) == {"team": 2, "team/1": 1}
    assert dict(cache.children) == {"team/1": 2, "team/2": 1}
    with turnstile.entering(("team", "first")):
        assert not turnstile.waits(("team", "first"))
        assert turnstile.why_closed(cache.put_run(child("other", 1)))
    assert turnstile.next("team") == []


def test_a_large_child_has_more_room_than_what_waits_for_it():
    cache = InformerCache()
    limits = {"limits": {"activeRunsMegabytesPerNamespace": 8}}
    turnstile = Turnstile(cache, Settings.model_validate(limits))
    weight = Weight(7 * 1024 * 1024)
    parent, deeper = cache.put_run(run("parent")), cache.put_run(child("deeper", 8))
    assert turnstile.admit(parent, weight) is None
    assert turnstile.admit(cache.put_run(run("beside")), weight)
    assert turnstile.admit(deeper, weight) is None, "what waits first may wait for this one"


def test_children_are_counted_also_when_only_their_metadata_is_known():
    cache = InformerCache()
    cache.note_run(child("a", 3))
    assert dict(cache.children) == {"team/3": 1}
    changed = child("a", 4, version=2)
    cache.note_run(changed)
    assert dict(cache.children) == {"team/4": 1}
    cache.put_run(child("a", 4, version=3, status={"phase": "Succeeded"}))
    assert not cache.children
