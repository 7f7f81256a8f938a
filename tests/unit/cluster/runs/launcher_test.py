"""Launches: made once, found again, refused for now or for good."""

import asyncio
import copy
import logging

import pytest

from podium.api.names import FINALIZER
from podium.cluster.jobs.builder import NAMES_OF_JOB, job_name
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import controller_of
from podium.cluster.settings import Limits
from podium.engine import AttemptPhase, Launch
from tests.unit.cluster import support
from tests.unit.cluster.runs.world import NAME, POLICY, QUOTA, TERMINATING, World, others
from tests.unit.cluster.support import RUN_UID, condition
from tests.unit.engine.support import Run, node

# A launch


async def test_a_launch_makes_a_job_and_its_pod(world):
    await world.start()
    assert world.server.calls == ["create job", "create pod"]
    assert world.job["metadata"]["name"] == NAME
    assert controller_of(world.pod, "Job", "batch/v1") == world.job["metadata"]["uid"]
    assert world.pod["metadata"]["finalizers"] == [FINALIZER]
    assert world.stands() == "Running Scheduling"
    assert world.wakes == [world.run]
    assert world.counted("podium_node_schedule_seconds_count") == 1
    assert world.counted("podium_jobs_total", pods_by="podium") == 1
    assert world.cache.pods(world.job["metadata"]["uid"])


async def test_what_is_there_already_is_found(world):
    """The status was not written before the operator died."""
    await world.start()
    before = copy.deepcopy((world.server.jobs, world.server.pods))
    world.paper = Run(node("a"))
    world.begin()
    await world.start()
    assert (world.server.jobs, world.server.pods) == before
    assert world.stands() == "Running Scheduling"


async def test_the_pod_is_made_of_the_job_as_the_server_has_it(world):
    def admit(job):
        job["spec"]["template"]["metadata"]["labels"]["batch.kubernetes.io/job-name"] = NAME
        job["spec"]["template"]["spec"]["nodeSelector"] = {"pool": "batch"}
        return job

    world.server.admit = admit
    await world.start()
    assert world.pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == NAME
    assert world.pod["spec"]["nodeSelector"] == {"pool": "batch"}


async def test_a_job_of_another_client_is_not_ours_by_its_name(world):
    await world.start()
    world.server.jobs[NAME] = others(world.job)
    world.server.pods = {}
    world.paper = Run(node("a"))
    world.begin()
    await world.start()
    assert world.stands().startswith("Running")
    second = job_name("release-x7", RUN_UID, "a-1", 0, 1)
    assert set(world.server.jobs) == {NAME, second}
    state = world.paper.state("a")
    assert state.job_name == second
    assert state.job_uid == world.server.jobs[second]["metadata"]["uid"]
    assert controller_of(world.pod, "Job", "batch/v1") == state.job_uid
    assert [event.reason for event in world.run.after_write.events].count("NameTaken") == 1
    await world.crash()
    world.server.calls = []
    await world.turn()
    assert world.server.calls == []
    assert world.stands() == "Running Scheduling", "found by what is recorded"


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"template": {"spec": {"containers": [{"name": "node", "image": "evil"}]}}}},
        {"spec": {"template": {"spec": {"initContainers": [{"name": "x", "image": "evil"}]}}}},
        {"spec": {"template": {"spec": {"hostAliases": [{"ip": "10.0.0.1"}]}}}},
        {"spec": {"template": {"metadata": {"annotations": {"podium.dev/script": "evil"}}}}},
        {"spec": {"template": {"metadata": {"labels": {"podium.dev/recorded": "true"}}}}},
        {"spec": {"manualSelector": True}},
        {"spec": {"managedBy": "evil.io/x"}},
        {"metadata": {"annotations": {"podium.dev/execution": "b-1"}}},
    ],
)
async def test_a_job_that_runs_something_else_is_set_aside_although_the_run_owns_it(world, change):
    await world.start()
    evil = support.changed(world.job, {"metadata": {"uid": "evil"}} | change)
    world.server.jobs, world.server.pods = {NAME: evil}, {}
    world.paper = Run(node("a"))
    world.begin()
    await world.start()
    assert world.stands() == "Ready Terminating"
    assert "deletionTimestamp" in world.job["metadata"]
    await world.again(2)
    second = job_name("release-x7", RUN_UID, "a-1", 0, 1)
    assert set(world.server.jobs) == {NAME, second}
    assert world.paper.state("a").job_name == second


