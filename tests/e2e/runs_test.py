"""Runs on a real cluster: Helm installs the real image, kubectl does the rest."""

import json
import time

import pytest

from tests.e2e.support import (
    HELD,
    ROOT,
    SYSTEM,
    Kubectl,
    chain,
    let_go,
    output,
    script,
    started,
    until,
    workflow,
    workflow_run,
)

pytestmark = pytest.mark.cluster

SH = "docker.io/library/busybox"


def test_hello_moves_and_ends_with_its_outputs(k):
    k("apply", "-f", str(ROOT / "examples/hello/workflow.yaml"))
    (run,) = k.items("workflowruns")
    name = run["metadata"]["name"]
    seen = set()

    def ended():
        """hello ends"""
        row = k("get", "workflowruns", "--no-headers").stdout.split()
        seen.add(row[2])
        return row[2] in ("Succeeded", "Failed")

    until(ended, 180, every=0.1)
    assert "Running" in seen
    status = k.wait(name)
    outputs = {node: state.get("output") for node, state in status["nodes"].items()}
    assert outputs["greet"] == {"text": "Hello, world"}
    assert status["progress"] == f"{len(outputs)}/{len(outputs)}"
    header = k("get", "wfr").stdout.splitlines()[0].split()
    assert " ".join(header) == "NAME WORKFLOW PHASE REASON PROGRESS CURRENT DURATION AGE"
    assert name in k("get", "podium").stdout
    assert "Hello" not in k("get", "events").stdout, "outputs are no business of Events"


def test_sdlc_with_recorded_answers(k):
    k("apply", "-f", str(ROOT / "examples/sdlc/cluster.yaml"))
    (run,) = k.items("workflowruns")
    status = k.wait(run["metadata"]["name"])
    for node, state in status["nodes"].items():
        assert state["status"] == "Completed", node
        assert any("recorded" in warning for warning in state["warnings"]), node
    (flow,) = k.items("workflows")
    assert flow["status"]["conditions"][0]["status"] == "True"


def test_trigger_rules(k):
    nodes = [
        script("good", output(go=True)),
        script("bad", "exit 1"),
        script("off", "true", "good", condition="context.good.go == False"),
    ]
    for rule in ("NoneFailedMinOneSuccess", "AllSuccess", "OneSuccess", "AllDone"):
        nodes.append(script(f"{rule}_bad", "true", "good", "bad", triggerRule=rule))
        nodes.append(script(f"{rule}_off", "true", "good", "off", triggerRule=rule))
    k.apply(workflow_run("rules", *nodes))
    k.wait("rules", "Failed")
    assert k.states("rules") == {
        "good": "Completed",
        "bad": "Failed Error",
        "off": "Skipped ConditionFalse",
        "NoneFailedMinOneSuccess_bad": "Skipped UpstreamFailed",
        "NoneFailedMinOneSuccess_off": "Completed",
        "AllSuccess_bad": "Skipped UpstreamFailed",
        "AllSuccess_off": "Skipped EdgeInactive",
        "OneSuccess_bad": "Completed",
        "OneSuccess_off": "Completed",
        "AllDone_bad": "Completed",
        "AllDone_off": "Completed",
    }


