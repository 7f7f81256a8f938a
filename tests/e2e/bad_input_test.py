"""What users get wrong on a cluster, and what it does to them: each says what would be right."""

import json

import pytest

from tests.e2e.support import (
    BUSYBOX,
    HELD,
    let_go,
    output,
    script,
    started,
    until,
    workflow,
    workflow_run,
)

pytestmark = pytest.mark.cluster


def _condition(k, kind, name, wanted):
    """Wait for a condition, and return it."""

    def there():
        found = (k.get(kind, name) or {}).get("status", {}).get("conditions", [])
        return next((c for c in found if c["type"] == wanted and c["status"] != "Unknown"), None)

    there.__doc__ = f"{kind} {name} has the condition {wanted}"
    return until(there)


def _event(k, name, reason, *words):
    """Wait for an Event with these words."""

    def there():
        return [m for m in k.events(name, reason) if all(word in m for word in words)]

    there.__doc__ = f"{name} has an Event {reason} with {words}"
    return until(there)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"timeoutSeconds": "soon"}, ["spec.workflowSpec.nodes[0].timeoutSeconds", "number"]),
        ({"timeOut": 3}, ["unknown field", "timeOut", "nodes[0]"]),
        ({"triggerRule": "Sometimes"}, ["triggerRule", '"Sometimes"', '"NoneFailedMinOneSuccess"']),
        ({"id": "no spaces"}, ["spec.workflowSpec.nodes[0].id", "no spaces"]),
        ({"id": "x" * 64}, ["spec.workflowSpec.nodes[0].id", "63"]),
        ({"type": "loop"}, ["spec.workflowSpec.nodes[0].type", '"loop"', '"phase"']),
    ],
)
def test_what_the_schema_forbids_is_refused_at_once(k, change, words):
    refused = k.apply(workflow_run("wrong", {**script("a", "true"), **change}), ok=False)
    assert refused.returncode != 0
    for word in words:
        assert word in refused.stderr


def test_both_or_neither_definition_is_refused(k):
    both = workflow_run("both", script("a", "true"), workflow=None)
    both["spec"]["workflowRef"] = {"name": "x"}
    neither = workflow_run("neither", workflow="x")
    del neither["spec"]["workflowRef"]
    for document in (both, neither):
        refused = k.apply(document, ok=False)
        assert refused.returncode != 0
        assert "workflowRef" in refused.stderr
        assert "workflowSpec" in refused.stderr


def test_a_definition_of_5_mb_is_refused(k):
    large = workflow_run("large", script("a", "#" * 5_000_000))
    refused = k("create", "-f", "-", stdin=large, ok=False)
    assert refused.returncode != 0
    assert "large" in refused.stderr or "long" in refused.stderr
    assert k.get("workflowrun", "large") is None


def test_a_cycle_is_named_on_the_workflow_and_on_its_runs(k):
    k.apply(workflow("round", script("a", "true", "b"), script("b", "true", "a", "nobody")))
    condition = _condition(k, "workflow", "round", "Valid")
    assert (condition["status"], condition["reason"]) == ("False", "InvalidWorkflow")
    for words in ("a → b → a", "nobody"):
        assert words in condition["message"]
    _event(k, "round", "InvalidWorkflow", "a → b → a")
    k.apply(workflow_run("of-round", workflow="round"))
    status = k.wait("of-round", "Failed")
    assert "a → b → a" in status["conditions"][0]["message"]
    assert not k.items("jobs")
    assert "False" in k("get", "wfl", "round", "--no-headers").stdout


def test_all_missing_context_keys_are_named_before_anything_starts(k):
    nodes = [
        script("a", "true", inputContract={"requiredFields": ["who"]}),
        script("b", "true", "a", condition="context.really == true"),
    ]
    k.apply(workflow_run("keys", *nodes))
    k.wait("keys", "Failed")
    message = _condition(k, "workflowrun", "keys", "Succeeded")["message"]
    for words in (
        "who (named by a)",
        "really (named by b)",
        "spec.context, or -c who=… -c really=…",
    ):
        assert words in message
    assert not k.items("jobs")


def test_a_run_waits_for_its_workflow_and_outlives_it(k):
    k.apply(workflow_run("early", workflow="late"))
    condition = _condition(k, "workflowrun", "early", "Valid")
    assert condition["reason"] == "WorkflowNotFound"
    assert "starts when it is applied" in condition["message"]
    assert k.status("early")["phase"] == "Pending"
    k.apply(workflow("late", script("a", HELD), script("b", output(v=1), "a")))
    k.wait_node("early", "a", "Running")
    k("delete", "workflow", "late")
    let_go(k, started(k, "a"))
    assert k.wait("early")["nodes"]["b"]["output"] == {"v": 1}


