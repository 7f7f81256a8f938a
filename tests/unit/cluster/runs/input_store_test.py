"""Inputs that no Pod can hold: carried to the store before the Job of the node is made."""

import asyncio
import copy

import orjson
import pytest

from podium.artifacts.carried_input import lay_out
from podium.artifacts.packed_input import INPUT_VARIABLES, unpack_input, what_is_in
from podium.artifacts.pod import Task
from podium.cluster.kube.errors import ApiError
from podium.cluster.runs import input_store
from tests.unit.artifacts.carried_input_test import noise
from tests.unit.cluster.runs.world import QUOTA, World, others
from tests.unit.engine.support import Run, node

BUCKET = {"s3": {"bucket": "artifacts", "endpoint": "http://s3:1", "credentialsSecret": "keys"}}
LARGE = {f"k{number}": noise(90_000, number) for number in range(20)}
"""1,800,000 bytes that do not pack: three pieces."""


def task_of(pod):
    return Task.load(pod["metadata"]["annotations"]["podium.dev/artifacts"])


def ended(pod, message="", code=0, **status):
    state = {"terminated": {"exitCode": code, "message": message}}
    phase = "Failed" if code else "Succeeded"
    init = {"initContainerStatuses": [{"name": "podium-fetcher", "state": state}]}
    return {**pod, "status": {"phase": phase, **init, **status}}


class Kubelet:
    """Ends the Pods that carry pieces when they are looked at, as the test says."""

    def __init__(self, server):
        self.server, self.stored, self.removed, self.most = server, {}, [], 0
        self.end = ended
        self.get_pod, self.delete_pod = server.get_pod, server.delete_pod
        server.get_pod, server.delete_pod = self.look, self.remove

    @property
    def carriers(self):
        return [pod for pod in self.server.pods.values() if task_of(pod).carries]

    async def look(self, namespace, name):
        body = await self.get_pod(namespace, name)
        digest = task_of(body).carries
        if not digest or not self.end:
            return body
        self.most = max(self.most, len(self.carriers))
        env = body["spec"]["initContainers"][0]["env"]
        body = self.end(body)
        if body["status"]["phase"] == "Succeeded":
            told = {each["name"]: each["value"] for each in env}
            self.stored[digest] = what_is_in({n: told.get(n, "") for n in INPUT_VARIABLES})
        self.server.pods[name] = body
        return copy.deepcopy(body)

    async def remove(self, namespace, name, uid, **how):
        await self.delete_pod(namespace, name, uid, **how)
        if task_of(self.server.pods[name]).carries:
            self.removed.append(name)
            del self.server.pods[name]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(input_store, "LOOK_SECONDS", 0.001)


def world_of(*nodes, artifacts=BUCKET, **more):
    world = World(*nodes or [node("a")], artifacts=artifacts, **more)
    again(world, *nodes or [node("a")])
    secret = {"metadata": {"name": "keys"}, "type": "Opaque"}
    world.server.get_metadata = _answers(secret)
    return world


def _answers(body):
    async def get_metadata(namespace, plural, name):
        return body

    return get_metadata


def again(world, *nodes):
    """Let a run begin again, as far as its status knows."""
    world.paper = Run(*nodes or [node("a")], max_parallel=10, context=LARGE)
    world.begin()


async def carrying(world):
    """Wait until all pieces are under way."""
    while len(world.server.pods) < 3:  # noqa: ASYNC110 - the server sends no event
        await asyncio.sleep(0.001)


@pytest.fixture
def world(clock):
    return world_of()


@pytest.fixture
def kubelet(world):
    return Kubelet(world.server)


async def test_pods_carry_it_before_the_job_is_made(world, kubelet):
    await world.start()
    assert world.stands() == "Running Scheduling"
    calls = world.server.calls
    assert calls.count("create pod") == 4
    assert calls.index("create job") > calls.index("delete pod")
    carried = task_of(world.pod).carried
    assert set(kubelet.stored) == set(carried.digests)
    made = []
    lay_out(carried, map(kubelet.stored.get, carried.digests), (), lambda c: made.append(bytes(c)))
    found = orjson.loads(b"".join(made))
    assert (found["globalContext"], found["executionId"]) == (LARGE, "a-1")
    assert not kubelet.carriers, "each is removed once it has stored its piece"


async def test_what_is_small_costs_no_pod(clock):
    world = World(artifacts=BUCKET)
    await world.start()
    assert world.server.calls == ["create job", "create pod"]


async def test_without_a_store_it_is_said_that_one_is_needed(clock):
    world = world_of(artifacts={})
    await world.start()
    assert world.stands() == "Failed InputTooLarge"
    assert "artifacts.s3" in world.paper.state("a").message
    assert not world.server.pods


async def test_few_pieces_are_under_way_at_a_time(world, kubelet, monkeypatch):
    monkeypatch.setattr(input_store, "PODS", 2)
    await world.start()
    assert world.stands() == "Running Scheduling"
    assert kubelet.most <= 2


async def test_what_two_nodes_have_in_common_is_carried_once(clock, monkeypatch):
    monkeypatch.setattr(input_store, "CARRIED", 1)
    world = world_of(node("a"), node("b"))
    Kubelet(world.server)
    await world.start()
    assert {world.stands("a"), world.stands("b")} == {"Running Scheduling"}
    assert world.server.calls.count("create pod") == 2 + 3 + 1, "the last piece names the node"


