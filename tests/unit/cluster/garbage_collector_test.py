"""GarbageCollector: which Jobs go, and which stay."""

import pytest

from podium.api.names import API_VERSION
from podium.cluster import garbage_collector as collector_module
from podium.cluster.garbage_collector import (
    KEPT_REVISIONS,
    STRAY_SECONDS,
    YOUNG_SECONDS,
    GarbageCollector,
)
from podium.cluster.kube.errors import ApiError
from podium.cluster.metrics import Metrics
from podium.cluster.operator import Operator
from podium.cluster.settings import Settings
from podium.cluster.watch.store import InformerCache
from tests.unit.cluster import support
from tests.unit.cluster.support import NOON, condition

TTL = {"succeededTTLSeconds": 600, "failedTTLSeconds": 3600}
MANAGED = {"managedBy": Settings().manager}


class Server:
    def __init__(self):
        self.deleted = []
        self.refuse = None
        self.revisions, self.shards, self.bodies, self.asked = {}, {}, {}, []

    async def list_revisions(self, namespace, selector):
        assert selector == "podium.dev/pinned=true,app.kubernetes.io/managed-by=podium"
        for body in list(self.revisions.values()):
            if namespace in ("", body["metadata"]["namespace"]):
                yield [body]

    async def delete_revision(self, namespace, name, uid):
        assert self.revisions.pop((namespace, name))["metadata"]["uid"] == uid

    async def list_shards(self, namespace):
        for body in list(self.shards.values()):
            if namespace in ("", body["metadata"]["namespace"]):
                yield [body]

    async def delete_run_nodes(self, namespace, name, uid):
        assert self.shards.pop((namespace, name))["metadata"]["uid"] == uid

    async def get_run(self, namespace, name):
        self.asked.append(name)
        return self.bodies[namespace, name]

    async def delete_run(self, namespace, name, uid, version):
        if self.refuse is not None:
            raise self.refuse
        self.deleted.append((name, uid, version))

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
        self.server, self.cache = Server(), InformerCache()
        self.cache.put_run(support.run())
        self.freed = set()
        self.housekeeping = GarbageCollector(
            self.server,
            self.cache,
            Settings.model_validate({"jobs": {**TTL, **jobs}}),
            self.freed,
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


@pytest.mark.parametrize("status", [403, 404, 409, 422])
async def test_a_job_that_may_not_be_deleted_keeps_no_other(clock, status):
    world = World(maxEnded=0)
    world.job("a", COMPLETE)
    world.job("b", COMPLETE)
    asked = []

    async def delete_job(namespace, name, uid):
        asked.append(name)
        raise ApiError(status, "Refused", "no")

    world.server.delete_job = delete_job
    assert await world.removed() == []
    assert sorted(asked) == ["a", "b"]


# Definitions and node states


def revision(world, namespace, name, workflow="release", created=0):
    meta = {
        "name": name,
        "namespace": namespace,
        "uid": f"uid-{name}",
        "labels": {"podium.dev/workflow": workflow},
        "creationTimestamp": support.at(created),
    }
    world.server.revisions[namespace, name] = {"metadata": meta}


def left(world):
    return sorted(world.server.revisions)


async def test_definitions_go_that_no_run_names_and_whose_workflow_is_gone(clock):
    """In every namespace, also where no run is any more."""
    world = World()
    revision(world, "team", "release-abc")
    revision(world, "team", "release-old")
    revision(world, "left", "release-abc")
    assert await world.housekeeping.remove_revisions("") is False
    assert left(world) == [("team", "release-abc")]


async def test_the_newest_definitions_of_a_workflow_stay_and_those_that_a_run_names(clock):
    world = World()
    world.cache.put_workflow(support.workflow())
    revision(world, "team", "release-abc", created=0)
    for number in range(KEPT_REVISIONS + 2):
        revision(world, "team", f"release-{number:02}", created=1 + number)
    await world.housekeeping.remove_revisions("team")
    newest = [("team", f"release-{number:02}") for number in range(2, KEPT_REVISIONS + 2)]
    assert left(world) == [*newest, ("team", "release-abc")]
    world.cache.workflows.clear()
    await world.housekeeping.remove_revisions("team")
    assert left(world) == [("team", "release-abc")]


async def test_former_definitions_of_a_run_stay(clock):
    world = World()
    status = {"workflowRevisions": [{"revision": "release-old", "beforeVersion": 1}]}
    world.cache.put_run(support.run(metadata={"resourceVersion": "200"}, status=status))
    revision(world, "team", "release-old")
    await world.housekeeping.remove_revisions("")
    assert left(world) == [("team", "release-old")]


async def test_what_a_run_may_be_about_to_name_stays_for_a_while(clock):
    world = World()
    revision(world, "left", "young", created=95)
    revision(world, "left", "handed-out")
    needed = {("left", "handed-out")}
    world.housekeeping._is_needed = lambda *key: key in needed
    assert await world.housekeeping.remove_revisions("left") is True
    assert len(left(world)) == 2
    needed.clear()
    clock.now += YOUNG_SECONDS
    assert await world.housekeeping.remove_revisions("left") is False
    assert left(world) == []


async def test_definitions_are_looked_at_soon_after_a_run_or_a_workflow_went(clock):
    world = World()
    operator = Operator(None, Settings(), Metrics())
    world.housekeeping._cache = operator.cache
    world.housekeeping._freed = operator.ingest.freed
    operator.ingest.workflow_event(None, support.workflow())
    operator.ingest.run_event(None, support.run())
    revision(world, "team", "release-abc")
    revision(world, "other", "release-abc")
    await world.housekeeping._remove_freed()
    operator.ingest.run_event("DELETED", support.run())
    await world.housekeeping._remove_freed()
    assert len(left(world)) == 2, "its Workflow is there"
    operator.ingest.workflow_event("DELETED", support.workflow())
    await world.housekeeping._remove_freed()
    assert left(world) == [("other", "release-abc")]
    assert operator.ingest.freed == set()


def shard(world, namespace, name, owner=support.RUN_UID, created=0):
    owned = {"apiVersion": API_VERSION, "kind": "WorkflowRun", "uid": owner, "controller": True}
    meta = {
        "name": name,
        "namespace": namespace,
        "uid": f"uid-{name}",
        "ownerReferences": [owned] if owner else [],
        "creationTimestamp": support.at(created),
    }
    world.server.shards[namespace, name] = {"metadata": meta}


async def test_node_states_go_that_no_status_names(clock):
    world = World()
    clock.now = NOON + STRAY_SECONDS + 50
    status = {"shards": [{"name": "named", "nodes": 1}]}
    world.server.bodies["team", "release-x7"] = support.run(status=status)
    for name in ("named", "stray"):
        shard(world, "team", name)
    shard(world, "team", "young", created=60)
    shard(world, "team", "nobodys", owner=None)
    shard(world, "other", "elsewhere")
    await world.housekeeping.remove_shards("")
    kept = [("other", "elsewhere"), ("team", "named"), ("team", "young")]
    assert sorted(world.server.shards) == kept, "the server deletes what has no owner any more"
    await world.housekeeping.remove_shards("")
    assert world.server.asked == ["release-x7"], "asked once for each version of a run"


async def test_node_states_of_a_run_that_goes_on_are_not_touched(clock):
    world = World()
    clock.now = NOON + STRAY_SECONDS + 50
    status = {"phase": "Running"}
    world.cache.put_run(support.run(metadata={"resourceVersion": "200"}, status=status))
    shard(world, "team", "perhaps-about-to-be-named")
    await world.housekeeping.remove_shards("team")
    assert len(world.server.shards) == 1


def workflow(name="release", **spec):
    meta = {"name": name, "namespace": "team", "uid": f"uid-{name}", "generation": 1}
    return {"kind": "Workflow", "metadata": meta, "spec": spec}


def ended(name, at, phase="Succeeded", **changes):
    meta = {"name": name, "uid": f"uid-{name}", "annotations": {"podium.dev/rerun": None}}
    return support.changed(
        support.run(
            metadata=meta,
            spec={"ttlSecondsAfterFinished": None},
            status={"phase": phase, "completedAt": support.at(at)},
        ),
        changes,
    )


async def deleted_runs(world):
    world.server.deleted = []
    await world.housekeeping.remove_runs()
    return sorted(name for name, *_ in world.server.deleted)


async def test_runs_go_that_their_workflow_does_not_keep(clock):
    world = World()
    world.cache.drop_run(("team", "release-x7"), support.RUN_UID)
    for position in range(3):
        world.cache.put_run(ended(f"good-{position}", position))
        world.cache.put_run(ended(f"bad-{position}", position, "Failed"))
    world.cache.put_run(ended("cancelled", 9, "Cancelled"))
    world.cache.put_run(ended("running", 0, "Running"))
    world.cache.put_run(ended("by-id", 8, spec={"workflowRef": {"name": "rel"}}))
    world.cache.put_run(ended("other", 0, spec={"workflowRef": {"name": "other"}}))
    world.cache.put_run(ended("elsewhere", 0, metadata={"namespace": "b", "uid": "x"}))
    assert await deleted_runs(world) == [], "no Workflow says so"
    world.cache.put_workflow(workflow(id="rel", retention={"successfulRuns": 2, "failedRuns": 1}))
    assert await deleted_runs(world) == ["bad-0", "bad-1", "bad-2", "good-0", "good-1"]
    assert ("good-0", "uid-good-0", "100") in world.server.deleted
    world.cache.put_workflow(workflow(id="rel", retention={"secondsAfterFailure": 98}))
    assert await deleted_runs(world) == ["bad-0", "bad-1", "bad-2"]
    world.cache.put_workflow(workflow(id="rel", retention={"successfulRuns": -1}))
    assert await deleted_runs(world) == [], "what is not valid deletes none"
    # A run with a graph of its own is of no Workflow, also not of one without an id.
    world.cache.put_run(ended("inline", 99, spec={"workflowRef": None}))
    world.cache.put_workflow(workflow(retention={"successfulRuns": 1}))
    assert await deleted_runs(world) == ["good-0", "good-1"]


async def test_runs_stay_that_may_go_on(clock):
    world = World()
    world.cache.drop_run(("team", "release-x7"), support.RUN_UID)
    world.cache.put_workflow(workflow(retention={"successfulRuns": 0}))
    world.cache.put_run(ended("asked", 0, metadata={"annotations": {"podium.dev/accepted": "[]"}}))
    world.cache.put_run(ended("goes", 0, metadata={"deletionTimestamp": support.at(50)}))
    changed = ended("changed", 0)
    world.cache.put_run(changed)
    world.cache.note_run(support.changed(changed, {"metadata": {"resourceVersion": "101"}}))
    assert await deleted_runs(world) == []
    world.cache.put_run(ended("over", 0))
    world.server.refuse = ApiError(409, "Conflict", "it changed")
    assert await deleted_runs(world) == []
    world.server.refuse = ApiError(500, "InternalError", "no")
    with pytest.raises(ApiError):
        await world.housekeeping.remove_runs()
    world.server.refuse = None
    assert await deleted_runs(world) == ["over"]
