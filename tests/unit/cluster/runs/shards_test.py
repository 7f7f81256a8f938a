"""Node states of large runs, against a server that may fail at any request."""

import asyncio
import copy
import json
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.api.resources import WorkflowRunNodes
from podium.api.run import ContextEdit, NodeState, NodeStatus, RunPhase, WorkflowRunStatus
from podium.cluster.jobs.builder import Owner
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.events import Subject
from podium.cluster.runs import shards as shards_module
from podium.cluster.runs.active_run import ActiveRun
from podium.cluster.runs.shard_objects import MissingShardsError, has_node_states
from podium.cluster.runs.shards import Shards, read_nodes
from podium.cluster.runs.status_writer import (
    ConflictError,
    StatusWriter,
    TooLargeError,
    bare_status,
)
from podium.cluster.watch.store import InformerCache
from podium.engine import Changes, dump_node, dump_status, load_status
from tests.unit.cluster import support
from tests.unit.cluster.support import RUN_UID

OWNER = Owner("team", "release-x7", RUN_UID, "release", None)
SMALL = {
    "INLINE_NODES": 6,
    "SHARD_NODES": 4,
    "RECENT_NODES": 3,
    "INLINE_BYTES": 3000,
    "SHARD_BYTES": 1500,
    "RECENT_BYTES": 600,
}


class Server:
    """Has one run and its shards; may fail at a request, before or after it is carried out."""

    def __init__(self):
        self.body = support.run(status=None)
        self.body["status"] = {}
        self.shards = {}
        self.made = 0
        self.fail = None
        """Number of requests until one fails, and whether it was carried out."""
        self.most = 10**9
        """Bytes of a status that it takes."""

    async def _request(self, act):
        await asyncio.sleep(0)
        if self.fail is not None:
            left, done = self.fail
            self.fail = (left - 1, done)
            if left <= 0 and not done:
                raise ApiError(500, "Error", "no")
            if left <= 0:
                act()
                raise ApiError(0, "NoAnswer", "the answer is lost")
        return copy.deepcopy(act())

    async def get_run(self, namespace, name):
        return copy.deepcopy(self.body)

    async def patch_run_status(self, namespace, name, operations):
        version, *rest = json.loads(json.dumps(operations))

        def act():
            if version["value"] != self.body["metadata"]["resourceVersion"]:
                raise ApiError(409, "Conflict", "the object has been modified")
            body = copy.deepcopy(self.body)
            for operation in rest:
                *path, last = operation["path"].split("/")[1:]
                place = body
                for part in path:
                    place = place[part]
                if operation["op"] == "remove":
                    del place[last]
                else:
                    place[last] = operation["value"]
            if len(json.dumps(body["status"])) > self.most:
                raise ApiError(413, "RequestEntityTooLarge", "limit is 3145728")
            meta = body["metadata"]
            meta["resourceVersion"] = str(int(meta["resourceVersion"]) + 1)
            self.body = body
            return body, len(json.dumps(body))

        return await self._request(act)

    async def create_run_nodes(self, shard):
        def act():
            name = shard["metadata"]["name"]
            assert name not in self.shards
            self.made += 1
            self.shards[name] = copy.deepcopy(shard)
            self.shards[name]["metadata"].update(
                uid=f"uid-{self.made}", creationTimestamp="2026-01-01T12:00:00Z"
            )
            return self.shards[name], len(json.dumps(shard))

        return await self._request(act)

    async def list_run_nodes(self, namespace, selector):
        assert (namespace, selector) == ("team", "podium.dev/run=release-x7")
        return copy.deepcopy(list(self.shards.values()))

    async def delete_run_nodes(self, namespace, name, uid):
        def act():
            if name in self.shards:
                assert self.shards[name]["metadata"]["uid"] == uid
                del self.shards[name]

        return await self._request(act)

    @property
    def status(self):
        return self.body["status"]

    def named(self):
        return [each["name"] for each in self.status.get("shards", [])]


