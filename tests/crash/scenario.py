"""What the operator does while it is killed: runs on fake machines, and a user beside it.

Nothing of it depends on time: the nodes that are to be seen at work hold until the user lets go,
and the user acts on what the runs' statuses say.
"""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime

from benchmarks.api import Refused
from podium.api.names import label_value, split_item
from podium.cluster.jobs.claims import claim_name
from tests.cluster.kwok import FAIL, HOLD, SAY

API_VERSION = "podium.dev/v1alpha1"
VOLUMES = "/api/v1/persistentvolumes"
ENDED = ("Succeeded", "Failed", "Cancelled")
FINALIZER = "podium.dev/result"
PATIENCE = 240
LOOK = 0.2


def _node(id, *after, pod=None, notes=None, **fields):  # noqa: A002
    return {
        "id": id,
        "executor": "container",
        "config": {"image": "fake", "command": ["true"]},
        "dependsOn": list(after),
        "pod": {"annotations": notes or {}, **(pod or {})},
        **fields,
    }


def _says(**output):
    return {SAY: json.dumps(output)}


GROUP = "g"


def _group(*after, **fields):
    return {"id": GROUP, "type": "parallel_group", "dependsOn": list(after), **fields}


CLAIM = "work"
MOUNTS = {"volumeMounts": [{"name": CLAIM, "mountPath": "/work"}]}
MAP = "each"
CHILDREN = "subs"
"""A map whose items are child runs."""
ITEMS = [f"{MAP}[{index}]-1" for index in range(3)] + [f"{MAP}[1]-2"]
"""Executions of its items: one fails at first."""
EACH = {"forEach": "[0, 1, 2]", "notes": {**_says(n=1), FAIL: label_value(ITEMS[1])}}
GATE = {"id": "gate", "type": "approval"}


def _child(workflow, *after, **context):
    config = {"workflowRef": {"name": workflow}, "context": context}
    return {"id": "sub", "executor": "workflow", "dependsOn": list(after), "config": config}


OF_PARENT = ("podium.dev/parent-", "podium.dev/root-", "podium.dev/depth")
"""What a child run says of its parent for good."""
DECISION = '{"node": "gate", "executionId": "gate-1", "decision": "Approve"}'
WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
MAIN = [
    _node("a", notes=_says(n=1)),
    _group("a", nodes=[_node("b", notes=_says(side="left")), _node("e", "b")], maxParallel=1),
    _node("c", "a", notes={**_says(side="right"), FAIL: "c-1"}, retryPolicy={"maxAttempts": 2}),
    _node("d", GROUP, "c", notes=_says(n=2), pod=MOUNTS),
    _node(MAP, "a", **EACH, retryPolicy={"maxAttempts": 2}),
    _node("never", "a", condition="context.a.n > 1"),
    _node("hold", notes={HOLD: "true"}, pod={"serviceAccountName": "worker"}),
    GATE,
    _child("inner", "a", n="${{ context.a.n }}"),
    {**_child("inner", "a", n="${{ item }}"), "id": CHILDREN, "forEach": "[0, 1]"},
    _node("last", "d", "hold", "gate", "sub"),
]
INNER = [_node("deep", notes=_says(n=3))]
INNER_HELD = [_node("held", notes={HOLD: "true"})]
"""Of child runs: one that ends, and one that is cancelled with its parent."""
UNDO = {"config": {"image": "fake", "command": ["true"]}}
STOPPED = [
    _child("inner-held"),
    {**_child("inner-held"), "id": CHILDREN, "forEach": "[0]"},
    _node("zeroth", compensation=UNDO),
    _node("first", "zeroth", compensation=UNDO),
    _node("hold", "first", notes={HOLD: "true"}),
    _node("after", "hold"),
]
BRIEF = [_node("only")]
COPY = {"workflowRef": {"name": "main"}, "only": ["c"], "from": {"run": "main"}}
"""Of a run that copies all of main but for what it runs itself, c and those of `finally`."""
LAST = [_node("clean", notes=_says(cleaned=True))]
"""Of both: they run after the end that the user waits for, or asks for."""


