"""Maps on a cluster: one Indexed Job, a Pod for each item, whatever happens to them."""

import asyncio
import copy

import pytest

from podium.cluster.jobs.map_job import map_name
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import LABEL_INDEX
from podium.cluster.runs import map_jobs
from podium.engine import RerunRequest
from tests.unit.cluster import support
from tests.unit.cluster.runs.world import SCHEDULED, World
from tests.unit.cluster.support import RUN_UID, running, terminated
from tests.unit.engine.support import node

JOB = map_name("release-x7", RUN_UID, "shards-1")


def shards(count=3, **fields):
    items = str(list(range(count)))
    return node("shards", forEach=items, **fields)


def items(world):
    """Return the Pods by their index, the latest of each."""
    pods = sorted(
        world.server.pods.values(), key=lambda pod: int(pod["metadata"]["resourceVersion"])
    )
    return {int(pod["metadata"]["labels"][LABEL_INDEX]): pod for pod in pods}


def end(world, index, code=0):
    phase = "Failed" if code else "Succeeded"
    ended = support.pod(SCHEDULED, phase=phase, state=terminated(code))["status"]
    world.change(items(world)[index], status=ended)
    world.run.dirty.update(each.name for each in world.cache.items(world.job["metadata"]["uid"]))


async def test_all_items_share_one_job():
    world = await World(shards()).start()
    assert [world.job["metadata"]["name"]] == [JOB]
    assert world.job["spec"]["completionMode"] == "Indexed"
    assert sorted(items(world)) == [0, 1, 2]
    assert world.server.calls.count("create job") == 1
    assert world.server.calls.count("try out job") == 1
    for index in range(3):
        state = world.paper.state(f"shards[{index}]")
        assert state.job_uid == f"{world.job['metadata']['uid']}/shards[{index}]-1"
        assert state.pod_uid == items(world)[index]["metadata"]["uid"]


async def test_an_item_ends_as_its_pod():
    world = await World(shards(allowedFailures=1)).start()
    end(world, 0)
    end(world, 1, 3)
    await world.turn()
    assert (str(world.paper.state("shards").items.completed)) == "0"
    assert (str(world.paper.state("shards").items.failed)) == "1"
    await world.written()
    assert world.jobs.outcomes == {f"{JOB}/shards[0]-1": True, f"{JOB}/shards[1]-1": False}
    told = world.jobs.progress[JOB]
    assert (str(told.completed), str(told.failed), told.succeeded) == ("0", "1", 1)
    end(world, 2)
    await world.turn()
    await world.written()
    assert world.stands("shards") == "Completed"
    assert world.jobs.outcomes[JOB] is True


async def test_the_job_says_what_its_items_have_in_common():
    """An operator that begins again must find the same Job, whichever item it starts with."""
    env = [{"name": "ITEM", "value": "${{ item }}"}]
    limits = {"limits": {"memory": "${{ '64Mi' }}"}}
    config = {"script": "true", "env": [{"name": "AT", "value": "${{ index }}"}]}
    more = {"pod": {"env": env}, "config": config, "resources": limits}
    world = World(shards(2, maxParallel=1, **more))
    await world.start()
    first = copy.deepcopy(world.job["spec"])
    (container,) = first["template"]["spec"]["containers"]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert (variables["ITEM"], variables["AT"]) == ("$${{ item }}", "$${{ index }}")
    (container,) = items(world)[0]["spec"]["containers"]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert (variables["ITEM"], variables["AT"]) == ("0", "0")
    assert container["resources"] == {"limits": {"memory": "64Mi"}}
    end(world, 0)
    await world.turn()
    world.server.jobs.clear()
    await world.crash()
    await world.start()
    assert world.job["spec"] == first


async def test_a_retry_is_another_pod_of_the_same_index():
    world = await World(shards(2, retryPolicy={"maxAttempts": 2})).start()
    end(world, 1, 3)
    await world.start()
    assert world.paper.state("shards[1]").execution_id == "shards[1]-2"
    assert list(world.server.jobs) == [JOB]
    again = items(world)[1]["metadata"]
    assert again["annotations"]["podium.dev/execution"] == "shards[1]-2"
    assert len(world.server.pods) == 3
    end(world, 0)
    end(world, 1)
    await world.turn()
    assert world.stands("shards") == "Completed"


async def test_a_disrupted_item_starts_again_under_its_own_execution():
    world = await World(shards(2)).start()
    gone = support.pod(SCHEDULED, support.condition("DisruptionTarget", reason="Preempted"),
                       phase="Failed", state=terminated(137))["status"]  # fmt: skip
    world.change(items(world)[0], status=gone)
    world.run.dirty.add(f"{JOB}/shards[0]-1")
    await world.start()
    await world.written()
    assert world.jobs.disrupted == [world.server.pods[name]["metadata"]["uid"] for name in sorted(
        world.server.pods, key=lambda n: int(world.server.pods[n]["metadata"]["uid"][4:]))[:1]]  # fmt: skip
    await world.again(2)
    assert world.paper.state("shards[0]").execution_id == "shards[0]-1"
    assert len(world.server.pods) == 3
    assert len([1 for pod in world.server.pods.values() if "-0-" in pod["metadata"]["name"]]) == 2


