"""What Jobs and Pods say of a run, also to the next operator."""

import json
from dataclasses import replace

import pytest

from podium.api.names import FINALIZER, LABEL_RECORDED
from podium.cluster.jobs.builder import PODS_OF_JOB, build_pod, job_name, pod_name
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import controller_of
from podium.cluster.runs.active_run import Execution
from tests.unit.cluster import support
from tests.unit.cluster.runs.world import ENDED, NAME, POLICY, QUOTA, SCHEDULED, World
from tests.unit.cluster.support import NOON, RUN_UID, condition, running, terminated
from tests.unit.engine.judged import COSTLY, Judged
from tests.unit.engine.support import node

# After a crash


async def test_a_pod_that_was_not_made_is_made(world):
    """The operator died between the Job and its Pod, with the node written as running."""
    await world.start()
    world.server.pods = {}
    await world.crash()
    await world.turn()
    assert world.server.calls[-2:] == ["get job", "create pod"]
    assert controller_of(world.pod, "Job", "batch/v1") == world.job["metadata"]["uid"]
    assert not world.run.making
    await world.turn()
    assert world.stands() == "Running Scheduling"


async def test_a_job_is_looked_at_again_once_the_output_of_its_node_was_judged(world):
    """No watch says anything more of it: it ended before its outcome was known."""
    paper = Judged(node("a", outputContract={"schema": COSTLY}))
    world.paper = paper
    world.begin()
    await world.start()
    done = terminated(0, "Completed", message='{"v": "aaa"}')
    pod = support.pod(SCHEDULED, phase="Succeeded", state=done)
    world.change(world.pod, status=pod["status"])
    await world.turn()
    assert world.stands() == "Running Judging"
    assert not world.run.after_write.outcomes
    await world.turn()
    assert not world.run.dirty, "it is not looked at all the time"
    world.wakes.clear()
    world.run.launch_results += paper.verdicts.answers(paper)
    await world.turn()
    assert world.stands() == "Completed"
    assert world.wakes
    await world.turn()
    assert world.run.after_write.outcomes == {NAME: True}
    assert world.stands() == "Completed"
    assert not world.run.dirty


async def test_a_pod_is_supplied_once_however_often_one_looks(world):
    await world.start()
    world.server.pods = {}
    await world.crash()
    for _ in range(3):
        world.run.dirty.add(NAME)
        await world.observer.collect_observations(world.run)
    await world.turn()
    assert world.server.calls.count("create pod") == 2


@pytest.mark.parametrize("error", [QUOTA, ApiError(503, "Unavailable", "later")])
async def test_a_pod_that_cannot_be_supplied_now_is_supplied_later(world, error):
    await world.start()
    world.server.pods = {}
    await world.crash()
    world.server.refuse["create", "pod"] = [error]
    await world.start()
    assert world.stands().startswith("Running ")
    ((name, seconds),) = world.later
    assert (name, seconds > 0) == (NAME, True)
    world.run.dirty.add(name)
    await world.turn()
    assert len(world.server.pods) == 1


async def test_a_pod_that_policy_refuses_fails_its_node_and_closes_its_job(world):
    await world.start()
    world.server.pods = {}
    await world.crash()
    world.server.refuse["create", "pod"] = [POLICY]
    await world.start()
    assert world.stands() == "Failed Forbidden"
    await world.written()
    assert world.jobs.outcomes == {NAME: False}


async def test_a_pod_of_a_job_that_is_gone_is_not_made(world):
    await world.start()
    world.server.pods = {}
    await world.crash()
    world.server.jobs = {}
    await world.start()
    assert world.stands() == "Running Stalled"
    assert world.later
    world.cache.lose_job(next(iter(world.cache.jobs("team", RUN_UID).values())).uid)
    world.run.dirty.add(NAME)
    await world.turn()
    assert world.stands() == "Failed JobDeleted"