class Scenario:
    """The runs in one namespace, and all that is seen of their Pods."""

    def __init__(self, api, namespace):
        self._api = api
        self._namespace = namespace
        self._runs = f"/apis/{API_VERSION}/namespaces/{namespace}/workflowruns"
        self._shards = f"/apis/{API_VERSION}/namespaces/{namespace}/workflowrunnodes"
        self._workflows = f"/apis/{API_VERSION}/namespaces/{namespace}/workflows"
        self._core = f"/api/v1/namespaces/{namespace}"
        self._jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self.pods = {}
        """Of each Pod ever seen, by UID: its run and its execution."""
        self.log = []
        """What was seen of Pods, for somebody who has to find out."""

    async def prepare(self):
        """Make what the runs need, and the runs."""
        account = {"metadata": {"name": "worker", "labels": {"podium.dev/usable": "true"}}}
        await self._api.call("POST", f"{self._core}/serviceaccounts", account)
        inner = {"nodes": INNER, "outputs": {"n": "context.deep.n"}}
        await self._make(self._workflows, "Workflow", "inner", inner)
        await self._make(self._workflows, "Workflow", "inner-held", {"nodes": INNER_HELD})
        claims = [{"name": CLAIM, "size": "1Mi"}]
        for name, nodes in (("main", MAIN), ("stopped", STOPPED)):
            spec = {"nodes": nodes, "finally": LAST}
            if nodes is MAIN:
                spec |= {"volumeClaims": claims, "outputs": {"n": "context.d.n"}}
            else:
                spec |= {"rollback": "OnCancel"}
            await self._make(self._workflows, "Workflow", name, spec)
            made = await self._make(
                self._runs, "WorkflowRun", name, {"workflowRef": {"name": name}}
            )
            if nodes is MAIN:
                await self._make_volume(claim_name(name, made["metadata"]["uid"], CLAIM))
        spec = {"workflowSpec": {"nodes": BRIEF}, "ttlSecondsAfterFinished": 0}
        await self._make(self._runs, "WorkflowRun", "brief", spec)

    async def _make(self, path, kind, name, spec):
        body = {
            "apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec
        }  # fmt: skip
        return await self._api.call("POST", path, body)

    async def _make_volume(self, claim):
        """Make the volume that a claim of a run is bound to; fake machines do not mount it."""
        spec = {
            "capacity": {"storage": "1Mi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/nowhere"},
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": self._namespace, "name": claim},
        }
        body = {"metadata": {"name": self._namespace}, "spec": spec}
        await self._api.call("POST", VOLUMES, body)

    async def remove_volume(self):
        """Remove that volume."""
        await self._api.call("DELETE", f"{VOLUMES}/{self._namespace}")

    async def watch_pods(self, begun):
        """Note every Pod, for ever; `begun` is set once none can be missed."""
        path = f"{self._core}/pods"
        listed = await self._api.call("GET", path)
        assert not listed["items"]
        begun.set()
        async for event in self._api.watch(path, listed["metadata"]["resourceVersion"]):
            meta = event["object"]["metadata"]
            labels = meta.get("labels") or {}
            self.log.append(
                f"{datetime.now(UTC)} {event['type']} {meta['name']} {meta['resourceVersion']}"
                f" {labels.get('podium.dev/execution')} {event['object']['status'].get('phase')}"
                f" {meta.get('finalizers')} {meta.get('deletionTimestamp')}"
                f" {labels.get('podium.dev/recorded')}"
            )
            if "podium.dev/execution" in labels:
                self.pods[meta["uid"]] = labels["podium.dev/run"], labels["podium.dev/execution"]

    # The user

    async def use(self):
        """Do what the user does, until all runs have ended."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._use_main())
            tasks.create_task(self._use_stopped())
            tasks.create_task(self._until("brief is gone", self._gone))

    async def _use_main(self):
        async def once():
            return (await self._nodes("main")).get("d", {}).get("status") == "Completed"

        async def again():
            d = (await self._nodes("main")).get("d", {})
            return (d.get("status"), d.get("executionCount")) == ("Completed", 2)

        async def approved():
            return (await self._nodes("main")).get("gate", {}).get("status") == "Completed"

        await self._until("d is completed", once)
        await self._api.patch(
            f"{self._runs}/main", {"metadata": {"annotations": {"podium.dev/rerun": "g.b"}}}
        )
        await self._until("d is completed again", again)
        await self._approve()
        await self._until("gate is approved", approved)
        await self._until("hold is let go", self._let_go)
        await self._until("main ends", self._ended("main"))
        await self._make(self._runs, "WorkflowRun", "copy", COPY)
        await self._until("copy ends", self._ended("copy"))

    async def _approve(self):
        """Decide under the user's own name, as the policies of an installed chart want it."""
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        me = await self._api.call("POST", WHO_AM_I, review)
        name = me["status"]["userInfo"]["username"]
        notes = {"podium.dev/approve": DECISION, "podium.dev/approved-by": name}
        await self._api.patch(f"{self._runs}/main", {"metadata": {"annotations": notes}})

    async def _use_stopped(self):
        async def held():
            nodes = await self._nodes("stopped")
            children = [nodes.get(each, {}).get("childRun") for each in ("sub", f"{CHILDREN}[0]")]
            if not all(children) or not nodes.get("hold", {}).get("startedAt"):
                return False
            inner = [await self._nodes(child) for child in children]
            return all(each.get("held", {}).get("startedAt") for each in inner)

        await self._until("hold runs", held)
        await self._api.patch(f"{self._runs}/stopped", {"spec": {"cancel": True}})
        await self._until("stopped ends", self._ended("stopped"))

    async def _let_go(self):
        query = "podium.dev/run=main,podium.dev/node=hold"
        found = await self._api.call("GET", f"{self._core}/pods", labelSelector=query)
        for pod in found["items"]:
            path = f"{self._core}/pods/{pod['metadata']['name']}"
            await self._api.patch(path, {"metadata": {"annotations": {HOLD: None}}})
        return found["items"]

    async def _run(self, name):
        return await self._api.call("GET", f"{self._runs}/{name}")

    async def _nodes(self, name):
        return (await self._whole(name)).get("status", {}).get("nodes", {})

    async def _whole(self, name):
        """Return a run with all its nodes, those in shards too."""
        while True:
            run = await self._run(name)
            named = [each["name"] for each in run.get("status", {}).get("shards", ())]
            if not named:
                return run
            listed = await self._api.call(
                "GET", self._shards, labelSelector=f"podium.dev/run={name}"
            )
            found = {each["metadata"]["name"]: each["nodes"] for each in listed["items"]}
            if found.keys() >= set(named):  # else they were made again meanwhile
                for shard in reversed(named):
                    run["status"]["nodes"] = {**found[shard], **run["status"]["nodes"]}
                return run

    def _ended(self, name):
        async def ended():
            return (await self._run(name)).get("status", {}).get("phase") in ENDED

        return ended

    async def _gone(self):
        try:
            await self._run("brief")
        except Refused as error:
            return error.status == 404
        return False

    async def _until(self, what, check):
        try:
            async with asyncio.timeout(PATIENCE):
                while not await check():  # noqa: ASYNC110 - a user looks now and then
                    await asyncio.sleep(LOOK)
        except TimeoutError:
            raise AssertionError(f"{what}: not within {PATIENCE} s\n{await self.words()}") from None

    # What is left

    async def settled(self):
        """Wait until nothing is left to be done."""
        left = []

        async def nothing():
            left[:] = await self._left()
            return not left

        try:
            await self._until("nothing is left", nothing)
        except AssertionError as error:
            raise AssertionError(f"left: {left}\n{error}") from None

    async def _left(self):
        found = []
        for run in (await self._api.call("GET", self._runs))["items"]:
            notes = run["metadata"].get("annotations") or {}
            found += [f"{run['metadata']['name']}: {note}" for note in notes
                      if "podium" in note and not note.startswith(OF_PARENT)]  # fmt: skip
            if run.get("status", {}).get("phase") not in ENDED:
                found.append(f"{run['metadata']['name']} has not ended")
        for pod in (await self._api.call("GET", f"{self._core}/pods"))["items"]:
            meta = pod["metadata"]
            if FINALIZER in meta.get("finalizers", ()) or "deletionTimestamp" in meta:
                found.append(f"Pod {meta['name']}: {meta}")
        for job in (await self._api.call("GET", self._jobs))["items"]:
            ends = {c["type"] for c in job["status"].get("conditions", []) if c["status"] == "True"}
            if "deletionTimestamp" in job["metadata"] or not ends & {"Complete", "Failed"}:
                found.append(f"Job {job['metadata']['name']}: {job['status']}")
        return found

    async def words(self):
        """Return what there is, for somebody who has to find out."""
        runs = (await self._api.call("GET", self._runs))["items"]
        return json.dumps(
            {run["metadata"]["name"]: [run["metadata"], run.get("status")] for run in runs},
            indent=1,
        )

    # What became of it

    async def end(self):
        """Return the end states, without what differs from time to time."""
        return {name: _end(await self._whole(name)) for name in ("main", "stopped", "copy")}

    async def violations(self):
        """Say what was executed twice, or never."""
        started = Counter(self.pods.values())
        twice = [f"{pod} had {count} Pods" for pod, count in started.items() if count > 1]
        wanted = {("brief", "only-1"), *(("main", label_value(each)) for each in ITEMS)}
        names = ["main", "stopped", "copy", *await self._children_of_cancelled_items()]
        for name in names:
            for node, state in (await self._nodes(name)).items():
                if "copiedFrom" in state:
                    continue  # it did not run here
                if state.get("childRun"):
                    names.append(state["childRun"])
                    continue
                if split_item(node):
                    continue  # it is one of `ITEMS`, or copied with its map
                if node in (GATE["id"], GROUP, MAP, CHILDREN):
                    continue  # they have no Pods
                ids = [
                    state.get("executionId"),
                    *(e["executionId"] for e in state.get("history", ())),
                ]
                wanted |= {(name, each) for each in ids if each}
        lost = [f"{each} had no Pod" for each in wanted - set(started)]
        unknown = [f"{each} had a Pod and is not in the status" for each in set(started) - wanted]
        claims = (await self._api.call("GET", f"{self._core}/persistentvolumeclaims"))["items"]
        many = [f"{len(claims)} claims: {claims}"] if len(claims) != 1 else []
        return sorted(twice + lost + unknown + many)

    async def _children_of_cancelled_items(self):
        """Return the runs that say so themselves: the status says nothing of such items."""
        found = []
        for run in (await self._api.call("GET", self._runs))["items"]:
            notes = run["metadata"].get("annotations") or {}
            of = [notes.get(f"podium.dev/parent-{each}") for each in ("run", "node")]
            if of == ["stopped", f"{CHILDREN}[0]"]:
                found.append(run["metadata"]["name"])
        return found


def _timeless(output):
    """Return an output without the time of an approval."""
    return {**output, "at": "time"} if output and "approved" in output else output


def _end(run):
    status = run["status"]
    return {
        "phase": status["phase"],
        "progress": status["progress"],
        "context": status.get("contextVersion"),
        "outputs": status.get("outputs"),
        "requests": len(status.get("handledRequests", ())),
        "conditions": sorted((c["type"], c["status"], c["reason"]) for c in status["conditions"]),
        "nodes": {
            name: {
                "status": state["status"],
                "reason": state.get("reason"),
                "executions": state.get("executionCount"),
                "retries": state.get("retryCount"),
                "disruptions": state.get("disruptions"),
                "stale": state.get("stale"),
                "output": _timeless(state.get("output")),
                "items": state.get("items", {}).get("completed"),
                "copied": state.get("copiedFrom", "").rpartition("/")[2],
                "error": state.get("error", {}).get("reason"),
                "history": [
                    (each["executionId"], each["status"], each.get("reason"), each.get("output"))
                    for each in state.get("history", ())
                ],
            }
            for name, state in sorted(status["nodes"].items())
        },
    }
