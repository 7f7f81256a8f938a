"""podium artifacts on a cluster: through a kubectl that runs the Pod's programs here."""

import json
import os
import sys

import pytest

from podium.api.artifact_stores import ArtifactLocation
from podium.artifacts.pod import Task, load_store
from podium.cli.cluster.artifact_store import build_reader
from podium.cluster.jobs.artifact_store import store_told
from podium.cluster.settings import Settings
from tests.unit.artifacts.pod_test import stored
from tests.unit.artifacts.s3 import KEYS
from tests.unit.artifacts.support import make
from tests.unit.cli.support import Directory

KUBECTL = """#!{python}
import json, os, subprocess, sys
from pathlib import Path
here = Path({here!r})
args = sys.argv[1:]
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(args) + "\\n")
while args[0] in ("--context", "--namespace"):
    args = args[2:]
verb = args[0]
if verb == "get":
    file = here / (args[1].replace("/", "_") + ".json")
    if not file.exists():
        print(f'Error from server (NotFound): "{{args[1]}}" not found', file=sys.stderr)
        sys.exit(1)
    print(file.read_text())
elif verb == "create":
    (here / "pod.json").write_text(sys.stdin.read())
elif verb == "exec":
    pod = json.loads((here / "pod.json").read_text())
    env = {{each["name"]: each["value"] for each in pod["spec"]["containers"][0]["env"]}}
    code = (
        "import sys, os\\nfrom podium.artifacts import remote\\n"
        f"remote.STORE_PATH = {{str(here / 'keys')!r}}\\n"
        "sys.exit(remote.main(sys.argv[1:], os.environ))"
    )
    done = subprocess.run([sys.executable, "-c", code, *args[7:]], env={{**os.environ, **env}})
    if done.returncode:
        print(f"command terminated with exit code {{done.returncode}}", file=sys.stderr)
    sys.exit(done.returncode)
"""


@pytest.fixture
def there(tmp_path, s3_server):
    """A run on a cluster whose node `build` left two files, and `plain` none."""
    cluster = tmp_path / "cluster"
    cluster.mkdir()
    keys = {"accessKeyId": KEYS.access_key_id, "secretAccessKey": KEYS.secret_access_key}
    make(cluster / "keys", {name: text.encode() for name, text in keys.items()})
    bucket = {"bucket": "artifacts", "endpoint": s3_server.endpoint, "credentialsSecret": "keys"}
    settings = Settings(artifacts={"s3": bucket, "image": "podium:1"})
    told = {"PODIUM_STORE": store_told("team", settings.artifacts)}
    place = load_store(told, cluster / "keys")
    out = make(tmp_path / "out", {"report": b"42", "more/x": b"y"})
    digest = stored(Task("uid", "build", "build-1"), place, out)["artifacts"]["digest"]
    location = settings.location_of(None).model_dump(
        mode="json", by_alias=True, exclude_defaults=True
    )
    run = {
        "metadata": {"name": "r", "namespace": "team", "uid": "uid"},
        "status": {
            "artifactStore": location,
            "nodes": {"plain": {"executionId": "plain-1"}},
            "shards": [{"name": "r-0", "nodes": 1}],
        },
    }
    shard = {"nodes": {"build": {"executionId": "build-1", "artifacts": digest}}}
    for name, body in (
        ("workflowruns.podium.dev_r", run),
        ("workflowrunnodes.podium.dev_r-0", shard),
    ):
        (cluster / f"{name}.json").write_text(json.dumps(body))
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text(KUBECTL.format(python=sys.executable, here=str(cluster)))
    kubectl.chmod(0o755)
    return cluster


class Here(Directory):
    """A directory of a user whose kubectl that is."""

    def __init__(self, path):
        path.mkdir()
        super().__init__(path)

    def podium(self, *arguments, code=0):
        path = f"{self.path.parent}/bin:{os.environ['PATH']}"
        return super().podium("artifacts", *arguments, code=code, PATH=path)


def calls(there):
    return [json.loads(line) for line in (there / "calls").read_text().splitlines()]


CLUSTER = ("--cluster", "-n", "team", "--kube-context", "prod")


def test_ls_get_and_rm(tmp_path, there, s3_server):
    here = Here(tmp_path / "here")
    lines = here.podium("ls", "r", *CLUSTER).stdout.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [
        ["build", "build-1", "more", "Directory"],
        ["build", "build-1", "report", "File"],
    ]
    assert all(each[:4] == ["--context", "prod", "--namespace", "team"] for each in calls(there))
    assert [each[4] for each in calls(there)][-1] == "delete", "the Pod goes"
    here.podium("get", "r", "build.report", *CLUSTER)
    assert (here.path / "report").read_bytes() == b"42"
    here.podium("get", "r", "build", "--execution", "build-1", "-o", "all", *CLUSTER)
    assert (here.path / "all/build/more/x").read_bytes() == b"y"
    refused = here.podium("get", "r", "plain", *CLUSTER, code=2)
    assert "plain-1 left no artifacts" in refused.stderr
    assert here.podium("rm", "r", *CLUSTER).stdout == ("artifacts of 1 execution removed\n")
    assert not list(s3_server.root.rglob("manifest.json"))
    assert here.podium("ls", "r", *CLUSTER).stdout == "no artifacts\n"


def test_what_was_changed_in_the_store_is_not_copied(tmp_path, there, s3_server):
    here = Here(tmp_path / "here")
    for blob in (s3_server.root / "artifacts").rglob("blobs/sha256/*/*"):
        blob.write_bytes(bytes(len(blob.read_bytes())))
    refused = here.podium("get", "r", "build.report", *CLUSTER, code=2)
    assert "is not what was stored" in refused.stderr
    assert calls(there)[-1][4] == "delete"


def test_a_run_that_is_not_there_and_options_without_a_cluster(tmp_path, there):
    here = Here(tmp_path / "here")
    refused = here.podium("ls", "other", *CLUSTER, code=2)
    assert "NotFound" in refused.stderr
    assert "add --cluster" in here.podium("ls", "r", "-n", "team", code=2).stderr


@pytest.mark.parametrize("any_user", [False, True])
def test_the_pod_is_a_restricted_one_with_the_store_alone(any_user):
    place = ArtifactLocation.model_validate(
        {"pvc": {"claimName": "store"}, "image": "podium:1", "anyUser": any_user}
    )
    spec = build_reader("x", "team", place)["spec"]
    (container,) = spec["containers"]
    assert (container["image"], spec["automountServiceAccountToken"]) == ("podium:1", False)
    assert spec["volumes"] == [
        {"name": "podium-store", "persistentVolumeClaim": {"claimName": "store"}}
    ]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert ("runAsUser" in spec["securityContext"]) is not any_user
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