async def test_what_the_server_and_a_queue_add_does_not_make_a_job_another_one(world):
    def admit(job):
        template = job["spec"]["template"]
        template["metadata"]["labels"]["batch.kubernetes.io/job-name"] = NAME
        template["spec"] |= {"dnsPolicy": "ClusterFirst", "nodeSelector": {"flavour": "spot"}}
        template["spec"]["containers"][0] |= {"imagePullPolicy": "Always", "resources": {}}
        template["spec"] |= {"schedulerName": "default-scheduler", "serviceAccount": "default"}
        for volume in template["spec"]["volumes"]:
            if "downwardAPI" in volume:
                volume["downwardAPI"]["defaultMode"] = 420
                for item in volume["downwardAPI"]["items"]:
                    item["fieldRef"]["apiVersion"] = "v1"
        job["spec"] |= {"completionMode": "NonIndexed", "selector": {}, "suspend": True}
        job["spec"] |= {"manualSelector": False}  # the server writes it out
        return job

    world.server.admit = admit
    await world.start()
    world.paper = Run(node("a"))
    world.begin()
    await world.start()
    assert list(world.server.jobs) == [NAME]
    assert world.stands().startswith("Running")


async def test_a_name_is_taken_only_so_often(world):
    await world.start()
    evil = others(world.job)
    for number in range(NAMES_OF_JOB):
        name = job_name("release-x7", RUN_UID, "a-1", 0, number)
        meta = {"name": name, "uid": f"evil-{number}"}
        world.server.jobs[name] = support.changed(evil, {"metadata": meta})
    world.server.pods = {}
    world.paper = Run(node("a"))
    world.begin()
    await world.start()
    assert world.stands() == "Failed NameTaken"
    assert world.server.pods == {}
    assert "delete them" in world.paper.state("a").message


def other_node(pod, **fields):
    """Return a Pod whose container `node` has other fields."""
    (container,) = pod["spec"]["containers"]
    return support.changed(pod, {"spec": {"containers": [container | fields]}})


@pytest.mark.parametrize(
    "forge",
    [
        others,
        lambda pod: support.changed(pod, {"metadata": {"annotations": {"podium.dev/input": "{}"}}}),
        lambda pod: other_node(pod, command=["evil"]),
        lambda pod: other_node(pod, image="evil"),
        lambda pod: other_node(pod, env=[{"name": "LD_PRELOAD", "value": "/evil.so"}]),
        lambda pod: other_node(pod, lifecycle={"postStart": {"exec": {"command": ["evil"]}}}),
        lambda pod: support.changed(pod, {"spec": {"hostAliases": [{"ip": "10.0.0.1"}]}}),
        lambda pod: support.changed(pod, {"spec": {"initContainers": [{"name": "evil"}]}}),
        lambda pod: support.changed(
            pod, {"spec": {"containers": [*pod["spec"]["containers"], {"name": "evil"}]}}
        ),
    ],
)
async def test_a_pod_of_another_client_is_not_ours_by_its_name(world, forge):
    await world.start()
    name = world.pod["metadata"]["name"]
    world.server.pods[name] = forge(world.pod)
    world.paper = Run(node("a"))
    world.begin()
    await world.start()
    assert world.stands().startswith("Running")
    assert len(world.server.pods) == 2
    assert [event.reason for event in world.run.after_write.events].count("NameTaken") == 1


