"""Executors on a real cluster, with the chart's rights and policies: whose word counts, what runs."""

import pytest
import yaml

from podium.executors import shipped
from tests.e2e.support import ROOT, until, workflow_run

pytestmark = pytest.mark.cluster

API = "podium.dev/v1alpha1"
SIDECAR = {
    "name": "beside",
    "command": ["sh", "-c", "echo ready >/shared/file; sleep 600"],
    "restartPolicy": "Always",
    "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
}
MAIN = {
    "name": "node",
    "volumeMounts": [{"name": "shared", "mountPath": "/shared", "readOnly": True}],
    "securityContext": {"runAsUser": 0, "runAsNonRoot": False},
}
PRINT = (
    'until [ -s /shared/file ]; do sleep 0.1; done; echo "{\\"id\\": $(id -u)}" > $PODIUM_OUTPUT'
)


def executor(name, image, **spec):
    template = {
        "spec": {
            "containers": [MAIN],
            "initContainers": [{**SIDECAR, "image": image}],
            "volumes": [{"name": "shared", "emptyDir": {}}],
        }
    }
    return {
        "apiVersion": API,
        "kind": "Executor",
        "metadata": {"name": name},
        "spec": {"template": template, "command": ["sh", "-c", PRINT], **spec},
    }


@pytest.fixture
def image(k):
    """Podium's own image, which has a shell."""
    deployment = k("get", "deployment", "podium", "-n", "podium-system", "-o", "json").stdout
    return yaml.safe_load(deployment)["spec"]["template"]["spec"]["containers"][0]["image"]


def test_an_example_runs_by_its_executor(k):
    for file in ("executor.yaml", "workflow.yaml"):
        k("apply", "-f", str(ROOT / "examples/executor" / file))
    nodes = k.wait("nightly-models")["nodes"]
    assert nodes["build"]["output"] == {"command": "build", "target": "prod", "models": 2}
    assert nodes["test"]["output"] == {"command": "test", "target": "prod", "models": 1}
    (workflow,) = k.items("workflows")
    assert workflow["status"]["conditions"][0]["status"] == "True"


def test_a_sidecar_and_root_are_an_executors_to_bring(k, image):
    k.apply(executor("beside", image))
    k.apply(workflow_run("r", {"id": "a", "executor": "beside"}))
    assert k.wait("r")["nodes"]["a"]["output"] == {"id": 0}
    (job,) = k.items("jobs")
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels["podium.dev/executor"] == "beside"


def test_an_executor_that_is_deleted_changes_nothing(k, image):
    held = executor("held", image)
    held["spec"]["command"] = ["sh", "-c", "echo '{}' > $PODIUM_OUTPUT"]
    k.apply(held)
    nodes = [{"id": "a", "executor": "held"}, {"id": "b", "executor": "held", "dependsOn": ["a"]}]
    k.apply(workflow_run("r", *nodes, suspend=True))
    until(lambda: k.status("r").get("nodes"))
    k("delete", "executor", "held")
    k("patch", "workflowrun", "r", "--type=merge", "-p", '{"spec": {"suspend": false}}')
    k.wait("r")
    k.apply(workflow_run("late", *nodes))
    status = k.wait("late", "Failed")
    assert "unknown executor 'held': known are script" in status["conditions"][0]["message"]


@pytest.fixture
def installed(k):
    """The executors that come with Podium, as the chart's values install them."""
    manifests = [
        yaml.safe_load((shipped.HERE / f"{name}.yaml").read_text()) for name in shipped.NAMES
    ]
    k.apply(*manifests)
    yield
    k("delete", "clusterexecutors", *shipped.NAMES)


def test_those_that_come_with_podium_do_their_work(k, installed):
    k("create", "serviceaccount", "deployer")
    k("label", "serviceaccount", "deployer", "podium.dev/usable=true")
    k("create", "role", "maps", "--verb=get,create,patch,delete", "--resource=configmaps")
    k("create", "rolebinding", "maps", "--role=maps", f"--serviceaccount={k.namespace}:deployer")
    service = yaml.safe_load(
        k("get", "service", "kubernetes", "-n", "default", "-o", "json").stdout
    )
    server = service["spec"]["clusterIP"]
    target = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made"}}
    own = {"executor": "kubernetes"}
    run = workflow_run(
        "r",
        {
            "id": "ask",
            "executor": "http",  # the API server tells a client without TLS that it speaks TLS
            "config": {"url": f"http://{server}:443/", "expectedStatus": [400]},
        },
        {
            **own,
            "id": "make",
            "config": {
                "action": "apply",
                "serviceAccount": "deployer",
                "object": {**target, "data": {"x": "${{ run.name }}"}},
                "wait": {"path": "data.x", "value": "r", "timeoutSeconds": 20},
                "select": "data.x",
            },
        },
        {
            **own,
            "id": "remove",
            "dependsOn": ["make"],
            "config": {
                "action": "delete",
                "serviceAccount": "deployer",
                "object": target,
                "wait": {"deleted": True},
            },
        },
        {
            **own,
            "id": "forbidden",
            "allowFailure": True,
            "config": {
                "action": "create",
                "serviceAccount": "deployer",
                "object": {**target, "kind": "Secret"},
            },
        },
        {
            **own,
            "id": "unusable",
            "allowFailure": True,
            "config": {"action": "delete", "serviceAccount": "default", "object": target},
        },
        {
            "id": "tell",
            "executor": "notify",
            "allowFailure": True,
            "config": {"message": "done", "url": f"http://{server}:443/"},
        },
    )
    k.apply(run)
    nodes = k.wait("r")["nodes"]
    assert nodes["ask"]["output"]["status"] == 400
    assert "HTTPS server" in nodes["ask"]["output"]["body"]
    assert nodes["make"]["output"]["selected"] == "r"
    assert nodes["make"]["output"]["namespace"] == k.namespace
    assert k.get("configmap", "made") is None
    assert (nodes["forbidden"]["reason"], nodes["unusable"]["reason"]) == (
        "Refused",
        "ServiceAccount",
    )
    assert nodes["tell"]["reason"] == "UnexpectedStatus"
