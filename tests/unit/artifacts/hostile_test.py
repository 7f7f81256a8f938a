"""Archives and directories that were made to do harm: nothing is written outside, or without end."""

import hashlib
import io
import os
import socket
import tarfile

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podium.api.artifact_rules import ArtifactType
from podium.artifacts import limits, pack, unpack
from podium.artifacts.errors import ArtifactError
from podium.artifacts.limits import Limits
from podium.artifacts.manifest import Artifact, Blob, Entry, Format
from podium.artifacts.unpack import Unpacking
from tests.unit.artifacts.support import (
    archive,
    as_artifact,
    directory,
    directory_store,
    link,
    make,
    store_directory,
    store_file,
    there_and_back,
    tree,
)


def refused(store, tmp_path, artifact, words, path="a", **more):
    """Unpack, which must fail; nothing may have been written outside."""
    outside = make(tmp_path / "outside", {"secret": b"before"})
    before = tree(outside)
    target = tmp_path / "target"
    target.mkdir()
    with (
        pytest.raises((ArtifactError, OSError), match=words),
        Unpacking(target, **more) as unpacking,
    ):
        unpacking.add(store, artifact, path)
    assert tree(outside) == before
    assert {path.name for path in tmp_path.iterdir()} <= {"outside", "target", "store"}
    for path in target.rglob("*"):
        assert not path.is_symlink()
    return target


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("../escaped", b"x")], r"\.\."),
        ([("d/../../escaped", b"x")], r"\.\."),
        ([("/tmp/s16-escaped", b"x")], "absolute"),
        ([("./f", b"x")], "'\\.'"),
        ([("d//f", b"x")], "empty part"),
        ([(link("l", "../outside"), None)], "symbolic link"),
        ([(link("l", "../outside"), None), ("l/secret", b"x")], "symbolic link"),
        ([(link("l", "../outside/secret", tarfile.LNKTYPE), None)], "hard link"),
        ([(link("l", "", tarfile.CHRTYPE), None)], "device"),
        ([(link("l", "", tarfile.BLKTYPE), None)], "device"),
        ([(link("l", "", tarfile.FIFOTYPE), None)], "FIFO"),
        ([(link("l", "", tarfile.CONTTYPE), None)], "only files"),
        ([(link("l", "", b"S"), None)], "only files"),
        ([(link("l", "", b"L"), None)], "only files"),
        ([(link("l", "", b"g"), None)], "only files"),
    ],
)
def test_members_that_lead_out_are_refused(tmp_path, store, members, words):
    # The manifest lists them too: whoever writes to the store writes both.
    listed = [
        (m if isinstance(m, str) else m.name, contents)
        for m, contents in members
        if contents is not None
    ]
    refused(store, tmp_path, as_artifact(store, archive(*members), *listed), words)


def test_the_archive_of_cve_2025_4517_is_refused(tmp_path, store):
    """Directories whose names together pass PATH_MAX, links that realpath gives up on."""
    part, members, path = "d" * 247, [], ""
    for letter in "abcdefghijklmnop":
        members.append((directory(f"{path}{part}"), None))
        members.append((link(f"{path}{letter}", part), None))
        path += f"{part}/"
    long = "/".join("abcdefghijklmnop") + "/" + "l" * 254
    members.append((link(long, "../" * 16), None))
    members.append((link("escape", f"{long}/../../outside"), None))
    members.append((link("flag", "escape/secret", tarfile.LNKTYPE), None))
    members.append(("flag", b"overwritten"))
    refused(
        store,
        tmp_path,
        as_artifact(store, archive(*members), (part, None), ("flag", b"overwritten")),
        "symbolic link|longer|path",
    )


def test_the_same_without_links_stays_inside(tmp_path, store):
    """SECURITY: a link that is there already is not followed either."""
    target = make(tmp_path / "target", {})
    make(tmp_path / "outside", {"secret": b"before"})
    (target / "d").symlink_to(tmp_path / "outside")
    artifact = as_artifact(store, archive(("secret", b"x")), ("secret", b"x"))
    with pytest.raises(OSError, match="d"), Unpacking(target) as unpacking:
        unpacking.add(store, artifact, "d")
    (target / "f").symlink_to(tmp_path / "outside/secret")
    file = store_file(store, "f", "f", make(tmp_path / "source", {"f": b"x"}), "f")
    with pytest.raises(FileExistsError), Unpacking(target) as unpacking:
        unpacking.add(store, file, "f")
    with pytest.raises(OSError, match="d"), Unpacking(target) as unpacking:
        unpacking.add(store, file, "d/secret")
    assert (tmp_path / "outside/secret").read_bytes() == b"before"


