"""podium --cluster artifacts: through an API server that runs the Pod's programs here."""

import pytest

from podium.api.artifact_stores import ArtifactLocation
from podium.api.names import API_VERSION
from podium.artifacts.pod import Task, load_store
from podium.cli.cluster.artifact_store import build_reader
from podium.cluster.jobs.artifact_store import store_told
from podium.cluster.settings import Settings
from podium.engine import digest_of
from tests.unit.artifacts.pod_test import stored
from tests.unit.artifacts.s3 import KEYS
from tests.unit.artifacts.support import make
from tests.unit.cli.cluster.api_server import POD, ApiServer
from tests.unit.cli.support import Directory


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
    shard = {
        "metadata": {
            "name": "r-0",
            "ownerReferences": [
                {"apiVersion": API_VERSION, "kind": "WorkflowRun", "uid": "uid", "controller": True}
            ],
        },
        "nodes": {"build": {"status": "Completed", "executionId": "build-1", "artifacts": digest}},
    }
    api = ApiServer(cluster / "keys")
    api.shards = [shard]
    api.runs["r"] = {
        "metadata": {"name": "r", "namespace": "team", "uid": "uid"},
        "status": {
            "phase": "Running",
            "artifactStore": location,
            "nodes": {"plain": {"status": "Completed", "executionId": "plain-1"}},
            "shards": [{"name": "r-0", "nodes": 1, "hash": digest_of(shard["nodes"])}],
        },
    }
    with api.running(tmp_path / "kubeconfig"):
        yield api


class Here(Directory):
    """A directory of a user of that server."""

    def __init__(self, path):
        path.mkdir()
        super().__init__(path)

    def podium(self, *arguments, code=0):
        kubeconfig = str(self.path.parent / "kubeconfig")
        return super().podium("artifacts", *arguments, code=code, KUBECONFIG=kubeconfig)


CLUSTER = ("--cluster", "-n", "team", "--kube-context", "prod")


def test_ls_get_and_rm(tmp_path, there, s3_server):
    here = Here(tmp_path / "here")
    lines = here.podium("ls", "@latest", *CLUSTER).stdout.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [
        ["build", "build-1", "more", "Directory"],
        ["build", "build-1", "report", "File"],
    ]
    assert there.calls[-1][0] == "DELETE", "the Pod goes"
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
    assert there.calls[-1][0] == "DELETE"


def test_a_shard_that_was_changed_is_not_read(tmp_path, there):
    there.shards[0]["nodes"]["build"]["executionId"] = "build-2"
    refused = Here(tmp_path / "here").podium("ls", "r", *CLUSTER, code=2)
    assert "are being replaced, or were changed: try again (WorkflowRunNodes r-0)" in refused.stderr


def test_refusals(tmp_path, there):
    here = Here(tmp_path / "here")
    for arguments, said in (
        (("ls", "other"), "there is no run other in namespace team"),
        (("ls", "r", "nope"), "run r has no node 'nope': nodes are build, plain"),
        (("ls", "r", "build.report"), "without .NAME"),
        (("ls", "r", "-o", "dir"), "ls prints a table, json or yaml"),
        (("get", "r"), "podium artifacts ls r lists them"),
        (("rm", "r", "build"), "name only the run"),
    ):
        assert said in here.podium(*arguments, *CLUSTER, code=2).stderr
    assert ("POST", POD) not in there.calls
    there.refuse_exec = True
    refused = here.podium("ls", "r", *CLUSTER, code=2).stderr
    assert "you may not run programs in Pods here (create pods/exec)" in refused
    assert there.calls[-1][0] == "DELETE"


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
