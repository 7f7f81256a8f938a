"""The real API server is killed, and starts again, while runs are under way."""

from collections import Counter

import pytest

from tests.cluster import cluster
from tests.cluster.kwok import HOLD, SAY, kwok
from tests.conformance.cluster_shell import connect
from tests.conformance.own_operator import apply_crds, own_namespace, own_operator
from tests.e2e.support import Kubectl, require_cluster, until, workflow_run

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

RUNS, LENGTH = 4, 5
END_SECONDS = 240


def chain():
    """Return a chain: its second node ends when it is let go."""

    def node(number):
        notes = {SAY: f'{{"n": {number}}}', **({HOLD: "true"} if number == 1 else {})}
        return {
            "id": f"n{number}",
            "executor": "container",
            "config": {"image": "fake", "command": ["true"]},
            "dependsOn": [f"n{number - 1}"] if number else [],
            "pod": {"annotations": notes},
        }

    return [node(number) for number in range(LENGTH)]


def test_runs_go_on_when_the_api_server_was_killed_and_started_again(tmp_path):
    require_cluster()
    api = connect()
    apply_crds(api)
    with own_namespace(api) as namespace, kwok(2, api=api) as machines:
        k = Kubectl(namespace)
        # Of the lease there are tests of its own: no other operator takes over here.
        settings = {"podDefaults": machines.pod_defaults, "leaderElection": {"enabled": False}}
        with own_operator(namespace, tmp_path, settings):
            names = [f"run{number}" for number in range(RUNS)]
            k.apply(*(workflow_run(name, *chain()) for name in names[:-1]))
            for name in names[:-1]:
                k.wait_node(name, "n1", "Running")
            cluster.restart_apiserver()
            k.apply(workflow_run(names[-1], *chain()))
            going = set()

            def let_go():
                """a Pod of each run was held, and is not any more"""
                for pod in k.items("pods"):
                    if HOLD in pod["metadata"].get("annotations", {}):
                        k("annotate", "pod", pod["metadata"]["name"], f"{HOLD}-")
                        going.add(pod["metadata"]["labels"]["podium.dev/run"])
                return len(going) == RUNS

            until(let_go, END_SECONDS)
            for name in names:
                nodes = k.wait(name, seconds=END_SECONDS)["nodes"]
                assert [state["output"]["n"] for state in nodes.values()] == list(range(LENGTH))
                assert {state["executionCount"] for state in nodes.values()} == {1}
        labels = [pod["metadata"]["labels"] for pod in k.items("pods")]
        pods = Counter((each["podium.dev/run"], each["podium.dev/execution"]) for each in labels)
        assert len(pods) == RUNS * LENGTH
        assert set(pods.values()) == {1}