async def test_what_the_server_adds_does_not_make_a_pod_another_one(world):
    await world.start()
    spec = {"nodeName": "m", "tolerations": [{"key": "k"}], "serviceAccountName": "default"}
    spec |= {"imagePullSecrets": [{"name": "pull"}], "priority": 0}
    world.server.pods = {
        n: support.changed(b, {"spec": spec}) for n, b in world.server.pods.items()
    }
    world.paper = Run(node("a"))
    world.begin()
    await world.start()
    assert world.stands() == "Running Scheduling"
    assert world.paper.state("a").pod_uid == world.pod["metadata"]["uid"]


def injected(pod):
    """Return a Pod as webhooks leave it: another registry, one more container."""
    changed = other_node(pod, image="mirror/x")
    changed["spec"]["containers"].append({"name": "proxy"})
    return changed


async def test_a_pod_that_webhooks_changed_is_found_where_a_policy_verifies_its_creator(clock):
    world = World(creators_are_verified=True)
    await world.start()
    world.server.pods = {name: injected(body) for name, body in world.server.pods.items()}
    world.paper = Run(node("a"))
    world.begin()
    await world.start()
    assert len(world.server.pods) == 1
    assert world.stands() == "Running Scheduling"


@pytest.mark.parametrize("earlier_version", [False, True])
async def test_a_pod_that_webhooks_changed_runs_on_under_the_next_operator(world, earlier_version):
    await world.start()
    world.server.pods = {name: injected(body) for name, body in world.server.pods.items()}
    if earlier_version:
        world.paper.state("a").pod_uid = None
        world.paper.engine.status.format_version = None
    await world.crash()
    world.server.calls = []
    await world.turn()
    assert world.server.calls == []
    assert world.stands() == "Running Scheduling"


async def test_a_pod_that_stands_where_none_is_recorded_decides_nothing_under_the_next_operator(
    world,
):
    """As of a Job that a queue had held back: whoever may make Pods may have been first."""
    await world.start()
    world.server.pods = {name: injected(body) for name, body in world.server.pods.items()}
    world.paper.state("a").pod_uid = None
    forged = world.pod["metadata"]["uid"]
    await world.crash()
    await world.turn()
    assert not world.cache.is_own_pod(forged)


async def test_a_pod_that_this_operator_made_is_found_although_the_run_was_loaded_anew(world):
    """Its status could not be written, and the run is read again."""
    await world.start()
    world.server.pods = {name: injected(body) for name, body in world.server.pods.items()}
    world.paper.state("a").pod_uid = None
    launch = Launch("a", "a-1", 0, {}, {})
    seen = await world.launcher._pod(world.run, launch, world.job)
    assert seen.pod_uid == world.pod["metadata"]["uid"]


async def test_a_job_that_is_being_deleted_is_waited_for(world):
    await world.start()
    world.job["metadata"]["deletionTimestamp"] = support.at(40)
    world.paper = Run(node("a"))
    world.begin()
    await world.start()
    assert world.stands() == "Ready Terminating"


async def test_a_job_that_was_deleted_before_the_answer_that_it_is_made_is_made_again(world):
    def deleted(job):
        job["metadata"]["uid"] = "first"
        world.cache.add_tombstone(job)
        return job

    world.server.admit = deleted
    await world.start()
    assert world.stands() == "Ready Terminating"
    assert world.cache.jobs("team", RUN_UID) == {}
    assert world.server.pods == {}


# Where the server does not know managedBy


def drop_managed_by(job):
    del job["spec"]["managedBy"]
    return job


async def test_a_server_that_drops_managed_by_has_a_controller_that_makes_the_pods(world, caplog):
    world.server.admit = drop_managed_by
    await world.start()
    assert world.server.pods == {}
    assert world.stands().startswith("Running")
    assert world.counted("podium_jobs_total", pods_by="builtin") == 1
    world.launcher.launch(world.run, Launch("a", "a-2", 0, {"script": "true"}, {}))
    await world.turn()
    assert caplog.text.count("does not know spec.managedBy") == 1