async def test_a_running_node_without_a_job_asks_the_server_first(world):
    """The watches may be behind."""
    await world.start()
    jobs, world.server.jobs = world.server.jobs, {}
    await world.crash()
    world.server.jobs = jobs
    await world.turn()
    assert "get job" in world.server.calls
    assert world.stands().startswith("Running")
    world.server.jobs = {}
    await world.crash()
    await world.turn()
    assert world.stands().startswith("Running"), "its Pod is there, and the server deletes it"
    world.server.pods = {}
    await world.crash()
    await world.turn()
    assert world.stands() == "Failed JobDeleted"


# What others made


def succeeded(world, **output):
    """Return changes of a Pod: its program wrote this."""
    done = terminated(0, "Completed", message=json.dumps(output))
    return {"status": support.pod(SCHEDULED, phase="Succeeded", state=done)["status"]}


FORGED = {"forged": True}


def forged_pod(world, **meta):
    """Return a Pod that says it is of the Job of node a, and that it succeeded."""
    meta = {"name": "evil", "uid": "evil", **meta}
    return support.changed(world.pod, {**succeeded(world, **FORGED), "metadata": meta})


LABELS = ("podium.dev/run", "batch.kubernetes.io/controller-uid")


@pytest.mark.parametrize("gates", [{}, {"ManagedJobs": False}])
@pytest.mark.parametrize("meta", [{}, {"name": None}, {"ownerReferences": []}])
@pytest.mark.parametrize("crashed", [False, True])
async def test_a_pod_of_another_namespace_decides_nothing(clock, gates, meta, crashed):
    world = World(feature_gates=gates)
    await world.start()
    if not world.server.pods:  # as the built-in controller makes it
        owner = build_pod(world.job, 0)
        owner["metadata"] |= {"finalizers": [], "name": "made-by-the-job-controller"}
        await world.server.create_pod(owner)
    uid = world.job["metadata"]["uid"]
    labels = dict.fromkeys(LABELS, uid)
    name = meta.get("name", "evil") or world.pod["metadata"]["name"]
    meta = {**meta, "namespace": "attacker", "labels": labels, "name": name}
    evil = forged_pod(world, **meta, finalizers=[FINALIZER])
    if crashed:
        await world.crash()
    view, told = world.cache.put_pod(evil)
    assert (view.job_uid, told) == (uid, None), "no run is told of it"
    world.run.dirty.add(NAME)
    await world.tell().turn()
    assert world.stands().startswith("Running")
    assert [pod.uid for pod in world.cache.pods(uid)] == [world.pod["metadata"]["uid"]]
    assert [pod.name for pod in world.cache.strays(uid)] == [name]
    world.change(world.pod, **succeeded(world, real=True))
    await world.turn()
    assert world.paper.state("a").output == {"real": True}


@pytest.mark.parametrize("crashed", [False, True])
async def test_a_pod_that_podium_did_not_name_decides_nothing(world, crashed):
    await world.start()
    if crashed:
        await world.crash()
    world.cache.put_pod(forged_pod(world))
    world.run.dirty.add(NAME)
    await world.turn()
    assert world.stands() == "Running Scheduling"


@pytest.mark.parametrize("crashed", [False, True])
@pytest.mark.parametrize("number", [0, 1, 7])
async def test_a_pod_with_owner_and_name_of_podium_decides_nothing(world, number, crashed):
    """Whoever may create Pods in the run's namespace can copy both."""
    await world.start()
    uid, ours = world.job["metadata"]["uid"], world.pod["metadata"]["uid"]
    if crashed:
        await world.crash()
    world.cache.put_pod(forged_pod(world, name=pod_name(NAME, uid, number)))
    world.run.dirty.add(NAME)
    await world.turn()
    assert world.stands().startswith("Running")
    assert world.paper.state("a").pod_uid == ours
    world.change(world.pod, **succeeded(world, real=True))
    await world.turn()
    assert world.paper.state("a").output == {"real": True}
    assert world.paper.state("a").pod_uid is None, "it is written only while it matters"


