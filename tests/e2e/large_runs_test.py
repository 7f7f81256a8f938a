"""A run of more nodes than one object should hold, on fake machines."""

import json
from collections import Counter

import pytest

from tests.cluster.kwok import kwok
from tests.conformance.cluster_shell import connect
from tests.conformance.own_operator import apply_crds, own_namespace, own_operator
from tests.e2e.support import ENDED, Kubectl, require_cluster, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600), pytest.mark.xdist_group("large")]

WIDTH, LENGTH = 130, 4
NODES = WIDTH * LENGTH
"""More than 500."""
PATIENCE = 300


def graph():
    """Chains side by side, and a first node that holds the run's failure."""
    node = {"executor": "container", "config": {"image": "fake", "command": ["true"]}}
    nodes = [{"id": "fails", **node, "pod": {"annotations": {"fake.pod/fail": "fails-1"}}}]
    for row in range(WIDTH):
        for place in range(LENGTH):
            after = [f"n{row}_{place - 1}"] if place else []
            nodes.append({"id": f"n{row}_{place}", "dependsOn": after, **node})
    return nodes


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory):
    require_cluster()
    models = connect()
    apply_crds(models)
    with own_namespace(models) as name, kwok(api=models) as machines:
        settings = {"podDefaults": machines.pod_defaults, "leaderElection": {"enabled": False}}
        with own_operator(name, tmp_path_factory.mktemp("large"), settings):
            yield Kubectl(name)


def apply(kubectl, kind, name, spec):
    document = {"apiVersion": "podium.dev/v1alpha1", "kind": kind}
    text = json.dumps({**document, "metadata": {"name": name}, "spec": spec})
    kubectl("apply", "--server-side", "-f", "-", stdin=text)


def get(kubectl, *what):
    return json.loads(kubectl("get", *what, "-o", "json").stdout)


def status(kubectl):
    return get(kubectl, "wfr", "large").get("status", {})


def states(kubectl):
    """Every node of the run, as docs/workflows.md tells to find them."""
    found, listed = status(kubectl), get(kubectl, "wfrn", "-l", "podium.dev/run=large")
    shards = {each["metadata"]["name"]: each["nodes"] for each in listed["items"]}
    nodes = {}
    for shard in found["shards"]:
        nodes.update(shards[shard["name"]])
    return {**nodes, **found["nodes"]}


def ends(kubectl, requests):
    """Wait until the run ends after so many re-runs."""

    def ended():
        found = status(kubectl)
        handled = len(found.get("handledRequests", ()))
        return handled == requests and found.get("phase") in ENDED and found

    return until(ended, PATIENCE)


@pytest.mark.long  # the crash scenario has shards, too
def test_a_large_run_from_its_first_write_to_its_deletion(kubectl):
    apply(kubectl, "Workflow", "large", {"nodes": graph()})
    apply(kubectl, "WorkflowRun", "large", {"workflowRef": {"name": "large"}, "maxParallel": 100})

    # The run ends; what its status says of 521 nodes is small.
    found = ends(kubectl, 0)
    assert (found["phase"], found["progress"]) == ("Failed", f"{NODES + 1}/{NODES + 1}")
    assert len(json.dumps(found)) < 60_000
    assert found["nodeCounts"] == {"Completed": NODES, "Failed": 1}
    assert found["failedNodes"] == ["fails"]
    nodes = states(kubectl)
    assert Counter(state["status"] for state in nodes.values()) == found["nodeCounts"]
    assert all(state["executionCount"] == 1 for state in nodes.values())

    # People see the shards, and whose they are.
    line = kubectl("get", "workflowrunnodes").stdout.splitlines()
    assert line[0].split() == ["NAME", "RUN", "AGE"]
    assert {each.split()[1] for each in line[1:]} == {"large"}
    assert sum(each["nodes"] for each in found["shards"]) == NODES + 1

    # A node is run again, and the one after it; the others stay.
    kubectl("annotate", "wfr", "large", f"podium.dev/rerun=fails,n3_{LENGTH - 2}")
    assert ends(kubectl, 1)["phase"] == "Succeeded"
    again = {name for name, state in states(kubectl).items() if state["executionCount"] == 2}
    assert again == {"fails", f"n3_{LENGTH - 2}", f"n3_{LENGTH - 1}"}

    # Somebody deletes a shard: nobody knows any more what ran, so nothing may run again.
    lost = status(kubectl)["shards"][0]["name"]
    kubectl("delete", "wfrn", lost)
    kubectl("annotate", "wfr", "large", "podium.dev/rerun=fails")

    def refused():
        """the re-run is refused in an Event"""
        events = get(kubectl, "events")["items"]
        return [e for e in events if e["reason"] == "RerunRefused" and lost in e["message"]]

    until(refused)
    assert status(kubectl)["phase"] == "Succeeded"

    # All of it goes with the run.
    kubectl("delete", "wfr", "large")

    def gone():
        """the shards go with their run"""
        return not get(kubectl, "wfrn")["items"]

    until(gone)