def test_two_runs_of_one_name_and_a_changed_one_are_refused(k):
    run = workflow_run("once", script("a", output(v=1)))
    k.apply(run)
    again = k("create", "-f", "-", stdin=run, ok=False)
    assert "already exists" in again.stderr
    k.wait("once")
    assert "unchanged" in k.apply(run).stdout
    changed = k.apply(workflow_run("once", script("a", output(v=2))), ok=False)
    assert changed.returncode != 0
    assert "workflowSpec is fixed once the run is made" in changed.stderr
    assert k.wait("once")["nodes"]["a"]["executionCount"] == 1


def test_a_job_and_a_pod_deleted_by_hand_fail_their_nodes(k):
    once = "[ $PODIUM_EXECUTION != retried-1 ] || sleep 100"
    k.apply(
        workflow_run(
            "hands",
            script("job", "sleep 100"),
            script("pod", "sleep 100"),
            script("retried", once, retryPolicy={"maxAttempts": 2}),
        )
    )
    for node in ("job", "pod", "retried"):
        k.wait_node("hands", node, "Running")
        until(lambda: k.items("pods", "-l", f"podium.dev/node={node}"))  # noqa: B023
    k("delete", "job", "-l", "podium.dev/node=job", "--wait=false")
    k("delete", "pod", "-l", "podium.dev/node=pod", "--wait=false")
    k("delete", "job", "-l", "podium.dev/node=retried", "--wait=false")
    k.wait("hands", "Failed")
    nodes = k.nodes("hands")
    assert nodes["job"]["reason"] == "JobDeleted"
    assert nodes["pod"]["reason"] == "PodDeleted"
    assert (nodes["retried"]["status"], nodes["retried"]["executionCount"]) == ("Completed", 2)
    assert nodes["retried"]["history"][0]["reason"] == "JobDeleted"


def test_an_evicted_pod_is_replaced_and_not_counted(k):
    k.apply(workflow_run("evict", script("a", HELD)))
    pod = started(k, "a")["metadata"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod["name"], "namespace": k.namespace},
    }
    path = f"/api/v1/namespaces/{k.namespace}/pods/{pod['name']}/eviction"
    k("create", "--raw", path, "-f", "-", stdin=eviction)

    def another():
        """another Pod runs"""
        found = started(k, "a")
        return found if found["metadata"]["uid"] != pod["uid"] else None

    let_go(k, until(another))
    status = k.wait("evict")
    assert status["nodes"]["a"]["executionCount"] == 1
    assert status["nodes"]["a"]["executionId"] == "a-1"


def test_a_used_up_quota_is_waited_out(k):
    k("create", "quota", "q", "--hard=pods=0")

    def enforced():
        """the quota is in force"""
        return k.get("quota", "q")["status"].get("hard")

    until(enforced)
    k.apply(workflow_run("quota", script("a", output(v=1))))
    state = k.wait_node("quota", "a", "QuotaExceeded")
    assert "exceeded quota: q" in state["message"]
    k("delete", "quota", "q")
    assert k.wait("quota")["nodes"]["a"]["executionCount"] == 1


def test_an_image_that_cannot_be_pulled_fails_within_a_minute_or_so(k):
    node = {
        "id": "a",
        "executor": "container",
        "config": {"image": "docker.io/library/nowhere:1", "command": ["true"]},
    }
    k.apply(workflow_run("image", node))
    waiting = k.wait_node("image", "a", "ErrImagePull", "ImagePullBackOff")
    assert "nowhere" in waiting["message"]
    k.wait("image", "Failed")
    nodes = k.nodes("image")
    assert nodes["a"]["reason"] == "ImagePull"
    assert "nowhere" in nodes["a"]["message"]
    until(lambda: not k.items("pods"))


