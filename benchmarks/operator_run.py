"""The same graphs by Podium: WorkflowRuns, and an operator of this source tree that runs them.

Each node is a container that does nothing (busybox, `true`).
"""

import asyncio
import os
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.api import Api
from benchmarks.floor import CREATES_AT_A_TIME, IMAGE, until_gone
from benchmarks.graphs import Graph

GROUP = "podium.dev/v1alpha1"
# A run without a phase has just been made; this lets only those that ended through.
ENDED = "status.phase!=,status.phase!=Pending,status.phase!=Running,status.phase!=Paused"
WRITES = {"POST", "PUT", "PATCH", "DELETE", "APPLY", "DELETECOLLECTION"}


@dataclass
class Process:
    """What a process used until now."""

    cpu: float
    """Seconds of processor time."""
    resident: float
    """MB in memory."""
    peak: float
    """The most MB in memory."""

    @classmethod
    def of(cls, pid: int) -> "Process":
        """Look at a process."""
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        )
        ticks = int(fields[11]) + int(fields[12])
        return cls(
            ticks / os.sysconf("SC_CLK_TCK"),
            int(status["VmRSS"].split()[0]) / 1024,
            int(status["VmHWM"].split()[0]) / 1024,
        )


@dataclass
class Result:
    """What one measurement gave."""

    nodes: int
    seconds: float
    """From before the first run is created to the last end seen."""
    cpu: float
    """Processor seconds of the operator."""
    resident: float
    """MB of the operator afterwards."""
    peak: float
    """The most MB of the operator since it started."""
    writes: Counter[str]
    """Requests that change something, of the whole cluster meanwhile: `pods/status PATCH`."""

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
    api: Api, namespace: str, pid: int, graph: Graph, *, times: int = 1, patience: float = 600
) -> Result:
    """Submit so many runs of a graph at once, wait for their ends, and remove all again.

    `pid` is the operator's.
    """
    own = f"bench-{uuid.uuid4().hex[:8]}"
    base = f"/apis/{GROUP}/namespaces/{namespace}"
    try:
        async with asyncio.timeout(patience):
            await api.call("POST", f"{base}/workflows", workflow(own, graph))
            await _until_valid(api, f"{base}/workflows/{own}")
            return await _run(api, f"{base}/workflowruns", own, pid, graph, times)
    finally:
        await clean(api, namespace)


async def _run(api: Api, path: str, own: str, pid: int, graph: Graph, times: int) -> Result:
    slots = asyncio.Semaphore(CREATES_AT_A_TIME)

    async def submit(index: int) -> None:
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
    writes, process = await count_writes(api), Process.of(pid)
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
    after = Process.of(pid)
    return Result(
        nodes=len(graph) * times,
        seconds=seconds,
        cpu=after.cpu - process.cpu,
        resident=after.resident,
        peak=after.peak,
        writes=await count_writes(api) - writes,
    )


async def _until_valid(api: Api, path: str) -> None:
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
    await api.text("DELETE", f"{base}/workflowruns")
    await api.text("DELETE", f"{base}/workflows")
    await api.text("DELETE", jobs, b'{"propagationPolicy": "Background"}')
    await api.text("DELETE", pods, b'{"gracePeriodSeconds": 0}')
    for path in (pods, jobs, f"{base}/workflowruns"):
        await until_gone(api, path)


async def count_writes(api: Api) -> Counter[str]:
    """Count the requests so far that change something, by resource, verb and code if refused."""
    found: Counter[str] = Counter()
    for line in (await api.text("GET", "/metrics")).decode().splitlines():
        if not line.startswith("apiserver_request_total{"):
            continue
        labels = dict(
            part.split("=", 1) for part in line[line.index("{") + 1 : line.rindex("}")].split(",")
        )
        verb, resource, sub, code = (
            labels.get(key, "").strip('"') for key in ("verb", "resource", "subresource", "code")
        )
        if verb in WRITES:
            what = f"{resource}/{sub}" if sub else resource
            refused = "" if code.startswith("2") else f" refused {code}"
            found[f"{what} {verb}{refused}"] += int(float(line.rpartition(" ")[2]))
    return found
