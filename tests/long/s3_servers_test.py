"""The store over S3 servers of two projects, killed in mid-upload and away for half a minute."""

import os
import time
from dataclasses import replace

import pytest

from podium.artifacts import store as stores
from podium.artifacts.collection import sweep
from podium.artifacts.errors import ArtifactError
from podium.artifacts.manifest import Manifest
from podium.artifacts.settings import StaticKeys
from podium.artifacts.store import ArtifactStore
from tests.long.seaweedfs import SeaweedServer
from tests.unit.artifacts.s3 import S3Server
from tests.unit.artifacts.support import make, there_and_back, tree, upload_while

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

AWAY_SECONDS = 30


@pytest.fixture(scope="module", params=["versitygw", "seaweedfs"])
def server(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    made = S3Server(root / "buckets") if request.param == "versitygw" else SeaweedServer(root)
    made.start()
    yield made
    made.kill()


def test_a_directory_goes_there_and_back_and_is_swept(server, tmp_path):
    files = {"a b/#?%.txt": os.urandom(5000), "é/ü": b"", "empty": None, "d/run": b"#!/bin/sh"}
    source = make(tmp_path / "source", files)
    with ArtifactStore(replace(server.bucket("tree"), prefix="team")) as store:
        artifact, back = there_and_back(store, source, tmp_path / "target")
        assert tree(back) == tree(source)
        assert store.commit(Manifest("u", "n", "n-1", {"a": artifact}))
        assert not store.commit(Manifest("u", "n", "n-1")), "the manifest is written once"
        assert store.manifest("u", "n", "n-1").artifacts == {"a": artifact}
        assert store.manifest("u", "n", "n-2") is None
        assert [each.execution for each in store.manifests("u")] == ["n-1"]
        again, _ = there_and_back(store, source, tmp_path / "again")
        assert again.blob == artifact.blob
        assert sweep(store, ["u"], older_than=-1).objects == 0
        assert sweep(store, (), older_than=-1).objects >= 1
        with pytest.raises(ArtifactError):
            b"".join(store.read(artifact.blob))


def test_what_is_old_is_made_young(server, monkeypatch):
    monkeypatch.setattr(stores, "REFRESH_SECONDS", -1)
    with ArtifactStore(server.bucket("young")) as store:
        blob = store.put([b"hello"])
        (before,) = store.backend.objects("blobs/")
        time.sleep(1.1)
        assert store.put([b"hello"]) == blob
        (after,) = store.backend.objects("blobs/")
        assert after.changed_at > before.changed_at
        assert list(store.backend.objects("moving/")) == []
        assert store.commit(Manifest("u", "n", "n-1"))


def test_what_it_refuses_is_said(server):
    settings = server.bucket("refused")
    for change in (
        {"bucket": "nowhere"},
        {"credentials": StaticKeys("podium-tests", "wrong-secret-canary")},
        {"credentials": StaticKeys("nobody", "wrong-secret-canary")},
    ):
        began = time.monotonic()
        with ArtifactStore(replace(settings, **change)) as store:
            with pytest.raises(ArtifactError) as caught:
                store.put([b"hello"])
            with pytest.raises(ArtifactError):
                store.commit(Manifest("u", "n", "n-1"))
        assert not caught.value.is_retryable, caught.value
        assert caught.value.code
        assert "canary" not in str(caught.value)
        assert time.monotonic() - began < 30


def test_an_upload_outlives_a_server_that_is_away(server, monkeypatch):
    monkeypatch.setattr(stores, "PIECE_BYTES", 1 << 20)

    def away():
        server.kill()
        return server.start

    with ArtifactStore(replace(server.bucket("outage"), retry_seconds=280)) as store:
        upload_while(store, away, AWAY_SECONDS)
