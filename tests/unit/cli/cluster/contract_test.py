"""`podium --cluster contract check`: what the cluster has counts as published."""

import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from tests.unit.cli.commands.contract_test import INTEGER, NUMBER, STRING, schema, workflow, write
from tests.unit.cli.support import ENV, PODIUM

PATH = "/apis/podium.dev/v1alpha1/namespaces/team/contractschemas/sizes"


class Handler(BaseHTTPRequestHandler):
    published = None

    def do_GET(self):
        found = self.published if self.path == PATH else None
        body = found or {"kind": "Status", "reason": "NotFound", "message": "none", "code": 404}
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [
            {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        ],
        "users": [{"name": "c", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c", "namespace": "team"}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(tmp_path)
    yield {"KUBECONFIG": str(tmp_path / "kubeconfig")}
    server.shutdown()


def podium(*arguments, **environment):
    return subprocess.run(
        [PODIUM, *arguments],
        env={**ENV, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("published", "mine", "words"),
    [
        (None, schema(INTEGER), ""),
        (schema(INTEGER), schema(INTEGER, NUMBER), ""),
        (schema(INTEGER), schema(STRING), "is published and differs"),
        (schema(INTEGER, NUMBER), schema(INTEGER), "is published and not here"),
        (schema(INTEGER), schema(INTEGER, STRING), "may not do for '2'"),
    ],
)
def test_versions_of_the_cluster_stay(cluster, tmp_path, monkeypatch, published, mine, words):
    monkeypatch.setattr(Handler, "published", published)
    done = podium("contract", "check", write(tmp_path / "s.yaml", mine), "--cluster", **cluster)
    assert (words in done.stdout, done.returncode) == (True, 1 if words else 0), done.stderr


def test_to_test_a_file_needs_no_cluster(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = write(tmp_path / "w.yaml", schema(INTEGER), workflow("1", NUMBER))
    done = podium("contract", "test", name, PODIUM_TARGET="cluster", KUBECONFIG="/none")
    assert done.returncode == 0, done.stderr