@pytest.mark.parametrize(
    ("members", "listed", "words"),
    [
        ([("f", b"x"), ("f", b"x")], [("f", b"x")], "comes twice"),
        ([(directory("d"), None), (directory("d"), None)], [("d", None)], "comes twice"),
        ([("f", b"x"), ("g", b"x")], [("f", b"x")], "not in the manifest"),
        ([("f", b"x")], [("f", b"x"), ("g", b"x")], "'g' is missing"),
        ([("f", b"x")], [("f", b"y")], "not what the manifest says"),
        ([("f", b"xx")], [("f", b"x")], "not what the manifest says"),
        ([("f", b"x")], [("f", None)], "not what the manifest says"),
        ([(directory("f"), None)], [("f", b"")], "not what the manifest says"),
        ([("d/f", b"x")], [("d/f", b"x")], "No such file"),
        ([("f", b"x"), ("f/g", b"x")], [("f", b"x"), ("f/g", b"x")], "Not a directory"),
    ],
)
def test_what_the_manifest_does_not_say_is_refused(tmp_path, store, members, listed, words):
    refused(store, tmp_path, as_artifact(store, archive(*members), *listed), words)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:700],
        lambda data: data[:100],
        lambda data: b"",
        lambda data: b"\1" + data[1:],
        lambda data: data[:257] + b"other " + data[263:],
        lambda data: data.replace(b"0000001", b"000000x", 1),
        lambda data: b"PK\3\4" * 1000,
    ],
)
def test_damaged_archives_are_refused(tmp_path, store, change):
    data = archive(("f", b"x"), compress=False)
    for kind, packed in ((Format.TAR, change(data)), (Format.TAR_ZSTD, change(data))):
        artifact = as_artifact(store, packed, ("f", b"x"), kind=kind)
        target = tmp_path / kind.value
        target.mkdir()
        with pytest.raises(ArtifactError, match="refused"), Unpacking(target) as unpacking:
            unpacking.add(store, artifact, "a")


@pytest.mark.parametrize(
    "header",
    [
        {"path": "../escaped"},
        {"path": "/escaped"},
        {"size": "-1"},
        {"size": "9" * 40},
        {"linkpath": "../outside"},
        {"GNU.sparse.major": "1", "GNU.sparse.name": "../escaped"},
        {"path": "x" * 20_000},
        {"path": "d/" * 101 + "f"},
    ],
)
def test_hostile_headers_are_refused(tmp_path, store, header):
    info = tarfile.TarInfo("f")
    info.pax_headers = header
    data = archive((info, b"x"))
    refused(store, tmp_path, as_artifact(store, data, ("f", b"x")), "refused")


def test_a_bomb_is_refused_before_it_fills_anything(tmp_path, store):
    zeros = 8 << 30
    packing = zstandard.ZstdCompressor(level=19).compressobj()
    info = tarfile.TarInfo("f")
    info.size = zeros
    parts = [packing.compress(info.tobuf(tarfile.PAX_FORMAT))]
    part = bytes(64 << 20)
    parts += [packing.compress(part) for _ in range(4)]  # the rest would look the same
    data = b"".join([*parts, packing.flush()])
    assert len(data) < 100_000
    artifact = Artifact(
        "a",
        "a",
        ArtifactType.DIRECTORY,
        Format.TAR_ZSTD,
        store.put([data]),
        (Entry("", 0o755), Entry("f", 0o644, zeros, "0" * 64)),
    )
    target = refused(store, tmp_path, artifact, "archive bomb")
    assert sum(path.stat().st_size for path in target.rglob("f")) < 200 << 20


def test_a_frame_that_wants_much_memory_is_refused(tmp_path, store):
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    packing = zstandard.ZstdCompressor(compression_params=parameters)
    data = packing.stream_writer(made := io.BytesIO(), closefd=False)
    data.write(archive(("f", b"x"), compress=False))
    data.flush(zstandard.FLUSH_FRAME)
    refused(store, tmp_path, as_artifact(store, made.getvalue(), ("f", b"x")), "decompressed")


def test_more_than_the_limits_allow_is_refused(tmp_path, store):
    artifact = as_artifact(store, archive(("f", b"xx")), ("f", b"xx"))
    refused(store, tmp_path, artifact, "1 bytes in", limits=Limits(size=1))
    (tmp_path / "target").rmdir()
    refused(store, tmp_path, artifact, "is the limit", limits=Limits(entries=1))


def test_a_blob_that_claims_to_be_huge_is_refused(tmp_path, store):
    blob = store.put([b"x"])
    for claim in (Blob(blob.digest, 1 << 40), Blob(blob.digest, 1 << 40, pieces=1 << 16)):
        entry = Entry("", 0o644, claim.size, "0" * 64)
        artifact = Artifact("f", "f", ArtifactType.FILE, Format.RAW, claim, (entry,))
        with pytest.raises(ArtifactError), Unpacking(tmp_path) as unpacking:
            unpacking.add(store, artifact, "f")


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    data=st.one_of(
        st.binary(max_size=3000),
        st.builds(
            lambda at, byte: _changed(
                archive(("f", b"x" * 600), ("g", b"y"), compress=False), at, byte
            ),
            st.integers(0, 3000),
            st.integers(0, 255),
        ),
    )
)
def test_no_bytes_do_more_than_be_refused(tmp_path_factory, data):
    base = tmp_path_factory.mktemp("fuzz")
    (base / "target").mkdir()
    with directory_store(base / "store") as store:
        listed = (("f", b"x" * 600), ("g", b"y"))
        artifact = as_artifact(store, data, *listed, kind=Format.TAR)
        try:
            with Unpacking(base / "target") as unpacking:
                unpacking.add(store, artifact, "a")
        except ArtifactError:
            pass
        else:
            assert (base / "target/a/f").read_bytes() == b"x" * 600
    assert {path.name for path in base.iterdir()} == {"store", "target"}


