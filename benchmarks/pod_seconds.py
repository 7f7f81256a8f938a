"""How long the Pod of a node takes, from the end of the node before it to its own."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from kubernetes import client

__all__ = ["GROUP", "in_turn"]

GROUP = ("podium.dev", "v1alpha1")
LONGEST = 120.0


def in_turn(
    api: client.CustomObjectsApi,
    namespace: str,
    shapes: Mapping[str, list[dict[str, Any]]],
    rounds: int,
) -> dict[str, list[float]]:
    """Carry out runs of the nodes a and b of each shape; return how long b took in each round."""
    taken: dict[str, list[float]] = {shape: [] for shape in shapes}
    for number in range(rounds + 1):
        for shape, nodes in shapes.items():
            found = _seconds(api, namespace, f"{shape}-{number}", nodes)
            print(f"{shape} {found:.2f} s", file=sys.stderr, flush=True)
            if number:  # in the first round the machine gets warm
                taken[shape].append(found)
    return taken


def _seconds(
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
