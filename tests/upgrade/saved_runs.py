"""The runs that are saved: nodes in every state, and an operator that ended in the middle of it."""

import tempfile
from pathlib import Path

from podium.api.names import label_value
from tests.cluster.kwok import FAIL, HOLD, SAY, kwok
from tests.conformance.cluster_shell import connect
from tests.conformance.own_operator import apply_crds, own_namespace, own_operator
from tests.e2e.support import Kubectl, until, workflow, workflow_run

KINDS = (
    "workflows",
    "controllerrevisions",
    "workflowruns",
    "workflowrunnodes",
    "jobs",
    "pods",
)


def _node(id, *after, notes=None, **fields):  # noqa: A002
    return {
        "id": id,
        "executor": "container",
        "config": {"image": "fake", "command": ["true"]},
        "dependsOn": list(after),
        "pod": {"annotations": notes or {}},
        **fields,
    }


HELD = {HOLD: "true"}
MAIN = [
    _node("first", notes={SAY: '{"n": 1}'}),
    _node("retried", "first", notes={FAIL: "retried-1"}, retryPolicy={"maxAttempts": 2}),
    _node("failed", "first", notes={FAIL: "failed-1"}, allowFailure=True),
    _node("skipped", "first", condition="context.first.n > 1"),
    # Two run, one waits for their places; which ones, nobody cares.
    *(_node(f"held{i}", "retried", "failed", notes=HELD, timeoutSeconds=36_000,
            triggerRule="AllDone") for i in (1, 2, 3)),
    _node("last", "held1", "held2", "held3", notes={SAY: '{"done": true}'}),
]  # fmt: skip
PAUSED = [_node("before", notes=HELD), _node("after", "before")]
ENDED = [_node("only", notes={SAY: '{"text": "é ☃"}'})]
LARGE = [
    _node("first", notes={SAY: '{"n": 1}'}),
    *(_node(f"skipped{i}", "first", condition="context.first.n > 1") for i in range(510)),
    _node("held", "first", notes=HELD),
    _node("last", "held", notes={SAY: '{"done": true}'}),
]
"""States of so many nodes stand in shards."""
MAPS = [
    _node("first", notes={SAY: '{"n": 1}'}),
    # Items 0 and 2 have ended, 1 and 3 run, 4 waits for a place.
    _node("each", "first", forEach="[0, 1, 2, 3, 4]", allowedFailures=1, maxParallel=2,
          notes={SAY: '{"n": 2}', **HELD, FAIL: label_value("each[2]-1")}),
    _node("last", "each", condition="context.each.succeeded > 3"),
]  # fmt: skip


def make():
    """Make runs in every state; return their objects as the server has them."""
    return _make(_begin, "main", "held1")


def make_large():
    """Make a run of which nearly all nodes stand in shards; return its objects."""
    return _make(_begin_large, "large", "held")


def make_maps():
    """Make a run with a map, of which items ended, run and wait; return its objects."""
    return _make(_begin_maps, "maps", "each[1]")


def _make(begin, run, node):
    """Let an operator begin, and one Pod of this node end after the operator has ended."""
    api = connect()
    apply_crds(api)
    with (
        tempfile.TemporaryDirectory() as directory,
        own_namespace(api) as namespace,
        kwok(api=api) as machines,
    ):
        k = Kubectl(namespace)
        with own_operator(namespace, Path(directory), {"podDefaults": machines.pod_defaults}):
            begin(k)
        ending = k.nodes(run)[node]["executionId"]
        ending = label_value(ending)
        _let_go(k, f"podium.dev/run={run},podium.dev/execution={ending}")

        def ended():
            """a Pod has ended that no operator has seen"""
            (pod,) = k.items("pods", f"-lpodium.dev/execution={ending}")
            return pod["status"]["phase"] == "Succeeded"

        until(ended)
        return [item for kind in KINDS for item in k.items(kind)]


def _begin(k):
    k.apply(workflow("flow", *MAIN))
    k.apply(workflow_run("main", workflow="flow", maxParallel=2, context={"who": "first"}))
    k.apply(workflow_run("paused", *PAUSED), workflow_run("ended", *ENDED))
    k.wait_node("paused", "before", "Running")
    k("patch", "workflowrun", "paused", "--type=merge", "-p", '{"spec": {"suspend": true}}')

    def started():
        """a Pod is there to be let go"""
        return k.items("pods", "-lpodium.dev/run=paused")

    until(started)
    _let_go(k, "podium.dev/run=paused")
    k.wait("ended")
    until(lambda: k.status("paused").get("phase") == "Paused")

    def halfway():
        """two of main's nodes run, and one waits"""
        found = [k.nodes("main").get(f"held{i}", {}) for i in (1, 2, 3)]
        return sorted(
            (state.get("status"), "startedAt" in state) for state in found
        ) == [("Ready", False), ("Running", True), ("Running", True)]  # fmt: skip

    until(halfway)
    k("annotate", "workflowrun", "main",
      'podium.dev/rerun={"nodes": ["skipped"], "context": {"who": "second"}}')  # fmt: skip

    def carried_out():
        """the re-run is recorded"""
        return k.status("main").get("handledRequests")

    until(carried_out)
    until(halfway)

    def settled():
        """the operator has nothing left to do"""
        recorded = [
            pod
            for pod in k.items("pods")
            if ("podium.dev/recorded" in pod["metadata"]["labels"])
            != (pod["status"]["phase"] in ("Succeeded", "Failed"))
        ]
        asked = [
            note
            for run in k.items("workflowruns")
            for note in run["metadata"].get("annotations", {})
            if note.startswith("podium.dev/")
        ]
        active = [
            job
            for job in k.items("jobs")
            if not job["status"].get("active") and not job["status"].get("conditions")
        ]
        return not (recorded or asked or active)

    until(settled)


def _begin_large(k):
    k.apply(workflow_run("large", *LARGE))
    k.wait_node("large", "held", "Running")

    def in_shards():
        """all that was skipped stands in shards"""
        shards = k.items("workflowrunnodes")
        nodes = {**{n: s for each in shards for n, s in each["nodes"].items()}, **k.nodes("large")}
        skipped = sum(state["status"] == "Skipped" for state in nodes.values())
        return shards and skipped == 510 and k.status("large")["nodeCounts"]["Running"] == 1

    until(in_shards)


def _begin_maps(k):
    k.apply(workflow_run("maps", *MAPS))
    for index in (0, 2):
        k.wait_node("maps", f"each[{index}]", "Running")
        _let_go(k, f"podium.dev/run=maps,podium.dev/execution={label_value(f'each[{index}]-1')}")

    def halfway():
        """two items have ended, and two run"""
        nodes = k.nodes("maps")
        items = nodes.get("each", {}).get("items", {})
        ends = items.get("completed"), items.get("failed")
        running = [nodes.get(f"each[{index}]", {}).get("status") for index in (1, 3)]
        return ends == ("0", "2") and running == ["Running"] * 2

    until(halfway)


def _let_go(k, selector):
    k("annotate", "pods", "-l", selector, f"{HOLD}-")
