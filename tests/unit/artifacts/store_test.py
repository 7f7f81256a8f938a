"""The artifact store over a directory: contents by digest, manifests last and once, sweeping."""

import hashlib
import os
import stat
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podium.artifacts import store as stores
from podium.artifacts.collection import sweep
from podium.artifacts.errors import ArtifactError, store_error
from podium.artifacts.manifest import Blob, Manifest
from podium.artifacts.settings import DirectorySettings, S3Settings, StaticKeys
from podium.artifacts.store import ArtifactStore
from tests.unit.artifacts.support import (
    directory_store,
    file_there_and_back,
    make,
    store_directory,
    there_and_back,
)


def blobs(root):
    return sorted(path for path in (root / "blobs").rglob("*") if path.is_file())


def test_contents_are_kept_by_their_digest_once(tmp_path, store):
    blob = store.put([b"he", b"llo"])
    digest = hashlib.sha256(b"hello").hexdigest()
    assert blob == Blob(digest, 5)
    place = tmp_path / "store/blobs/sha256" / digest[:2] / digest
    assert place.read_bytes() == b"hello"
    before = place.stat()
    assert store.put([b"hello"]) == blob
    assert place.stat().st_mtime_ns == before.st_mtime_ns, "it was not sent again"
    assert place.stat().st_ino == before.st_ino


def test_what_is_there_and_old_is_made_young(tmp_path, store):
    store.put([b"hello"])
    (place,) = blobs(tmp_path / "store")
    os.utime(place, (1, 1))
    inode = place.stat().st_ino
    store.put([b"hello"])
    assert time.time() - place.stat().st_mtime < 100
    assert place.stat().st_ino == inode, "it was not sent again"


def test_what_is_there_and_cut_short_is_written_again(tmp_path, store):
    blob = store.put([b"hello"])
    (place,) = blobs(tmp_path / "store")
    place.write_bytes(b"he")
    store.put([b"hello"])
    assert b"".join(store.read(blob)) == b"hello"


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 25, 95])
def test_contents_of_any_size_come_back(store, monkeypatch, size):
    monkeypatch.setattr(stores, "PIECE_BYTES", 10)
    data = os.urandom(size)
    blob = store.put([data[:7], data[7:]])
    assert (blob.size, blob.pieces) == (size, 0 if size <= 10 else -(-size // 10))
    assert b"".join(store.read(blob)) == data


def test_pieces_that_are_there_are_not_sent_again(tmp_path, store, monkeypatch):
    monkeypatch.setattr(stores, "PIECE_BYTES", 10)
    sent = []
    original = store.backend.put
    monkeypatch.setattr(
        store.backend, "put", lambda key, data: (sent.append(key), original(key, data))
    )
    store.put([b"a" * 10 + b"b" * 10 + b"c"])
    assert len(sent) == 4
    store.put([b"a" * 10 + b"b" * 10 + b"d"])
    assert len(sent) == 6, "the last piece and the list"


@pytest.mark.parametrize("change", [b"jello", b"hell", b"hello world", b""])
def test_what_was_changed_in_the_store_is_refused(tmp_path, store, change):
    blob = store.put([b"hello"])
    (place,) = blobs(tmp_path / "store")
    place.write_bytes(change)
    with pytest.raises(ArtifactError, match="was changed"):
        b"".join(store.read(blob))


def test_a_changed_list_of_pieces_is_refused(tmp_path, store, monkeypatch):
    monkeypatch.setattr(stores, "PIECE_BYTES", 10)
    blob = store.put([b"a" * 25])
    place = tmp_path / "store/blobs/sha256" / blob.digest[:2] / blob.digest
    place.write_bytes(place.read_bytes().replace(b"10", b"11"))
    with pytest.raises(ArtifactError, match="was changed"):
        b"".join(store.read(blob))


def test_what_is_missing_says_so(tmp_path, store):
    with pytest.raises(ArtifactError, match=f"in {tmp_path}.*not there") as caught:
        b"".join(store.read(Blob("0" * 64, 5)))
    assert caught.value.is_missing


def test_a_manifest_is_written_once(store):
    assert store.manifest("u", "n", "n-1") is None
    assert store.commit(Manifest("u", "n", "n-1"))
    assert not store.commit(Manifest("u", "n", "n-1"))
    assert store.manifest("u", "n", "n-1") == Manifest("u", "n", "n-1")
    assert [each.execution for each in store.manifests("u")] == ["n-1"]
    assert list(store.manifests("other")) == []


@pytest.mark.parametrize("name", ["..", "a/b", "", ".", "../x", "a\0", "a" * 300])
def test_no_key_is_made_of_a_path(store, name):
    for parts in ((name, "n", "n-1"), ("u", name, "n-1"), ("u", "n", name)):
        with pytest.raises(ArtifactError, match="part of a key"):
            store.commit(Manifest(*parts))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((b'"formatVersion":1', b'"formatVersion":2'), "format 2.*does not know"),
        ((b'"path":"d/f"', b'"path":"../f"'), "damaged.*'..'"),
        ((b'"path":"d/f"', b'"path":"/etc/f"'), "damaged.*absolute"),
        ((b'"mode":"644"', b'"mode":"4755"'), "damaged.*mode"),
        ((b'"size":1,', b'"size":-1,'), "damaged.*number of bytes"),
        ((b'"sha256":"', b'"sha256":"../'), "damaged.*digest"),
        ((b'"type":"Directory"', b'"type":"Device"'), "damaged.*Device"),
        ((b"{", b"[[["), "damaged"),
    ],
)
def test_a_manifest_that_was_changed_is_refused(tmp_path, store, change, words):
    source = make(tmp_path / "source", {"d/f": b"x"})
    (source / "d/f").chmod(0o644)
    artifact = store_directory(store, "a", "a", source, "source")
    data = Manifest("u", "n", "n-1", {"a": artifact}).dump()
    assert change[0] in data
    with pytest.raises(ArtifactError, match=words):
        Manifest.load(data.replace(*change), "here")


