"""Each guard against a view that is out of date: with it all is well, without it something is not.

A guard that could be taken out without a test that fails would be taken out some day.
"""

import asyncio

import pytest

from podium.api.names import LABEL_RECORDED
from podium.cluster.jobs.controller import ManagedJobController
from podium.cluster.kube.errors import ApiError, ConflictError
from podium.cluster.kube.views import pod_view
from podium.cluster.runs import closer as closer_module
from podium.cluster.runs import launcher as launcher_module
from podium.cluster.runs import observer as observer_module
from podium.cluster.runs import status_writer as status_module
from podium.cluster.watch import run_store as run_cache_module
from podium.cluster.watch import store as cache_module
from podium.cluster.watch.reflector import Reflector
from podium.cluster.watch.store import InformerCache
from podium.engine import Control, Engine, Launch
from tests.unit.cluster import support
from tests.unit.cluster.jobs import controller_test as jobs_test
from tests.unit.cluster.runs import controller_test as runs_test
from tests.unit.cluster.runs import status_writer_test as status_test
from tests.unit.cluster.runs import world as world_module
from tests.unit.cluster.support import JOB_UID, terminated
from tests.unit.cluster.watch import reflector_test as watches_test
from tests.unit.engine.support import Run, node

guarded = pytest.mark.parametrize("guard", [True, False], ids=["guarded", "unguarded"])


class Believing(Reflector):
    """Believes any list, however old."""

    @property
    def _newest(self):
        return 0

    @_newest.setter
    def _newest(self, value):
        pass


@guarded
async def test_a_stale_list_does_not_say_that_a_new_pod_is_lost(guard):
    source = watches_test.Source(
        ("list", watches_test.page(10, "old")),
        ("watch", watches_test.event("ADDED", "new", 20), watches_test.TOO_OLD),
        ("list", watches_test.page(15, "old")),
        ("list", watches_test.page(20, "old", "new")),
    )
    told = []
    reflector = (Reflector if guard else Believing)(
        source,
        "pods",
        "team",
        "podium.dev/run",
        lambda kind, body: told.append((kind, body["metadata"]["uid"])),
    )
    with pytest.raises((watches_test.Done, AssertionError)):
        await reflector.run()
    assert (("LOST", "new") not in told) is guard


@guarded
def test_an_older_copy_does_not_bring_an_ended_job_back(guard, monkeypatch):
    if not guard:
        monkeypatch.setattr(cache_module, "is_older", lambda *_: False)
    cache = InformerCache()
    done = {"type": "Complete", "status": "True"}
    cache.put_job(support.job(metadata={"resourceVersion": "200"}, status={"conditions": [done]}))
    cache.put_job(support.job(metadata={"resourceVersion": "150"}))
    assert cache.job(JOB_UID).ended is guard
    assert (cache.live["team"] == 0) is guard


@guarded
def test_an_older_copy_does_not_bring_a_run_back(guard, monkeypatch):
    if not guard:
        monkeypatch.setattr(run_cache_module, "is_older", lambda *_: False)
    cache = InformerCache()
    cache.put_run(support.run(metadata={"resourceVersion": "200"}))
    cache.put_run(support.run(metadata={"resourceVersion": "150"}, status={"phase": "Running"}))
    assert cache.runs["team", "release-x7"].ended is guard


@guarded
async def test_a_status_that_another_operator_wrote_is_not_overwritten(guard, monkeypatch):
    clock = status_test.Clock()
    monkeypatch.setattr(status_module, "time", clock)
    world = status_test.World(clock)
    world.paper.step()
    await world.write()
    if not guard:
        real = status_module.at_version
        monkeypatch.setattr(
            status_module,
            "at_version",
            lambda _: real(world.server.body["metadata"]["resourceVersion"]),
        )
    theirs = {"nodes": {"a": {"status": "Completed", "executionId": "a-1", "output": {"v": 1}}}}
    world.server.change(status=theirs)
    world.paper.fail("a-1")
    if guard:
        with pytest.raises(ConflictError):
            await world.write()
    else:
        await world.write()
    assert (world.server.status["nodes"]["a"]["status"] == "Completed") is guard


@pytest.fixture
def world(monkeypatch):
    clock = world_module.Clock()
    for module in (launcher_module, observer_module):
        monkeypatch.setattr(module, "time", clock)
    return world_module.World()


def _crash_before_the_launch_was_written(world):
    """Begin again with a status that knows nothing of what runs."""
    world.paper = Run(node("a"))
    world.begin()
    world.tell()
    world.observer.resume_tracking(world.run)


def _end(world):
    """Let the Pod succeed."""
    ended = {"phase": "Succeeded", "containerStatuses": [
        {"name": "node", "state": terminated(0, "Completed")}
    ]}  # fmt: skip
    world.change(world.pod, status=ended)


async def _record(world):
    """Do what a flush does, and the controller of Jobs after it: a Pod whose outcome is recorded may go."""
    ended = dict(world.run.after_write.outcomes)
    await world.written()
    for name in ended:
        uid = world.server.jobs[name]["metadata"]["uid"]
        for body in world.server.pods.values():
            if body["metadata"]["ownerReferences"][0]["uid"] == uid:
                body["metadata"]["labels"][LABEL_RECORDED] = "true"
                body["metadata"]["finalizers"] = []
                world.cache.drop_pod(body["metadata"]["uid"])