class World:
    def __init__(self, nodes):
        self.server = Server()
        self.writer = StatusWriter(self.server, InformerCache())
        self.since = set()
        """Nodes that changed while a write was under way."""
        status = WorkflowRunStatus(
            phase=RunPhase.RUNNING,
            nodes={f"n{i}": NodeState(status=NodeStatus.PENDING) for i in range(nodes)},
        )
        self.run = self._active(status, Shards())
        self.written = None
        """The states that stand on the server."""

    def _since(self):
        changed, self.since = self.since, set()
        return Changes(frozenset(changed), run=bool(changed))

    def complete(self, node, version):
        """Go on while a write is under way."""
        self.nodes[node] = NodeState(status=NodeStatus.COMPLETED, context_version=version)
        self.run.engine.status.context_version = version
        self.since.add(node)

    def _active(self, status, shards):
        return ActiveRun(
            owner=OWNER,
            subject=Subject("WorkflowRun", "team", "release-x7", RUN_UID),
            engine=SimpleNamespace(status=status, take_changes=self._since),
            persisted_status=copy.deepcopy(self.server.status),
            version=self.server.body["metadata"]["resourceVersion"],
            generation=2,
            shards=shards,
        )

    @property
    def nodes(self):
        return self.run.engine.status.nodes

    def states(self):
        return {node: dump_node(state) for node, state in self.nodes.items()}

    async def write(self, changed=None):
        changed = frozenset(self.nodes if changed is None else changed)
        await self.writer.write(self.run, 2, Changes(changed, run=True))
        self.written = self.states()

    async def read(self):
        known = self.server.status
        nodes, shards = await read_nodes(self.server, "team", "release-x7", RUN_UID, known)
        return nodes, shards

    async def open(self):
        """Take the run up again, as after a crash."""
        nodes, shards = await self.read()
        self.run = self._active(load_status({**self.server.status, "nodes": nodes}), shards)

    async def check(self):
        """Everything on the server is as it must be."""
        nodes, _ = await self.read()
        assert nodes == self.written
        if not self.server.named():
            assert len(nodes) <= shards_module.INLINE_NODES
            return
        recent = self.server.status["nodes"]
        assert len(recent) <= shards_module.RECENT_NODES
        assert len(json.dumps(recent)) <= 2 * shards_module.RECENT_BYTES
        counts = {}
        for state in nodes.values():
            counts[state["status"]] = counts.get(state["status"], 0) + 1
        assert self.server.status["nodeCounts"] == counts
        failed = [n for n, s in nodes.items() if s["status"] == "Failed"]
        assert set(self.server.status["failedNodes"]) == set(failed)
        for each in self.server.status["shards"]:
            body = self.server.shards[each["name"]]
            assert len(body["nodes"]) == each["nodes"] <= shards_module.SHARD_NODES
            assert len(body["nodes"]) == 1 or (
                len(json.dumps(body["nodes"])) <= 2 * shards_module.SHARD_BYTES
            )


@pytest.fixture
def small(monkeypatch):
    for name, value in SMALL.items():
        monkeypatch.setattr(shards_module, name, value)


async def test_a_small_run_has_no_shards(small):
    world = World(6)
    await world.write()
    assert not world.server.shards
    assert not {"shards", "nodeCounts", "failedNodes"} & set(world.server.status)
    await world.check()


async def test_a_large_run_stands_in_shards_from_its_first_write(small):
    world = World(10)
    await world.write()
    assert world.server.status["nodes"] == {}
    assert [each["nodes"] for each in world.server.status["shards"]] == [4, 4, 2]
    assert world.server.status["nodeCounts"] == {"Pending": 10}
    assert has_node_states(world.server.status)
    await world.check()


async def test_a_shard_is_what_the_model_says_and_belongs_to_the_run(small):
    world = World(7)
    await world.write()
    shard = next(iter(world.server.shards.values()))
    WorkflowRunNodes.model_validate(shard)
    assert shard["metadata"]["ownerReferences"][0]["uid"] == RUN_UID


async def test_what_changes_is_written_into_the_status_alone(small):
    world = World(10)
    await world.write()
    world.nodes["n3"].status = NodeStatus.FAILED
    await world.write({"n3"})
    assert world.server.made == 3
    assert set(world.server.status["nodes"]) == {"n3"}
    assert world.server.status["failedNodes"] == ["n3"]
    await world.check()


async def test_too_much_of_it_goes_into_the_shard_that_it_fills_most(small):
    world = World(12)
    await world.write()
    first = world.server.named()
    for node in ("n0", "n9", "n1", "n2"):
        world.nodes[node].status = NodeStatus.RUNNING
        await world.write({node})
        await world.check()
    assert set(world.server.status["nodes"]) == {"n9"}
    assert world.server.named()[1:] == first[1:]
    assert set(world.server.shards) == set(world.server.named()), "the old one is deleted"


async def test_a_small_run_with_large_states_gets_shards(small):
    world = World(5)
    await world.write()
    for state in world.nodes.values():
        state.message = "x" * 900
    await world.write()
    assert len(world.server.named()) == 5
    assert len(json.dumps(world.server.status["nodes"])) < 600
    await world.check()


async def test_a_shard_has_room_for_what_the_server_makes_of_it(small):
    """It escapes what HTML knows: a state of such text is six times as large there."""
    world = World(7)
    for state in world.nodes.values():
        state.message = "<b>&" * 50
    await world.write()
    for shard in world.server.shards.values():
        stored = json.dumps(shard["nodes"])
        for character in "<>&":
            stored = stored.replace(character, f"\\u{ord(character):04x}")
        assert len(stored) <= 1.1 * shards_module.SHARD_BYTES