async def test_a_pod_that_another_client_made_first_is_replaced(world):
    """It takes the name before the operator asks for it, and runs another program."""
    await world.start()
    name = world.pod["metadata"]["name"]
    (container,) = world.pod["spec"]["containers"]
    evil = support.changed(
        forged_pod(world, name=name, uid="evil", finalizers=[FINALIZER]),
        {"spec": {"containers": [container | {"image": "evil"}]}, "status": {"phase": "Running"}},
    )
    evil["status"] = support.pod(SCHEDULED, phase="Running", state=running())["status"]
    world.server.pods = {name: evil}
    world.paper.state("a").pod_uid = None
    world.begin()
    world.run.add(NAME, Execution("a", "a-1", 0, world.job["metadata"]["uid"]))
    world.tell()
    await world.start()
    assert "deletionTimestamp" in world.server.pods[name]["metadata"]
    second = pod_name(NAME, world.job["metadata"]["uid"], 1)
    assert world.paper.state("a").pod_uid == world.server.pods[second]["metadata"]["uid"]
    world.change(evil, **succeeded(world, **FORGED))
    await world.turn()
    assert world.stands().startswith("Running")
    world.change(world.server.pods[second], **succeeded(world, real=True))
    await world.turn()
    assert world.paper.state("a").output == {"real": True}


async def test_a_pod_made_in_advance_of_a_replacement_decides_nothing(world):
    await disrupted(world)
    uid = world.job["metadata"]["uid"]
    name = pod_name(NAME, uid, 1)
    world.server.pods[name] = forged_pod(world, name=name, finalizers=[FINALIZER])
    world.server.pods[name]["spec"]["containers"][0]["image"] = "evil"
    world.run.dirty.add(NAME)
    await world.tell().turn()
    assert world.stands().startswith("Running"), "while the restart waits"
    await world.again(3600)
    assert world.stands().startswith("Running")
    assert world.paper.state("a").output is None
    third = pod_name(NAME, uid, 2)
    assert world.paper.state("a").pod_uid == world.server.pods[third]["metadata"]["uid"]


async def test_a_label_decides_nothing_while_the_job_is_there(world):
    await world.start()
    job = world.job["metadata"]["uid"]
    meta = {"name": pod_name(NAME, job, 1), "ownerReferences": [], "finalizers": [FINALIZER]}
    world.cache.put_pod(forged_pod(world, **meta, labels=dict.fromkeys(LABELS, job)))
    world.run.dirty.add(NAME)
    await world.turn()
    assert world.stands() == "Running Scheduling"


@pytest.mark.parametrize("crashed", [False, True])
async def test_another_job_of_that_name_decides_nothing(world, crashed):
    """The Job was deleted, and another one was made in its place."""
    await world.start()
    complete = {"conditions": [condition("Complete")]}
    evil = support.changed(world.job, {"metadata": {"uid": "evil"}, "status": complete})
    owner = {**world.pod["metadata"]["ownerReferences"][0], "uid": "evil"}
    pod = forged_pod(world, name=pod_name(NAME, "evil", 0), ownerReferences=[owner])
    world.server.jobs, world.server.pods = {NAME: evil}, {"evil": pod}
    if crashed:
        await world.crash()
    await world.tell().turn()
    await world.turn()
    assert world.paper.state("a").output is None
    assert world.stands() in ("Failed JobDeleted", "Running Scheduling")


async def test_a_job_made_in_advance_decides_nothing(world):
    """Under the name of an execution that is still to come, by whoever knows the run's UID."""
    await world.start()
    name = job_name("release-x7", RUN_UID, "a-2", 0)
    notes = {"podium.dev/execution": "a-2"}
    meta = {"name": name, "uid": "evil", "annotations": notes}
    world.cache.put_job(support.changed(world.job, {"metadata": meta}))
    owner = {**world.pod["metadata"]["ownerReferences"][0], "uid": "evil"}
    world.cache.put_pod(forged_pod(world, name=pod_name(name, "evil", 0), ownerReferences=[owner]))
    world.run.dirty.add(name)
    await world.turn()
    await world.turn()
    assert world.stands() == "Running Scheduling"
    assert world.paper.state("a").execution_id == "a-1"


