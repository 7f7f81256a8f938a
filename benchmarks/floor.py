"""The floor: raw Pods, each created by one lean client the moment the Pods before it ended.

No Job, no status, no retries, nothing survives a crash: what the cluster itself needs.
"""

import asyncio
import time
import uuid
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from benchmarks.api import Api, Refused
from benchmarks.graphs import Graph

LABEL = "podium.dev/bench"
CREATES_AT_A_TIME = 32
IMAGE = "docker.io/library/busybox:latest"


@dataclass
class Result:
    """What one measurement gave."""

    nodes: int
    seconds: float
    """From before the first create to the last end seen."""
    created: list[float] = field(default_factory=list)
    """Of each Pod, the seconds from its node being ready to the API server having the Pod."""

    @property
    def rate(self) -> float:
        """Nodes a second."""
        return self.nodes / self.seconds

    def created_quantile(self, percent: int) -> float:
        """Return a quantile of `created`."""
        values = self.created if len(self.created) > 1 else self.created * 2
        return quantiles(values, n=100, method="inclusive")[percent - 1]


def pod(name: str, own: str, pod_defaults: dict[str, Any]) -> dict[str, Any]:
    """Make a Pod that does nothing and ends, as locked up as Podium's are."""
    return {
        "metadata": {"name": name, "labels": {LABEL: own}},
        "spec": {
            **pod_defaults,
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 5,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65_532,
                "runAsGroup": 65_532,
                "fsGroup": 65_532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "node",
                    "image": IMAGE,
                    "command": ["true"],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


async def run(
    api: Api,
    namespace: str,
    graph: Graph,
    *,
    times: int = 1,
    pod_defaults: dict[str, Any] | None = None,
    patience: float = 600,
) -> Result:
    """Run a graph so many times at once and remove the Pods again."""
    own = uuid.uuid4().hex[:8]
    path = f"/api/v1/namespaces/{namespace}/pods"
    selector = f"{LABEL}={own}"
    try:
        async with asyncio.timeout(patience):
            return await _run(api, path, own, graph, times, pod_defaults or {})
    finally:
        await remove(api, path, b'{"gracePeriodSeconds": 0}', selector)
        await until_gone(api, path, selector)


async def _run(
    api: Api, path: str, own: str, graph: Graph, times: int, pod_defaults: dict[str, Any]
) -> Result:
    after: dict[str, list[str]] = {node: [] for node in graph}
    for node, before in graph.items():
        for other in before:
            after[other].append(node)
    name = {(run, node): f"floor-{own}-{run}-{node}" for run in range(times) for node in graph}
    place = {value: key for key, value in name.items()}
    open_edges = {(run, node): len(graph[node]) for run, node in name}
    slots = asyncio.Semaphore(CREATES_AT_A_TIME)
    created: list[float] = []

    async def create(key: tuple[int, str]) -> None:
        ready = time.perf_counter()
        async with slots:
            await api.call("POST", path, pod(name[key], own, pod_defaults))
        created.append(time.perf_counter() - ready)

    listed = await api.call("GET", path, labelSelector=f"{LABEL}={own}")
    events = api.watch(path, listed["metadata"]["resourceVersion"], labelSelector=f"{LABEL}={own}")
    begin = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for key, count in open_edges.items():
            if not count:
                tasks.create_task(create(key))
        async for event in events:
            phase = event["object"].get("status", {}).get("phase")
            if phase == "Failed":
                raise RuntimeError(f"a Pod of the floor failed: {event['object'].get('status')}")
            if phase != "Succeeded" or event["type"] == "DELETED":
                continue
            key = place.pop(event["object"]["metadata"]["name"], None)
            if key is None:
                continue
            if not place:
                break
            for node in after[key[1]]:
                child = (key[0], node)
                open_edges[child] -= 1
                if not open_edges[child]:
                    tasks.create_task(create(child))
    await events.aclose()
    return Result(len(name), time.perf_counter() - begin, created)


async def remove(api: Api, path: str, options: bytes = b"", selector: str = "") -> None:
    """Delete a collection, in as many requests as a busy server needs for it."""
    while True:
        try:
            await api.text("DELETE", path, options or None, labelSelector=selector)
        except Refused as error:
            if error.status != 504:
                raise
        else:
            return


async def until_gone(api: Api, path: str, selector: str = "", patience: float = 120) -> None:
    """Wait until a collection is empty, so that its end is not paid by who is measured next."""
    async with asyncio.timeout(patience):
        while (await api.call("GET", path, labelSelector=selector, limit="1"))["items"]:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
