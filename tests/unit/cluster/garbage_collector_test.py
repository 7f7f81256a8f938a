"""GarbageCollector: which Jobs go, and which stay."""

import pytest

from podium.cluster import garbage_collector as collector_module
from podium.cluster.garbage_collector import GarbageCollector
from podium.cluster.kube.errors import ApiError
from podium.cluster.settings import Settings
from podium.cluster.watch.store import Cache
from tests.unit.cluster import support
from tests.unit.cluster.support import NOON, condition

TTL = {"succeededTTLSeconds": 600, "failedTTLSeconds": 3600}
MANAGED = {"managedBy": Settings().manager}


class Server:
    def __init__(self):
        self.deleted = []
        self.refuse = None
        self.runs = set()

    async def list_run_uids(self, namespace):
        assert namespace == ""
        return self.runs

    async def delete_job(self, namespace, name, uid):
        if self.refuse is not None:
            raise self.refuse
        assert uid == f"uid-{name}"
        self.deleted.append(name)


class Clock:
    now = NOON + 100.0

    def time(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(collector_module, "time", clock)
    return clock


class World:
    def __init__(self, **jobs):
        self.server, self.cache = Server(), Cache()
        self.cache.put_run(support.run())
        self.gone = []
        self.housekeeping = GarbageCollector(
            self.server,
            self.cache,
            Settings.model_validate({"jobs": {**TTL, **jobs}}),
            self.gone.append,
        )

    def job(self, name, *conditions, namespace="team", created=1, spec=MANAGED, **meta):
        self.cache.put_job(
            support.job(
                metadata={
                    "name": name,
                    "uid": f"uid-{name}",
                    "namespace": namespace,
                    "creationTimestamp": support.at(created),
                    **meta,
                },
                spec=spec,
                status={"conditions": list(conditions)},
            )
        )

    async def removed(self):
        self.server.deleted = []
        await self.housekeeping.remove_jobs()
        return sorted(self.server.deleted)


COMPLETE, FAILED = condition("Complete", since=10), condition("Failed", since=10)


async def test_jobs_go_when_their_time_is_over(clock):
    world = World()
    world.job("complete", COMPLETE)
    world.job("failed", FAILED)
    clock.now = NOON + 10 + 599
    assert await world.removed() == []
    clock.now = NOON + 10 + 600
    assert await world.removed() == ["complete"]
    clock.now = NOON + 10 + 3600
    assert await world.removed() == ["complete", "failed"]


async def test_what_has_not_ended_stays(clock):
    world = World(maxEnded=0)
    world.job("runs")
    world.job("decided", condition("FailureTarget"))
    world.job("goes", COMPLETE, deletionTimestamp=support.at(20))
    clock.now = NOON + 10**6
    assert await world.removed() == []


async def test_what_is_not_recorded_stays(clock):
    """Its own controller ended it, and it has no time to live yet."""
    world = World(maxEnded=0)
    world.job("unrecorded", COMPLETE, spec={})
    clock.now = NOON + 10**6
    assert await world.removed() == []


async def test_a_job_with_a_time_to_live_is_removed_by_the_server(clock):
    world = World()
    world.job("recorded", COMPLETE, spec={"ttlSecondsAfterFinished": 600})
    clock.now = NOON + 10**6
    assert await world.removed() == []


async def test_an_end_without_a_time_is_an_end_now(clock):
    world = World()
    world.job("odd", {"type": "Complete", "status": "True"})
    clock.now = NOON + 10**6
    assert await world.removed() == []


async def test_the_oldest_go_where_there_are_too_many(clock):
    world = World(maxEnded=2)
    for number, spec in enumerate([MANAGED, MANAGED, {"ttlSecondsAfterFinished": 600}, MANAGED]):
        world.job(f"j{number}", COMPLETE, created=number, spec=spec)
    world.job("alone", COMPLETE, namespace="other")
    world.job("runs", created=0)
    assert await world.removed() == ["j0", "j1"]


async def test_none_need_stay(clock):
    world = World(maxEnded=0)
    world.job("a", COMPLETE)
    world.job("b", FAILED)
    assert await world.removed() == ["a", "b"]


async def test_a_refusal_is_the_callers_to_log(clock):
    world = World(maxEnded=0)
    world.job("a", COMPLETE)
    world.server.refuse = ApiError(503, "Unavailable", "later")
    with pytest.raises(ApiError):
        await world.removed()


async def test_a_run_that_is_not_there_any_more_is_forgotten():
    world = World()
    world.cache.put_run(support.run(metadata={"name": "other", "uid": "uid-other"}))
    world.server.runs = {support.RUN_UID}
    await world.housekeeping.forget_runs()
    assert [run.name for run in world.gone] == ["other"]


async def test_a_run_that_is_made_while_the_list_is_on_its_way_stays():
    world = World()
    world.server.runs = {support.RUN_UID}

    async def list_run_uids(_):
        world.cache.put_run(support.run(metadata={"name": "new", "uid": "uid-new"}))
        return world.server.runs

    world.server.list_run_uids = list_run_uids
    await world.housekeeping.forget_runs()
    assert world.gone == []
