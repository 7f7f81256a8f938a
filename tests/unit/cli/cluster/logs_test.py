"""podium --cluster logs where Pods are gone: from the store, through a Pod that runs here."""

import pytest

from podium.artifacts.kept_logs import KeptLog, log_key
from tests.unit.cli.cluster.artifacts_test import there
from tests.unit.cli.support import Directory

__all__ = ["there"]  # a fixture


def node(execution, count=1, **more):
    state = {"status": "Completed", "executionId": execution, "executionCount": count}
    return {**state, "jobUid": "j", "startedAt": "2026-01-01T00:00:00Z", **more}


def pod(name, execution):
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "annotations": {
                "podium.dev/node": execution.rpartition("-")[0],
                "podium.dev/execution": execution,
            },
        },
        "status": {"phase": "Succeeded", "startTime": "2026-01-01T00:00:30Z"},
    }


@pytest.fixture
def place(tmp_path, there, s3_server):
    """A run: of `gone` both Pods are gone, of `here` none, `route` never had one."""
    found = there.runs["r"]
    run = there.runs["r"] = {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "WorkflowRun",
        "metadata": found["metadata"],
        "spec": {},
        "status": {
            "phase": "Succeeded",
            "logStore": found["status"]["artifactStore"],
            "nodes": {
                "gone": node("gone-2", 2),
                "here": node("here-1"),
                "route": {"status": "Completed", "executionId": "route-1", "executionCount": 1},
            },
        },
    }
    root = s3_server.root / "artifacts/team"
    for execution, started_at, uid in (("gone-1", 1, "a"), ("gone-2", 5, "b"), ("gone-2", 9, "c")):
        file = root / log_key(KeptLog("uid", "gone", execution, started_at, uid))
        file.parent.mkdir(parents=True, exist_ok=True)
        stamp = "2026-01-01T00:00:01.123456789Z "
        file.write_text(f"{stamp}one of {uid}\n{stamp}\npodium: 7 bytes are left out here\n")
    there.pods = [pod("p", "here-1")]
    here = Directory(tmp_path)

    def podium(*arguments, code=0):
        given = ("--cluster", "logs", "r", *arguments, "-n", "team", "--kube-context", "prod")
        done = here.podium(*given, code=code, KUBECONFIG=str(tmp_path / "kubeconfig"))
        return done.stdout if code == 0 else done.stderr

    podium.run = run
    return podium


KEPT = "{start}one of {uid}\n{start}\n{start}podium: 7 bytes are left out here\n"


def test_the_log_of_a_pod_that_is_gone_comes_from_the_store(place, there):
    assert place("gone") == KEPT.format(start="", uid="c")
    assert place("gone", "--tail", "1") == "podium: 7 bytes are left out here\n"
    assert place("gone", "--timestamps").startswith("2026-01-01T00:00:01.123456789Z one of c\n")
    assert place("gone", "-f") == KEPT.format(start="", uid="c")
    assert place("--execution", "gone-1") == KEPT.format(start="", uid="a")
    assert place() == KEPT.format(start="[gone] ", uid="c") + "[here] from the pod p\n"
    assert there.calls[-1][0] == "DELETE", "the Pod that read goes"


def test_a_pod_that_is_there_is_asked_itself(place, there):
    assert place("here") == "from the pod p\n"
    assert "POST" not in [method for method, _ in there.calls], "no Pod was made"


def test_what_is_nowhere_is_said(place):
    assert "has no Pod with such a log" in place("route", code=2)
    assert "no Pod of execution 'gone-7'" in place("--execution", "gone-7", code=2)
    del place.run["status"]["logStore"]
    assert "node gone has no Pod with such a log any more" in place("gone", code=2)