async def test_an_operator_that_dies_meanwhile_finds_the_pods_again(world, kubelet):
    kubelet.end = None
    await world.half_turn()
    await carrying(world)
    before = {name: pod["metadata"]["uid"] for name, pod in world.server.pods.items()}
    world.server.delete_pod = _away
    for task in world.run.tasks:
        task.cancel()
    await asyncio.gather(*world.run.tasks, return_exceptions=True)
    world.server.delete_pod = kubelet.remove
    kubelet.end = ended
    again(world)
    await world.start()
    assert world.stands() == "Running Scheduling"
    assert sorted(kubelet.removed) == sorted(before), "and made none again"


async def _away(*_, **__):
    raise ApiError(503, "ServiceUnavailable", "the operator is dead")


async def test_a_node_that_is_stopped_meanwhile_leaves_nothing(world, kubelet):
    kubelet.end = None
    await world.half_turn()
    await carrying(world)
    await world.turn(cancel=True)
    assert world.stands().startswith("Cancelled")
    assert not world.server.pods
    assert not world.server.jobs
    assert not world.launcher._inputs._known, "a piece counts as stored once it is"


@pytest.mark.parametrize("is_retryable", [True, False])
async def test_a_store_that_refuses_it_fails_the_execution(clock, is_retryable):
    first = node("a", retryPolicy={"maxAttempts": 2, "backoffSeconds": 1})
    world = world_of(first)
    kubelet = Kubelet(world.server)
    words = (
        '{"podiumError": {"reason": "Upload", "message": "its input could not be stored: no such'
        f' bucket", "retryable": {str(is_retryable).lower()}}}}}'
    )
    kubelet.end = lambda pod: ended(pod, words, code=1)
    await world.start()
    assert not world.server.pods
    assert not world.server.jobs
    if is_retryable:
        kubelet.end = ended
        await world.again(60)
        assert world.stands() == "Running Scheduling"
        return
    assert world.stands() == "Failed Upload"
    assert world.paper.state("a").message.endswith("no such bucket")


@pytest.mark.parametrize(("times", "expected"), [(2, "Running Scheduling"), (3, "Failed Upload")])
async def test_a_pod_that_is_lost_is_made_again_a_few_times(world, kubelet, times, expected):
    lost = {}

    def lose(pod):
        digest = task_of(pod).carries
        lost[digest] = lost.get(digest, 0) + 1
        if lost[digest] <= times:
            return {**pod, "status": {"phase": "Failed", "message": "the machine is gone"}}
        return ended(pod)

    kubelet.end = lose
    await world.start()
    assert world.stands() == expected
    assert not kubelet.carriers
    if times == 3:
        assert "the machine is gone" in world.paper.state("a").message


async def test_a_pod_that_was_deleted_is_made_again(world, kubelet):
    gone = []

    def take_away(pod):
        if not gone:
            gone.append(pod["metadata"]["name"])
            raise ApiError(404, "NotFound", "it was deleted")
        return ended(pod)

    kubelet.end = take_away
    await world.start()
    assert world.stands() == "Running Scheduling"


async def test_one_that_waits_too_long_is_given_up(world, kubelet, monkeypatch):
    monkeypatch.setattr(input_store, "START_SECONDS", -599.999)
    condition = {"status": "False", "message": "0/3 nodes are available"}
    kubelet.end = lambda pod: {**pod, "status": {"phase": "Pending", "conditions": [condition]}}
    await world.start()
    assert world.stands() == "Failed Upload"
    assert world.paper.state("a").message.endswith("it is Pending: 0/3 nodes are available")
    assert not world.server.pods


async def test_a_quota_is_waited_for(world, kubelet):
    world.server.refuse["create", "pod"] = [QUOTA]
    await world.start()
    assert world.stands() == "Ready QuotaExceeded"
    assert not kubelet.carriers
    await world.again(60)
    assert world.stands() == "Running Scheduling"


async def test_a_pod_of_another_client_is_not_taken_for_one_by_its_name(world, kubelet):
    kubelet.end = None
    await world.half_turn()
    await carrying(world)
    forged = {name: others(pod) for name, pod in world.server.pods.items()}
    await world.crash()
    kubelet.end = ended
    world.server.pods = dict(forged)
    again(world)
    await world.start()
    assert world.stands() == "Running Scheduling"
    assert len(kubelet.stored) == 3
    assert set(forged) <= set(world.server.pods), "and none of them was touched"


async def test_no_other_launch_waits_for_it(world, kubelet):
    """One namespace's large inputs hold no lane while they are carried."""
    kubelet.end = None
    await world.half_turn()
    await carrying(world)
    assert world.launcher._lanes._free == 32
    kubelet.end = ended
    while world.run.tasks:
        await asyncio.wait(world.run.tasks)


@pytest.mark.parametrize("count", [4, 20], ids=["packed", "stored"])
async def test_the_job_of_a_map_holds_no_input_of_an_item(clock, count):
    shards = node("shards", forEach="[0, 1]")
    world = world_of(shards)
    world.paper = Run(shards, max_parallel=10, context=dict(list(LARGE.items())[:count]))
    world.begin()
    Kubelet(world.server)
    await world.start()
    assert "initContainers" not in world.job["spec"]["template"]["spec"]
    for pod in world.server.pods.values():
        (fetcher,) = pod["spec"]["initContainers"]
        told = {each["name"]: each["value"] for each in fetcher["env"]}
        if count == 4:
            execution = orjson.loads(unpack_input(told))["executionId"]
        else:
            execution = task_of(pod).execution
            assert task_of(pod).carried is not None
        assert execution == pod["metadata"]["annotations"]["podium.dev/execution"]