def test_a_stopped_store_ends_its_work(tmp_path):
    with directory_store(tmp_path / "store", is_stopped=lambda: True) as store:
        with pytest.raises(InterruptedError):
            store.put([b"x"])
        with pytest.raises(InterruptedError):
            next(store.read(Blob("0" * 64, 1)))


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot open the store in") as caught:
        directory_store(tmp_path / "file/store")
    assert caught.value.number is not None


# Sweeping


def keep(store, tmp_path, run, contents):
    source = make(tmp_path / f"of-{run}", {"f": contents})
    artifact = store_directory(store, "a", "a", source, "source")
    store.commit(Manifest(run, "n", "n-1", {"a": artifact}))
    return artifact


def age(root, seconds):
    for path in root.rglob("*"):
        os.utime(path, (time.time() - seconds,) * 2)


def test_a_sweep_removes_what_no_living_run_names(tmp_path, store):
    for run, contents in (("u1", b"one"), ("u2", b"two"), ("u3", b"one")):
        keep(store, tmp_path, run, contents)
    store.put([b"left by an upload that was cut"])
    age(tmp_path / "store", 100)
    assert len(blobs(tmp_path / "store")) == 3
    swept = sweep(store, {"u1"}, older_than=50)
    assert (swept.manifests, swept.objects) == (2, 2)
    assert swept.size > 0
    assert len(blobs(tmp_path / "store")) == 1
    assert store.manifest("u1", "n", "n-1") is not None
    assert store.manifest("u3", "n", "n-1") is None
    assert sweep(store, (), older_than=50).objects == 1


DAY = 24 * 3600