async def test_what_the_server_does_not_take_goes_into_shards(small, monkeypatch):
    monkeypatch.setattr(shards_module, "INLINE_BYTES", 10**6)
    world = World(5)
    world.server.most = 1500
    await world.write()
    assert not world.server.shards
    world.nodes["n1"].message = "x" * 2000
    await world.write({"n1"})
    assert world.server.shards
    await world.check()


async def test_what_the_server_takes_in_no_form_fails_the_run(small):
    world = World(10)
    await world.write()
    world.server.most = len(json.dumps(world.server.status)) + 1000
    world.run.engine.status.context_edits = [
        ContextEdit(version=1, request="r", context={"x": "y" * 2000})
    ]
    with pytest.raises(TooLargeError):
        await world.write({"n1"})
    assert world.server.status["phase"] == "Failed"
    nodes, _ = await world.read()
    assert nodes == world.written


async def test_a_status_counts_no_more_than_its_nodes_show(small, monkeypatch):
    """A node that completes while shards are made waits for the next write, with all it changed."""
    world = World(10)
    make = world.server.create_run_nodes

    async def slowly(shard):
        world.complete("n3", version=1)
        return await make(shard)

    monkeypatch.setattr(world.server, "create_run_nodes", slowly)
    await world.write()
    nodes, _ = await world.read()
    assert nodes["n3"]["status"] == "Pending"
    assert world.server.status["nodeCounts"] == {"Pending": 10}
    assert "contextVersion" not in world.server.status


async def test_what_completes_before_a_status_is_made_smaller_is_in_it(small, monkeypatch):
    world = World(10)
    await world.write()
    made = world.server.made
    world.server.most = len(json.dumps(world.server.status)) + 200
    world.nodes["n9"].message = "x" * 250
    patch = world.server.patch_run_status

    async def slowly(*given):
        if world.server.made == made:  # the first one, which is refused
            world.complete("n3", version=1)
        return await patch(*given)

    monkeypatch.setattr(world.server, "patch_run_status", slowly)
    await world.write({"n9"})
    assert world.server.made > made
    nodes, _ = await world.read()
    assert nodes["n3"]["status"] == "Completed"
    assert world.server.status["contextVersion"] == 1
    await world.check()


async def test_a_node_that_is_no_more_does_not_come_back(small):
    world = World(10)
    await world.write()
    world.nodes["n2"].status = NodeStatus.RUNNING
    await world.write({"n2"})
    for node in ("n2", "n7"):
        del world.nodes[node]
    await world.write({"n2", "n7"})
    await world.check()


async def test_nodes_that_come_later_find_a_place(small):
    world = World(5)
    await world.write()
    for i in range(5, 9):
        world.nodes[f"n{i}"] = NodeState(status=NodeStatus.PENDING)
        await world.write({f"n{i}"})
        await world.check()
    assert world.server.named()


async def test_items_that_come_and_go_stand_in_the_status_until_they_are_many(small):
    world = World(10)
    await world.write()
    made = world.server.made
    for i in range(6):
        world.nodes[f"n0[{i}]"] = NodeState(status=NodeStatus.RUNNING)
        gone = world.nodes.pop(f"n0[{i - 2}]", None)
        await world.write({f"n0[{i}]", *([f"n0[{i - 2}]"] if gone else ())})
        assert len(world.server.status["nodes"]) == min(i + 1, 2)
    assert world.server.made == made
    assert world.server.status["nodeCounts"] == {"Pending": 10}
    for i in range(6, 6 + shards_module.RECENT_NODES):
        world.nodes[f"n0[{i}]"] = NodeState(status=NodeStatus.RUNNING)
    await world.write({node for node in world.nodes if "[" in node})
    assert world.server.made == made, "what is open would be made again for each that ends"
    assert (await world.read())[0] == world.written
    for state in world.nodes.values():
        if state.status is NodeStatus.RUNNING:
            state.status = NodeStatus.FAILED
    await world.write({node for node in world.nodes if "[" in node})
    assert world.server.made > made
    assert (await world.read())[0] == world.written


async def test_open_items_that_are_too_large_for_the_status_go_into_shards(small):
    world = World(10)
    await world.write()
    made = world.server.made
    for i in range(40):
        world.nodes[f"n0[{i}]"] = NodeState(status=NodeStatus.RUNNING, message="x" * 100)
    await world.write({node for node in world.nodes if "[" in node})
    assert world.server.made > made
    assert (await world.read())[0] == world.written


async def test_a_lost_shard_is_named(small):
    world = World(10)
    await world.write()
    lost = world.server.named()[1]
    del world.server.shards[lost]
    with pytest.raises(MissingShardsError, match=lost):
        await world.read()


