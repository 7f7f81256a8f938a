"""Sweeping a bucket: what no run needs any more goes, of each namespace by itself."""

import asyncio
import os

import pytest

from podium.artifacts.collection import Swept
from podium.artifacts.pod import Task, load_store
from podium.cluster import artifact_sweep
from podium.cluster.artifact_sweep import sweep_artifacts, sweep_namespace
from podium.cluster.jobs.artifact_store import store_told
from podium.cluster.kube.errors import ApiError
from podium.cluster.settings import Settings
from tests.unit.artifacts.pod_test import stored
from tests.unit.artifacts.s3 import KEYS
from tests.unit.artifacts.support import make

OLD = 3 * 24 * 3600


class Cluster:
    """Lists runs."""

    def __init__(self, *runs):
        self.runs = self.active = runs
        self.cannot_tell, self.stores = False, {}

    async def run_uids(self, namespace, *, only_active=False):
        if only_active and self.cannot_tell:
            raise ApiError(400, "BadRequest", "field label not supported")
        for where, uid in self.active if only_active else self.runs:
            if namespace in ("", where):
                yield where, uid

    async def get_artifact_store(self, namespace, name):
        return self.stores[namespace, name]


@pytest.fixture
def keys(tmp_path):
    files = {"accessKeyId": KEYS.access_key_id, "secretAccessKey": KEYS.secret_access_key}
    return make(tmp_path / "keys", {name: text.encode() for name, text in files.items()})


@pytest.mark.parametrize("prefix", ["", "one/cluster"])
def test_each_namespace_is_swept_by_its_own_runs(tmp_path, s3_server, keys, prefix):
    bucket = {"bucket": "artifacts", "endpoint": s3_server.endpoint, "credentialsSecret": "keys"}
    settings = Settings(artifacts={"s3": {**bucket, "prefix": prefix}})
    out = make(tmp_path / "out", {"f": b"same"})
    for namespace, uid in (("a", "1"), ("a", "2"), ("b", "1"), ("gone", "3")):
        place = load_store({"PODIUM_STORE": store_told(namespace, settings.artifacts)}, keys)
        stored(Task(uid, "n", "n-1"), place, out)
    root = s3_server.root / "artifacts" / prefix
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (path.stat().st_mtime - OLD,) * 2)
    fresh = load_store({"PODIUM_STORE": store_told("gone", settings.artifacts)}, keys)
    (out / "f").write_bytes(b"young")
    stored(Task("4", "n", "n-1"), fresh, out)

    def manifests():
        found = root.rglob("manifest.json")
        return sorted("/".join(each.relative_to(root).parts[:3:2]) for each in found)

    limited = settings.model_copy(update={"namespaces": ["b"]})
    assert asyncio.run(sweep_artifacts(Cluster(("b", "1")), limited, keys)) == {"b": Swept(0, 0, 0)}
    assert manifests() == ["a/1", "a/2", "b/1", "gone/3", "gone/4"]
    runs = Cluster(("a", "2"), ("b", "1"), ("other", "5"))
    done = asyncio.run(sweep_artifacts(runs, settings, keys))
    assert {name: each.manifests for name, each in done.items()} == {"a": 1, "b": 0, "gone": 1}
    assert manifests() == ["a/2", "b/1", "gone/4"]
    assert done["a"].objects == 0, "another run has the same contents"
    assert done["gone"].objects == 1


def test_nothing_is_removed_where_the_runs_are_not_known(tmp_path, s3_server, keys, monkeypatch):
    class Refuses(Cluster):
        async def run_uids(self, _namespace, **_):
            raise PermissionError("no")
            yield

    monkeypatch.setattr(artifact_sweep, "sweep", lambda *_: pytest.fail("it swept"))
    bucket = {"bucket": "artifacts", "endpoint": s3_server.endpoint, "credentialsSecret": "keys"}
    settings = Settings(artifacts={"s3": bucket})
    place = load_store({"PODIUM_STORE": store_told("a", settings.artifacts)}, keys)
    stored(Task("1", "n", "n-1"), place, make(tmp_path / "out", {"f": b"x"}))
    with pytest.raises(PermissionError):
        asyncio.run(sweep_artifacts(Refuses(), settings, keys))
    with pytest.raises(ValueError, match="no bucket to sweep"):
        asyncio.run(sweep_artifacts(Cluster(), Settings(), keys))


def kept_in(root):
    return sorted(each.relative_to(root).parts[1] for each in root.rglob("manifest.json"))


def grown_old(root):
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (path.stat().st_mtime - OLD,) * 2)


def test_a_volume_is_swept_from_inside_its_namespace(tmp_path):
    settings = Settings(artifacts={"pvc": {"claimName": "store"}})
    volume = tmp_path / "volume"
    place = load_store({"PODIUM_STORE": "{}"}, volume)
    out = make(tmp_path / "out", {"f": b"x"})
    for uid in ("1", "2"):
        stored(Task(uid, "n", "n-1"), place, out)
    grown_old(volume)
    runs = Cluster(("a", "1"), ("b", "2"))
    done = asyncio.run(sweep_namespace(runs, settings, volume, "a", ""))
    assert (done.manifests, kept_in(volume)) == (1, ["1"])
    with pytest.raises(ValueError, match="name an ArtifactStore"):
        asyncio.run(sweep_namespace(runs, Settings(), volume, "a", ""))


def test_an_artifact_store_is_swept_with_its_own_keys_and_retention(tmp_path, s3_server, keys):
    bucket = {"bucket": "artifacts", "endpoint": s3_server.endpoint, "credentialsSecret": "team"}
    body = {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "ArtifactStore",
        "metadata": {"name": "team", "uid": "u"},
        "spec": {"s3": bucket},
    }
    artifacts = Settings(artifacts={"s3": bucket}).artifacts
    place = load_store({"PODIUM_STORE": store_told("a", artifacts)}, keys)
    for uid, retention in (("ended", 60), ("runs", 60), ("kept", None), ("gone", 90 * 24 * 3600)):
        out = make(tmp_path / uid, {"f": uid.encode()})
        stored(Task(uid, "n", "n-1", retention=retention), place, out)
    root = s3_server.root / "artifacts" / "a"
    grown_old(root)
    cluster = Cluster(*(("a", uid) for uid in ("ended", "runs", "kept")))
    cluster.active = [("a", "runs")]
    cluster.stores["a", "team"] = body
    cluster.cannot_tell = True
    done = asyncio.run(sweep_namespace(cluster, Settings(), keys, "a", "team"))
    assert done.manifests == 0, "any run may be under way"
    cluster.cannot_tell = False
    done = asyncio.run(sweep_namespace(cluster, Settings(), keys, "a", "team"))
    assert done.manifests == done.objects == 1
    assert kept_in(root) == ["gone", "kept", "runs"]
    body["spec"] = {}
    with pytest.raises(ValueError, match="is not valid"):
        asyncio.run(sweep_namespace(cluster, Settings(), keys, "a", "team"))
