"""The same graphs by Podium: WorkflowRuns, and an operator of this source tree that runs them.

Each node is a container that does nothing (busybox, `true`).
"""

import asyncio
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import Any

from benchmarks import metrics
from benchmarks.api import Api
from benchmarks.floor import CREATES_AT_A_TIME, IMAGE, remove, until_gone
from benchmarks.graphs import Graph

GROUP = "podium.dev/v1alpha1"
# A run without a phase has just been made; this lets only those that ended through.
ENDED = "status.phase!=,status.phase!=Pending,status.phase!=Running,status.phase!=Paused"


@dataclass
class Result:
    """What one measurement gave."""

    nodes: int
    seconds: float
    """From before the first run is created to the last end seen."""
    operator: metrics.Operator
    """What the operator used and did meanwhile."""
    writes: Counter[str]
    """Requests that change something, of the whole cluster meanwhile."""

    @property
    def rate(self) -> float:
        """Nodes a second."""
        return self.nodes / self.seconds


def workflow(name: str, graph: Graph) -> dict[str, Any]:
    """Make the Workflow of a graph."""
    return {
        "apiVersion": GROUP,
        "kind": "Workflow",
        "metadata": {"name": name},
        "spec": {
            "nodes": [
                {
                    "id": node,
                    "executor": "container",
                    "config": {"image": IMAGE, "command": ["true"]},
                    **({"dependsOn": before} if before else {}),
                }
                for node, before in graph.items()
            ]
        },
    }


async def run(
    api: Api,
    namespace: str,
    pid: int,
    port: int,
    graph: Graph,
    *,
    times: int = 1,
    patience: float = 600,
    pause: float = 0,
) -> Result:
    """Submit so many runs of a graph, wait for their ends, and remove all again.

    They come at once, or with a pause (seconds) between two of them. `pid` is the operator's
    process, `port` that of its metrics.
    """
    own = f"bench-{uuid.uuid4().hex[:8]}"
    base = f"/apis/{GROUP}/namespaces/{namespace}"
    try:
        async with asyncio.timeout(patience):
            await api.call("POST", f"{base}/workflows", workflow(own, graph))
            await until_valid(api, f"{base}/workflows/{own}")
            return await _run(api, f"{base}/workflowruns", own, pid, port, graph, times, pause)
    finally:
        await clean(api, namespace)


async def _run(
    api: Api, path: str, own: str, pid: int, port: int, graph: Graph, times: int, pause: float
) -> Result:
    slots = asyncio.Semaphore(CREATES_AT_A_TIME)

    async def submit(index: int) -> None:
        await asyncio.sleep(index * pause)
        async with slots:
            await api.call(
                "POST",
                path,
                {
                    "apiVersion": GROUP,
                    "kind": "WorkflowRun",
                    "metadata": {"name": f"{own}-{index}"},
                    # The floor knows no limit, either.
                    "spec": {"workflowRef": {"name": own}, "maxParallel": 10_000},
                },
            )

    listed = await api.call("GET", path, limit="1")
    events = api.watch(path, listed["metadata"]["resourceVersion"], fieldSelector=ENDED)
    writes, before = await metrics.count_writes(api), await metrics.Operator.look(pid, port)
    begin = time.perf_counter()
    ended: set[str] = set()
    async with asyncio.TaskGroup() as tasks:
        for index in range(times):
            tasks.create_task(submit(index))
        async for event in events:
            found = event["object"]
            if found["status"]["phase"] != "Succeeded":
                raise RuntimeError(f"a run did not succeed: {str(found)[-1000:]}")
            ended.add(found["metadata"]["name"])
            if len(ended) == times:
                break
    seconds = time.perf_counter() - begin
    await events.aclose()
    await asyncio.sleep(1)  # what still has to be written belongs to it
    after = await metrics.Operator.look(pid, port)
    return Result(
        len(graph) * times,
        seconds,
        after.since(before),
        await metrics.count_writes(api) - writes,
    )


async def until_valid(api: Api, path: str) -> None:
    """Wait until the operator took a Workflow in: so it runs, and has nothing else to do."""
    while True:
        found = await api.call("GET", path)
        for condition in found.get("status", {}).get("conditions", []):
            if condition["type"] == "Valid":
                if condition["status"] == "True":
                    return
                raise RuntimeError(f"the Workflow is not valid: {condition}")
        await asyncio.sleep(0.1)


async def clean(api: Api, namespace: str) -> None:
    """Remove runs and all that belongs to them: the garbage collector would take minutes."""
    base = f"/apis/{GROUP}/namespaces/{namespace}"
    jobs, pods = (
        f"/apis/batch/v1/namespaces/{namespace}/jobs",
        f"/api/v1/namespaces/{namespace}/pods",
    )
    await remove(api, f"{base}/workflowruns")
    await remove(api, f"{base}/workflows")
    await remove(api, jobs, b'{"propagationPolicy": "Background"}')
    await remove(api, pods, b'{"gracePeriodSeconds": 0}')
    for path in (pods, jobs, f"{base}/workflowruns"):
        await until_gone(api, path)
