"""What machines do to Pods: drained, full, unreachable, gone; and images that are not there."""

import json

import pytest

from tests.cluster.kwok import HOLD, LABEL, kwok
from tests.conformance.cluster_shell import connect
from tests.conformance.own_operator import apply_crds, own_namespace, own_operator
from tests.e2e.support import (
    HELD,
    Kubectl,
    let_go,
    output,
    require_cluster,
    script,
    started,
    until,
    workflow_run,
)

pytestmark = pytest.mark.cluster

BUSYBOX = "docker.io/library/busybox"


def _pods(k, node):
    return k.items("pods", "-l", f"podium.dev/node={node}")


# The real kubelet


# It keeps all other Pods from starting for a moment, those of new releases, too.
@pytest.mark.xdist_group("lifecycle")
def test_a_drain_moves_the_work_and_counts_no_try(both):
    k = both
    k.apply(workflow_run("drained", script("a", f"{HELD} {output(v=1)}")))
    pod = started(k, "a")
    machine = pod["spec"]["nodeName"]
    try:
        k(
            "drain", machine, "--pod-selector=podium.dev/run=drained", "--delete-emptydir-data",
            "--timeout=120s",
        )  # fmt: skip
        state = k.wait_node("drained", "a", "Unschedulable")
        assert (state["status"], state["executionCount"]) == ("Running", 1)
    finally:
        k("uncordon", machine)
    let_go(k, started(k, "a"))
    state = k.wait("drained")["nodes"]["a"]
    assert (state["output"], state["executionId"]) == ({"v": 1}, "a-1")
    assert (state["executionCount"], state["disruptions"]) == (1, 1)


def test_a_pod_deleted_by_force_fails_its_try(both):
    k = both
    once = f"[ $PODIUM_EXECUTION != a-1 ] || sleep 100; {output(v=1)}"
    k.apply(workflow_run("forced", script("a", once, retryPolicy={"maxAttempts": 2})))
    name = started(k, "a")["metadata"]["name"]
    k("delete", "pod", name, "--grace-period=0", "--force", "--timeout=120s")
    state = k.wait("forced")["nodes"]["a"]
    assert (state["output"], state["executionCount"]) == ({"v": 1}, 2)
    assert state["history"][0]["reason"] == "PodDeleted"


def test_a_program_that_fills_the_disk_beyond_its_limit_is_evicted_and_has_failed(both):
    k = both
    fill = "dd if=/dev/zero of=/tmp/full bs=1M count=20 && sleep 200"
    node = {
        "id": "a",
        "executor": "container",
        "config": {"image": BUSYBOX, "command": ["sh", "-c", fill]},
        "resources": {"limits": {"ephemeral-storage": "1Mi"}},
    }
    k.apply(workflow_run("full", node))
    k.wait("full", "Failed")
    state = k.nodes("full")["a"]
    assert (state["reason"], state["executionCount"]) == ("Evicted", 1)
    assert "ephemeral" in state["message"]
    assert "disruptions" not in state


# On a machine that the drain above has cordoned its image would not be looked for.
@pytest.mark.xdist_group("lifecycle")
def test_an_image_that_is_nowhere_fails_when_the_time_to_start_is_over(both):
    k = both
    node = {
        "id": "a",
        "executor": "container",
        "config": {"image": "docker.io/library/vanished:1", "command": ["true"]},
        # Longer than a busy machine takes to find out that the image is nowhere.
        "startTimeoutSeconds": 45,
    }
    k.apply(workflow_run("vanished", node))
    waiting = k.wait_node("vanished", "a", "ErrImagePull", "ImagePullBackOff")
    assert waiting["status"] == "Running"
    k.wait("vanished", "Failed")
    state = k.nodes("vanished")["a"]
    assert state["reason"] == "StartTimeout"
    assert "vanished" in state["message"]
    until(lambda: not _pods(k, "a"))


# Machines that are no more: fake ones, whose heartbeats can be stopped