async def test_jobs_of_another_manager_get_no_pod(world):
    def admit(job):
        job["spec"]["managedBy"] = "podium.dev/another"
        return job

    world.server.admit = admit
    await world.start()
    await world.tell().turn()
    assert world.server.pods == {}


async def test_a_switch_leaves_the_pods_to_the_built_in_controller(clock, caplog):
    world = World(feature_gates={"ManagedJobs": False})
    await world.start()
    assert "managedBy" not in world.job["spec"]
    assert world.server.pods == {}
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (None, "Running Scheduling"),
        ("exceeded quota: small", "Running QuotaExceeded"),
        ("connection refused", "Running FailedCreate"),
        ('is forbidden: violates PodSecurity "restricted"', "Failed PodRefused"),
    ],
)
async def test_the_events_of_a_job_say_why_it_has_no_pod(world, clock, message, expected):
    world.server.admit = drop_managed_by
    await world.start()
    uid = world.job["metadata"]["uid"]
    if message is not None:
        world.server.events = [
            {"uid": uid, "reason": "FailedCreate", "message": "old", "lastTimestamp": "1"},
            {"uid": uid, "reason": "FailedCreate", "message": message, "lastTimestamp": "2"},
            {"uid": uid, "reason": "Other", "message": "later", "lastTimestamp": "3"},
        ]
    clock.now += 100
    await world.tell().turn()
    assert world.stands() == expected
    assert (NAME in world.run.after_write.remove) is expected.startswith("Failed")


async def test_events_that_cannot_be_read_say_nothing(world, clock):
    world.server.admit = drop_managed_by
    await world.start()
    clock.now += 100
    world.server.refuse["list", "events"] = [ApiError(403, "Forbidden", "no")]
    await world.tell().turn()
    assert world.stands() == "Running Scheduling"


# What is refused


@pytest.mark.parametrize("kind", ["job", "pod"])
async def test_a_quota_is_waited_for_longer_and_longer(world, kind):
    world.server.refuse["create", kind] = [QUOTA] * 6
    waits = []
    await world.start()
    for _ in range(6):
        assert world.stands() == "Ready QuotaExceeded"
        waits.append(world.paper.state("a").next_attempt_at - world.paper.now)
        await world.again(waits[-1])
    assert waits == [5, 10, 20, 40, 60, 60]
    assert world.stands() == "Running Scheduling"
    assert (len(world.server.jobs), len(world.server.pods)) == (1, 1)
    assert world.counted("podium_jobs_total", pods_by="podium") == 1
    assert not world.run.refusals, "the next time it begins again"


async def test_a_quota_may_be_used_up_for_weeks(world):
    world.run.refusals["a"] = 5000
    world.server.refuse["create", "pod"] = [QUOTA]
    await world.start()
    assert world.stands() == "Ready QuotaExceeded"


@pytest.mark.parametrize("kind", ["job", "pod"])
@pytest.mark.parametrize(
    ("error", "stands", "wait"),
    [
        (TERMINATING, "Ready Terminating", 5),
        (ApiError(0, "NoAnswer", "refused"), "Ready ApiUnavailable", 2),
        (ApiError(503, "Unavailable", "later"), "Ready ApiUnavailable", 2),
        (ApiError(429, "TooMany", "later", retry_after=9.0), "Ready ApiUnavailable", 9),
        (ApiError(404, "NotFound", "gone"), "Ready ApiUnavailable", 2),
        (POLICY, "Failed Forbidden", None),
        (ApiError(422, "Invalid", "spec.x: Required value"), "Failed Invalid", None),
        (ApiError(400, "BadRequest", "denied by a webhook"), "Failed Invalid", None),
    ],
)
async def test_refusals(world, kind, error, stands, wait):
    world.server.refuse["create", kind] = [error]
    await world.start()
    assert world.stands() == stands
    if wait is not None:
        assert world.paper.state("a").next_attempt_at == world.paper.now + wait
        return
    assert error.message in world.paper.state("a").message
    await world.written()
    assert world.jobs.outcomes == ({NAME: False} if kind == "pod" else {})


