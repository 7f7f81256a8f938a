"""Attacks of one tenant on the runs of others, on an installed release that serves all namespaces.

docs/security.md lists which test holds which attack.
"""

import copy
import json
import re
import uuid

import pytest

from podium.cluster.jobs.builder import job_name, pod_name
from tests.e2e.support import (
    BUSYBOX,
    HELD,
    SYSTEM,
    Kubectl,
    let_go,
    output,
    script,
    started,
    until,
    workflow,
    workflow_run,
)

pytestmark = pytest.mark.cluster

FORGED = ["sh", "-c", "echo '{\"forged\": true}' >/dev/termination-log"]


@pytest.fixture
def attacker(k):
    """kubectl in the namespace of another tenant."""
    kubectl = Kubectl(f"{k.namespace}-x")
    k("create", "namespace", kubectl.namespace)
    yield kubectl
    k("delete", "namespace", kubectl.namespace, "--wait=false", ok=False)

    def is_gone():
        """The namespace of the attacker is gone"""
        for kind in ("pods", "jobs"):
            for each in kubectl.items(kind):
                if each["metadata"].get("finalizers"):  # of its own: no controller takes them off
                    kubectl("patch", kind, each["metadata"]["name"], "--type=merge", "-p",
                            '{"metadata": {"finalizers": null}}', ok=False)  # fmt: skip
        return k("get", "namespace", kubectl.namespace, ok=False).returncode

    until(is_gone, every=1)


def evil_pod(name, **meta):
    """Return a Pod that says at once what its author wants the node to say."""
    container = {"name": "node", "image": BUSYBOX, "command": FORGED}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **meta},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }


def ended(k, *names):
    """Wait until Pods have said what they have to say."""

    def all_ended():
        return all(k.get("pod", n)["status"].get("phase") in ("Succeeded", "Failed") for n in names)

    all_ended.__doc__ = f"{names} have ended"
    until(all_ended)


def victim(k):
    """Start a run of two nodes; return the Pod of the first, which works until it is let go."""
    k.apply(workflow_run("r", script("a", HELD + output(v=1)), script("b", output(v=2), "a")))
    pod = started(k, "a")
    k.wait_node("r", "a", "Running")
    return pod


def is_as_usual(k, pod):
    """Let the run end, and check that its own programs decided it."""
    assert k.nodes("r")["a"]["status"] == "Running"
    let_go(k, pod)
    nodes = k.wait("r")["nodes"]
    assert {node: state["output"] for node, state in nodes.items()} == {
        "a": {"v": 1},
        "b": {"v": 2},
    }
    assert {state["executionCount"] for state in nodes.values()} == {1}


def test_no_pod_of_another_namespace_decides_a_node(k, attacker):
    """By a label, by an owner, under the very name, with and without the finalizer."""
    pod = victim(k)
    (job,) = k.items("jobs")
    uid, name = job["metadata"]["uid"], pod["metadata"]["name"]
    ours = pod["metadata"]["labels"]
    label = {"podium.dev/run": "x", "batch.kubernetes.io/controller-uid": uid}
    finalizer = {"finalizers": ["podium.dev/result"]}
    owner = {"ownerReferences": pod["metadata"]["ownerReferences"]}
    attacker.apply(
        evil_pod("label", labels=label, **finalizer),
        evil_pod("owner", labels=ours, **owner, **finalizer),
        evil_pod("bare", labels=ours),
        evil_pod(name, labels=ours, annotations=pod["metadata"]["annotations"], **finalizer),
    )
    ended(attacker, "label", "bare", name)  # what names a missing owner may be collected at once
    is_as_usual(k, pod)


