"""Sweeping a bucket: what no run needs any more goes, of each namespace by itself."""

import asyncio
import os

import pytest

from podium.artifacts.collection import Swept
from podium.artifacts.pod import Task, load_store
from podium.cluster import artifact_sweep
from podium.cluster.artifact_sweep import sweep_artifacts
from podium.cluster.jobs.artifact_store import store_told
from podium.cluster.settings import Settings
from tests.unit.artifacts.pod_test import stored
from tests.unit.artifacts.s3 import KEYS, S3Server
from tests.unit.artifacts.support import make

OLD = 3 * 24 * 3600


class Cluster:
    """Lists runs."""

    def __init__(self, *runs):
        self.runs = runs

    async def run_uids(self, namespace):
        for where, uid in self.runs:
            if namespace in ("", where):
                yield where, uid


@pytest.fixture
def server(tmp_path):
    server = S3Server(tmp_path / "s3")
    server.bucket("artifacts")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def keys(tmp_path):
    files = {"accessKeyId": KEYS.access_key_id, "secretAccessKey": KEYS.secret_access_key}
    return make(tmp_path / "keys", {name: text.encode() for name, text in files.items()})


@pytest.mark.parametrize("prefix", ["", "one/cluster"])
def test_each_namespace_is_swept_by_its_own_runs(tmp_path, server, keys, prefix):
    bucket = {"bucket": "artifacts", "endpoint": server.endpoint, "credentialsSecret": "keys"}
    settings = Settings(artifacts={"s3": {**bucket, "prefix": prefix}})
    out = make(tmp_path / "out", {"f": b"same"})
    for namespace, uid in (("a", "1"), ("a", "2"), ("b", "1"), ("gone", "3")):
        place = load_store({"PODIUM_STORE": store_told(namespace, settings.artifacts)}, keys)
        stored(Task(uid, "n", "n-1"), place, out)
    root = server.root / "artifacts" / prefix
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


def test_nothing_is_removed_where_the_runs_are_not_known(tmp_path, server, keys, monkeypatch):
    class Refuses(Cluster):
        async def run_uids(self, _namespace):
            raise PermissionError("no")
            yield

    monkeypatch.setattr(artifact_sweep, "sweep", lambda *_: pytest.fail("it swept"))
    bucket = {"bucket": "artifacts", "endpoint": server.endpoint, "credentialsSecret": "keys"}
    settings = Settings(artifacts={"s3": bucket})
    place = load_store({"PODIUM_STORE": store_told("a", settings.artifacts)}, keys)
    stored(Task("1", "n", "n-1"), place, make(tmp_path / "out", {"f": b"x"}))
    with pytest.raises(PermissionError):
        asyncio.run(sweep_artifacts(Refuses(), settings, keys))
    with pytest.raises(ValueError, match="no bucket to sweep"):
        asyncio.run(sweep_artifacts(Cluster(), Settings(), keys))