@pytest.mark.parametrize("recorded", [False, True])
async def test_after_a_crash_nothing_is_made_twice(recorded):
    world = World(shards())
    await world.turn()
    if recorded:
        await world.turn()
    await world.crash()
    await world.start()
    await world.start()
    assert list(world.server.jobs) == [JOB]
    assert len(world.server.pods) == 3
    for index in range(3):
        end(world, index)
    await world.turn()
    assert world.stands("shards") == "Completed"


async def test_what_ended_while_no_operator_was_there_is_seen():
    world = await World(shards()).start()
    await world.crash()
    for index in range(3):
        end(world, index)
    await world.crash()
    await world.turn()
    await world.written()
    assert world.stands("shards") == "Completed"
    assert world.jobs.outcomes[JOB] is True
    assert len(world.jobs.outcomes) == 4


async def test_items_that_are_recorded_are_let_go_by_the_next_operator():
    """One that ended between the write of the status and what follows leaves Pods behind."""
    world = await World(shards()).start()
    end(world, 0)
    await world.turn()
    assert "shards[0]" not in world.paper.engine.status.nodes
    await world.crash()
    assert world.jobs.outcomes == {f"{JOB}/shards[0]-1": True}
    await world.start()
    assert len(world.server.pods) == 3


async def test_nothing_is_kept_of_an_item_that_has_ended():
    world = await World(shards()).start()
    for index in range(3):
        end(world, index)
        await world.turn()
        await world.written()
    world.run.dirty.update(world.cache.jobs("team", RUN_UID))
    await world.turn()
    assert (world.run.executions, world.run.jobs_of, world.run.timers) == ({}, {}, {})


async def test_a_pod_that_vanished_before_it_was_recorded_fails_its_item():
    world = await World(shards(allowedFailures=3)).start()
    world.cache.lose_pod(items(world)[2]["metadata"]["uid"])
    world.run.dirty.add(f"{JOB}/shards[2]-1")
    await world.turn()
    assert str(world.paper.state("shards").items.failed) == "2"


async def test_the_pod_of_an_item_that_is_missing_is_made_again():
    """A crash between its share and its Pod: what it is handed is with the engine alone."""
    world = await World(shards(2)).start()
    name = items(world)[0]["metadata"]["name"]
    del world.server.pods[name]
    await world.crash()
    await world.start()
    await world.start()
    assert sorted(items(world)) == [0, 1]
    assert items(world)[0]["metadata"]["annotations"]["podium.dev/execution"] == "shards[0]-1"


async def test_a_cancel_ends_pods_and_then_the_job():
    world = await World(shards()).start()
    await world.turn(cancel=True)
    await world.written()
    assert all("deletionTimestamp" in pod["metadata"] for pod in world.server.pods.values())
    assert "deletionTimestamp" in world.job["metadata"]
    for pod in list(world.server.pods.values()):
        world.change(
            pod, status=support.pod(SCHEDULED, phase="Failed", state=terminated(143))["status"]
        )
    await world.turn(cancel=True)
    assert world.run.stopping == set()


async def test_an_item_that_times_out_ends_alone():
    world = await World(shards(timeoutSeconds=5, allowedFailures=1)).start()
    for index in range(3):
        started = support.pod(SCHEDULED, phase="Running", state=running())["status"]
        world.change(items(world)[index], status=started)
    end(world, 0)
    end(world, 1)
    await world.turn()
    world.paper.now = support.NOON + 60
    await world.turn()
    await world.written()
    assert "deletionTimestamp" not in world.job["metadata"]
    assert "deletionTimestamp" in items(world)[2]["metadata"]
    assert str(world.paper.state("shards").items.failed) == "2"


async def test_a_rerun_has_another_job():
    world = await World(shards(2)).start()
    end(world, 0)
    end(world, 1)
    await world.turn()
    await world.written()
    await world.turn(requests=[RerunRequest("q", ("shards",))])
    await world.start()
    assert sorted(world.server.jobs) == sorted([JOB, map_name("release-x7", RUN_UID, "shards-2")])


async def test_a_suspended_job_gets_no_pods_and_each_item_one_when_it_goes_on():
    world = World(shards(2))
    world.server.admit = lambda job: support.changed(job, {"spec": {"suspend": True}})
    await world.start()
    assert world.server.pods == {}
    for index in range(2):
        assert world.stands(f"shards[{index}]") == "Running Queued"
    resumed = {"suspend": False, "template": {"spec": {"nodeSelector": {"pool": "batch"}}}}
    world.change(world.job, spec=resumed)
    world.run.dirty.update(each.name for each in world.cache.take_changed_items())
    await world.start()
    await world.start()
    assert sorted(items(world)) == [0, 1]
    assert items(world)[1]["spec"]["nodeSelector"] == {"pool": "batch"}


