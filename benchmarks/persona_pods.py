"""What a call to a model adds to the Pod of a node: `python -m benchmarks.persona_pods`.

The second of two nodes is measured, from the end of the first to its own: a script that does next
to nothing, and a persona whose model, on this machine, answers at once. So the difference is what
the runner takes to load, to ask and to check: to be under half a second. Both in turn, means
beside each other: a kubelet sees ends about once a second, so a median jumps. Needs the test
cluster, with the image of these sources (`make image`).
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

from kubernetes import client

from benchmarks.pod_seconds import GROUP, in_turn
from tests.buckets import address_for
from tests.conformance.cluster_shell import connect
from tests.conformance.own_operator import apply_crds, own_namespace, own_operator
from tests.unit.personas.model_server import model, says

MOST = 0.5
"""Seconds that it may add."""
SCRIPT: dict[str, Any] = {"executor": "script", "config": {"script": "exit 0"}}
SECOND: dict[str, dict[str, Any]] = {
    "script": SCRIPT,
    "persona": {"executor": "persona", "config": {"personas": ["analyst"]}},
}


def measure(rounds: int) -> bool:
    """Measure both, and print them; return whether a persona adds as little as it should."""
    api = connect()
    apply_crds(api)
    with (
        tempfile.TemporaryDirectory() as directory,
        own_namespace(api) as namespace,
        model(says({"n": 1}), address=address_for(api)) as server,
        own_operator(namespace, Path(directory), {}),
    ):
        custom = client.CustomObjectsApi(api)
        endpoint = {
            "apiVersion": "/".join(GROUP),
            "kind": "ModelConfig",
            "metadata": {"name": "default"},
            "spec": {"model": "m", "openAI": {"baseUrl": server.url}},
        }
        custom.create_namespaced_custom_object(*GROUP, namespace, "modelconfigs", endpoint)
        shapes = {
            name: [{"id": "a", **SCRIPT}, {"id": "b", "dependsOn": ["a"], **second}]
            for name, second in SECOND.items()
        }
        taken = in_turn(custom, namespace, shapes, rounds)
    plain, asking = (fmean(taken[name]) for name in ("script", "persona"))
    for name, seconds in taken.items():
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        print(f"{name:8} {fmean(seconds):5.2f} s  ({spread}, {rounds} Pods)")
    added = asking - plain
    print(f"a persona adds {added:+.2f} s; it is to be under {MOST} s")
    return added < MOST


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=8, help="Pods of each")
    return 0 if measure(parser.parse_args().rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