def _changed(data, at, byte):
    return data[:at] + bytes([byte]) + data[at + 1 :]


# What a program left


def test_links_and_other_things_are_not_packed(tmp_path, store):
    for kind, place in (("link", "d/l"), ("FIFO", "d/p"), ("socket", "d/s")):
        source = make(tmp_path / kind, {"d/f": b"x"})
        if kind == "link":
            (source / place).symlink_to("f")
        elif kind == "FIFO":
            os.mkfifo(source / place)
        else:
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(str(source / place))
        words = f"out/{place} is a {'symbolic link' if kind == 'link' else kind}: artifacts hold"
        with pytest.raises(ArtifactError, match=words):
            store_directory(store, "a", "a", source, "out")


def test_a_file_is_not_read_through_a_link(tmp_path, store):
    source = make(tmp_path / "source", {"f": b"x", "d": None})
    (source / "l").symlink_to("f")
    (source / "m").symlink_to("d")
    for path in ("l", "m/f"):
        with pytest.raises(ArtifactError, match=f"out/{path} is a symbolic link"):
            store_file(store, "a", path, source, f"out/{path}")
    with pytest.raises(ArtifactError, match="is a directory, and type says File"):
        store_file(store, "a", "d", source, "out/d")
    os.mkfifo(source / "p")
    with pytest.raises(ArtifactError, match="a FIFO"):
        store_file(store, "a", "p", source, "out/p")


def test_a_directory_without_end_is_not_packed(tmp_path, store, monkeypatch):
    source = make(tmp_path / "deep", {"/".join(["d"] * 101) + "/f": b"x"})
    with pytest.raises(ArtifactError, match="deeper than 100"):
        store_directory(store, "a", "a", source, "out")
    monkeypatch.setattr(pack, "MAX_ENTRIES", 3)
    source = make(tmp_path / "wide", {f"f{i}": b"" for i in range(5)})
    with pytest.raises(ArtifactError, match="more than 3 files"):
        store_directory(store, "a", "a", source, "out")


def test_names_that_are_not_utf_8_are_refused(tmp_path, store):
    source = make(tmp_path / "source", {})
    (source / os.fsdecode(b"caf\xe9")).write_bytes(b"x")
    with pytest.raises(ArtifactError, match="not UTF-8"):
        store_directory(store, "a", "a", source, "out")


def test_what_compresses_like_a_bomb_still_comes_back(tmp_path, store, monkeypatch):
    for module in (pack, unpack):
        monkeypatch.setattr(module, "MIN_RATIO_BYTES", 1 << 20)
    assert limits.MIN_RATIO_BYTES > 1 << 20
    source = make(tmp_path / "source", {"f": bytes(20 << 20)})
    artifact, back = there_and_back(store, source, tmp_path / "target")
    assert artifact.format is Format.TAR
    assert hashlib.sha256((back / "f").read_bytes()).hexdigest() == artifact.entries[1].digest


def test_unpacked_read_only_nothing_may_be_written_to(tmp_path, store):
    source = make(tmp_path / "source", {"d/f": b"x", "d/run": b"x"})
    (source / "d/run").chmod(0o755)
    (source / "d/f").chmod(0o640)
    there_and_back(store, source, tmp_path / "target", read_only=True)
    modes = {path: mode & 0o777 for path, (mode, _) in tree(tmp_path / "target").items()}
    assert (modes["a/d/f"], modes["a/d/run"]) == (0o440, 0o555)
    assert not any(mode & 0o222 for mode in modes.values())
    for path in ("a/d", "a"):
        (tmp_path / "target" / path).chmod(0o700)


def test_set_uid_bits_do_not_come_back(tmp_path, store):
    source = make(tmp_path / "source", {"run": b"x"})
    (source / "run").chmod(0o6755)
    _, back = there_and_back(store, source, tmp_path / "target")
    assert (back / "run").stat().st_mode & 0o7777 == 0o755


def test_what_cannot_be_read_is_named(tmp_path, store, monkeypatch):
    source = make(tmp_path / "source", {"d/e/f": b"x"})
    original = os.scandir

    def scandir(directory):
        if os.path.samestat(os.fstat(directory), (source / "d/e").stat()):
            raise PermissionError(13, "Permission denied")
        return original(directory)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(
        ArtifactError, match=r"out/d/e/? cannot be read: Permission denied"
    ) as caught:
        store_directory(store, "a", "a", source, "out")
    assert caught.value.is_content
