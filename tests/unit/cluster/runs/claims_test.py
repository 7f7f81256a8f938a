"""Volumes of a run on a cluster: made once, before the Job that mounts them, and found again."""

import pytest

from podium.cluster.jobs.claims import NAMES_OF_CLAIM, claim_name
from podium.cluster.kube.errors import ApiError
from tests.unit.cluster import support
from tests.unit.cluster.runs.world import SCHEDULED, World
from tests.unit.cluster.support import RUN_UID, condition, terminated
from tests.unit.engine.support import Run, node

CLAIM = {"name": "work", "size": "1Gi"}
MOUNTS = {"pod": {"volumeMounts": [{"name": "work", "mountPath": "/work"}]}}
NAME, SECOND, THIRD = (claim_name("release-x7", RUN_UID, "work", n) for n in range(NAMES_OF_CLAIM))
SUCCEEDED = support.pod(SCHEDULED, phase="Succeeded", state=terminated(0, "Completed"))["status"]
QUOTA = ApiError(403, "Forbidden", 'persistentvolumeclaims "x" is forbidden: exceeded quota: small')


def fresh(world, *nodes, claims=(CLAIM,)):
    """Begin a run that knows nothing of what an earlier operator did."""
    nodes = nodes or (node("a", **MOUNTS),)
    world.paper = Run(*nodes, max_parallel=10, volumeClaims=list(claims))
    world.server.calls = []
    world.begin()
    return world


@pytest.fixture
def world(clock):
    return fresh(World())


def claim_of(world):
    (only,) = world.server.claims.values()
    return only


def mounted(job):
    return job["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]


def foreign(name=NAME, **labels):
    return {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "team", "uid": f"uid-of-{name}", "labels": labels},
    }


async def test_a_claim_is_made_before_the_job_that_mounts_it(world):
    await world.start()
    assert world.server.calls == ["get claim"] * 3 + ["create claim", "create job", "create pod"]
    made = claim_of(world)
    assert made["metadata"]["name"] == mounted(world.job) == NAME
    assert len(NAME) <= 63
    assert made["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "podium",
        "app.kubernetes.io/part-of": "release",
        "podium.dev/workflow": "release",
        "podium.dev/run": "release-x7",
        "podium.dev/run-uid": RUN_UID,
        "podium.dev/volume": "work",
    }
    assert made["metadata"]["ownerReferences"] == world.job["metadata"]["ownerReferences"]
    assert made["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    }


async def test_a_claim_says_what_the_workflow_says(world):
    claim = {"name": "work", "size": 5000, "storageClass": "fast", "keep": True,
             "accessModes": ["ReadWriteMany", "ReadOnlyMany"]}  # fmt: skip
    await fresh(world, claims=[claim]).start()
    made = claim_of(world)
    assert "ownerReferences" not in made["metadata"], "it outlives the run"
    assert made["spec"] == {
        "accessModes": ["ReadWriteMany", "ReadOnlyMany"],
        "resources": {"requests": {"storage": "5000"}},
        "storageClassName": "fast",
    }


async def test_only_what_a_node_mounts_is_made(world):
    await fresh(world, node("a"), claims=[CLAIM, {"name": "other", "size": "1Gi"}]).start()
    assert world.server.calls == ["create job", "create pod"]
    assert world.server.claims == {}


async def test_side_by_side_and_again_there_is_one(world):
    nodes = [node(name, **MOUNTS) for name in "abc"]
    await fresh(world, *nodes).start()
    assert claim_of(world)["metadata"]["name"] == NAME
    assert world.server.calls.count("create claim") == 1
    assert world.server.calls.count("get claim") == 3 + 2
    assert {mounted(job) for job in world.server.jobs.values()} == {NAME}
    assert [world.stands(name) for name in "abc"] == ["Running Scheduling"] * 3


async def test_what_an_operator_made_that_died_is_found(world):
    await world.start()
    before = claim_of(world)
    world.server.jobs, world.server.pods = {}, {}
    await fresh(world).start()
    assert "create claim" not in world.server.calls
    assert claim_of(world) == before
    assert mounted(world.job) == NAME


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"podium.dev/run-uid": "another", "podium.dev/volume": "work"},
        {"podium.dev/run-uid": RUN_UID, "podium.dev/volume": "other"},
    ],
)
async def test_what_is_not_the_runs_is_set_aside(world, labels):
    theirs = world.server.claims[NAME] = foreign(**labels)
    await world.start()
    assert world.server.claims[NAME] is theirs
    assert mounted(world.job) == SECOND
    assert set(world.server.claims) == {NAME, SECOND}
    (event,) = [event for event in world.run.after_write.events if event.reason == "NameTaken"]
    assert NAME in event.message
    # It goes: the run's files stay where they are, also for an operator that knows nothing of it.
    del world.server.claims[NAME]
    world.server.jobs, world.server.pods = {}, {}
    await fresh(world).start()
    assert set(world.server.claims) == {SECOND}
    assert mounted(world.job) == SECOND