async def test_shards_of_another_run_of_that_name_are_not_its_own(small):
    world = World(10)
    await world.write()
    for shard in world.server.shards.values():
        shard["metadata"]["ownerReferences"][0]["uid"] = "another"
    with pytest.raises(MissingShardsError):
        await world.read()


async def test_what_a_crash_left_is_deleted_once_no_status_can_name_it(small):
    world = World(10)
    await world.write()
    stray = copy.deepcopy(next(iter(world.server.shards.values())))
    stray["metadata"].update(name="stray", uid="uid-0")
    young = copy.deepcopy(stray)
    young["metadata"].update(name="young", uid="uid-1", creationTimestamp="2999-01-01T00:00:00Z")
    world.server.shards.update(stray=stray, young=young)
    await world.open()
    assert set(world.server.shards) == {*world.server.named(), "young"}


async def test_a_status_that_is_refused_leaves_no_shards_behind(small, monkeypatch):
    """Its write is tried again and again, and makes new ones each time."""
    world = World(10)

    async def refuse(*given):
        raise ApiError(422, "Invalid", "no")

    with monkeypatch.context() as patch:
        patch.setattr(world.server, "patch_run_status", refuse)
        with pytest.raises(ApiError):
            await world.write()
    assert world.server.made == 3
    assert not world.server.shards


async def test_a_shard_that_is_refused_leaves_the_others_not_behind(small, monkeypatch):
    world = World(10)
    make = world.server.create_run_nodes

    async def refuse(shard):
        if "n0" in shard["nodes"]:
            raise ApiError(403, "Forbidden", "exceeded quota")
        return await make(shard)

    monkeypatch.setattr(world.server, "create_run_nodes", refuse)
    with pytest.raises(ApiError):
        await world.write()
    assert world.server.made == 2
    assert not world.server.shards


async def test_a_status_that_may_or_may_not_have_been_taken_keeps_its_shards(small):
    world = World(10)
    world.server.fail = (3, True)
    with pytest.raises(ApiError):
        await world.write()
    world.written = world.states()
    await world.check()


async def test_a_status_that_was_sent_twice_keeps_its_shards(small, monkeypatch):
    """The second one conflicts with the first."""
    world = World(10)
    send = world.server.patch_run_status

    async def twice(*given):
        await send(*given)
        return await send(*given)

    monkeypatch.setattr(world.server, "patch_run_status", twice)
    with pytest.raises(ConflictError):
        await world.write()
    world.written = world.states()
    await world.check()


async def test_shards_of_a_status_that_was_too_large_are_deleted(small):
    world = World(12)
    await world.write()
    world.server.most = len(json.dumps(world.server.status)) + 200
    for node in ("n0", "n1", "n2", "n3", "n9"):
        world.nodes[node].message = "x" * 120
    await world.write({"n0", "n1", "n2", "n3", "n9"})
    assert set(world.server.shards) == set(world.server.named())
    world.server.most = 10
    world.nodes["n9"].message = "y"
    with pytest.raises(ApiError):
        await world.write({"n9"})
    assert set(world.server.shards) == set(world.server.named())


async def test_a_run_that_cannot_go_on_keeps_its_shards(small):
    world = World(10)
    await world.write()
    known = world.server.status
    status = bare_status(known, RunPhase.FAILED)
    await world.writer.write_bare(copy.deepcopy(world.server.body), status, known)
    assert world.server.status["phase"] == "Failed"
    nodes, _ = await world.read()
    assert nodes == world.written


CHANGE = st.tuples(
    st.sets(st.integers(0, 29), max_size=12),
    st.sampled_from(list(NodeStatus)),
    st.integers(0, 400),
    st.none() | st.tuples(st.integers(0, 4), st.booleans()),
    st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(size=st.integers(1, 30), changes=st.lists(CHANGE, max_size=12))
def test_what_is_read_is_what_was_written_whatever_fails(size, changes):
    """A write that fails is as if it never was, or as if it had succeeded."""

    async def go():
        world = World(size)
        await world.write()
        for chosen, status, length, fail, remove in changes:
            names = {f"n{i}" for i in chosen}
            for name in names:
                if remove and len(world.nodes) > 1:
                    world.nodes.pop(name, None)
                else:
                    world.nodes[name] = NodeState(status=status, message="m" * length)
            before, world.server.fail = world.written, fail
            try:
                await world.write(names)
            except (ApiError, ConflictError):
                world.server.fail = None
                nodes, _ = await world.read()
                assert nodes in (before, world.states())
                world.written = nodes
                await world.open()
            world.server.fail = None
            await world.check()

    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(shards_module, name, value)
        asyncio.run(go())


def test_a_status_with_shards_is_read_as_it_was_written():
    known = {
        "phase": "Running",
        "shards": [{"name": "a", "nodes": 250}],
        "nodeCounts": {"Pending": 250},
        "failedNodes": ["x"],
    }
    assert dump_status(load_status(known)) == known