async def test_a_state_of_an_earlier_version_names_no_job_and_goes_on(world):
    await world.start()
    world.paper.state("a").job_uid = None
    await world.crash()
    await world.turn()
    assert world.stands() == "Running Scheduling"
    assert world.paper.state("a").job_uid == world.job["metadata"]["uid"], "from now on it does"


async def test_a_job_that_only_says_that_it_is_the_nodes_is_passed_over(world):
    forged = support.job(metadata={"annotations": {"podium.dev/node": "a"}})
    world.cache.put_job(forged)
    world.run.dirty.add(forged["metadata"]["name"])
    batch = await world.observer.collect_observations(world.run)
    assert batch.observations == []


# Disruptions


DISRUPTED = support.pod(
    SCHEDULED, condition("DisruptionTarget", reason="Evicted"), phase="Failed", state=terminated(1)
)["status"]


async def disrupted(world):
    await world.start()
    world.change(world.pod, status=DISRUPTED)
    await world.turn()
    assert world.paper.state("a").disruptions == 1


async def test_a_disrupted_pod_is_replaced_within_its_job(world):
    await disrupted(world)
    first = world.pod["metadata"]
    await world.written()
    assert world.jobs.disrupted == [first["uid"]]
    await world.again(3600)
    assert len(world.server.jobs) == 1
    second = next(m for m in (p["metadata"] for p in world.server.pods.values()) if m != first)
    assert second["name"] != first["name"]
    assert world.stands().startswith("Running")


async def lose_machine(world):
    """A Pod runs on a machine that does not answer; the cluster asks it to end from 12:00:25 on."""
    await world.start()
    taint = condition("DisruptionTarget", reason="DeletionByTaintManager", message="lost")
    runs = support.pod(SCHEDULED, taint, phase="Running", state=running())
    world.change(world.pod, metadata=GOING, status=runs["status"])
    await world.turn()
    assert world.stands() == "Running NodeLost"


async def test_a_pod_on_a_lost_machine_is_given_up_when_its_node_says_so(clock):
    world = World(node("a", forceRestartAfterSeconds=100))
    await lose_machine(world)
    assert "delete pod" not in world.server.calls
    ((_, seconds),) = world.later
    clock.now += seconds
    await world.tell().turn()
    assert world.pod["metadata"]["deletionGracePeriodSeconds"] == 0
    await world.tell().turn()
    assert world.paper.state("a").disruptions == 1
    assert "done twice" in world.paper.state("a").message
    await world.again(5)
    assert len(world.server.pods) == 2
    assert world.paper.state("a").execution_count == 1


async def test_a_pod_on_a_lost_machine_is_waited_for_else(world, clock):
    await lose_machine(world)
    clock.now += 1_000_000
    await world.tell().turn()
    assert "delete pod" not in world.server.calls
    assert world.stands() == "Running NodeLost"


async def test_no_pod_is_supplied_while_a_restart_waits(world):
    await disrupted(world)
    assert world.paper.state("a").next_attempt_at is not None
    uid = world.pod["metadata"]["uid"]
    world.cache.drop_pod(uid)
    world.server.pods = {}
    world.server.calls = []
    world.run.dirty.add(NAME)
    await world.turn()
    assert (world.server.calls, world.server.pods) == ([], {})
    await world.again(3600)
    assert len(world.server.pods) == 1


async def test_a_restart_finds_the_pod_of_the_restart_before_the_crash(world):
    await disrupted(world)
    await world.again(3600)
    names = set(world.server.pods)
    assert len(names) == 2
    await world.crash()
    await world.start()
    assert set(world.server.pods) == names


async def test_pods_that_are_recorded_are_passed_over(world):
    await world.start()
    for body in world.server.pods.values():
        body["metadata"]["labels"][LABEL_RECORDED] = "true"
    await world.crash()
    await world.turn()
    assert len(world.server.pods) == 2