def test_retry_timeout_contract_breach_and_what_a_program_says(k):
    k.apply(
        workflow_run(
            "ends",
            script("again", "echo no luck >&2; exit 7", retryPolicy={"maxAttempts": 2}),
            script("late", "sleep 60", timeoutSeconds=1),
            script("breach", output(a=1), outputContract={"produces": ["b"]}),
            script("text", "echo hello >$PODIUM_OUTPUT"),
            script("large", "head -c 5000 /dev/zero | tr '\\0' 1 >$PODIUM_OUTPUT"),
            script("exact", "head -c 4095 /dev/zero | tr '\\0' ' ' >$PODIUM_OUTPUT; "),
            maxParallel=20,
        )
    )
    k.wait("ends", "Failed")
    nodes = k.nodes("ends")
    assert nodes["again"]["executionCount"] == 2
    assert nodes["again"]["error"]["details"] == {"exitCode": 7}
    assert "no luck" in nodes["again"]["error"]["message"]
    assert nodes["late"]["error"]["reason"] == "Timeout"
    assert "timeoutSeconds" in nodes["late"]["error"]["message"]
    assert nodes["breach"]["error"]["reason"] == "OutputContract"
    assert "b" in nodes["breach"]["error"]["message"]
    assert nodes["text"]["error"]["reason"] == "OutputNotJSON"
    assert nodes["large"]["error"]["reason"] == "OutputTooLarge"
    assert "4096" in nodes["large"]["error"]["message"]
    assert nodes["exact"]["status"] == "Completed"

    def stopped():
        """what took too long is gone"""
        return not k.items("pods", "-l", "podium.dev/node=late")

    until(stopped)


def test_a_large_input_of_a_container_is_a_file_by_itself(k):
    count = (
        'test -z "$PODIUM_INPUT_JSON" && echo "{\\"n\\": $(wc -c <$PODIUM_INPUT)}" >$PODIUM_OUTPUT'
    )
    config = {"image": SH, "command": ["sh", "-c", count]}
    made = workflow_run("large", {"id": "a", "executor": "container", "config": config})
    made["spec"]["context"] = {"k": "x" * 100_000}
    k.apply(made)
    assert k.wait("large")["nodes"]["a"]["output"]["n"] > 100_000


def test_values_arrive_as_they_were_written(k):
    odd = {"text": "$(HOME) $$ $(NOPE) é ☃ ${PATH} `x` '\"", "null": None, "one": 1.0}
    env = [
        {"name": "LITERAL", "value": "$(HOME) $$HOME"},
        {"name": "FILLED", "value": "${{ context.odd.text }}"},
    ]
    show = 'import json,os;json.dump({k:os.environ[k] for k in ("LITERAL","FILLED")},open(os.environ["PODIUM_OUTPUT"],"w"))'
    k.apply(
        workflow_run(
            "odd",
            script("odd", output(**odd)),
            {
                "id": "shown",
                "executor": "script",
                "dependsOn": ["odd"],
                "config": {"interpreter": "python3", "script": show, "env": env},
            },
            {
                "id": "env",
                "executor": "container",
                "dependsOn": ["odd"],
                "config": {
                    "image": SH,
                    "command": ["sh", "-c", 'printf "%s" "$PODIUM_INPUT_JSON" >$PODIUM_OUTPUT'],
                },
            },
            {
                "id": "file",
                "executor": "container",
                "inputAs": "File",
                "dependsOn": ["odd"],
                "config": {
                    "image": SH,
                    "args": ["${{ context.odd.text }}"],
                    "command": [
                        "sh",
                        "-c",
                        '[ -z "$PODIUM_INPUT_JSON" ] && cat $PODIUM_INPUT >$PODIUM_OUTPUT',
                    ],
                },
            },
        )
    )
    status = k.wait("odd")
    outputs = {node: state["output"] for node, state in status["nodes"].items()}
    assert outputs["odd"] == {"text": odd["text"], "null": None, "one": 1}
    assert outputs["shown"] == {"LITERAL": "$(HOME) $$HOME", "FILLED": odd["text"]}
    for node in ("env", "file"):
        given = outputs[node]
        assert given["dependencyOutputs"]["odd"] == outputs["odd"]
        assert (given["nodeId"], given["executionId"]) == (node, f"{node}-1")


