"""The loop of runs, where turns and flushes meet users, against a server that has one run."""

import asyncio
import copy
import json

import pytest

from podium.cluster.jobs.builder import Owner
from podium.cluster.jobs.controller import ManagedJobController
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.events import Recorder, Subject
from podium.cluster.metrics import Metrics
from podium.cluster.runs.active_run import ActiveRun
from podium.cluster.runs.controller import RunController
from podium.cluster.runs.requests import ACCEPTED, RERUN
from podium.cluster.settings import Settings
from podium.cluster.watch.store import InformerCache
from podium.cluster.worker import ObjectKey
from podium.cluster.workqueue import KeyQueue
from podium.engine import dump_status
from podium.judge.pool import Pool
from tests.unit.cluster import support
from tests.unit.cluster.runs.requests_test import patched
from tests.unit.cluster.support import RUN_UID
from tests.unit.engine.support import Run, node

KEY = ("team", "release-x7")
OBJECT = ObjectKey("WorkflowRun", *KEY)


class Server:
    def __init__(self, status, **spec):
        self.body = support.run(
            metadata={"annotations": None},
            spec={"workflowRef": None, "ttlSecondsAfterFinished": None, **spec},
            status=None,
        )
        self.body["metadata"]["annotations"] = {}
        self.body["status"] = status
        self.during = None
        """What happens while a status is on its way."""
        self.refuse = []

    def change(self, operations):
        version, *rest = json.loads(json.dumps(operations))
        if version["value"] != self.body["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "the object has been modified")
        body = patched(self.body, rest)
        body["metadata"]["resourceVersion"] = str(int(version["value"]) + 1)
        self.body = body
        return copy.deepcopy(body)

    def annotate(self, **notes):
        """Be the user."""
        self.body["metadata"]["annotations"].update(
            {f"podium.dev/{name}": text for name, text in notes.items()}
        )
        version = int(self.body["metadata"]["resourceVersion"])
        self.body["metadata"]["resourceVersion"] = str(version + 1)

    async def get_run(self, namespace, name):
        return copy.deepcopy(self.body)

    async def patch_run(self, namespace, name, operations):
        return self.change(operations)

    async def patch_run_status(self, namespace, name, operations):
        during, self.during = self.during, None
        if during is not None:
            await during()
        if self.refuse:
            raise self.refuse.pop(0)
        return self.change(operations), 100

    async def create_run_nodes(self, shard):
        return {"metadata": {**shard["metadata"], "uid": "made"}}, 100

    async def delete_run_nodes(self, namespace, name, uid):
        pass

    @property
    def accepted(self):
        return json.loads(self.body["metadata"]["annotations"].get(ACCEPTED, "[]"))


def run_controller(world, **settings):
    """Return the controller of a world's runs, put together as the operator does it."""
    chosen = Settings(**settings)
    return RunController(
        world.server,
        world.cache,
        world.queue,
        world.recorder,
        None,
        ManagedJobController(world.server, world.cache, chosen),
        chosen,
        Metrics(),
        Pool(),
    )


class World:
    """A run, taken up: of two nodes that ended well, or one that was made on paper."""

    def __init__(self, paper=None):
        if paper is None:
            paper = Run(node("a"), node("b")).step().ok("a-1").ok("b-1")
            paper.engine.take_changes()
        self.engine = paper.engine
        spec = {"workflowSpec": paper.spec.model_dump(mode="json", by_alias=True)}
        self.server = Server(dump_status(paper.engine.status), **spec)
        self.cache, self.queue = InformerCache(), KeyQueue()
        self.recorder = Recorder(self.server)
        self.warnings = []
        self.recorder.warn = lambda _subject, *words: self.warnings.append(words)
        self.runs = run_controller(self)
        self.cache.put_run(self.server.body)
        self.take_up()

    def take_up(self):
        meta = self.server.body["metadata"]
        self.run = ActiveRun(
            owner=Owner(*KEY, RUN_UID, "release", None),
            subject=Subject("WorkflowRun", *KEY, RUN_UID),
            engine=self.engine,
            persisted_status=copy.deepcopy(self.server.body["status"]),
            version=meta["resourceVersion"],
            generation=2,
        )
        self.runs._runs[KEY] = self.run

    async def ask(self, **notes):
        """Let a user ask for something, and accept it, as a turn does first."""
        self.server.annotate(**notes)
        self.cache.put_run(copy.deepcopy(self.server.body))
        await self.runs._requests.accept(self.cache.runs[KEY], self.runs._runs.get(KEY))

    async def turn(self):
        view = self.cache.runs[KEY]
        asked = await self.runs._requests.for_engine(self.run, view)
        self.engine.step(2000.0, requests=asked)
        self.run.urgent = True


@pytest.fixture
async def world():
    return World()


async def test_failures_are_not_overcome_while_a_launch_is_under_way(world, monkeypatch):
    """What comes of it is still to be written, and may be refused as the last status was."""
    world.take_up()

    async def reconcile(key):
        return None

    monkeypatch.setattr(world.runs, "_reconcile", reconcile)
    assert (await world.runs.reconcile(OBJECT)).recovered
    launch = asyncio.get_running_loop().create_task(asyncio.sleep(60))
    world.run.tasks.add(launch)
    assert not (await world.runs.reconcile(OBJECT)).recovered
    world.run.tasks.discard(launch)
    launch.cancel()
    assert (await world.runs.reconcile(OBJECT)).recovered


@pytest.mark.parametrize("asked", [{}, {"rerun": "a"}], ids=["as it was read", "changed since"])
async def test_a_run_is_read_once_when_it_is_taken_up(world, monkeypatch, asked):
    """Each time costs the server as much as the run is large."""
    read, loaded = [], []
    get = world.server.get_run

    async def get_run(*key):
        read.append(key)
        return await get(*key)

    async def load(view, body, known):
        loaded.append(body["metadata"]["resourceVersion"])

    monkeypatch.setattr(world.server, "get_run", get_run)
    monkeypatch.setattr(world.runs._loader, "_load", load)
    world.runs.forget(KEY)
    world.server.body["status"]["phase"] = "Running"
    world.server.annotate(**asked)
    world.cache.note_run({"metadata": copy.deepcopy(world.server.body["metadata"])})
    await world.runs.reconcile(OBJECT)
    assert len(read) == 1 + bool(asked)
    assert loaded == [world.server.body["metadata"]["resourceVersion"]]


async def test_a_run_that_a_failed_write_dropped_meanwhile_is_not_overcome(world, monkeypatch):
    await world.ask(rerun="a")

    async def reconcile(key):
        world.runs.forget(KEY)  # as a flush does that fails

    monkeypatch.setattr(world.runs, "_reconcile", reconcile)
    assert (await world.runs.reconcile(OBJECT)).recovered, "its end is recorded"
    world.take_up()
    await world.turn()
    assert not (await world.runs.reconcile(OBJECT)).recovered
    assert (await world.runs.reconcile(OBJECT)).recovered, "nothing was dropped this time"


async def test_a_request_is_taken_out_once_its_status_is_written(world):
    await world.ask(rerun="a")
    world.take_up()
    (request,) = world.server.accepted
    await world.turn()
    await world.runs.flush(KEY)
    assert world.server.body["status"]["handledRequests"] == [request["id"]]
    assert world.server.accepted == []
    assert RERUN not in world.server.body["metadata"]["annotations"]
    assert world.run.version == world.server.body["metadata"]["resourceVersion"]


async def test_a_request_accepted_while_a_status_is_written_stays(world):
    await world.ask(rerun="a")
    world.take_up()
    await world.turn()

    async def during():
        await world.ask(rerun="b")

    world.server.during = during
    await world.runs.flush(KEY)
    assert [request["nodes"] for request in world.server.accepted] == [["b"]]


async def test_a_request_that_a_crash_left_behind_is_taken_out(world):
    """It was carried out, as the status says: nothing is left to be done but that."""
    world.engine.status.handled_requests = ["q"]
    world.server.body["status"] = dump_status(world.engine.status)
    world.server.body["metadata"]["annotations"][ACCEPTED] = '[{"id": "q", "nodes": ["a"]}]'
    world.cache.put_run(copy.deepcopy(world.server.body))
    world.take_up()
    await world.runs.reconcile(OBJECT)
    await world.runs.flush(KEY)
    assert world.server.accepted == []


async def test_a_request_that_makes_the_status_too_large_is_carried_out_once(world):
    await world.ask(rerun="a")
    world.take_up()
    await world.turn()
    (request,) = world.server.accepted
    world.server.refuse = [ApiError(413, "RequestEntityTooLarge", "limit is 3145728")] * 2
    await world.runs.flush(KEY)
    assert world.server.body["status"]["phase"] == "Failed"
    assert world.server.body["status"]["handledRequests"] == [request["id"]]
    await world.runs.reconcile(OBJECT)
    await world.runs.flush(KEY)
    assert world.server.body["status"]["phase"] == "Failed"
    assert world.server.accepted == []


async def test_no_more_requests_wait_than_the_status_remembers(world):
    """The first of more would be carried out again: its id is forgotten before it is taken out."""
    for _ in range(25):
        await world.ask(rerun="a")
    world.take_up()
    assert len(world.server.accepted) == 20
    await world.turn()
    await world.runs.flush(KEY)
    assert world.server.accepted == []
    assert RERUN not in world.server.body["metadata"]["annotations"]
    assert {reason for reason, _ in world.warnings} == {"RerunRefused"}
    assert [message[:11] for _, message in world.warnings] == ["20 requests"] * 5


async def test_requests_that_wait_leave_room_for_other_annotations(world):
    long = ",".join(f"node{i}" for i in range(7000))
    for _ in range(4):
        await world.ask(rerun=long)
    notes = world.server.body["metadata"]["annotations"]
    assert 100_000 < sum(map(len, notes.values())) < 200_000


async def test_the_states_of_an_ended_run_are_read_once_for_all_its_jobs(world, monkeypatch):
    """Of a large run they are megabytes."""
    reads, deleted = [], []

    async def read(body):
        reads.append(body)
        return {}

    async def delete(namespace, name, uid):
        deleted.append(name)

    monkeypatch.setattr(world.runs._closer, "_states", read)
    monkeypatch.setattr(world.server, "delete_job", delete, raising=False)
    names = [f"release-x7-build-{i}" for i in range(3)]
    for name in names:
        world.cache.put_job(support.job(metadata={"name": name, "uid": f"uid-of-{name}"}))
    world.runs.forget(KEY)
    await world.runs.reconcile(OBJECT)
    assert (len(reads), sorted(deleted)) == (1, names)


async def test_recorded_answers_that_are_not_allowed_keep_a_run_from_starting(world):
    world.runs._loader._beginning._settings = Settings(allow_recorded_answers=False)
    world.runs.forget(KEY)
    answers = {"configMapKeyRef": {"name": "answers", "key": "a"}}
    only = {"id": "a", "executor": "script", "config": {"script": "true"}}
    spec = {"workflowSpec": {"nodes": [only]}, "recordedAnswers": answers}
    world.server.body["spec"] |= spec
    world.server.body["status"] = {}
    world.server.body["metadata"]["resourceVersion"] = "200"
    world.cache.put_run(copy.deepcopy(world.server.body))
    await world.runs.reconcile(OBJECT)
    status = world.server.body["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "RecordedAnswersNotAllowed")


async def test_a_map_that_is_copied_is_written_with_its_items(world, monkeypatch):
    """What the first status lacks is gone with the operator."""
    old = Run(node("m", forEach="[1, 2]"), node("z", "m")).step()
    old.ok("m[0]-1", {"n": 1}).ok("m[1]-1").ok("z-1")
    spec = old.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    graph = {"workflowSpec": spec}
    first, own = copy.deepcopy(world.server.body), world.server.body
    first["metadata"] |= {"name": "first", "uid": "uid-first"}
    first |= {"spec": graph, "status": dump_status(old.engine.status)}
    own |= {"spec": {**graph, "from": {"run": "first", "node": "z"}}, "status": {}}
    own["metadata"]["resourceVersion"] = "200"
    world.runs.forget(KEY)

    async def get_run(_namespace, name):
        return copy.deepcopy(first if name == "first" else world.server.body)

    monkeypatch.setattr(world.server, "get_run", get_run)
    world.cache.put_run(copy.deepcopy(own))
    await world.runs.reconcile(OBJECT)
    nodes = world.server.body["status"]["nodes"]
    assert nodes["m"]["items"]["completed"] == "0,1"
    assert (nodes["m[0]"]["status"], nodes["m[0]"]["output"]) == ("Completed", {"n": 1})


async def test_a_rerun_of_an_approved_workflow_sets_declared_keys_only(world):
    world.runs._requests._only_declared = True
    await world.ask(rerun='{"nodes": ["a"], "context": {"x": 1}}')
    (asked,) = await world.runs._requests.for_engine(world.run, world.cache.runs[KEY])
    assert asked.only_declared


@pytest.mark.parametrize("verified", [True, False])
async def test_who_asked_for_a_run_and_a_rerun_is_told(world, verified):
    settings = Settings(requesters_are_verified=verified)
    world.runs._loader._beginning._settings = settings
    world.runs._requests._are_verified = verified
    who = "alice" if verified else "alice (not verified)"
    told = []
    world.recorder.record = lambda _subject, event: told.append(event.message)
    world.runs.forget(KEY)
    only = {"id": "a", "executor": "script", "condition": "1 == 2", "config": {"script": "true"}}
    body = world.server.body
    body["spec"]["workflowSpec"] = {"nodes": [only]}
    body["status"] = {}
    world.server.annotate(**{"requested-by": "alice"})
    world.cache.put_run(copy.deepcopy(world.server.body))
    await world.runs.reconcile(OBJECT)
    await world.runs.flush(KEY)
    requester = world.server.body["status"]["requestedBy"]
    assert requester == {"name": "alice"} | ({"verified": True} if verified else {})
    assert f"1 node, requested by {who}" in told
    told.clear()
    world.server.annotate(**{"requested-by": "bob", "rerun": "a"})
    world.cache.put_run(copy.deepcopy(world.server.body))
    await world.runs.reconcile(OBJECT)
    await world.runs.flush(KEY)
    who = who.replace("alice", "bob")
    assert f"running again: a; requested by {who}" in told
    assert "podium.dev/requested-by" not in world.server.body["metadata"]["annotations"]