async def test_a_job_taken_away_between_two_requests_is_made_later(world):
    await world.start()
    world.paper = Run(node("a"))
    world.begin()
    world.server.refuse["get", "job"] = [ApiError(404, "NotFound", "gone")]
    await world.start()
    assert world.stands() == "Ready ApiUnavailable"


async def test_a_fault_of_ours_is_tried_again(world, caplog):
    world.server.refuse["create", "job"] = [ValueError("odd")]
    await world.start()
    assert world.stands() == "Ready Stalled"
    assert "a launch failed" in caplog.text
    await world.again(5)
    assert world.stands() == "Running Scheduling"


async def test_a_node_that_cannot_be_built_fails_in_words(clock):
    world = World(node("a", executor="persona", config={"personas": ["writer"]}))
    await world.start()
    assert world.stands() == "Failed NoRecordedAnswer"
    assert world.server.calls == []


ACCOUNT = {"metadata": {"name": "builder", "labels": {"podium.dev/usable": "true"}}}


@pytest.mark.parametrize(
    ("account", "stands"),
    [
        (ACCOUNT, "Running Scheduling"),
        (support.changed(ACCOUNT, {"metadata": {"labels": None}}), "Failed ServiceAccount"),
        (None, "Failed ServiceAccount"),
    ],
)
async def test_a_service_account_has_to_allow_it(clock, account, stands):
    world = World(node("a", pod={"serviceAccountName": "builder"}))
    world.server.accounts = {"builder": account} if account is not None else {}
    await world.start()
    assert world.stands() == stands


async def test_a_service_account_that_cannot_be_read_now_is_read_later(clock):
    world = World(node("a", pod={"serviceAccountName": "builder"}))
    world.server.accounts = {"builder": ACCOUNT}
    world.server.refuse["get", "serviceaccount"] = [ApiError(503, "Unavailable", "later")]
    await world.start()
    assert world.stands() == "Ready ApiUnavailable"
    await world.again(2)
    assert world.stands() == "Running Scheduling"


# Limits


@pytest.mark.parametrize("limits", [{"maxRunning": 2}, {"maxRunningPerNamespace": 2}])
async def test_launches_under_way_count(clock, limits):
    world = World(*map(node, "abc"), limits=limits)
    await world.turn()
    assert len(world.server.jobs) == 2
    await world.turn()
    standing = [world.stands(name) for name in "abc"]
    assert standing.count("Ready OperatorLimit") == 1
    world.server.jobs[NAME]["status"] = {"conditions": [condition("Complete")]}
    world.tell()
    world.run.dirty.clear()
    await world.again(1)
    assert len(world.server.jobs) == 3


async def test_what_others_run_in_other_namespaces_counts_for_all_but_not_for_each(clock):
    others_job = support.job(metadata={"namespace": "other", "uid": "another"})
    for limits, stands in (
        (Limits(max_running=1), "Ready OperatorLimit"),
        (Limits(max_running_per_namespace=1), "Running Scheduling"),
    ):
        world = World(limits=limits)
        world.cache.put_job(others_job)
        await world.start()
        assert world.stands() == stands


async def test_a_launch_that_failed_is_under_way_no_more(clock):
    world = World(limits=Limits(max_running=1))
    world.server.refuse["create", "job"] = [ValueError("odd")]
    await world.start()
    await world.again(5)
    assert world.stands() == "Running Scheduling"


async def test_a_launch_that_was_cancelled_before_it_began_is_under_way_no_more(clock):
    """The run is dropped, and whoever takes it up launches again."""
    world = World(limits=Limits(max_running=1))
    (launch,) = [action for action in world.paper.engine.step(1000.0) if isinstance(action, Launch)]
    world.launcher.launch(world.run, launch)
    (task,) = world.run.tasks
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    world.launcher.launch(world.run, launch)
    await asyncio.gather(*world.run.tasks)
    assert [seen.phase for seen in world.run.launch_results] == [AttemptPhase.LAUNCHED]