async def test_a_claim_that_another_run_owns_is_not_the_runs(world):
    labels = {"podium.dev/run-uid": RUN_UID, "podium.dev/volume": "work"}
    theirs = foreign(**labels)
    theirs["metadata"]["ownerReferences"] = [{"kind": "WorkflowRun", "uid": "another"}]
    world.server.claims[NAME] = theirs
    await world.start()
    assert mounted(world.job) == SECOND


async def test_where_all_names_are_taken_the_node_says_so(world):
    for name in (NAME, SECOND, THIRD):
        world.server.claims[name] = foreign(name)
    await world.start()
    assert world.stands() == "Failed NameTaken"
    assert f"{NAME} for one: delete them" in world.paper.state("a").message
    assert world.server.jobs == {}


async def test_a_quota_is_waited_for_with_longer_and_longer_waits(world):
    world.server.refuse["create", "claim"] = [QUOTA, QUOTA]
    await world.start()
    assert world.stands() == "Ready QuotaExceeded"
    assert "exceeded quota" in world.paper.state("a").message
    assert world.server.jobs == {}
    await world.again(6)
    assert world.stands() == "Ready QuotaExceeded"
    await world.again(6)
    assert "create claim" not in world.server.calls, "it waits twice as long"
    await world.again(6)
    assert world.stands() == "Running Scheduling"


async def test_what_the_server_refuses_fails_the_node(world):
    world.server.refuse["create", "claim"] = [ApiError(422, "Invalid", "spec.resources: too small")]
    await world.start()
    assert world.stands() == "Failed Invalid"
    assert "too small" in world.paper.state("a").message


async def test_who_was_quicker_made_it(world):
    """Another client made the claim between the look and the request."""
    world.server.refuse["create", "claim"] = [ApiError(409, "AlreadyExists", "it exists")]
    await world.start()
    assert world.stands() == "Ready Stalled"
    await world.again(1)
    assert world.stands() == "Running Scheduling"


async def test_one_that_is_being_deleted_is_waited_for_and_made_again_with_a_warning(world):
    nodes = [node("a", **MOUNTS), node("b", "a", **MOUNTS)]
    await fresh(world, *nodes).start()
    claim_of(world)["metadata"]["deletionTimestamp"] = support.at(30)
    world.change(world.pod, status=SUCCEEDED)
    await world.start()
    assert world.stands("b") == "Ready Terminating"
    assert NAME in world.paper.state("b").message
    world.server.claims.clear()
    await world.again(3)
    assert world.stands("b") == "Running Scheduling"
    assert claim_of(world)["metadata"]["name"] == NAME
    (event,) = [event for event in world.run.after_write.events if event.reason == "VolumeLost"]
    assert "was deleted: it is made again, empty" in event.message


async def test_a_pod_that_is_made_again_finds_its_claim_made_again(world):
    """The Pod was evicted, and both it and the claim went before the operator came back."""
    await world.start()
    world.server.claims.clear()
    world.server.pods.clear()
    world.server.refuse["create", "claim"] = [QUOTA]
    await world.crash()
    await world.turn()
    assert world.server.pods == {}
    await world.turn()
    assert world.stands() == "Running QuotaExceeded"
    world.run.dirty.add(world.job["metadata"]["name"])
    await world.turn()
    assert mounted(world.job) == claim_of(world)["metadata"]["name"]
    assert len(world.server.pods) == 1


UNBOUND = condition(
    "PodScheduled", "False", "Unschedulable", "pod has unbound immediate PersistentVolumeClaims"
)


async def test_what_keeps_it_from_being_bound_is_said(world):
    await world.start()
    claim = claim_of(world)
    claim["status"] = {"phase": "Pending"}
    world.change(world.pod, status={"conditions": [UNBOUND]})
    await world.turn()
    assert world.stands() == "Running Unschedulable"
    assert world.later, "it is looked at again: the Event may come later"
    world.server.events = [
        {"uid": claim["metadata"]["uid"], "lastTimestamp": support.at(at), "message": message}
        for at, message in ((1, "earlier"), (2, 'storageclass.storage.k8s.io "x" not found'))
    ]
    world.tell()
    await world.turn()
    assert world.paper.state("a").message == (
        "pod has unbound immediate PersistentVolumeClaims;"
        ' volume work: storageclass.storage.k8s.io "x" not found'
    )
    claim["status"] = {"phase": "Bound"}
    world.server.calls = []
    world.tell()
    await world.turn()
    assert "list events" not in world.server.calls


async def test_a_node_without_volumes_asks_nothing_of_claims(world):
    await fresh(world, node("a"), claims=[]).start()
    world.change(world.pod, status={"conditions": [UNBOUND]})
    world.server.calls = []
    await world.turn()
    assert world.stands() == "Running Unschedulable"
    assert world.server.calls == []
