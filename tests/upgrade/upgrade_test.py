"""This operator takes over the runs that each released one began: nothing runs twice, all end."""

from collections import Counter

import pytest

from tests.cluster.kwok import HOLD, kwok
from tests.conformance.cluster_shell import connect
from tests.conformance.own_operator import apply_crds, own_namespace, own_operator
from tests.e2e.support import Kubectl, require_cluster, until
from tests.upgrade import states

pytestmark = pytest.mark.cluster

NODE_ENDED = ("Completed", "Failed", "Skipped", "Cancelled")


def _executions(k):
    """Return how many Pods each execution has."""
    labels = [pod["metadata"]["labels"] for pod in k.items("pods")]
    return Counter((each["podium.dev/run"], each["podium.dev/execution"]) for each in labels)


def _let_go(k, name):
    """Let what holds go, until a run has ended."""

    def over():
        """the run ends; what holds is let go"""
        for pod in k.items("pods"):
            if HOLD in pod["metadata"].get("annotations", {}):
                k("annotate", "pod", pod["metadata"]["name"], f"{HOLD}-")
        return k.status(name).get("phase") not in ("Running", "Pending")

    until(over, 120)


@pytest.mark.parametrize("version", states.versions())
def test_runs_of_an_older_version_go_on_and_nothing_runs_twice(version, tmp_path):
    require_cluster()
    state = states.load(version)
    api = connect()
    apply_crds(api)
    with own_namespace(api) as namespace, kwok(2, api=api) as machines:
        k = Kubectl(namespace)
        states.restore(state, k, machines)
        before = {run["metadata"]["name"]: run["status"] for run in k.items("workflowruns")}
        pods = {pod["metadata"]["uid"] for pod in k.items("pods")}
        jobs = {job["metadata"]["uid"] for job in k.items("jobs")}
        with own_operator(namespace, tmp_path, {"podDefaults": machines.pod_defaults}):
            k("patch", "workflowrun", "paused", "--type=merge", "-p", '{"spec":{"suspend":false}}')
            k("annotate", "workflowrun", "ended", "podium.dev/rerun=only")

            def again():
                """the run that had ended was carried out again"""
                return k.nodes("ended")["only"].get("executionCount") == 2

            until(again)

            _let_go(k, "main")
            ends = {name: k.wait(name) for name in before}

        assert not (executions := {e: n for e, n in _executions(k).items() if n > 1}), executions
        assert pods <= {pod["metadata"]["uid"] for pod in k.items("pods")}
        assert jobs <= {job["metadata"]["uid"] for job in k.items("jobs")}
        for name in ("main", "paused"):
            for node, was in before[name]["nodes"].items():
                now = ends[name]["nodes"][node]
                if was["status"] in NODE_ENDED:
                    assert now == was, node
                else:
                    assert now["status"] in NODE_ENDED, node
                    first = was.get("executionId", f"{node}-1")
                    assert now["executionId"] == first, node
                    assert now["executionCount"] == 1, node


@pytest.mark.parametrize("version", states.versions())
def test_a_run_in_shards_of_an_older_version_goes_on(version, tmp_path):
    require_cluster()
    state = states.load(version, states.LARGE)
    api = connect()
    apply_crds(api)
    with own_namespace(api) as namespace, kwok(1, api=api) as machines:
        k = Kubectl(namespace)
        states.restore(state, k, machines)
        assert len(before := _nodes(k)) > 500
        with own_operator(namespace, tmp_path, {"podDefaults": machines.pod_defaults}):
            k.wait("large")
        after = _nodes(k)
        assert {n for n, now in after.items() if now != before[n]} == {"held", "last"}
        assert (after["held"]["executionId"], after["last"]["output"]) == ("held-1", {"done": True})
        assert set(_executions(k).values()) == {1}


@pytest.mark.parametrize("version", states.versions(states.MAPS))
def test_a_map_of_an_older_version_goes_on_and_no_item_runs_twice(version, tmp_path):
    require_cluster()
    state = states.load(version, states.MAPS)
    api = connect()
    apply_crds(api)
    with own_namespace(api) as namespace, kwok(1, api=api) as machines:
        k = Kubectl(namespace)
        states.restore(state, k, machines)
        with own_operator(namespace, tmp_path, {"podDefaults": machines.pod_defaults}):
            _let_go(k, "maps")
        assert k.status("maps")["phase"] == "Succeeded"
        nodes = k.nodes("maps")
        items = nodes["each"]["items"]
        assert (items["completed"], items["failed"]) == ("0,1,3,4", "2")
        ids = [nodes[f"each[{index}]"]["executionId"] for index in range(5)]
        assert ids == [f"each[{index}]-1" for index in range(5)]
        assert nodes["last"]["status"] == "Completed"
        names = {job["metadata"]["name"] for job in k.items("jobs")}
        assert len(names) == 3, "the map has the Job that it had"


def _nodes(k):
    """Return the states of all nodes of the large run."""
    shards = [each["nodes"] for each in k.items("workflowrunnodes")]
    return {node: state for each in [*shards, k.nodes("large")] for node, state in each.items()}