def test_jobs_are_restricted_and_belong_to_the_run(k):
    k.apply(workflow_run("shape", script("a", "id -u; cat /var/run/secrets/x 2>/dev/null || true")))
    k.wait("shape")
    run = k.get("workflowrun", "shape")
    (job,) = k.items("jobs")
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == (run["metadata"]["uid"], True)
    labels = job["metadata"]["labels"]
    assert (labels["podium.dev/run"], labels["podium.dev/node"]) == ("shape", "a")
    pod = job["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert k("logs", f"job/{job['metadata']['name']}").stdout == "65532\n"

    k("wait", "--for=condition=complete", "job", "--all", "--timeout=120s")
    (job,) = k.items("jobs")
    assert (job["status"]["succeeded"], job["status"].get("active", 0)) == (1, 0)
    assert k("get", "jobs", "--no-headers").stdout.split()[2] == "1/1"

    def let_go():
        """the ended Pod has no finalizer of Podium's any more"""
        (pod,) = k.items("pods")
        return "podium.dev/result" not in pod["metadata"].get("finalizers", [])

    until(let_go)
    k("delete", "workflowrun", "shape")
    until(lambda: not k.items("jobs") and not k.items("pods"))


def test_rerun_by_annotation(k):
    text = "printf '{\"at\": %s}' $(date +%s%N) >$PODIUM_OUTPUT"
    k.apply(
        workflow_run(
            "again", script("a", text), script("b", text, "a"), script("c", text, "b"),
            script("other", text, "a"),
        )
    )  # fmt: skip
    first = k.wait("again")["nodes"]
    k("annotate", "workflowrun", "again", "podium.dev/rerun=b")
    until(lambda: k.status("again").get("handledRequests"))
    second = k.wait("again")["nodes"]
    counts = {node: state["executionCount"] for node, state in second.items()}
    assert counts == {"a": 1, "b": 2, "c": 2, "other": 1}
    assert second["b"]["output"] != first["b"]["output"]
    assert second["b"]["history"][0]["output"] == first["b"]["output"]
    k("annotate", "workflowrun", "again", "podium.dev/rerun=b", "podium.dev/rerun-cascade=false")
    until(lambda: len(k.status("again").get("handledRequests")) == 2)
    third = k.wait("again")["nodes"]
    assert {node: state["executionCount"] for node, state in third.items()} == {
        "a": 1, "b": 3, "c": 2, "other": 1,
    }  # fmt: skip
    assert third["c"]["stale"] is True
    run = k.get("workflowrun", "again")
    assert not [a for a in run["metadata"]["annotations"] if a.startswith("podium.dev/")]
    assert k.status("again")["contextVersion"] == 7


def test_rerun_at_the_latest_definition_adds_a_node(k):
    k.apply(workflow("flow", script("a", output(v=1)), script("b", "exit 1", "a")))
    k.apply(workflow_run("fix", workflow="flow"))
    k.wait("fix", "Failed")
    k.apply(workflow("flow", script("a", output(v=1)), script("b", output(v=2), "a"),
                     script("c", "true", "b")))  # fmt: skip
    request = {"nodes": [], "revision": "latest"}
    k("annotate", "workflowrun", "fix", f"podium.dev/rerun={json.dumps(request)}")
    until(lambda: k.status("fix").get("handledRequests"))
    status = k.wait("fix")
    counts = {node: state["executionCount"] for node, state in status["nodes"].items()}
    assert counts == {"a": 1, "b": 2, "c": 1}
    revisions = [r["metadata"]["name"] for r in k.items("controllerrevisions")]
    assert status["workflowRevision"] in revisions
    assert len(revisions) == 2


def test_runs_go_that_their_workflow_does_not_keep(k):
    k.apply(workflow("kept", script("a", "true")))
    for name in ("one", "two"):
        k.apply(workflow_run(name, workflow="kept"))
        k.wait(name)
    k.apply(workflow_run("none", script("a", "true")))
    k.wait("none")
    # The Workflow as it is now decides.
    k.apply(workflow("kept", script("a", "true"), retention={"successfulRuns": 1}))

    def names():
        return {run["metadata"]["name"] for run in k.items("workflowruns")}

    until(lambda: names() == {"two", "none"}, 240)
    until(lambda: {job["metadata"]["labels"]["podium.dev/run"] for job in k.items("jobs")}
          <= {"two", "none"})  # fmt: skip


def test_edited_context_and_restore(k):
    text = 'printf \'{"who": "%s"}\' "$WHO" >$PODIUM_OUTPUT'
    env = [{"name": "WHO", "value": "${{ context.who }}"}]
    node = script("a", text)
    node["config"]["env"] = env
    k.apply(workflow_run("ctx", node, context={"who": "first"}))
    k.wait("ctx")
    request = {"nodes": ["a"], "context": {"who": "second"}}
    k("annotate", "workflowrun", "ctx", f"podium.dev/rerun={json.dumps(request)}")
    until(lambda: k.nodes("ctx")["a"].get("output") == {"who": "second"})
    k("annotate", "workflowrun", "ctx", "podium.dev/restore=1")
    until(lambda: k.nodes("ctx")["a"].get("output") == {"who": "first"})
    assert k.wait("ctx")["nodes"]["a"]["executionCount"] == 2


def test_suspend_resume_and_cancel(k):
    k.apply(workflow_run("stop", script("a", HELD), script("b", "sleep 300", "a")))
    k.wait_node("stop", "a", "Running")
    k("patch", "workflowrun", "stop", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    until(lambda: k.status("stop")["phase"] == "Paused")
    let_go(k, started(k, "a"))
    k.wait_node("stop", "a", "Completed")
    assert k.status("stop")["phase"] == "Paused"
    assert k.nodes("stop")["b"]["status"] == "Ready"
    k("patch", "workflowrun", "stop", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    k.wait_node("stop", "b", "Running")
    until(lambda: k.items("pods", "-l", "podium.dev/node=b"))
    k("patch", "workflowrun", "stop", "--type=merge", "-p", '{"spec":{"cancel":true}}')
    k.wait("stop", "Cancelled")
    assert k.states("stop") == {"a": "Completed", "b": "Cancelled RunCancelled"}
    until(lambda: not k.items("pods", "-l", "podium.dev/node=b"))


def test_a_restart_of_the_operator_loses_nothing_and_starts_nothing_twice(k):
    held = ("n0", "n3")
    k.apply(workflow_run("chain", *chain(*held)))
    system = Kubectl(SYSTEM)
    for node in held:
        k.wait_node("chain", node, "Running", seconds=150)
        system("delete", "pod", "-l", "app.kubernetes.io/name=podium", "--wait=false",
               "--grace-period=0", "--force")  # fmt: skip
        let_go(k, started(k, node))
    status = k.wait("chain")
    assert {n: s["executionCount"] for n, s in status["nodes"].items()} == dict.fromkeys(
        [f"n{i}" for i in range(6)], 1
    )
    assert len(k.items("jobs")) == 6
    assert len(k.items("pods")) == 6


def test_secrets_reach_the_node_and_nothing_else(k):
    canary = f"canary-{time.time_ns()}"
    k("create", "secret", "generic", "s", f"--from-literal=token={canary}")
    node = script("a", f"[ ${{#TOKEN}} = {len(canary)} ]")
    node["config"]["env"] = [
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}}
    ]
    loud = {**node, "id": "loud", "config": {**node["config"], "script": "echo $TOKEN; exit 3"}}
    k.apply(workflow_run("secret", node, loud))
    k.wait("secret", "Failed")
    nodes = k.nodes("secret")
    assert nodes["a"]["status"] == "Completed"
    assert "exit code 3" in nodes["loud"]["message"]
    for kind in ("workflowruns", "events", "jobs", "pods"):
        assert canary not in k("get", kind, "-o", "json").stdout, kind

    def log():
        """the operator's log, once its Pod runs: another test may have it restarted"""
        named = ("-l", "app.kubernetes.io/name=podium", "--tail=-1")
        done = Kubectl(SYSTEM)("logs", *named, ok=False)
        return done if done.returncode == 0 else None

    assert canary not in until(log).stdout
