"""podium --cluster logs where Pods are gone: from the store, through a kubectl that runs here."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from podium.artifacts.kept_logs import KeptLog, log_key
from tests.unit.cli.commands.cluster_artifacts_test import calls, server, there
from tests.unit.cli.support import Directory

__all__ = ["server", "there"]  # fixtures

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: here
contexts: [{{name: here, context: {{cluster: here, user: me}}}}]
clusters: [{{name: here, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
users: [{{name: me, user: {{token: t}}}}]
"""
PODS = "/api/v1/namespaces/team/pods"
RUNS = "/apis/podium.dev/v1alpha1/namespaces/team/workflowruns/r"


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


class Cluster:
    """An API server with one run, and Pods; a log is the name of its Pod."""

    def __init__(self, run, *pods):
        self.run, self.pods = run, pods
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path = self.path.partition("?")[0]
                if path == RUNS:
                    self.answer(json.dumps(cluster.run).encode())
                elif path == PODS:
                    self.answer(json.dumps({"items": cluster.pods, "metadata": {}}).encode())
                else:
                    self.answer(f"from the pod {path.split('/')[6]}\n".encode())

            def answer(self, data):
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def place(tmp_path, there, server):
    """A run: of `gone` both Pods are gone, of `here` none, `route` never had one."""
    found = json.loads((there / "workflowruns.podium.dev_r.json").read_text())
    run = {
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
    root = server.root / "artifacts/team"
    for execution, started_at, uid in (("gone-1", 1, "a"), ("gone-2", 5, "b"), ("gone-2", 9, "c")):
        file = root / log_key(KeptLog("uid", "gone", execution, started_at, uid))
        file.parent.mkdir(parents=True, exist_ok=True)
        stamp = "2026-01-01T00:00:01.123456789Z "
        file.write_text(f"{stamp}one of {uid}\n{stamp}\npodium: 7 bytes are left out here\n")
    cluster = Cluster(run, pod("p", "here-1"))
    config = tmp_path / "kubeconfig"
    config.write_text(KUBECONFIG.format(port=cluster.http.server_port))
    here = Directory(tmp_path)

    def podium(*arguments, code=0):
        path = f"{tmp_path}/bin:{os.environ['PATH']}"
        given = ("--cluster", "logs", "r", *arguments, "-n", "team")
        done = here.podium(*given, code=code, PATH=path, KUBECONFIG=str(config))
        return done.stdout if code == 0 else done.stderr

    podium.run = run
    yield podium
    cluster.http.shutdown()


KEPT = "{start}one of {uid}\n{start}\n{start}podium: 7 bytes are left out here\n"


def test_the_log_of_a_pod_that_is_gone_comes_from_the_store(place, there):
    assert place("gone") == KEPT.format(start="", uid="c")
    assert place("gone", "--tail", "1") == "podium: 7 bytes are left out here\n"
    assert place("gone", "--timestamps").startswith("2026-01-01T00:00:01.123456789Z one of c\n")
    assert place("gone", "-f") == KEPT.format(start="", uid="c")
    assert place("--execution", "gone-1") == KEPT.format(start="", uid="a")
    assert place() == KEPT.format(start="[gone] ", uid="c") + "[here] from the pod p\n"
    assert calls(there)[-1][2] == "delete", "the Pod that read goes"


def test_a_pod_that_is_there_is_asked_itself(place, there):
    assert place("here") == "from the pod p\n"
    assert not (there / "calls").exists(), "no Pod was made"


def test_what_is_nowhere_is_said(place):
    assert "has no Pod with such a log" in place("route", code=2)
    assert "no Pod of execution 'gone-7'" in place("--execution", "gone-7", code=2)
    del place.run["status"]["logStore"]
    assert "node gone has no Pod with such a log any more" in place("gone", code=2)
