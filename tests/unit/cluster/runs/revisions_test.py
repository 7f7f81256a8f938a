"""Definitions: pinned once for many runs, and never taken from a revision that is not theirs."""

import asyncio

import pytest

from podium.api.problems import InvalidError
from podium.cluster.kube.errors import ApiError
from podium.cluster.runs import revisions as definitions_module
from podium.cluster.runs.revisions import PINNED_SECONDS, Definitions, WorkflowNotFoundError
from podium.cluster.watch.store import InformerCache
from podium.judge.pool import Pool
from podium.judge.reader import Reader


class Clock:
    now = 1000.0

    def monotonic(self):
        return self.now


class Server:
    """Has one Workflow, and takes revisions in."""

    def __init__(self):
        self.image = "busybox"
        self.revisions = {}
        self.asked = 0

    async def get_workflow(self, namespace, name):
        if name != "release":
            raise ApiError(404, "NotFound", "none")
        return {
            "apiVersion": "podium.dev/v1alpha1",
            "kind": "Workflow",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "nodes": [{"id": "build", "executor": "container", "config": {"image": self.image}}]
            },
        }

    async def create_revision(self, namespace, revision):
        self.asked += 1
        name = revision["metadata"]["name"]
        if (namespace, name) in self.revisions:
            raise ApiError(409, "AlreadyExists", "there is one")
        self.revisions[namespace, name] = revision

    async def get_revision(self, namespace, name):
        return self.revisions[namespace, name]


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(definitions_module, "time", clock)
    return clock


async def test_runs_that_begin_together_pin_their_definition_once(clock):
    server = Server()
    definitions = Definitions(server, InformerCache(), Reader(Pool()))
    plans = [await definitions.latest("team", "release") for _ in range(3)]
    assert server.asked == 1
    assert plans[0] is plans[2]
    clock.now += PINNED_SECONDS + 1
    await definitions.latest("team", "release")
    assert server.asked == 2, "somebody may have deleted it meanwhile"
    assert len(server.revisions) == 1


async def test_a_new_definition_and_another_namespace_are_pinned_at_once(clock):
    server = Server()
    definitions = Definitions(server, InformerCache(), Reader(Pool()))
    first = await definitions.latest("team", "release")
    await definitions.latest("others", "release")
    server.image = "alpine"
    second = await definitions.latest("team", "release")
    assert first.revision != second.revision
    assert set(server.revisions) == {
        ("team", first.revision),
        ("others", first.revision),
        ("team", second.revision),
    }


async def test_a_revision_that_was_refused_is_asked_for_again(clock):
    server = Server()
    definitions = Definitions(server, InformerCache(), Reader(Pool()))
    taken, server.create_revision = server.create_revision, refuse
    with pytest.raises(ApiError):
        await definitions.latest("team", "release")
    server.create_revision = taken
    plan = await definitions.latest("team", "release")
    assert list(server.revisions) == [("team", plan.revision)]


async def refuse(namespace, revision):
    raise ApiError(500, "InternalError", "no")


async def test_a_revision_must_hold_what_its_name_says():
    server = Server()
    plan = await Definitions(server, InformerCache(), Reader(Pool())).latest("team", "release")
    held = server.revisions["team", plan.revision]
    assert (
        await Definitions(server, InformerCache(), Reader(Pool())).pinned("team", plan.revision)
    ).spec == plan.spec
    held["data"]["spec"]["nodes"][0]["config"]["image"] = "alpine"
    with pytest.raises(InvalidError, match="does not hold what its name says"):
        await Definitions(server, InformerCache(), Reader(Pool())).pinned("team", plan.revision)
    held["data"] = "no"
    with pytest.raises(InvalidError, match="damaged"):
        await Definitions(server, InformerCache(), Reader(Pool())).pinned("team", plan.revision)


async def test_a_workflow_that_is_not_there():
    with pytest.raises(WorkflowNotFoundError, match="other"):
        await Definitions(Server(), InformerCache(), Reader(Pool())).latest("team", "other")


async def test_a_workflow_has_changed_when_it_is_another_than_the_pinned_one():
    server = Server()
    definitions = Definitions(server, InformerCache(), Reader(Pool()))
    plan = await definitions.latest("team", "release")
    assert not await definitions.has_changed("team", "release", plan.revision)
    server.image = "alpine"
    assert await definitions.has_changed("team", "release", plan.revision)
    server.image = "busybox"
    assert not await definitions.has_changed("team", "release", plan.revision)


async def test_what_revision_latest_would_refuse_has_not_changed():
    server = Server()
    definitions = Definitions(server, InformerCache(), Reader(Pool()))
    plan = await definitions.latest("team", "release")
    assert not await definitions.has_changed("team", "deleted", plan.revision)
    server.image = object()
    assert not await definitions.has_changed("team", "release", plan.revision)


async def test_runs_of_one_definition_never_have_two_of_its_plans(clock, monkeypatch):
    """Else each run could hold one of its own, and all of them would be counted as one."""
    monkeypatch.setattr(definitions_module, "KEPT_PLANS", 1)
    server = Server()
    definitions = Definitions(server, InformerCache(), Reader(Pool()))
    first, second = await asyncio.gather(*(definitions.latest("team", "release") for _ in range(2)))
    assert first is second
    other = await definitions.latest("others", "release")
    assert await definitions.latest("team", "release") is first, "it is not kept, but it is there"
    assert first is not other
    assert definitions.weight(first) == definitions.weight(other) == 2500
    assert len(definitions._pinned_at) == 1


async def test_few_definitions_of_a_namespace_are_in_hand_at_a_time(clock):
    """Each may be 20 MB, and a worker may take 10 s for it."""
    server, reading, most = Server(), 0, 0
    get = server.get_workflow

    async def slow(namespace, name):
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        await asyncio.sleep(0.001)
        reading -= 1
        return await get(namespace, name)

    server.get_workflow = slow
    definitions = Definitions(server, InformerCache(), Reader(Pool()))
    plans = await asyncio.gather(*(definitions.latest("team", "release") for _ in range(12)))
    assert most == definitions_module.IN_HAND
    assert len(set(map(id, plans))) == 1
    most = 0
    await asyncio.gather(
        *(definitions.has_changed("team", "release", plans[0].revision) for _ in range(12))
    )
    assert most == definitions_module.IN_HAND
