"""Re-runs, restores and definitions that a run has left, on a real cluster."""

import asyncio
import json

import pytest

from podium.cluster import garbage_collector
from podium.cluster.garbage_collector import GarbageCollector
from podium.cluster.kube.connection import connect
from podium.cluster.settings import Settings
from podium.cluster.watch.store import InformerCache
from tests.e2e.support import HELD, let_go, output, script, until, workflow, workflow_run

pytestmark = pytest.mark.cluster

SAY = 'printf \'{"v": "%s"}\' "$V" >$PODIUM_OUTPUT'


def say(name, text=SAY):
    node = script(name, text)
    node["config"]["env"] = [{"name": "V", "value": "${{ context.v }}"}]
    return node


def rerun(k, name, **request):
    k("annotate", "--overwrite", "workflowrun", name, f"podium.dev/rerun={json.dumps(request)}")


def value(k, name):
    return (k.nodes(name)["a"].get("output") or {}).get("v")


def collect(k):
    """Remove what no run needs, as the operator does some time."""

    async def once():
        async with connect() as client:
            cache = InformerCache()
            for body in k.items("workflowruns"):
                cache.put_run(body)
            settings = Settings(namespaces=[k.namespace])
            await GarbageCollector(client, cache, settings, set()).remove_revisions(k.namespace)

    asyncio.run(once())


def test_a_restore_goes_back_across_definitions_whose_revisions_are_kept(mine, monkeypatch):
    k = mine
    k.apply(workflow("w", say("a"), globalContext={"v": "one"}))
    k.apply(workflow_run("r", workflow="w"))
    k.wait("r")
    first = k.status("r")["workflowRevision"]
    k.apply(workflow("w", say("a"), globalContext={"v": "two"}))
    rerun(k, "r", nodes=[], revision="latest")
    until(lambda: value(k, "r") == "two")
    status = k.wait("r")
    assert [each["revision"] for each in status["workflowRevisions"]] == [first]
    assert status["workflowRevision"] != first
    k.apply(workflow("w", say("a"), globalContext={"v": "three"}))
    k.apply(workflow_run("short", workflow="w"))
    third = k.wait("short")["workflowRevision"]
    k("delete", "workflowrun", "short")
    monkeypatch.setattr(garbage_collector, "KEPT_REVISIONS", 0)
    monkeypatch.setattr(garbage_collector, "YOUNG_SECONDS", 0)
    collect(k)
    left = {each["metadata"]["name"] for each in k.items("controllerrevisions")}
    assert {first, status["workflowRevision"]} <= left, "the run needs both"
    assert third not in left
    k("annotate", "workflowrun", "r", "podium.dev/restore=1")
    until(lambda: value(k, "r") == "one")
    ended = k.wait("r")
    assert ended["nodes"]["a"]["executionId"] == "a-1"
    assert ended["workflowRevision"] == status["workflowRevision"]


def test_a_rerun_of_a_node_that_waits_for_quota_runs_what_it_is_now(mine):
    k = mine
    k("create", "quota", "q", "--hard=pods=0")
    until(lambda: k.get("quota", "q")["status"].get("hard"))
    k.apply(workflow("w", say("a")))
    k.apply(workflow_run("r", workflow="w", context={"v": "old"}))
    k.wait_node("r", "a", "QuotaExceeded")
    k.apply(workflow("w", say("a", SAY.replace('"v": ', '"definition": 2, "v": '))))
    rerun(k, "r", nodes=["a"], context={"v": "new"}, revision="latest")
    until(lambda: k.status("r").get("handledRequests"))
    k("delete", "quota", "q")
    state = k.wait("r")["nodes"]["a"]
    assert state["output"] == {"definition": 2, "v": "new"}
    assert state["executionId"] == "a-2"
    until(lambda: not k.items("pods", "-l", "podium.dev/execution=a-1"))


def test_a_rerun_after_fail_fast_runs_what_was_cancelled(mine):
    k = mine
    graph = {"inputs": {"type": "object", "properties": {"token": {"type": "string"}}}}
    b = script("b", "true", inputContract={"schema": {"type": "object", "required": ["token"]}})
    nodes = [script("a", output(ran=True)), b, script("c", "true", "a", "b")]
    k.apply(workflow_run("r", *nodes, graph=graph, failFast=True))
    k.wait("r", "Failed")
    assert k.states("r") == {
        "a": "Cancelled FailFast",
        "b": "Failed InputContract",
        "c": "Cancelled FailFast",
    }
    rerun(k, "r", nodes=["a", "b"], context={"token": "x"})
    until(lambda: k.status("r").get("handledRequests"))
    assert k.wait("r")["nodes"]["a"]["output"] == {"ran": True}


def test_what_belongs_to_a_run_is_selected_by_its_uid_however_long_its_name_is(mine):
    k = mine
    name = "long-" * 20 + "name"
    k.apply(workflow("w", script("a", HELD + "echo said; true")))
    k.apply(workflow_run(name, workflow="w"), workflow_run("other", workflow="w"))
    uid = k.get("workflowrun", name)["metadata"]["uid"]
    mine_only = ("-l", f"podium.dev/run-uid={uid}")
    until(lambda: k.items("pods", *mine_only))
    (pod,) = k.items("pods", *mine_only)
    until(lambda: k.get("pod", pod["metadata"]["name"])["status"]["phase"] == "Running")
    assert len(k.items("jobs", *mine_only)) == 1

    def counted():
        """the Workflow counts its runs, and those that go on"""
        status = k.get("workflow", "w")["status"]
        return (status.get("runs"), status.get("activeRuns")) == (2, 2)

    until(counted)
    let_go(k, pod)
    k.wait(name)
    assert "said" in k("logs", *mine_only).stdout
    k("delete", "workflowrun", "other")

    def counted_again():
        """the Workflow counts the run that ended, and none that goes on"""
        status = k.get("workflow", "w")["status"]
        return (status.get("runs"), status.get("activeRuns")) == (1, 0)

    until(counted_again)
    assert "ACTIVE" in k("get", "workflows").stdout.split()