async def test_a_job_has_only_so_many_pods(world):
    await world.start()
    for _ in range(PODS_OF_JOB - 1):
        for body in world.server.pods.values():
            body["metadata"]["labels"][LABEL_RECORDED] = "true"
        await world.crash()
        await world.start()
    for body in world.server.pods.values():
        body["metadata"]["labels"][LABEL_RECORDED] = "true"
    await world.crash()
    await world.start()
    assert len(world.server.pods) == PODS_OF_JOB
    assert world.stands() == "Failed TooManyPods"


# Suspended Jobs


def suspended(job):
    job["spec"]["suspend"] = True
    return job


async def test_a_suspended_job_gets_no_pod_before_it_is_resumed(world):
    world.server.admit = suspended
    await world.start()
    await world.tell().turn()
    assert (world.server.pods, world.stands()) == ({}, "Running Queued")
    template = {"template": {"spec": {"nodeSelector": {"flavour": "spot"}}}}
    world.change(world.job, spec={"suspend": False, **template})
    await world.turn()
    assert world.pod["spec"]["nodeSelector"] == {"flavour": "spot"}, "the template as it is now"


GOING = {"deletionTimestamp": support.at(25), "deletionGracePeriodSeconds": 5}


async def suspend(world):
    """Suspend a Job; its Pod is asked to end, and ends."""
    await world.start()
    world.change(world.job, spec={"suspend": True})
    world.cache.mark_suspend_deletion(world.pod["metadata"]["uid"])
    world.change(world.pod, metadata=GOING, status=ENDED)


@pytest.mark.parametrize("crashed", [False, True])
async def test_a_pod_that_ended_by_a_suspension_is_no_failure(world, crashed):
    await suspend(world)
    if crashed:
        await world.crash()
    await world.turn()
    assert world.stands() == "Running Queued"
    assert not world.run.after_write.outcomes
    assert world.jobs.asked, "it can be let go"


async def test_a_pod_that_ended_before_it_was_deleted_is_the_outcome(world):
    """Although its Job was suspended then."""
    await world.start()
    world.change(world.job, spec={"suspend": True})
    done = support.pod(SCHEDULED, phase="Succeeded", state=terminated(0, "Completed", until=19))
    world.change(world.pod, metadata=GOING, status=done["status"])
    await world.turn()
    assert world.stands() == "Completed"


async def test_a_resumed_job_gets_another_pod_although_the_former_is_still_there(world):
    """Its finalizer comes off a moment later."""
    await suspend(world)
    await world.turn()
    world.change(world.job, spec={"suspend": False})
    await world.turn()
    assert len(world.server.pods) == 2
    assert any(pod.alive for pod in world.cache.pods(world.job["metadata"]["uid"]))


async def test_a_resumed_job_gets_no_second_pod_while_the_first_may_run(world):
    await world.start()
    world.change(world.job, spec={"suspend": True})
    world.cache.mark_suspend_deletion(world.pod["metadata"]["uid"])
    state = support.pod(SCHEDULED, state=running(), phase="Running")["status"]
    world.change(world.pod, metadata=GOING, status=state)
    await world.turn()
    world.change(world.job, spec={"suspend": False})
    await world.turn()
    assert len(world.server.pods) == 1
    world.change(world.pod, status=ENDED)
    await world.turn()
    assert len(world.server.pods) == 2


def orphan(world):
    """Do what `kubectl delete job --cascade=orphan` does."""
    meta = world.job["metadata"]
    labels = {f"batch.kubernetes.io/{name}": meta[of] for name, of in
              [("job-name", "name"), ("controller-uid", "uid")]}  # fmt: skip
    world.server.jobs.clear()
    world.change(world.pod, metadata={"ownerReferences": [], "labels": labels})


