"""The writer of statuses, against a server with optimistic concurrency."""

import copy
import json

import pytest

from podium.api.run import RunPhase
from podium.cluster.jobs.builder import Owner
from podium.cluster.kube.errors import ApiError, ConflictError
from podium.cluster.kube.events import Subject
from podium.cluster.runs import status_writer as status_module
from podium.cluster.runs.active_run import ActiveRun
from podium.cluster.runs.status_writer import (
    BYTES_PER_SECOND,
    CONFLICTS,
    SPACING_SECONDS,
    WRITE_BYTES,
    StatusWriter,
    TooLargeError,
    bare_status,
)
from podium.cluster.watch.store import InformerCache
from podium.engine import dump_status
from tests.unit.cluster import support
from tests.unit.cluster.support import RUN_UID
from tests.unit.engine.support import Run, node


class Server:
    """Has one run."""

    def __init__(self, clock):
        self.clock = clock
        self.body = support.run(spec={"cancel": None}, status=None)
        self.seconds = 0.0
        """That a write takes."""
        self.size = 1000
        self.before = lambda: None
        """What happens just before a write."""
        self.refuse = []
        self.writes = []

    def change(self, **changes):
        version = int(self.body["metadata"]["resourceVersion"]) + 1
        self.body = support.changed(self.body, changes)
        self.body["metadata"]["resourceVersion"] = str(version)

    async def get_run(self, namespace, name):
        if self.body is None:
            raise ApiError(404, "NotFound", "gone")
        return copy.deepcopy(self.body)

    async def create_run_nodes(self, shard):
        return {"metadata": {**shard["metadata"], "uid": "made"}}, 100

    async def delete_run_nodes(self, namespace, name, uid):
        assert uid == "made"

    async def patch_run_status(self, namespace, name, operations):
        assert (namespace, name) == ("team", "release-x7")
        self.before()
        self.clock.now += self.seconds
        if self.refuse:
            raise self.refuse.pop(0)
        if self.body is None:
            raise ApiError(404, "NotFound", "gone")
        version, *rest = json.loads(json.dumps(operations))
        assert version["path"] == "/metadata/resourceVersion"
        if version["value"] != self.body["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "the object has been modified")
        self.writes.append(rest)
        status = {"status": self.body.get("status", {})}
        for operation in rest:
            *path, last = operation["path"].split("/")[1:]
            assert path[:1] in ([], ["status"])
            place = status
            for part in path:
                place = place[part]
            if operation["op"] == "remove":
                del place[last]
            else:
                place[last] = operation["value"]
        self.change()
        self.body["status"] = status["status"]
        return copy.deepcopy(self.body), self.size

    @property
    def status(self):
        return self.body["status"]


class Clock:
    now = 5000.0

    def time(self):
        return self.now

    def monotonic(self):
        return self.now


class World:
    def __init__(self, clock):
        self.server, self.cache = Server(clock), InformerCache()
        self.writer = StatusWriter(self.server, self.cache)
        self.paper = Run(node("a"), node("b"), node("c", "a", "b"))
        self.run = self.active()

    def active(self):
        return ActiveRun(
            owner=Owner("team", "release-x7", RUN_UID, "release", None),
            subject=Subject("WorkflowRun", "team", "release-x7", RUN_UID),
            engine=self.paper.engine,
            persisted_status={},
            version="100",
            generation=2,
        )

    async def write(self, run=None):
        run = run or self.run
        await self.writer.write(run, 2, run.engine.take_changes())

    def same(self):
        """Return whether what stands on the server is what the engine has."""
        return self.server.status == dump_status(self.paper.engine.status)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(status_module, "time", clock)
    return clock


@pytest.fixture
async def world(clock):
    """A run of which the first nodes are launched and written."""
    world = World(clock)
    world.paper.step()
    await world.write()
    return world


async def test_the_first_status_is_written_whole(world):
    (only,) = world.server.writes
    assert [operation["path"] for operation in only] == ["/status"]
    assert world.same()
    assert world.server.status["observedGeneration"] == 2
    assert {c["observedGeneration"] for c in world.server.status["conditions"]} == {2}
    view = world.cache.runs["team", "release-x7"]
    assert (view.version, view.started) == ("101", True)


async def test_only_what_changed_is_written(world):
    world.paper.ok("a-1", {"v": 1})
    await world.write()
    paths = {operation["path"] for operation in world.server.writes[1]}
    assert "/status/nodes/a" in paths
    assert not paths & {"/status", "/status/nodes", "/status/nodes/b", "/status/nodes/c"}
    assert world.same()
    assert world.run.version == "102"


async def test_a_changed_node_is_replaced_whole(world):
    """A merge would mix what two executions wrote."""
    world.paper.ok("a-1", {"old": 1})
    await world.write()
    world.paper.rerun("a").ok("a-2", {"new": 2})
    await world.write()
    assert world.server.status["nodes"]["a"]["output"] == {"new": 2}
    assert world.same()


async def test_fields_that_are_none_any_more_are_removed(world):
    world.paper.fail("a-1").ok("b-1")
    await world.write()
    assert "completedAt" in world.server.status
    world.paper.rerun("a")
    await world.write()
    assert "completedAt" not in world.server.status
    assert world.same()


async def test_another_client_wrote_the_object_but_not_its_status(world):
    """Such as a label, or an annotation that asks for a re-run."""
    world.server.change(metadata={"labels": {"a": "b"}})
    world.paper.ok("a-1")
    await world.write()
    assert world.same()
    assert world.server.body["metadata"]["labels"] == {"a": "b"}


async def test_another_client_wrote_the_status(world):
    world.server.change(status={"phase": "Succeeded"})
    world.paper.ok("a-1")
    with pytest.raises(ConflictError):
        await world.write()
    assert len(world.server.writes) == 1


async def test_another_client_wrote_the_status_and_the_patch_does_not_fit(world):
    """The server applies it before it compares versions."""
    world.server.change(status={"phase": "Succeeded"})
    world.server.refuse = [ApiError(422, "Invalid", "the server rejected our request")]
    world.paper.ok("a-1")
    with pytest.raises(ConflictError):
        await world.write()


async def test_a_patch_that_does_not_fit_for_no_known_reason_is_reported(world):
    world.server.refuse = [ApiError(422, "Invalid", "the server rejected our request")]
    world.paper.ok("a-1")
    with pytest.raises(ApiError):
        await world.write()


async def test_a_client_writes_all_the_time(world):
    tries = []

    def before():
        tries.append(1)
        world.server.change(metadata={"labels": {"n": str(len(tries))}})

    world.server.before = before
    world.paper.ok("a-1")
    with pytest.raises(ConflictError):
        await world.write()
    assert len(tries) == CONFLICTS


async def test_another_run_of_that_name(world):
    world.server.change(metadata={"uid": "another"})
    world.paper.ok("a-1")
    with pytest.raises(ConflictError):
        await world.write()


async def test_a_run_that_is_gone(world):
    world.server.body = None
    world.paper.ok("a-1")
    with pytest.raises(ConflictError):
        await world.write()


async def test_what_the_server_cannot_do_now_is_its_callers_to_try_again(world):
    world.server.refuse = [ApiError(503, "Unavailable", "later")]
    world.paper.ok("a-1")
    with pytest.raises(ApiError):
        await world.write()
    assert world.run.version == "101"


@pytest.mark.parametrize(
    "error",
    [
        ApiError(413, "RequestEntityTooLarge", "limit is 3145728"),
        ApiError(500, "Error", "etcdserver: request is too large"),
        ApiError(500, "Error", "rpc error: trying to send message larger than max (3 vs. 2)"),
        ApiError(422, "Invalid", "metadata.annotations: Too long: may not be more than 262144"),
    ],
)
async def test_a_status_that_is_too_large_fails_the_run_in_words(world, error):
    world.paper.ok("a-1", {"v": "x" * 100})
    world.server.refuse = [error, error]  # in shards, too
    with pytest.raises(TooLargeError):
        await world.write()
    status = world.server.status
    assert (status["phase"], status["completedAt"]) == ("Failed", "1970-01-01T01:23:20Z")
    condition = next(c for c in status["conditions"] if c["type"] == "Succeeded")
    assert (condition["status"], condition["reason"]) == ("False", "StatusTooLarge")
    assert error.message in condition["message"]
    assert "output" not in status["nodes"]["a"], "what stood there before"
    view = world.cache.runs["team", "release-x7"]
    assert view.ended, "nobody goes on with it"


async def test_a_run_that_failed_for_its_size_says_of_no_node_that_it_runs(world):
    """`kubectl get wfr` shows it."""
    assert world.server.status["current"] == "a, b"
    world.paper.ok("a-1")
    world.server.refuse = [ApiError(413, "RequestEntityTooLarge", "limit is 3145728")] * 2
    with pytest.raises(TooLargeError):
        await world.write()
    assert "current" not in world.server.status


async def test_a_first_status_that_is_too_large(clock):
    world = World(clock)
    world.server.refuse = [ApiError(413, "RequestEntityTooLarge", "limit is 3145728")] * 2
    with pytest.raises(TooLargeError):
        await world.write()
    assert (world.server.status["phase"], world.server.status["nodes"]) == ("Failed", {})


# When the next write is due


async def test_writes_of_a_run_are_apart(world, clock):
    assert world.writer.due(world.run) == clock.now + SPACING_SECONDS
    clock.now += 10
    world.server.seconds = 0.5
    await world.write()
    assert world.writer.due(world.run) == pytest.approx(clock.now + 4.5), "a tenth of the time"


async def test_large_writes_put_off_those_of_all_runs(world, clock):
    other = world.active()
    assert world.writer.due(other) < clock.now + SPACING_SECONDS
    world.server.size = 2 * BYTES_PER_SECOND - WRITE_BYTES
    clock.now += 10
    for so_far in (2, 4):
        await world.write()
        assert world.writer.due(other) == pytest.approx(clock.now + so_far)
    clock.now += 60
    await world.write()
    assert world.writer.due(other) == pytest.approx(clock.now + 2), "nothing is saved up"


async def test_what_failed_puts_nothing_off(world, clock):
    clock.now += 10
    before = world.writer.due(world.run)
    world.server.refuse = [ApiError(503, "Unavailable", "later")]
    with pytest.raises(ApiError):
        await world.write()
    assert world.writer.due(world.run) == before


# Runs without an engine


async def test_a_run_that_cannot_start_keeps_the_nodes_it_has(clock):
    world = World(clock)
    known = {"phase": "Running", "nodes": {"a": {"status": "Completed"}}, "current": "b"}
    world.server.change(status=known)
    status = bare_status(known, RunPhase.FAILED)
    await world.writer.write_bare(copy.deepcopy(world.server.body), status, known)
    assert world.server.status["phase"] == "Failed"
    assert world.server.status["nodes"] == known["nodes"]
    assert "current" not in world.server.status
    assert world.server.status["observedGeneration"] == 2
    assert world.cache.runs["team", "release-x7"].ended


async def test_a_status_that_a_client_wrote_into_is_begun_again():
    assert bare_status({"phase": 7, "startedAt": "x"}, RunPhase.FAILED).phase is RunPhase.FAILED
    assert bare_status({"startedAt": 5.0}, RunPhase.PENDING).started_at == 5.0