@guarded
async def test_a_pod_of_that_name_is_adopted_only_by_its_jobs_uid(world, guard, monkeypatch):
    await world.start()
    world.server.pods = {
        name: world_module.others(body) for name, body in world.server.pods.items()
    }
    if not guard:
        uid = world.job["metadata"]["uid"]
        monkeypatch.setattr(launcher_module, "pod_view", lambda body: _owned(pod_view(body), uid))
        monkeypatch.setattr(launcher_module, "is_pod_as_built", lambda *_, **__: True)
    world.paper = Run(node("a"))
    world.begin()
    await world.start()
    assert (len(world.server.pods) == 2) is guard


def _owned(view, uid):
    return launcher_module.replace(view, job_uid=uid)


async def _step(world):
    """Do a turn up to its launches, which are returned."""
    batch = await world.observer.collect_observations(world.run)
    actions = world.paper.engine.step(
        world.paper.now, observations=batch.observations, control=Control()
    )
    batch.commit()
    return [action for action in actions if isinstance(action, Launch)]


async def _launch(world, launches):
    for launch in launches:
        world.launcher.launch(world.run, launch)
    await asyncio.gather(*world.run.tasks)


@guarded
async def test_a_pod_that_ended_before_its_launch_was_written_is_kept_for_it(
    world, guard, monkeypatch
):
    """The engine passes over the end of what it has not launched: the Pod must stay until then."""
    if not guard:
        monkeypatch.setattr(Engine, "has_recorded_execution", lambda *_: True)
    await world.start()
    _end(world)
    _crash_before_the_launch_was_written(world)
    launches = await _step(world)
    await _record(world)
    await _launch(world, launches)
    await world.start()
    assert (len(world.server.pods) == 1) is guard
    assert (world.paper.state("a").status.value == "Completed") is guard


@guarded
async def test_a_pod_is_kept_whose_end_is_seen_together_with_a_refusal_of_its_launch(
    world, guard, monkeypatch
):
    if not guard:
        monkeypatch.setattr(Engine, "has_recorded_execution", lambda *_: True)
    await world.start()
    _crash_before_the_launch_was_written(world)
    world.cache.mark_own_pod(world.pod["metadata"]["uid"])  # else its end is not even looked at
    world.server.refuse["get", "pod"] = [ApiError(500, "Oops", "not now")]
    await _launch(world, await _step(world))
    _end(world)
    assert not await _step(world)
    assert world.paper.stands("a").startswith("Ready")
    await _record(world)
    await world.again(10)
    assert (len(world.server.pods) == 1) is guard
    assert (world.paper.state("a").status.value == "Completed") is guard


@guarded
async def test_a_launch_that_waited_finds_that_its_execution_was_stopped(world, guard):
    """A new leader waits before it launches; the run is cancelled meanwhile."""
    launches = await _step(world)
    world.paper.step(control=Control(cancel=True))
    if not guard:
        world.paper.engine.is_execution_current = lambda *_: True
    await _launch(world, launches)
    assert launches
    assert (not world.server.jobs) is guard


@guarded
async def test_the_result_of_a_job_that_the_watch_does_not_show_yet_is_held(guard, monkeypatch):
    if not guard:

        async def nowhere(*_):
            return None

        monkeypatch.setattr(ManagedJobController, "_ask", nowhere)
    world = jobs_test.World()
    world.server.put(jobs_test.job())
    world.pod(jobs_test.DONE)
    await world.settle()
    assert world.held is guard


@guarded
@pytest.mark.parametrize("phase", ["Succeeded", "Running"])
async def test_jobs_of_a_run_that_was_run_again_unseen_are_let_be(guard, phase, monkeypatch):
    world = runs_test.World()
    deleted = []

    async def delete(namespace, name, uid):
        deleted.append(name)

    monkeypatch.setattr(world.server, "delete_job", delete, raising=False)
    if not guard:
        monkeypatch.setattr(
            closer_module, "dig", lambda *_: world.cache.runs[runs_test.KEY].version
        )
    world.runs.forget(runs_test.KEY)
    job = world.cache.put_job(support.job(spec={"managedBy": "podium.dev/operator"}))
    world.cache.put_pod(support.pod(phase=phase))
    world.server.annotate(rerun="a")
    await world.runs.reconcile(runs_test.OBJECT)
    assert (not deleted and not world.runs._closer._jobs.has_pending_outcome(job)) is guard


@guarded
async def test_a_run_that_was_run_again_unseen_is_not_deleted_when_its_time_is_over(
    guard, monkeypatch
):
    world = runs_test.World()
    there = world.server.body["metadata"]

    async def delete(namespace, name, uid, version):
        if guard and version != there["resourceVersion"]:
            raise ApiError(409, "Conflict", "it changed")
        there["deletionTimestamp"] = "now"

    monkeypatch.setattr(world.server, "delete_run", delete, raising=False)
    world.server.body["spec"]["ttlSecondsAfterFinished"] = 0
    world.server.annotate(note="x")
    world.cache.put_run(world.server.body)
    world.runs.forget(runs_test.KEY)
    world.server.annotate(rerun="a")
    if guard:
        with pytest.raises(ApiError):
            await world.runs.reconcile(runs_test.OBJECT)
    else:
        await world.runs.reconcile(runs_test.OBJECT)
    assert ("deletionTimestamp" not in there) is guard
