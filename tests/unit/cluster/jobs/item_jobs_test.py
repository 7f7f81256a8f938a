"""The controller of managed Jobs and the items of maps: their Pods are let go and deleted."""

import pytest

from podium.api.index_ranges import IndexRanges
from podium.api.names import FINALIZER
from podium.cluster.jobs import controller as controller_module
from podium.cluster.jobs.controller import KEPT_FAILED
from podium.cluster.jobs.map_status import MapProgress
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import LABEL_INDEX
from podium.cluster.settings import Settings
from tests.unit.cluster import support
from tests.unit.cluster.jobs.controller_test import SCHEDULED, SETTINGS, Clock, World
from tests.unit.cluster.support import JOB_UID, running, terminated


def job(**changes):
    spec = {"managedBy": SETTINGS.manager, "completionMode": "Indexed", "completions": 100}
    return support.changed(support.job(spec=spec, status=None), changes)


def pod(index=0, code=None, attempt=1, **changes):
    notes = {
        LABEL_INDEX: str(index),
        "podium.dev/node": f"build[{index}]",
        "podium.dev/execution": f"build[{index}]-{attempt}",
    }
    meta = {
        "uid": f"pod-{index}-{attempt}",
        "name": f"pod-{index}-{attempt}",
        "annotations": notes,
        "finalizers": [FINALIZER],
    }
    phase = "Running" if code is None else "Failed" if code else "Succeeded"
    state = running() if code is None else terminated(code)
    return support.pod(SCHEDULED, phase=phase, state=state, metadata={**meta, **changes})


class MapClock(Clock):
    seconds = 0.0

    def monotonic(self):
        return self.seconds


@pytest.fixture
def clock(monkeypatch):
    clock = MapClock()
    monkeypatch.setattr(controller_module, "time", clock)
    return clock


@pytest.fixture
def world(clock):
    return World()


def share(world, index=0, attempt=1):
    return world.cache.job(f"{JOB_UID}/build[{index}]-{attempt}")


async def test_the_pod_of_an_item_goes_once_its_end_is_recorded(world):
    world.job(job())
    world.pod(pod(code=0))
    await world.settle()
    assert FINALIZER in world.server.objects["Pod", "pod-0-1"]["metadata"]["finalizers"]
    world.jobs.set_outcome(share(world), succeeded=True)
    assert await world.settle() == [("patch", "Pod"), ("delete", "Pod")]
    assert share(world) is None
    assert world.jobs._outcomes == {}


async def test_where_logs_are_kept_the_pod_of_an_item_stays_for_a_while(world, clock):
    store = {"bucket": "b", "endpoint": "https://s3.example.com", "credentialsSecret": "s"}
    keeping = Settings(artifacts={"s3": store, "logs": {"enabled": True}})
    world.jobs._settings = keeping
    world.job(job())
    world.pod(pod(code=0))
    world.jobs.set_outcome(share(world), succeeded=True)
    assert await world.settle() == [("patch", "Pod")]
    assert share(world) is None, "its share costs nothing any more"
    assert controller_module.LOG_SECONDS in world.later
    clock.seconds += controller_module.LOG_SECONDS
    world.jobs.changed(f"{JOB_UID}/build[0]-1")
    assert await world.settle() == [("delete", "Pod")]


async def test_some_pods_of_failed_items_stay_for_their_logs(world):
    world.job(job())
    for index in range(KEPT_FAILED + 2):
        world.pod(pod(index, 1))
        world.jobs.set_outcome(share(world, index), succeeded=False)
    calls = await world.settle()
    assert calls.count(("patch", "Pod")) == KEPT_FAILED + 2
    assert calls.count(("delete", "Pod")) == 2


async def test_pods_that_pile_up_are_let_go_in_a_hurry(world, monkeypatch):
    monkeypatch.setattr(controller_module, "MANY_ITEMS", 2)
    world.job(job())
    for index in range(5):
        world.pod(pod(index, 0))
        world.jobs.set_outcome(share(world, index), succeeded=True)
    calls = await world.settle()
    assert calls.count(("patch", "Pod")) == 5
    assert world.server.hurried == 3, "until two are left"