def without_manager(job):
    job["spec"].pop("managedBy", None)
    return job


@pytest.mark.parametrize("gate", [True, False])
async def test_where_podium_does_not_make_the_pods_each_item_has_a_job(gate):
    world = World(shards(2), featureGates={"ManagedJobs": gate})
    world.server.admit = without_manager
    await world.start()
    assert len(world.server.jobs) == 2
    assert {job["spec"]["completions"] for job in world.server.jobs.values()} == {1}
    assert world.server.pods == {}


async def test_where_podium_does_not_make_the_pods_items_are_few(monkeypatch):
    monkeypatch.setattr(map_jobs, "UNMANAGED_ITEMS", 3)
    world = World(shards(4))
    world.server.admit = without_manager
    await world.start()
    assert world.server.jobs == {}
    assert world.stands("shards") == "Failed ItemFailed"
    assert world.stands("shards[0]") == "Failed NeedsManagedJobs"


async def test_another_job_of_that_name_is_set_aside():
    world = World(shards(2))
    world.server.jobs[JOB] = support.job(
        metadata={"name": JOB, "uid": "other", "ownerReferences": []}
    )
    await world.start()
    await world.start()
    (ours,) = set(world.server.jobs) - {JOB}
    assert ours == map_name("release-x7", RUN_UID, "shards-1", 1)
    assert len(world.server.pods) == 2


async def test_another_pod_that_says_it_is_an_item_counts_for_nothing():
    world = await World(shards(2)).start()
    copied = items(world)[0]
    fake = support.changed(copied, {"metadata": {"uid": "fake", "name": "fake"}})
    ended = support.pod(SCHEDULED, phase="Succeeded", state=terminated(0))["status"]
    world.server.put(world.server.pods, {**fake, "status": ended})
    world.tell()
    world.run.dirty.update(world.cache.jobs("team", RUN_UID))
    await world.turn()
    assert world.stands("shards[0]").startswith("Running")


async def test_a_job_that_was_deleted_fails_what_ran_of_it():
    world = await World(shards(2, retryPolicy={"maxAttempts": 2})).start()
    body = world.server.jobs.pop(JOB)
    world.cache.add_tombstone(body)
    world.run.dirty.update(each.name for each in world.cache.items(body["metadata"]["uid"]))
    world.cache.drop_job(world.cache.job(body["metadata"]["uid"]))
    for pod in list(world.server.pods):
        uid = world.server.pods.pop(pod)["metadata"]["uid"]
        world.cache.lose_pod(uid)
    await world.turn()
    await world.start()
    assert world.paper.state("shards[0]").execution_id == "shards[0]-2"
    assert list(world.server.jobs) == [JOB]
    assert len(world.server.pods) == 2


async def test_a_quota_holds_an_item_back():
    world = World(shards(2))
    quota = ApiError(403, "Forbidden", 'pods "x" is forbidden: exceeded quota: small')
    world.server.refuse[("create", "pod")] = [quota]
    await world.start()
    await asyncio.sleep(0)
    assert len(world.server.pods) == 1
    await world.again(60)
    assert len(world.server.pods) == 2


@pytest.fixture
def few(monkeypatch):
    """Bound the Pods of items that have ended."""
    monkeypatch.setattr(map_jobs, "MAX_ENDED", -8)  # of ten at once: two
    monkeypatch.setattr(map_jobs, "ROOM_SECONDS", 0.001)


@pytest.fixture
async def full(few):
    """Return a map of which two items have ended, whose Pods are there, and a third waits."""
    world = await World(shards(4, maxParallel=1)).start()
    end(world, 0)
    await world.start()  # its end is not written: its Pod is there
    assert sorted(items(world)) == [0, 1]
    end(world, 1)
    await world.half_turn()
    await asyncio.sleep(0.01)
    assert sorted(items(world)) == [0, 1]
    return world


async def test_no_item_starts_while_too_many_that_ended_have_pods(full):
    before = copy.deepcopy(full.paper.state("shards[2]"))
    await full.half_turn()
    assert full.paper.state("shards[2]") == before, "its wait costs no write of the status"
    assert before.reason == ""
    await full.written()
    for each in full.cache.items(full.job["metadata"]["uid"]):
        full.cache.drop_item(each.uid)  # as once their Pods are gone
    await full.turn()
    assert 2 in items(full)


async def test_an_item_that_waits_for_room_for_long_says_so(few, monkeypatch):
    """As where something keeps the Pods from being removed."""
    monkeypatch.setattr(map_jobs, "TOLD_SECONDS", 0.02)
    world = await World(shards(4, maxParallel=1)).start()
    end(world, 0)
    await world.start()
    end(world, 1)
    await world.turn()
    await world.half_turn()
    state = world.paper.state("shards[2]")
    assert state.reason == "OperatorLimit"
    assert "are being removed" in state.message


async def test_an_item_that_waits_for_room_is_given_up_with_its_map(full):
    await full.turn(cancel=True)
    assert not full.run.launching
    assert sorted(items(full)) == [0, 1]
