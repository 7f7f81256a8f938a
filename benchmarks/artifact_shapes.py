"""What artifacts add to the Pod of a node: `python -m benchmarks.artifacts --shapes`.

The second of two nodes is measured, from the end of the first to its own, as the run's status shows
them: without artifacts, with a collector, with a fetcher, with both. Its program does next to
nothing, so that all of it is the platform. Shapes in turn, the medians beside that without
artifacts. Needs the test cluster, with the image of these sources (`make image`).
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from kubernetes import client

from tests import buckets
from tests.conformance.cluster_shell import connect
from tests.conformance.own_operator import apply_crds, own_namespace, own_operator

SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "collecting": ({}, {"artifacts": {"in": [], "out": [{"name": "f", "path": "f"}]}}),
    "fetching": ({"artifacts": {}}, {}),
    "both": ({"artifacts": {}}, {"artifacts": {"out": [{"name": "f", "path": "f"}]}}),
}
"""What the first and the second node have beside their programs."""
SCRIPT = "echo x > $PODIUM_ARTIFACTS_OUT/f"
GROUP = ("podium.dev", "v1alpha1")
LONGEST = 120.0


def nodes_of(shape: str) -> list[dict[str, Any]]:
    """Return the two nodes of a shape."""
    first, second = SHAPES[shape]
    program = {"executor": "script", "config": {"script": SCRIPT}}
    return [{"id": "a", **program, **first}, {"id": "b", "dependsOn": ["a"], **program, **second}]


def seconds_of(
    api: client.CustomObjectsApi, namespace: str, name: str, nodes: list[dict[str, Any]]
) -> float:
    """Carry out one run of the nodes a and b; return how long b took."""
    body = {
        "apiVersion": "/".join(GROUP),
        "kind": "WorkflowRun",
        "metadata": {"name": name},
        "spec": {"workflowSpec": {"nodes": nodes}},
    }
    api.create_namespaced_custom_object(*GROUP, namespace, "workflowruns", body)
    ended: dict[str, float] = {}
    give_up = time.monotonic() + LONGEST
    while len(ended) < 2:
        found = api.get_namespaced_custom_object(*GROUP, namespace, "workflowruns", name)
        states = found.get("status", {}).get("nodes", {})
        now = time.monotonic()
        for node, state in states.items():
            if state["status"] == "Completed":
                ended.setdefault(node, now)
            elif state["status"] in ("Failed", "Skipped", "Cancelled") or now > give_up:
                raise SystemExit(f"{name}: {node} is {state}")
        time.sleep(0.05)
    return ended["b"] - ended["a"]


def measure(rounds: int) -> None:
    """Measure each shape and print what it adds."""
    api = connect()
    apply_crds(api)
    taken: dict[str, list[float]] = {shape: [] for shape in SHAPES}
    with (
        tempfile.TemporaryDirectory() as directory,
        own_namespace(api) as namespace,
        buckets.bucket_for(api, namespace) as settings,
        own_operator(namespace, Path(directory), {"artifacts": settings}),
    ):
        custom = client.CustomObjectsApi(api)
        for number in range(rounds + 1):
            for shape, seconds in taken.items():
                name = f"{shape}-{number}"
                found = seconds_of(custom, namespace, name, nodes_of(shape))
                print(f"{shape} {found:.1f} s", file=sys.stderr, flush=True)
                if number:  # in the first round the machine gets warm
                    seconds.append(found)
    plain = median(taken["plain"])
    print(f"seconds of a Pod, medians of {rounds}; beside a plain one")
    for shape, seconds in taken.items():
        found = median(seconds)
        print(
            f"{shape:10}  {found:5.1f} s  {found - plain:+5.1f} s  {found / plain:.2f} x"
            f"  ({min(seconds):.1f} to {max(seconds):.1f})"
        )
