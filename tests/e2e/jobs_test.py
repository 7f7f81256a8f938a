"""What users and controllers do to the Jobs of a run, on a real kubelet.

All of it must go on whoever makes the Pods: Podium, or the built-in Job controller.
"""

import json

import pytest

from tests.e2e.support import HELD, let_go, output, script, started, until, workflow_run

pytestmark = pytest.mark.cluster


def _job(k, node):
    """Wait for the Job of a node, and return it."""

    def there():
        return next(iter(k.items("jobs", "-l", f"podium.dev/node={node}")), None)

    there.__doc__ = f"{node} has a Job"
    return until(there)


def _pods(k, node):
    return k.items("pods", "-l", f"podium.dev/node={node}")


def _row(k, name):
    """Return what `kubectl get job` shows: status, completions, duration (empty: none yet)."""
    columns = k("get", "job", name, "--no-headers").stdout.split()
    return [*columns[1:3], columns[3] if len(columns) > 4 else ""]


def test_kubectl_shows_waits_for_and_describes_them_as_it_does_any(both):
    k = both
    k.apply(
        workflow_run(
            "shown", script("good", f"{HELD} echo words; {output(v=1)}"), script("bad", "exit 3")
        )
    )
    good, bad = (_job(k, node)["metadata"]["name"] for node in ("good", "bad"))

    def running():
        """kubectl shows that the Job runs"""
        status, completions, duration = _row(k, good)
        return (status, completions) == ("Running", "0/1") and duration

    until(running)
    assert "1 Active" in k("describe", "job", good).stdout
    let_go(k, started(k, "good"))
    k("wait", "--for=condition=complete", f"job/{good}", "--timeout=120s")
    k("wait", "--for=condition=failed", f"job/{bad}", "--timeout=120s")
    status, completions, duration = _row(k, good)
    assert (status, completions) == ("Complete", "1/1")
    assert duration.endswith("s")
    assert _row(k, bad)[:2] == ["Failed", "0/1"]
    described = {name: " ".join(k("describe", "job", name).stdout.split()) for name in (good, bad)}
    assert "Pods Statuses: 0 Active (0 Ready) / 1 Succeeded / 0 Failed" in described[good]
    assert "Completed At:" in described[good]
    assert "Controlled By: WorkflowRun/shown" in described[good]
    assert "Pods Statuses: 0 Active (0 Ready) / 0 Succeeded / 1 Failed" in described[bad]
    assert k("logs", f"job/{good}").stdout == "words\n"
    k.wait("shown", "Failed")


def test_a_ttl_set_by_a_user_takes_no_result_along(both):
    k = both
    k.apply(workflow_run("ttl", script("a", f"{HELD} {output(v=1)}"), script("b", "true", "a")))
    pod = started(k, "a")
    name = _job(k, "a")["metadata"]["name"]
    k("patch", "job", name, "--type=merge", "-p", '{"spec": {"ttlSecondsAfterFinished": 0}}')
    let_go(k, pod)
    nodes = k.wait("ttl")["nodes"]
    assert nodes["a"]["output"] == {"v": 1}
    assert {node: state["executionCount"] for node, state in nodes.items()} == {"a": 1, "b": 1}
    until(lambda: k.get("job", name) is None and not _pods(k, "a"))


def test_a_job_deleted_without_its_pod_is_waited_for_and_nothing_hangs(both):
    k = both
    """`--cascade=orphan` leaves a Pod that nobody owns: its program still counts."""
    k.apply(
        workflow_run(
            "orphan",
            script("a", f"{HELD} {output(v=1)}", retryPolicy={"maxAttempts": 2}),
            script("b", "true", "a"),
        )
    )
    pod = started(k, "a")
    k.wait_node("orphan", "a", "Running")
    k("delete", "job", _job(k, "a")["metadata"]["name"], "--cascade=orphan")
    until(lambda: not k.get("pod", pod["metadata"]["name"])["metadata"].get("ownerReferences"))
    let_go(k, pod)
    nodes = k.wait("orphan")["nodes"]
    assert (nodes["a"]["output"], nodes["a"]["executionCount"]) == ({"v": 1}, 1)

    def unheld():
        """the Pod that nobody owns has no finalizer of Podium's any more"""
        return "podium.dev/result" not in k.get("pod", pod["metadata"]["name"])["metadata"].get(
            "finalizers", []
        )

    until(unheld)
    k("delete", "pod", pod["metadata"]["name"], "--timeout=120s")