@pytest.mark.parametrize(
    ("retention", "living", "active", "remains"),
    [
        (None, True, True, True),
        (None, True, False, True),
        (None, False, False, False),
        (20 * DAY, False, False, True),
        (5 * DAY, True, False, False),
        (5 * DAY, True, True, True),
        (0, True, False, False),
        (0, False, False, False),
    ],
)
def test_a_sweep_obeys_what_a_manifest_says(tmp_path, store, retention, living, active, remains):
    artifact = keep(store, tmp_path, "other", b"one")
    store.commit(Manifest("u", "n", "n-1", {"a": artifact}, retention))
    assert store.manifest("u", "n", "n-1").retention == retention
    age(tmp_path / "store", 10 * DAY)
    runs = {"u"} if living else set()
    swept = sweep(store, runs, older_than=2 * DAY, active={"u"} if active else ())
    assert swept.manifests == (1 if remains else 2)
    assert len(blobs(tmp_path / "store")) == remains
    assert (store.manifest("u", "n", "n-1") is not None) is remains


def test_a_damaged_manifest_of_a_run_that_is_gone_goes(tmp_path, store):
    keep(store, tmp_path, "u1", b"one")
    (tmp_path / "store/runs/u1/n/n-1/manifest.json").write_text("{")
    age(tmp_path / "store", 100)
    assert sweep(store, (), older_than=50).manifests == 1


def test_a_sweep_leaves_what_is_young(tmp_path, store):
    keep(store, tmp_path, "u1", b"one")
    store.put([b"an upload goes on"])
    assert sweep(store, (), older_than=50).objects == 0
    assert len(blobs(tmp_path / "store")) == 2


def test_a_sweep_marks_pieces(tmp_path, store, monkeypatch):
    monkeypatch.setattr(stores, "PIECE_BYTES", 10)
    keep(store, tmp_path, "u1", os.urandom(100))
    found = len(blobs(tmp_path / "store"))
    assert found > 3
    assert sweep(store, {"u1"}, older_than=-1).objects == 0
    assert sweep(store, (), older_than=-1).objects == found


def test_a_sweep_removes_nothing_where_a_manifest_cannot_be_read(tmp_path, store):
    keep(store, tmp_path, "u1", b"one")
    keep(store, tmp_path, "u2", b"two")
    (tmp_path / "store/runs/u1/n/n-1/manifest.json").write_text("{")
    with pytest.raises(ArtifactError, match="damaged"):
        sweep(store, {"u1"}, older_than=-1)
    assert len(blobs(tmp_path / "store")) == 2
    assert store.manifest("u2", "n", "n-1") is not None


def test_a_sweep_leaves_what_became_young_meanwhile(tmp_path, store, monkeypatch):
    store.put([b"one"])
    age(tmp_path / "store", 100)
    original = store.backend.objects

    def objects(prefix):
        found = list(original(prefix))
        if prefix == "blobs/":
            for each in found:
                store.backend.refresh(each.key)
        return found

    monkeypatch.setattr(store.backend, "objects", objects)
    assert sweep(store, (), older_than=50).objects == 0


def test_an_upload_whose_contents_were_swept_meanwhile_does_not_succeed(tmp_path, store):
    store.put([b"one"])
    age(tmp_path / "store", 10 * 24 * 3600)
    store.put([b"one"])
    blobs(tmp_path / "store")[0].unlink()
    with pytest.raises(ArtifactError, match="removed meanwhile"):
        store.commit(Manifest("u", "n", "n-1"))


# Errors


def test_errors_keep_the_code_and_no_secret():
    keys = StaticKeys("id", "S3CR3T-canary", "T0K3N-canary")
    settings = S3Settings("b", keys, certificate_authority="PEM-canary")
    assert "canary" not in repr(settings) + str(settings)
    text = (
        "The operation failed S3CR3T-canary: <Error><Code>NoSuchBucket</Code><X>y</X></Error>"
        "\n\nDebug source:\nUnauthenticated { secret: T0K3N-canary }"
    )
    error = store_error(FileNotFoundError(text), "write x", str(settings), settings.secrets)
    assert str(error) == (
        "cannot write x in the bucket 'b': there is no such bucket: make it, or name another"
        " (NoSuchBucket)"
    )
    assert (error.is_missing, error.is_retryable, error.code) == (False, False, "NoSuchBucket")
    unknown = text.replace("NoSuchBucket", "Weird")
    error = store_error(RuntimeError(unknown), "write x", str(settings), settings.secrets)
    assert "canary" not in str(error)
    assert "(Weird)" in str(error)
    assert error.is_retryable