def test_no_job_of_another_namespace_decides_or_blocks_a_node(k, attacker):
    """Under the name of an execution that is still to come, with the run as its owner."""
    pod = victim(k)
    (job,) = k.items("jobs")
    uid = k.get("workflowrun", "r")["metadata"]["uid"]
    evil = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name("r", uid, "b-1", 0),
            "labels": job["metadata"]["labels"] | {"podium.dev/node": "b"},
            "annotations": {"podium.dev/node": "b", "podium.dev/execution": "b-1"},
            "finalizers": ["podium.test/hold"],
        },
        "spec": {
            "backoffLimit": 0,
            "template": {
                "metadata": {"labels": {"podium.dev/run": "r"}},
                "spec": evil_pod("x")["spec"],
            },
        },
    }
    owned = copy.deepcopy(evil)
    owned["metadata"] |= {
        "name": f"{evil['metadata']['name'][:50]}-owned",
        "ownerReferences": job["metadata"]["ownerReferences"],
    }
    attacker.apply(evil, owned)
    until(lambda: attacker.items("pods"))
    is_as_usual(k, pod)
    assert k.nodes("r")["b"].get("jobName") is None, "no other name had to be taken"


def test_no_copy_of_owner_and_name_decides_a_node(k):
    """In the run's own namespace, by who may create Pods there, where Podium makes the Pods."""
    pod = victim(k)
    (job,) = k.items("jobs")
    assert "managedBy" in job["spec"], "this cluster knows managedBy: Podium makes the Pods"
    uid, meta = job["metadata"]["uid"], pod["metadata"]
    names = [pod_name(job["metadata"]["name"], uid, number) for number in (1, 2, 49)]
    parts = {key: meta[key] for key in ("labels", "annotations", "ownerReferences", "finalizers")}
    k.apply(*[evil_pod(name, **parts) for name in names])
    ended(k, *names)
    assert k.nodes("r")["a"]["podUid"] == meta["uid"]
    is_as_usual(k, pod)


def test_an_approved_workflow_runs_no_other_image(k):
    """A run sets only what `inputs` declares, so no key that `globalContext` gives a value."""
    inputs = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"tag": {"type": "string"}},
    }
    node = {
        "id": "a",
        "executor": "container",
        "config": {"image": "${{ context.image }}", "command": ["true"]},
    }
    k.apply(workflow("approved", node, inputs=inputs, globalContext={"image": BUSYBOX}))
    for name, context in (
        ("image", {"tag": "v1", "image": "attacker.invalid/evil:1"}),
        ("nested", {"image": {"x": 1}}),
    ):
        k.apply(workflow_run(name, workflow="approved", context=context))
        k.wait(name, "Failed")
    assert not k.items("jobs")
    k.apply(workflow_run("good", workflow="approved", context={"tag": "v1"}))
    k.wait("good")


def test_no_tenant_writes_what_only_the_operator_writes(k):
    """Who may do all to Workflows, runs and ConfigMaps: statuses, node states, definitions."""
    tenant = f"tenant-{uuid.uuid4().hex[:8]}"
    k("create", "role", "tenant", "--verb=get,list,watch,create,update,patch,delete",
      "--resource=workflows.podium.dev,workflowruns.podium.dev,configmaps")  # fmt: skip
    k("create", "rolebinding", "tenant", "--role=tenant", f"--user={tenant}")
    run = workflow_run("r", workflow="none", suspend=True)
    run["status"] = {"phase": "Succeeded", "nodes": {"a": {"status": "Completed"}}}
    until(lambda: k("create", "-f", "-", "--as", tenant, stdin=run, ok=False).returncode == 0)
    assert k.status("r").get("phase") != "Succeeded", "a status that comes with a run is not taken"
    shard = {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "WorkflowRunNodes",
        "metadata": {"name": "s"},
        "nodes": {"a": {"status": "Completed"}},
    }
    revision = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {"name": "x", "labels": {"podium.dev/pinned": "true"}},
        "revision": 1,
        "data": {},
    }
    change = json.dumps({"status": {"phase": "Succeeded"}})
    for subresource in ("status", "approve", "finalizers"):
        done = k("patch", "workflowrun", "r", f"--subresource={subresource}", "--type=merge", "-p",
                 change, "--as", tenant, ok=False)  # fmt: skip
        assert done.returncode, subresource
    for body in (shard, revision):
        done = k("create", "-f", "-", "--as", tenant, stdin=body, ok=False)
        assert "forbidden" in done.stderr.lower()