@pytest.mark.parametrize("cascade", ["background", "foreground", "orphan"])
def test_a_run_deleted_while_it_works_leaves_nothing_that_hangs(both, cascade):
    k = both
    k.apply(
        workflow_run(
            "gone", script("done", "true"), script("works", HELD, "done"),
            script("never", "true", "works"),
        )
    )  # fmt: skip
    started(k, "works")
    k("delete", "workflowrun", "gone", f"--cascade={cascade}", "--timeout=120s")
    if cascade == "orphan":  # they were to stay: then they are taken away by hand
        assert len(k.items("jobs")) == 2
        k("delete", "jobs,pods", "--all", "--timeout=120s")
    until(lambda: not k.items("jobs") and not k.items("pods"), 120)


def test_a_suspended_job_gives_its_place_up_and_goes_on_where_it_is_reported_to(both):
    k = both
    """As Kueue does it: suspend, choose machines in the template, resume."""
    k.apply(workflow_run("queue", script("a", f"{HELD} {output(v=1)}"), script("b", "true", "a")))
    first = started(k, "a")["metadata"]
    job = _job(k, "a")["metadata"]["name"]
    k("patch", "job", job, "--type=merge", "-p", '{"spec": {"suspend": true}}')
    state = k.wait_node("queue", "a", "Queued")
    assert (state["status"], state["executionCount"]) == ("Running", 1)
    until(lambda: not _pods(k, "a"))
    k("wait", "--for=condition=Suspended", f"job/{job}", "--timeout=120s")
    assert _row(k, job)[:2] == ["Suspended", "0/1"]
    # Which Podium does by itself.
    no_start = '{"status": {"startTime": null}}'
    k("patch", "job", job, "--subresource=status", "--type=merge", "-p", no_start)
    choice = {"template": {"spec": {"nodeSelector": {"kubernetes.io/os": "linux"}}}}
    k("patch", "job", job, "--type=strategic", "-p", json.dumps({"spec": choice}))
    k("patch", "job", job, "--type=merge", "-p", '{"spec": {"suspend": false}}')
    second = started(k, "a")
    assert second["metadata"]["uid"] != first["uid"]
    assert second["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
    let_go(k, second)
    nodes = k.wait("queue")["nodes"]
    assert nodes["a"]["output"] == {"v": 1}
    assert (nodes["a"]["executionCount"], nodes["a"]["executionId"]) == (1, "a-1")
    assert not nodes["a"].get("history")
    k("wait", "--for=condition=complete", f"job/{job}", "--timeout=120s")


def test_a_disruption_budget_keeps_a_pod_where_it_is(both):
    k = both
    k.apply(workflow_run("budget", script("a", f"{HELD} {output(v=1)}")))
    held = started(k, "a")
    pod = held["metadata"]["name"]
    k("create", "pdb", "all", "--min-available=1", "--selector=podium.dev/run=budget")

    def counted():
        """the budget knows of the Pod"""
        return k.get("pdb", "all")["status"].get("currentHealthy") == 1

    until(counted)
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": k.namespace},
    }
    path = f"/api/v1/namespaces/{k.namespace}/pods/{pod}/eviction"
    refused = k("create", "--raw", path, "-f", "-", stdin=eviction, ok=False)
    assert "disruption budget" in refused.stderr
    let_go(k, held)
    assert "disruptions" not in k.wait("budget")["nodes"]["a"]


def test_a_quota_for_one_pod_lets_one_node_run_after_the_other(both):
    k = both
    k("create", "quota", "q", "--hard=pods=1")
    until(lambda: k.get("quota", "q")["status"].get("hard"))
    nodes = [script(name, f"{HELD} {output(name=name)}") for name in ("a", "b")]
    k.apply(workflow_run("narrow", *nodes))

    def waits():
        """one of them waits for the quota"""
        return any(state.get("reason") == "QuotaExceeded" for state in k.nodes("narrow").values())

    until(waits)
    first = next(node for node in ("a", "b") if _pods(k, node))
    for node in (first, "b" if first == "a" else "a"):
        let_go(k, started(k, node))
    ended = k.wait("narrow")["nodes"]
    assert {node: state["executionCount"] for node, state in ended.items()} == {"a": 1, "b": 1}
