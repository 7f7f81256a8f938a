"""1,000 outputs of 1 MB into one node of a cluster.

As many are made by real Pods as a small machine gets through; the others by Pods that a kubelet is
only played for (kwok), and which say what was put into the store for them.
"""

import json
import re
from pathlib import Path

import pytest

from podium.artifacts.large_outputs import store_output
from podium.artifacts.manifest import OUTPUT, Manifest
from podium.artifacts.store import ArtifactStore
from podium.artifacts.told_output import told_of
from podium.contracts import LargeOutput, OutputVerdict
from tests import buckets
from tests.cluster.kwok import COLLECT, LABEL, kwok
from tests.conformance.cluster_shell import connect
from tests.e2e.artifacts_test import place
from tests.e2e.large_outputs_test import WRITE, python
from tests.e2e.support import workflow, workflow_run
from tests.long.large_outputs_test import COUNT, MADE

__all__ = ["place"]  # a fixture
pytestmark = [pytest.mark.long, pytest.mark.cluster, pytest.mark.timeout(3000)]

OUTPUTS, REAL = 1000, 50
MEMORY = {"requests": {"memory": "64Mi"}, "limits": {"memory": "192Mi"}}
"""Of the containers that store and fetch: less than a fifth of what comes in."""


def peak_mb(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) // 1024


def fake(name, said, machines):
    """Return a node whose Pod is played, with what its collector says."""
    pod = {
        "nodeSelector": machines.pod_defaults["nodeSelector"],
        "tolerations": machines.pod_defaults["tolerations"],
        "annotations": {COLLECT: said},
    }
    return python(name, MADE, WRITE, largeOutput=True, pod=pod)


def stored(store, uid, name, number):
    """Put an output into the store; return what the collector would say of it."""
    data = f'{{"text":"{number:04}{"x" * 1_000_000}"}}'.encode()
    output = LargeOutput(data, {}, is_whole=False, verdict=OutputVerdict())
    made = {OUTPUT: store_output(store, output)}
    digest = store.commit_by_digest(Manifest(uid, name, f"{name}-1", made))
    artifacts = {"digest": digest, "files": 1, "bytes": len(data)}
    said = {"artifacts": artifacts, "output": told_of(output).dump()}
    return json.dumps(said, separators=(",", ":"))


def test_1000_outputs_of_1_mb_into_one_node(place):
    place.secret()
    operator = place.operator(resources=MEMORY)
    # It waits for its Workflow: what is in the store names its UID.
    place.k.apply(workflow_run("r", workflow="w", maxParallel=100))
    uid = place.k.get("workflowrun", "r")["metadata"]["uid"]
    names = [f"n{number}" for number in range(OUTPUTS)]
    settings = place.server.settings(buckets.BUCKET, prefix=place.k.namespace)
    with kwok(nodes=5, api=connect()) as machines:
        assert LABEL in machines.pod_defaults["nodeSelector"]
        with ArtifactStore(settings) as store:
            nodes = [
                python(name, MADE, WRITE, largeOutput=True)
                if number < REAL
                else fake(name, stored(store, uid, name, number), machines)
                for number, name in enumerate(names)
            ]
        place.k.create(workflow("w", *nodes, python("all", *COUNT, after=names)))
        place.k.wait("r", seconds=2400)
    output = place.k.nodes("r")["all"]["output"]
    assert output["size"] > 1_000_000_000
    assert output["found"] >= 990  # one that is cut by a piece is not seen
    assert peak_mb(operator.pid) < 300
