"""What never changes once a run has begun: its context, its graph, and the states in its shards.

An API server compares maps without a schema by the number of their keys and the values of those
that both have: a key that is renamed passes for unchanged.
"""

import copy

import pytest

from podium.api.problems import InvalidError
from podium.cluster.runs.requests import RERUN
from podium.cluster.runs.revisions import Definitions
from podium.cluster.runs.run_spec import spec_hash
from podium.cluster.runs.shard_objects import MissingShardsError
from podium.cluster.watch.store import InformerCache
from podium.judge.pool import Pool
from podium.judge.reader import Reader
from tests.unit.cluster.runs import revisions_test, shards_test
from tests.unit.cluster.runs.controller_test import KEY, OBJECT, World
from tests.unit.cluster.runs.shards_test import small

__all__ = ["small"]


def rename_key(spec):
    spec["context"] = {"globalImage": "busybox", "keep": 1}


def rename_config(spec):
    config = spec["workflowSpec"]["nodes"][0]["config"]
    spec["workflowSpec"]["nodes"][0]["config"] = {f"other_{key}": config[key] for key in config}


def drop_context(spec):
    del spec["context"]


EDITS = [rename_key, rename_config, drop_context]


def begun(phase):
    """Return a world whose run began with a context."""
    world = World()
    body = world.server.body
    body["spec"]["context"] = {"image": "busybox", "keep": 1}
    body["status"] |= {"specHash": spec_hash(body), "phase": phase}
    world.engine.status.spec_hash = body["status"]["specHash"]
    world.cache.put_run(copy.deepcopy(body))
    return world


def edit(world, change):
    body = world.server.body
    change(body["spec"])
    body["metadata"] |= {"generation": 3, "resourceVersion": "200"}
    world.cache.put_run(copy.deepcopy(body))


@pytest.mark.parametrize("change", EDITS)
@pytest.mark.parametrize("loaded", [True, False])
async def test_a_run_does_not_go_on_with_what_it_did_not_begin_with(change, loaded):
    world = begun("Running")
    edit(world, change)
    if not loaded:
        world.runs.forget(KEY)
    await world.runs.reconcile(OBJECT)
    status = world.server.body["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "SpecChanged")
    assert [reason for reason, _ in world.warnings] == ["SpecChanged"]
    assert KEY not in world.runs._runs


async def test_a_run_that_ended_runs_nothing_again_with_it():
    world = begun("Succeeded")
    edit(world, rename_key)
    world.runs.forget(KEY)
    await world.ask(rerun="a")
    await world.runs.reconcile(OBJECT)
    assert world.server.body["status"]["phase"] == "Succeeded"
    assert [reason for reason, _ in world.warnings] == ["RerunRefused"]
    assert RERUN not in world.server.body["metadata"]["annotations"]


async def test_a_run_goes_on_when_something_else_of_it_changed():
    world = begun("Succeeded")
    edit(world, lambda spec: spec.update(ttlSecondsAfterFinished=7))
    await world.runs.reconcile(OBJECT)
    assert world.runs._runs[KEY].checked_generation == 3
    assert world.warnings == []


async def test_a_shard_that_was_changed_is_not_believed(small):
    world = shards_test.World(10)
    await world.write()
    changed = world.server.named()[1]
    shard = world.server.shards[changed]
    node = next(iter(shard["nodes"]))
    state = shard["nodes"][node]
    shard["nodes"][node] = {**state, "status": "Completed", "output": {"forged": True}}
    with pytest.raises(MissingShardsError, match=changed):
        await world.read()
    for reference in world.server.status["shards"]:
        del reference["hash"]
    nodes, _ = await world.read()
    assert nodes[node]["output"] == {"forged": True}, "version 0.1.0 wrote no hash"


async def test_a_shard_made_again_under_its_name_is_not_believed(small):
    world = shards_test.World(10)
    await world.write()
    names = world.server.named()
    first, second = (world.server.shards[name] for name in names[:2])
    first["nodes"], second["nodes"] = second["nodes"], first["nodes"]
    with pytest.raises(MissingShardsError, match=names[0]):
        await world.read()


async def test_a_revision_is_of_the_workflow_that_its_name_says():
    server = revisions_test.Server()
    plan = await Definitions(server, InformerCache(), Reader(Pool())).latest("team", "release")
    held = server.revisions["team", plan.revision]
    held["data"]["workflowId"] = "another"
    with pytest.raises(InvalidError, match="is not one of the Workflow 'another'"):
        await Definitions(server, InformerCache(), Reader(Pool())).pinned("team", plan.revision)