async def test_an_orphaned_pod_is_waited_for_also_by_the_next_operator(world):
    await world.start()
    orphan(world)
    await world.crash()
    await world.turn()
    assert world.stands() == "Running Scheduling"
    ended = support.pod(SCHEDULED, phase="Succeeded", state=terminated(0, message='{"v": 1}'))
    done = {"status": ended["status"]}
    _, gone = world.cache.put_pod(
        world.server.put(world.server.pods, support.changed(world.pod, done))
    )
    assert (gone.name, gone.run_uid) == (NAME, RUN_UID), "that run is told of it"
    world.run.dirty.add(gone.name)
    await world.turn()
    assert world.stands() == "Completed"


async def test_the_next_operator_asks_for_the_job_of_the_last_restart(world):
    """The watch does not show it yet, and the one before it is gone."""
    await world.start()
    state = world.paper.state("a")
    state.disruptions = 1
    body = world.server.jobs.pop(NAME)
    name = job_name("release-x7", RUN_UID, state.execution_id, 1)
    notes = {"podium.dev/restart": "1"}
    body = support.changed(body, {"metadata": {"name": name, "annotations": notes}})
    world.server.jobs[name] = body
    world.begin()
    world.observer.resume_tracking(world.run)
    await world.turn()
    assert world.stands() == "Running Scheduling"
    assert world.run.jobs_of[state.execution_id][-1] == name


@pytest.mark.parametrize("managed", [True, False])
async def test_a_pod_that_still_ends_after_its_job_holds_back_what_cleans_up(managed):
    """Also for the next operator, which never saw the Job."""
    clean = node("clean", dependsOn=["a"], triggerRule="AllDone")
    late = node("a", timeoutSeconds=5)
    world = World(late, clean, feature_gates={"ManagedJobs": managed})
    world.paper.now = NOON + 10
    await world.start()
    if not managed:  # its Pods are made by the built-in controller
        owner = {"kind": "Job", "apiVersion": "batch/v1", "controller": True}
        owner |= {"uid": world.job["metadata"]["uid"], "name": NAME}
        world.server.put(world.server.pods, support.pod(metadata={"ownerReferences": [owner]}))
    began = support.pod(SCHEDULED, phase="Running", state=running(11))["status"]
    world.change(world.pod, status=began)
    await world.turn()
    world.paper.now = NOON + 30
    await world.turn()
    await world.written()
    assert world.stands() == "Failed Timeout"
    world.server.jobs.clear()
    world.change(world.pod, metadata=GOING)
    await world.crash()
    await world.turn()
    await world.turn()
    assert world.stands("clean") == "WaitingForDependencies"
    assert world.server.jobs == {}
    await world.written()
    world.change(world.pod, status=ENDED)
    await world.turn()
    await world.turn()
    assert list(world.server.jobs), "it is launched"


# Time-outs


@pytest.mark.parametrize("managed", [True, False])
@pytest.mark.parametrize("is_start_seen", [True, False])
async def test_an_end_in_time_counts_whenever_it_is_reported(clock, managed, is_start_seen):
    world = World(node("a", timeoutSeconds=1), feature_gates={"ManagedJobs": managed})
    world.paper.engine._run.info = replace(world.paper.engine.info, whole_seconds=True)
    world.paper.now = NOON + 10
    await world.start()
    if not managed:  # its Pods are made by the built-in controller
        owner = {"kind": "Job", "apiVersion": "batch/v1", "controller": True}
        owner["uid"] = world.job["metadata"]["uid"]
        world.server.put(world.server.pods, support.pod(metadata={"ownerReferences": [owner]}))
        world.tell()
    began = support.pod(SCHEDULED, phase="Running", state=running(11))["status"]
    done = terminated(0, "Completed", message='{"v": 1}', since=11, until=12)
    ended = support.pod(SCHEDULED, phase="Succeeded", state=done)["status"]
    world.paper.now = NOON + 14.5
    if is_start_seen:
        world.change(world.pod, status=began)
    await world.turn()
    world.change(world.pod, status=ended)
    await world.turn()
    assert world.stands() == "Completed"
    assert world.paper.state("a").output == {"v": 1}
    assert world.stops == []
