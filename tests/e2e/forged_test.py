"""What others make under the names and owners of a run decides nothing, on a real cluster."""

import json

import pytest

from podium.api.workflow import WorkflowSpec
from podium.cluster.jobs.adoption import is_job_as_built, is_pod_as_built
from podium.cluster.jobs.builder import Owner, build_job, build_pod, job_name
from podium.cluster.settings import Settings
from podium.engine import Launch, Plan
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
    workflow,
    workflow_run,
)

pytestmark = pytest.mark.cluster


@pytest.fixture
def managed(tmp_path):
    """kubectl in a namespace with an operator that makes the Pods of its Jobs itself.

    Those of the built-in controller have names that nobody can know before.
    """
    require_cluster()
    api = connect()
    apply_crds(api)
    settings = {"featureGates": {"ManagedJobs": True}}
    with own_namespace(api) as namespace, own_operator(namespace, tmp_path, settings):
        yield Kubectl(namespace)


EVIL = ["sh", "-c", "echo '{\"forged\": true}' >/dev/termination-log"]


def evil_spec(spec):
    """Return the spec of a Pod that runs another program with the same image."""
    (container,) = spec["containers"]
    kept = {key: value for key, value in spec.items() if key != "nodeName"}
    return kept | {"containers": [container | {"command": EVIL, "args": []}]}


def test_what_stands_under_the_names_of_a_run_and_is_not_its_own_is_set_aside(managed):
    k = managed
    second = script("b", output(v=2), "a")
    k.apply(workflow_run("r", script("a", HELD + output(v=1)), second))
    pod = started(k, "a")
    (job,) = k.items("jobs")
    uid = k.get("workflowrun", "r")["metadata"]["uid"]
    meta = pod["metadata"]
    evil_pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "evil",
            "labels": meta["labels"],
            "ownerReferences": meta["ownerReferences"],
        },
        "spec": evil_spec(pod["spec"]),
    }
    name = job_name("r", uid, "b-1", 0)
    notes = {"podium.dev/node": "b", "podium.dev/execution": "b-1"}
    evil_job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "labels": job["metadata"]["labels"] | {"podium.dev/node": "b"},
            "annotations": notes,
            "finalizers": ["podium.test/hold"],  # it keeps the name
            "ownerReferences": job["metadata"]["ownerReferences"],
        },
        "spec": {
            "backoffLimit": 0,
            "template": {
                "metadata": {"labels": {"podium.dev/run": "r", "podium.dev/node": "b"}},
                "spec": evil_spec(job["spec"]["template"]["spec"]),
            },
        },
    }
    k("create", "-f", "-", stdin=[evil_pod, evil_job])
    until(lambda: k.get("pod", "evil")["status"]["phase"] in ("Succeeded", "Failed"))
    assert k.nodes("r")["a"]["status"] == "Running"
    let_go(k, pod)
    nodes = k.wait("r")["nodes"]
    assert {node: state["output"] for node, state in nodes.items()} == {
        "a": {"v": 1},
        "b": {"v": 2},
    }
    assert nodes["a"]["jobUid"] == job["metadata"]["uid"]
    assert nodes["b"]["jobName"] == job_name("r", uid, "b-1", 0, 1)
    (told,) = k.events("r", "NameTaken")
    assert name in told
    k("patch", "job", name, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    until(lambda: k.get("job", name) is None)


NODES = [
    {
        "id": "a",
        "executor": "container",
        "config": {
            "image": "busybox",
            "command": ["true"],
            "env": [
                {"name": "EMPTY", "value": ""},
                {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            ],
        },
        "resources": {"limits": {"cpu": "0.5", "memory": "1024Mi"}},
        "pod": {
            "volumes": [
                {"name": "e", "emptyDir": {"sizeLimit": "1024Mi"}},
                {"name": "c", "configMap": {"name": "x"}},
                {"name": "p", "projected": {"sources": [{"secret": {"name": "q"}}]}},
            ],
            "volumeMounts": [{"name": "e", "mountPath": "/e"}, {"name": "c", "mountPath": "/c"}],
            "tolerations": [{"key": "k", "operator": "Exists"}],
            "nodeSelector": {"pool": "batch"},
            "serviceAccountName": "default",
        },
    },
    {"id": "s", "executor": "script", "config": {"script": "echo $X"}},
]


@pytest.mark.parametrize("node", NODES, ids=["container", "script"])
@pytest.mark.parametrize("managed", [True, False])
def test_what_the_server_writes_into_a_job_and_its_pod_makes_them_no_others(mine, node, managed):
    """Else nothing that an operator made before it crashed would be found again."""
    spec = WorkflowSpec.model_validate({"nodes": [node]})
    settings = Settings(feature_gates={"ManagedJobs": managed})
    owner = Owner(mine.namespace, "r", "11111111-aaaa-4bbb-8ccc-000000000001", "w", None)
    execution = f"{node['id']}-1"
    launch = Launch(node["id"], execution, 0, node["config"], {"x": 1.0})
    built = build_job(owner, Plan.build(spec, workflow_id="w"), launch, settings)

    def answer(body):
        done = mine("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=body)
        return json.loads(done.stdout)

    found = answer(built)
    assert is_job_as_built(built, found)
    pod = build_pod(found, 0)
    assert is_pod_as_built(pod, answer(pod), creators_are_verified=False)
    found["spec"]["template"]["spec"]["containers"][0]["image"] = "evil"
    assert not is_job_as_built(built, found)


def test_definitions_go_with_the_run_and_the_workflow_that_need_them(mine):
    mine.apply(workflow("w", script("a", "true", condition="1 == 2")))
    mine.apply(workflow_run("r", workflow="w"))
    mine.wait("r")
    assert len(mine.items("controllerrevisions")) == 1
    mine("delete", "workflow", "w")
    mine("delete", "workflowrun", "r")
    until(lambda: mine.items("controllerrevisions") == [])