# Round trips

NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=40
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)
TREES = st.recursive(
    st.tuples(st.binary(max_size=3000), st.sampled_from([0o644, 0o755, 0o400, 0o600])),
    lambda below: st.dictionaries(NAMES, below, max_size=4),
    max_leaves=12,
)


def write(path, contents):
    if isinstance(contents, dict):
        path.mkdir()
        for name, below in contents.items():
            write(path / name, below)
    else:
        path.write_bytes(contents[0])
        path.chmod(contents[1])


def read(path):
    if path.is_dir():
        return {each.name: read(each) for each in path.iterdir()}
    return path.read_bytes(), stat.S_IMODE(path.stat().st_mode)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(contents=st.dictionaries(NAMES, TREES, max_size=4))
def test_any_directory_comes_back_as_it_was(tmp_path_factory, contents):
    base = tmp_path_factory.mktemp("tree")
    write(base / "source", contents)
    with directory_store(base / "store") as store:
        first, back = there_and_back(store, base / "source", base / "target")
        assert read(back) == contents
        second, _ = there_and_back(store, back, base / "again")
    assert first == second, "equal directories have equal digests"


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(max_size=5000), mode=st.sampled_from([0o644, 0o755, 0o400, 0o600]))
def test_any_file_comes_back_as_it_was(tmp_path_factory, data, mode):
    base = tmp_path_factory.mktemp("file")
    make(base / "source", {"f": data})
    (base / "source/f").chmod(mode)
    with directory_store(base / "store") as store:
        artifact, back = file_there_and_back(store, base / "source", base / "target")
    assert (back.read_bytes(), stat.S_IMODE(back.stat().st_mode)) == (data, mode)
    assert artifact.entries[0].digest == hashlib.sha256(data).hexdigest()


def test_what_is_durable_is_on_the_disk_before_it_counts(tmp_path, monkeypatch):
    synced = []
    sync = os.fsync

    def note(file):
        synced.append(str(Path(f"/proc/self/fd/{file}").readlink()))
        sync(file)

    monkeypatch.setattr(os, "fsync", note)
    root = tmp_path / "store"
    with ArtifactStore(DirectorySettings(root, is_durable=True)) as store:
        blob = store.put([b"hello"])
        place = root / "blobs/sha256" / blob.digest[:2] / blob.digest
        assert synced == [str(each) for each in (place, *place.parents)][:5]
        assert synced[-1] == str(root)
        synced.clear()
        assert store.commit(Manifest("u", "n", "n-1"))
        assert synced[0] == str(root / "runs/u/n/n-1/manifest.json")
        synced.clear()
        assert not store.commit(Manifest("u", "n", "n-1"))
    with ArtifactStore(DirectorySettings(tmp_path / "other")) as store:
        store.put([b"hello"])
    assert synced == []


def test_items_of_maps_have_keys_of_their_own():
    nodes = ("ask", "ask[0]", "ask[1]", "ask[10]", "ask.m", "ask[0].m", "ask[1].m")
    keys = {stores._manifest_key("run", node, f"{node}-1") for node in nodes}
    assert len(keys) == len(nodes)
    assert "runs/run/ask.0/ask.0-1/manifest.json" in keys
    for hostile in ("ask[x]", "ask[0", "[0]", "ask[]", "a/b[0]", "..[0]"):
        with pytest.raises(ArtifactError, match="part of a key"):
            stores._manifest_key("run", hostile, "n-1")
