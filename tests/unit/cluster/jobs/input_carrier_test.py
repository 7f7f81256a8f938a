"""The Pod that carries a piece of an input to the store."""

import copy

import pytest

from podium.api.workflow import WorkflowSpec
from podium.artifacts.carried_input import pieces
from podium.artifacts.packed_input import INPUT_VARIABLES, PIECE_BYTES, what_is_in
from podium.artifacts.pod import Task
from podium.cluster.jobs.adoption import is_pod_as_built
from podium.cluster.jobs.builder import Owner, build_job
from podium.cluster.jobs.input_carrier import build_carrier
from podium.cluster.jobs.pod_check import check_pod
from podium.cluster.kube.views import controller_of, pod_view
from podium.cluster.settings import Settings
from podium.engine import Launch, Plan
from tests.unit.artifacts.carried_input_test import document
from tests.unit.cluster.jobs.artifacts_test import STORES

POD = {
    "nodeSelector": {"pool": "batch"},
    "tolerations": [{"key": "batch", "operator": "Exists"}],
    "serviceAccountName": "worker",
    "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "own", "key": "k"}}}],
    "volumes": [{"name": "own", "secret": {"secretName": "own"}}],
    "volumeMounts": [{"name": "own", "mountPath": "/own"}],
}
DEFAULTS = {
    "labels": {"team": "a"},
    "annotations": {"note": "b"},
    "imagePullSecrets": [{"name": "pull"}],
    "env": [{"name": "DEFAULT", "value": "1"}],
}


def carrier(
    store="s3", number=0, execution="n-1", given=None, change=lambda job: job, settings=None
):
    settings = settings or Settings(artifacts=STORES[store], pod_defaults=DEFAULTS)
    node = {"id": "n", "executor": "script", "config": {"script": "true"}, "pod": POD}
    plan = Plan.build(WorkflowSpec.model_validate({"nodes": [node]}), workflow_id="w")
    launch = Launch("n", execution, 0, node["config"], given or document(count=250))
    owner = Owner("team", "r", "uid", "w", None)
    job = build_job(owner, plan, launch, settings)
    digests = Task.load(
        job["spec"]["template"]["metadata"]["annotations"]["podium.dev/artifacts"]
    ).carried.digests
    piece = next(pieces(launch.input))
    pod = build_carrier(owner, plan, launch, change(job), piece, digests[0], settings, number)
    assert check_pod(pod, settings) == []
    return pod, piece, digests[0]


@pytest.mark.parametrize("store", STORES)
def test_its_container_stores_a_piece_and_nothing_else_sees_the_store(store):
    pod, piece, digest = carrier(store)
    (fetcher,), (idle,) = pod["spec"]["initContainers"], pod["spec"]["containers"]
    told = {each["name"]: each["value"] for each in fetcher["env"]}
    assert what_is_in({name: told.get(name, "") for name in INPUT_VARIABLES}) == piece
    assert len(piece) <= PIECE_BYTES
    assert Task.load(pod["metadata"]["annotations"]["podium.dev/artifacts"]).carries == digest
    mounts = {each["name"]: each["readOnly"] for each in fetcher["volumeMounts"]}
    assert mounts == {"podium-task": True, "podium-store": store != "pvc"}
    assert idle["command"] == ["true"]
    assert not {"env", "volumeMounts"} & idle.keys()


def test_it_runs_where_the_node_may_run_and_is_given_nothing_of_it():
    pod, *_ = carrier()
    spec = pod["spec"]
    for key in ("nodeSelector", "tolerations", "serviceAccountName"):
        assert spec[key] == POD[key]
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert (pod["metadata"]["labels"]["team"], pod["metadata"]["annotations"]["note"]) == ("a", "b")
    assert {each["name"] for each in spec["volumes"]} == {"podium-task", "podium-store"}
    assert not {"KEY", "DEFAULT"} & {each["name"] for each in spec["initContainers"][0]["env"]}
    assert spec["restartPolicy"] == "Never"
    assert spec["automountServiceAccountToken"] is False


def test_it_belongs_to_its_run_and_is_no_pod_of_a_node():
    pod, *_ = carrier()
    assert controller_of(pod, "WorkflowRun", "podium.dev/v1alpha1") == "uid"
    pod["metadata"]["uid"] = "1"
    assert pod_view(pod) is None
    assert pod["metadata"]["labels"]["podium.dev/node"] == ""
    assert "finalizers" not in pod["metadata"]


def test_as_the_server_returns_it_it_is_known_again():
    pod, *_ = carrier()
    found = copy.deepcopy(pod)
    spec = found["spec"]
    spec |= {"dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "priority": 0}
    spec |= {"nodeName": "m", "preemptionPolicy": "PreemptLowerPriority"}
    for container in (*spec["containers"], *spec["initContainers"]):
        container["imagePullPolicy"] = "IfNotPresent"
        container.setdefault("resources", {})
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
    spec["volumes"][0]["downwardAPI"] |= {"defaultMode": 420}
    assert is_pod_as_built(pod, found, creators_are_verified=False)
    forged = copy.deepcopy(found)
    forged["spec"]["initContainers"][0]["command"] = ["evil"]
    assert not is_pod_as_built(pod, forged, creators_are_verified=False)


def test_its_name_is_of_the_execution_the_piece_and_the_try():
    names = [
        carrier(**facts)[0]["metadata"]["name"]
        for facts in ({}, {}, {"number": 1}, {"execution": "n-2"}, {"given": document("n-1", 210)})
    ]
    assert names[0] == names[1]
    assert len(set(names)) == 4


def test_what_an_executor_may_nobody_else_may():
    """The template of a node's Job is merged with that of its Executor."""

    def change(job):
        spec = job["spec"]["template"]["spec"]
        spec |= {"hostNetwork": True, "securityContext": {"runAsUser": 0}, "hostPID": True}
        return job

    assert carrier(change=change)[0] == carrier()[0]