def test_what_admission_refuses_fails_at_once_in_the_servers_words(k):
    name = k.namespace
    expression = "!has(object.metadata.labels) || !('podium.dev/node' in object.metadata.labels) || object.metadata.labels['podium.dev/node'] != '{}'"
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
                "resourceRules": [
                    {
                        "apiGroups": ["", "batch"],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["jobs", "pods"],
                    }
                ],
            },
            "validations": [
                {
                    "expression": f"request.resource.resource != 'jobs' || ({expression.format('job')})",
                    "message": "no such Job here",
                },
                {
                    "expression": f"request.resource.resource != 'pods' || ({expression.format('pod')})",
                    "message": "no such Pod here",
                },
            ],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    probe = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe", "labels": {"podium.dev/node": "pod"}},
        "spec": {"containers": [{"name": "probe", "image": BUSYBOX}]},
    }

    def denies():
        """the server knows the policy"""
        answer = k("create", "--dry-run=server", "-f", "-", stdin=probe, ok=False)
        return "no such Pod here" in answer.stderr

    try:
        k.apply(policy, binding)
        until(denies)
        retry = {"retryPolicy": {"maxAttempts": 3}}
        k.apply(
            workflow_run(
                "denied", script("job", "true", **retry), script("pod", "true", **retry),
                script("other", "true"),
            )
        )  # fmt: skip
        k.wait("denied", "Failed")
    finally:
        k("delete", "validatingadmissionpolicybinding", name, "--ignore-not-found")
        k("delete", "validatingadmissionpolicy", name, "--ignore-not-found")
    nodes = k.nodes("denied")
    assert nodes["other"]["status"] == "Completed"
    for node, words in (("job", "no such Job here"), ("pod", "no such Pod here")):
        assert nodes[node]["status"] == "Failed"
        assert words in nodes[node]["message"]
        assert nodes[node]["executionCount"] == 1, "what is refused is not tried again"


def test_forged_labels_change_nothing(k):
    k.apply(workflow_run("real", script("a", HELD), script("b", "true", "a")))
    mine = started(k, "a")
    k.wait_node("real", "a", "Running")
    (job,) = k.items("jobs")
    labels = {
        key: job["metadata"]["labels"][key] for key in job["metadata"]["labels"] if "podium" in key
    }
    notes = job["metadata"]["annotations"]
    pod = {
        "restartPolicy": "Never",
        "containers": [{"name": "node", "image": BUSYBOX, "command": ["sh", "-c", "exit 9"]}],
    }
    forged = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "forged", "labels": labels, "annotations": notes},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }
    alone = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "forged", "labels": labels, "annotations": notes},
        "spec": pod,
    }
    k.apply(forged, alone)
    until(lambda: k.get("pod", "forged")["status"]["phase"] == "Failed")
    let_go(k, mine)
    nodes = k.wait("real")["nodes"]
    assert {node: state["executionCount"] for node, state in nodes.items()} == {"a": 1, "b": 1}
    assert k.get("job", "forged") is not None, "what is not ours is left alone"


def test_garbage_in_annotations_is_refused_with_what_would_be_right(k):
    k.apply(workflow_run("notes", script("a", "true")))
    k.wait("notes")
    for text, words in (
        ('{"nodes": 5', ["not JSON", '{"nodes": ["build"]']),
        ("nobody", ["nobody"]),
        ('{"nodes": ["a"], "speed": 9}', ["'speed'"]),
        (" , ,", ["names no node"]),
    ):
        k("annotate", "workflowrun", "notes", f"podium.dev/rerun={text}")
        _event(k, "notes", "RerunRefused", *words)

        def gone():
            """the annotation is removed"""
            notes = k.get("workflowrun", "notes")["metadata"].get("annotations", {})
            return not any(name.startswith("podium.dev/") for name in notes)

        until(gone)
    k("annotate", "workflowrun", "notes", "podium.dev/accepted={]", "noslash=x", "podium.dev/x=☃")
    _event(k, "notes", "RerunRefused", "podium.dev/accepted", "damaged")
    k("annotate", "workflowrun", "notes", "podium.dev/rerun=a")
    until(lambda: k.nodes("notes")["a"].get("executionCount") == 2)
    k.wait("notes")


def test_a_damaged_status_harms_no_other(k):
    """An administrator may write what a person may not; the operator goes on with the others."""
    k.apply(workflow_run("damaged", script("a", "sleep 300")))
    k.wait_node("damaged", "a", "Running")
    rubbish = {"status": {"nodes": {"a": {"status": "Completed", "executionId": "☃" * 50}}}}
    k("patch", "workflowrun", "damaged", "--subresource=status", "--type=merge",
      "-p", json.dumps(rubbish), ok=False)  # fmt: skip
    k.apply(workflow_run("sound", script("a", output(v=1))))
    assert k.wait("sound")["nodes"]["a"]["output"] == {"v": 1}


def test_names_as_long_as_they_may_be(k):
    node = "n" * 63
    name = "long-" + "x" * 240
    k.apply(workflow_run(name, script(node, output(v=1)), script("after", "true", node)))
    assert k.wait(name)["nodes"][node]["output"] == {"v": 1}
    k("annotate", "workflowrun", name, f"podium.dev/rerun={node}")
    until(lambda: k.nodes(name)[node].get("executionCount") == 2)
    k.wait(name)