async def test_an_earlier_try_goes_and_the_next_one_stays(world):
    world.job(job())
    world.pod(pod(code=1))
    world.pod(pod(attempt=2))
    world.jobs.set_outcome(share(world), succeeded=False)
    await world.settle()
    assert share(world) is None
    assert share(world, attempt=2) is not None
    assert FINALIZER in world.server.objects["Pod", "pod-0-2"]["metadata"]["finalizers"]


async def test_a_pod_that_cannot_be_deleted_yet_is_deleted_later(world):
    world.job(job())
    world.pod(pod(code=0))
    world.server.refuse["delete", "Pod"] = [ApiError(503, "Unavailable", "no")]
    world.jobs.set_outcome(share(world), succeeded=True)
    await world.settle()
    world.jobs.changed(f"{JOB_UID}/build[0]-1")
    assert ("delete", "Pod") in await world.settle()
    assert share(world) is None


async def test_a_pod_without_a_recorded_end_is_held(world):
    world.job(job())
    world.pod(pod(code=1))
    assert await world.settle() == []
    assert share(world) is not None


async def test_a_disrupted_pod_is_let_go_and_its_item_goes_on(world):
    world.job(job())
    view = world.pod(pod(code=1))
    world.jobs.release_disrupted(view)
    await world.settle()
    assert share(world) is not None


async def test_what_runs_of_a_stopped_item_is_held_until_it_has_ended(world):
    world.job(job())
    world.pod(pod())
    world.jobs.set_outcome(share(world), succeeded=False)
    assert await world.settle() == []
    world.pod(pod(code=143))
    assert ("patch", "Pod") in await world.settle()


async def test_pods_of_items_whose_job_goes_are_let_go(world):
    world.job(job())
    world.pod(pod(code=0))
    world.gone("Job", job()["metadata"]["name"])
    world.jobs.changed(f"{JOB_UID}/build[0]-1")
    await world.settle()
    assert FINALIZER not in world.server.objects["Pod", "pod-0-1"]["metadata"]["finalizers"]


async def test_a_pod_that_is_seen_before_its_job_is_held(world):
    """An operator that begins lists Jobs and Pods side by side."""
    world.server.put(job())
    world.pod(pod(code=0))
    assert await world.settle() == [("get", "Job")]
    assert share(world) is not None
    assert FINALIZER in world.server.objects["Pod", "pod-0-1"]["metadata"]["finalizers"]


async def test_a_job_of_a_map_is_told_what_is_recorded_once_a_second(world, clock):
    world.job(job())
    world.pod(pod(5))
    assert await world.settle() == [], "nothing is recorded yet"
    for count in (1, 2, 3):
        stands = MapProgress(IndexRanges(range(count)), IndexRanges(), count)
        world.jobs.set_progress(world.cache.job(JOB_UID), stands)
        await world.settle()
    assert world.status["completedIndexes"] == "0"
    clock.seconds += 1
    world.jobs.changed(JOB_UID)
    await world.settle()
    assert (world.status["completedIndexes"], world.status["active"]) == ("0-2", 1)


async def test_a_job_of_a_map_ends_with_it(world, clock):
    world.job(job())
    stands = MapProgress(IndexRanges(range(100)), IndexRanges(), 100)
    world.jobs.set_progress(world.cache.job(JOB_UID), stands)
    world.jobs.set_outcome(world.cache.job(JOB_UID), succeeded=True)
    await world.settle()
    assert world.status["completedIndexes"] == "0-99"
    assert {each["type"] for each in world.status["conditions"]} == {
        "SuccessCriteriaMet",
        "Complete",
    }
    assert world.jobs.is_done(world.cache.job(JOB_UID))
    assert world.jobs._outcomes == {}


async def test_a_suspended_job_has_its_pods_deleted(world):
    world.job(job(spec={"suspend": True}))
    world.pod(pod())
    assert await world.settle() == [("delete", "Pod")]
