"""Volumes of a run on a real cluster: whose they are, how long they stay, what is said of them."""

import pytest

from podium.cluster.jobs.claims import claim_name
from tests.conformance.cluster_shell import connect
from tests.e2e.support import HELD, let_go, output, script, started, until, workflow_run
from tests.volumes import volumes_for

pytestmark = pytest.mark.cluster

WORK = {"name": "work", "size": "10Mi"}


def mounting(name, text, *after, claim="work", **mount):
    pod = {"volumeMounts": [{"name": claim, "mountPath": "/work", **mount}]}
    return script(name, text, *after, pod=pod)


@pytest.fixture
def directory(mine):
    """Give the claims of a namespace directories of this machine."""
    with volumes_for(connect(), mine.namespace) as directory:
        yield directory


def claims(k):
    return {
        each["metadata"]["labels"]["podium.dev/volume"]: each
        for each in k.items("persistentvolumeclaims")
    }


def test_a_run_owns_its_volumes_and_they_go_with_it(mine, directory):
    kept = {**WORK, "name": "kept", "keep": True}
    nodes = [
        mounting("write", "echo hi >/work/file"),
        mounting("read", "test $(cat $PODIUM_VOLUME_WORK/file) = hi", "write", readOnly=True),
        mounting("no", "! touch /work/more", "read", readOnly=True),
        mounting("keep", "echo kept >/work/file", claim="kept"),
    ]
    run = workflow_run("r", *nodes, graph={"volumeClaims": [WORK, kept]})
    mine.apply(run)
    mine.wait("r")
    uid = mine.get("workflowrun", "r")["metadata"]["uid"]
    made = claims(mine)
    assert set(made) == {"work", "kept"}
    (owner,) = made["work"]["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("WorkflowRun", uid, True)
    assert "ownerReferences" not in made["kept"]["metadata"]
    for each in made.values():
        assert each["metadata"]["labels"]["podium.dev/run-uid"] == uid
        assert each["status"]["phase"] == "Bound"
    # A re-run finds what is there.
    mine("annotate", "workflowrun", "r", "podium.dev/rerun=read", "podium.dev/rerun-cascade=false")
    until(lambda: mine.nodes("r")["read"].get("executionCount") == 2)
    mine.wait("r")
    assert {name: each["metadata"]["uid"] for name, each in claims(mine).items()} == {
        name: each["metadata"]["uid"] for name, each in made.items()
    }
    mine("delete", "workflowrun", "r")
    until(lambda: set(claims(mine)) == {"kept"})
    assert (directory / made["kept"]["metadata"]["name"] / "file").read_text() == "kept\n"


def test_a_quota_is_waited_for_and_said(mine, directory):
    mine("create", "quota", "none", "--hard=persistentvolumeclaims=0")
    until(lambda: "hard" in mine.get("quota", "none")["status"])
    mine.apply(workflow_run("r", mounting("a", "true"), graph={"volumeClaims": [WORK]}))
    state = mine.wait_node("r", "a", "QuotaExceeded")
    assert "exceeded quota: none" in state["message"]
    assert mine.items("jobs") == []
    mine("delete", "quota", "none")
    mine.wait("r")


def test_a_storage_class_that_is_not_there_is_named(mine):
    claim = {**WORK, "storageClass": "podium-none"}
    mine.apply(workflow_run("r", mounting("a", "true"), graph={"volumeClaims": [claim]}))

    def named():
        state = mine.nodes("r").get("a", {})
        return "podium-none" in state.get("message", "") and state

    state = until(named)
    assert (state["status"], state["reason"]) == ("Running", "Unschedulable")
    assert "volume work: " in state["message"]
    mine("patch", "workflowrun", "r", "--type=merge", "-p", '{"spec": {"cancel": true}}')
    mine.wait("r", "Cancelled")


def test_a_volume_waits_for_its_first_consumer(mine):
    """A StorageClass that binds late: the claim is bound once the node's Pod is to be placed."""
    name = f"late-{mine.namespace}"
    late = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    mine.apply(late)
    try:
        claim = {**WORK, "storageClass": name}
        mine.apply(workflow_run("r", mounting("a", "true"), graph={"volumeClaims": [claim]}))

        def waits_for_it():
            """the node waits for its volume; at first, perhaps, for a machine that is drained"""
            state = mine.wait_node("r", "a", "Unschedulable")
            return "persistent volume" in state["message"]

        until(waits_for_it)
        with volumes_for(connect(), mine.namespace, storage_class=name):
            mine.wait("r")
    finally:
        mine("delete", "storageclass", name)


def test_one_that_is_deleted_is_made_again_with_a_warning(mine, directory):
    first = mounting("first", HELD + output(n=1))
    second = mounting("second", "ls /work >&2; test ! -e /work/file", "first")
    mine.apply(workflow_run("r", first, second, graph={"volumeClaims": [WORK]}))
    pod = started(mine, "first")
    before = claims(mine)["work"]["metadata"]
    mine("delete", "persistentvolumeclaim", before["name"], "--wait=false")
    let_go(mine, pod)
    state = mine.wait_node("r", "second", "Terminating")
    assert f"({before['name']}) is being deleted" in state["message"]
    # Kubernetes keeps a claim as long as there is a Pod that names it, also one that has ended.
    mine("delete", "jobs", "-l", "podium.dev/node=first")
    state = mine.wait("r")["nodes"]["second"]
    assert state["status"] == "Completed"
    after = claims(mine)["work"]["metadata"]
    assert after["name"] == before["name"]
    assert after["uid"] != before["uid"]
    (told,) = mine.events("r", "VolumeLost")
    assert "was deleted: it is made again, empty" in told


def test_what_is_not_the_runs_is_left_alone(mine, directory):
    """A claim that stands under the name before the run's is made is another's."""
    mine.apply(workflow_run("r", mounting("a", "true"), suspend=True,
                            graph={"volumeClaims": [WORK]}))  # fmt: skip
    uid = until(lambda: mine.get("workflowrun", "r"))["metadata"]["uid"]
    name = claim_name("r", uid, "work")
    theirs = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "labels": {"podium.dev/volume": "theirs"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    mine.apply(theirs)
    mine("patch", "workflowrun", "r", "--type=merge", "-p", '{"spec": {"suspend": false}}')
    mine.wait("r")
    assert claims(mine)["work"]["metadata"]["name"] == claim_name("r", uid, "work", 1)
    assert "ownerReferences" not in claims(mine)["theirs"]["metadata"]
    assert name in mine.events("r", "NameTaken")[0]
