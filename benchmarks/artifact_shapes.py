"""What artifacts add to the Pod of a node: `python -m benchmarks.artifacts --shapes`.

The second of two nodes is measured, from the end of the first to its own, as the run's status shows
them: without artifacts, with a collector, with a fetcher, with both. Its program does next to
nothing, so that all of it is the platform. Shapes in turn, the medians beside that without
artifacts. Needs the test cluster, with the image of these sources (`make image`).
"""

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from kubernetes import client

from benchmarks.pod_seconds import in_turn
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


def nodes_of(shape: str) -> list[dict[str, Any]]:
    """Return the two nodes of a shape."""
    first, second = SHAPES[shape]
    program = {"executor": "script", "config": {"script": SCRIPT}}
    return [{"id": "a", **program, **first}, {"id": "b", "dependsOn": ["a"], **program, **second}]


def measure(rounds: int) -> None:
    """Measure each shape and print what it adds."""
    api = connect()
    apply_crds(api)
    with (
        tempfile.TemporaryDirectory() as directory,
        own_namespace(api) as namespace,
        buckets.bucket_for(api, namespace) as settings,
        own_operator(namespace, Path(directory), {"artifacts": settings}),
    ):
        custom = client.CustomObjectsApi(api)
        taken = in_turn(custom, namespace, {shape: nodes_of(shape) for shape in SHAPES}, rounds)
    plain = median(taken["plain"])
    print(f"seconds of a Pod, medians of {rounds}; beside a plain one")
    for shape, seconds in taken.items():
        found = median(seconds)
        print(
            f"{shape:10}  {found:5.1f} s  {found - plain:+5.1f} s  {found / plain:.2f} x"
            f"  ({min(seconds):.1f} to {max(seconds):.1f})"
        )
