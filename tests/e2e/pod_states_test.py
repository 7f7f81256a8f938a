"""States of Pods that a kubelet reports seldom, written as it does, on a real API server."""

import json
from datetime import UTC, datetime

import pytest

from tests.e2e.support import script, until, workflow_run

pytestmark = pytest.mark.cluster

NOWHERE = {"nodeSelector": {"podium.dev/nowhere": "true"}}
"""No machine takes the Pod: its status is the test's to write."""


def newest(k, besides=()):
    """Wait for a Pod of node a that was not there before; return its name."""

    def there():
        pods = [pod["metadata"]["name"] for pod in k.items("pods", "-l", "podium.dev/node=a")]
        return next((name for name in pods if name not in besides), None)

    return until(there)


def write(k, pod, **status):
    body = json.dumps({"status": status})
    k("patch", "pod", pod, "--subresource=status", "--type=merge", "-p", body)


def now():
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def container(name, state):
    return {
        "name": name, "image": "x", "imageID": "x", "ready": False, "restartCount": 0,
        "state": state,
    }  # fmt: skip


def ended(code, reason="Completed", message=""):
    times = {"startedAt": now(), "finishedAt": now()}
    return {"terminated": {"exitCode": code, "reason": reason, "message": message, **times}}


@pytest.mark.parametrize(
    "reason", ["TaintToleration", "TopologyAffinityError", "NodePorts", "InvalidNodeInfo"]
)
def test_a_pod_that_the_kubelet_refused_is_made_again_and_counts_no_try(mine, reason):
    k = mine
    k.apply(workflow_run("r", script("a", "true", pod=NOWHERE)))
    first = newest(k)
    write(k, first, phase="Failed", reason=reason, message=f"Predicate {reason} failed")
    second = newest(k, {first})
    write(k, second, phase="Succeeded", containerStatuses=[container("node", ended(0))])
    state = k.wait("r")["nodes"]["a"]
    assert state["executionCount"] == 1
    assert "history" not in state


def test_a_container_whose_end_is_unknown_is_lost_and_not_killed_by_a_signal(mine):
    k = mine
    k.apply(workflow_run("r", script("a", "true", pod=NOWHERE)))
    words = "The container could not be located when the pod was terminated"
    statuses = [container("node", ended(137, "ContainerStatusUnknown", words))]
    write(k, newest(k), phase="Failed", containerStatuses=statuses)
    state = k.wait("r", "Failed")["nodes"]["a"]
    assert state["reason"] == "NodeLost"
    assert words in state["message"]
    assert "signal" not in state["message"]


def test_a_node_ends_with_its_own_container_while_a_sidecar_runs_on(mine):
    k = mine
    a = script("a", "true", pod=NOWHERE, timeoutSeconds=45, retryPolicy={"maxAttempts": 2})
    k.apply(workflow_run("r", a, script("after", "true", "a")))
    pod = newest(k)
    sidecar = container("mesh-proxy", {"running": {"startedAt": now()}})
    node = container("node", ended(0, message='{"a": 1}'))
    write(k, pod, phase="Running", containerStatuses=[node, sidecar])
    state = k.wait("r")["nodes"]["a"]
    assert (state["output"], state["executionCount"]) == ({"a": 1}, 1)
    until(lambda: not k.items("pods", "-l", "podium.dev/node=a"))