# Objects that take long to judge


def nodes(count, **fields):
    return [script(f"n{i}", ":", **fields) for i in range(count)]


def doubling(times):
    """Return a schema whose references double at each step."""
    steps = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(times)}
    return {"$defs": {**steps, f"d{times}": {}}, "$ref": "#/$defs/d0"}


def hostile():
    """Return Workflows and runs of a few KB that a validator or an evaluator takes seconds for."""
    nested = {"anyOf": [{"anyOf": [{"anyOf": [{}] * 20}] * 20}] * 60}
    pattern = {"additionalProperties": {"anyOf": [{"pattern": "^(a|a)*$"}, {}]}}
    costly = "[" + ",".join(["str(context.b)"] * 64) + "]==0"
    definitions = {
        "references": workflow("references", *nodes(1), inputs=doubling(19)),
        "nested": workflow("nested", *nodes(1), inputs=nested),
        "pattern": workflow("pattern", *nodes(1), inputs=pattern),
        "conditions": workflow("conditions", *nodes(40, condition=costly)),
        "many": workflow("many", *nodes(500, condition="1 == 2")),
    }
    contexts = {
        "pattern": {f"k{i}": "a" * 40 + "!" for i in range(60)},
        "conditions": {"b": [[] for _ in range(20_000)]},
    }
    runs = [
        workflow_run(
            name, workflow=name, **({"context": contexts[name]} if name in contexts else {})
        )
        for name in definitions
    ]
    return [*definitions.values(), *runs]


def operators():
    """Return the operator's Pods but those of an earlier release, which are about to go."""
    pods = Kubectl(SYSTEM).items("pods", "-l", "app.kubernetes.io/component=operator")
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def restarts():
    """Return the operator's Pods and how often each began."""
    return {
        pod["metadata"]["uid"]: [
            each["restartCount"] for each in pod["status"]["containerStatuses"]
        ]
        for pod in operators()
    }


LAG = re.compile(r'^podium_event_loop_lag_seconds_bucket{le="([^"]+)"} (\S+)', re.MULTILINE)


def lags():
    """The operator leads; how often its loop was late by at most so many seconds."""
    for pod in operators():
        path = f"/api/v1/namespaces/{SYSTEM}/pods/{pod['metadata']['name']}:8080/proxy/metrics"
        text = Kubectl(SYSTEM)("get", "--raw", path).stdout
        if re.search(r"^podium_leading 1", text, re.MULTILINE):
            return {float(bound): float(count) for bound, count in LAG.findall(text)}
    return None


@pytest.mark.long
def test_no_object_stops_the_operator_or_holds_a_neighbour_up(k, attacker):
    """The neighbour's run ends while all of them are being judged, whatever becomes of them."""
    lag_before = until(lags)
    before = restarts()
    asked = attacker("create", "-f", "-", stdin=hostile(), ok=False)
    assert "created" in asked.stdout, asked.stderr
    for number in range(3):
        k.apply(workflow_run(f"r{number}", script("a", output(v=1))))
        k.wait(f"r{number}")
    skipped = workflow_run("old", script("a", ":", condition="1 == 2"))
    attacker.apply(skipped)
    attacker.wait("old")
    forged = json.dumps(
        [{"id": str(i), "nodes": ["a"]} for i in range(9000)], separators=(",", ":")
    )
    change = {"metadata": {"annotations": {"podium.dev/accepted": forged}}}
    attacker("patch", "workflowrun", "old", "--type=merge", "--patch-file=/dev/stdin", stdin=change)
    k.apply(workflow_run("last", script("a", output(v=1))))
    k.wait("last")
    assert restarts() == before
    late = {bound: count - lag_before[bound] for bound, count in until(lags).items()}
    # How long the loop stands still depends on the machine, too: benchmarks/hostile.py measures it.
    assert late[float("inf")] > 100, "the loop was hardly looked at"
    print("lag of the loop, by seconds:", late)