@pytest.fixture
def fakes(tmp_path):
    """kubectl in a namespace with an operator of its own, and the names of its fake machines."""
    require_cluster()
    api = connect()
    apply_crds(api)
    with own_namespace(api) as namespace, kwok(4, api=api) as machines:
        defaults = machines.pod_defaults
        at_once = {
            "key": "node.kubernetes.io/unreachable",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 1,
        }
        defaults["tolerations"].append(at_once)
        with own_operator(namespace, tmp_path, {"podDefaults": defaults}):
            yield Kubectl(namespace), machines.nodes


def _on(machine, id, **fields):  # noqa: A002
    """Return a node that holds on, on this machine if it may."""
    term = {"key": "kubernetes.io/hostname", "operator": "In", "values": [machine]}
    prefer = {"weight": 100, "preference": {"matchExpressions": [term]}}
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [prefer]}}
    return {
        "id": id,
        "executor": "container",
        "config": {"image": "fake", "command": ["true"]},
        "pod": {"annotations": {HOLD: "true"}, "affinity": affinity},
        **fields,
    }


def _evict(k, node):
    """Do what the taint manager does, which gives up for good after five tries in a moment."""
    (pod,) = _pods(k, node)
    name = pod["metadata"]["name"]
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint",
    }
    k("patch", "pod", name, "--subresource=status", "--type=strategic",
      "-p", json.dumps({"status": {"conditions": [condition]}}))  # fmt: skip
    k("delete", "pod", name, "--wait=false")


def _wait_lost(k, run, node):
    try:
        return k.wait_node(run, node, "NodeLost", seconds=120)
    except AssertionError:
        print(k("get", "nodes", "-o", "yaml").stdout)
        _evict(k, node)
        return k.wait_node(run, node, "NodeLost", seconds=60)


def _let_go(k, node):
    """Let the Pods of a node end that are on machines that work."""
    for pod in _pods(k, node):
        if "deletionTimestamp" not in pod["metadata"]:
            k("annotate", "pod", pod["metadata"]["name"], f"{HOLD}-")


@pytest.mark.timeout(600)
def test_what_runs_on_an_unreachable_machine_is_not_started_elsewhere_before_it_must_be_dead(fakes):
    k, machines = fakes
    gone, fenced, evicting = machines[:3]
    nodes = [_on(gone, "gone"), _on(fenced, "fenced"), _on(evicting, "evicted")]
    k.apply(workflow_run("lost", *nodes))
    first = {node: started(k, node) for node in ("gone", "fenced", "evicted")}
    assert [pod["spec"]["nodeName"] for pod in first.values()] == [gone, fenced, evicting]

    # As a kubelet whose disk is full.
    full = {
        "phase": "Failed",
        "reason": "Evicted",
        "message": "The node was low on resource: ephemeral-storage.",
        "conditions": [
            {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
        ],
    }
    name = first["evicted"]["metadata"]["name"]
    k("patch", "pod", name, "--subresource=status", "--type=strategic",
      "-p", json.dumps({"status": full}))  # fmt: skip

    # Nobody plays the kubelets of these two any more.
    k("label", "node", gone, fenced, f"{LABEL}-")
    try:
        for node in ("gone", "fenced"):
            state = _wait_lost(k, "lost", node)
            assert (state["status"], state["executionCount"]) == ("Running", 1)
            assert len(_pods(k, node)) == 1, "it may still run there"
        k("delete", "node", gone, "--wait=false")
        k("taint", "node", fenced, "node.kubernetes.io/out-of-service=x:NoExecute")
        for node, before in first.items():

            def moved():
                """it runs elsewhere"""
                pods = _pods(k, node)  # noqa: B023
                return [
                    pod
                    for pod in pods
                    if pod["metadata"]["uid"] != before["metadata"]["uid"]  # noqa: B023
                    and pod["status"]["phase"] == "Running"
                ]

            try:
                (second,) = until(moved, 240)
            except AssertionError:
                print(k("get", "workflowruns,jobs,pods,nodes", "-o", "yaml").stdout)
                raise
            assert second["spec"]["nodeName"] not in (gone, fenced)
            _let_go(k, node)
    finally:
        k("delete", "node", gone, fenced, "--ignore-not-found", "--wait=false")
    nodes = k.wait("lost")["nodes"]
    for node in first:
        assert (nodes[node]["executionCount"], nodes[node]["disruptions"]) == (1, 1), node
