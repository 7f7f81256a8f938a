"""Files and directories on their way into a store.

A directory is a tar archive whose order, times and owners are fixed, so that equal directories have
equal digests, compressed by zstd. A single file stays as it is.
"""

import errno
import hashlib
import os
import stat
import tarfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from podium.api.artifact_rules import ArtifactType
from podium.artifacts.errors import ArtifactError
from podium.artifacts.limits import MAX_ENTRIES, MAX_RATIO, MIN_RATIO_BYTES
from podium.artifacts.manifest import Artifact, Entry, Format
from podium.artifacts.paths import DIRECTORY_FLAGS, FILE_FLAGS, kind_of, not_kept, open_below, walk
from podium.artifacts.store import ArtifactStore

__all__ = ["Source", "store_artifact"]

_CHUNK = 1 << 20
_AHEAD = 16
"""Chunks that wait for their digest, at most."""
_BLOCK = 512
_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Source:
    """Where an artifact is found: below the directory `root`, empty: the directory itself."""

    root: Path
    path: str
    shown: str
    """What messages call it."""
    skipped: frozenset[str] = frozenset()
    """Paths below it that are left out."""


def store_artifact(
    store: ArtifactStore,
    name: str,
    path: str,
    source: Source,
    wanted: ArtifactType | None = None,
) -> Artifact | None:
    """Store a file or a directory; None: it is not there.

    `path` is where it lies among what the node left. Raises `ArtifactError`, `OSError`, and
    `InterruptedError` once the store is stopped.
    """
    found = _open(source)
    if found is None:
        return None
    try:
        state = os.fstat(found)
        is_directory = stat.S_ISDIR(state.st_mode)
        if not is_directory and not stat.S_ISREG(state.st_mode):
            raise _at_fault(not_kept(source.shown, state.st_mode))
        kind = ArtifactType.DIRECTORY if is_directory else ArtifactType.FILE
        if wanted not in (None, kind):
            raise _at_fault(
                f"{source.shown} is {kind_of(state.st_mode)}, and type says {wanted}: change one of"
                " them"
            )
        if is_directory:
            return _store_directory(store, name, path, found, source)
        with _Digest() as digest:
            blob = store.put(_contents(found, state.st_size, source.shown, digest))
            sha256 = digest.hexdigest()
    finally:
        os.close(found)
    entry = Entry("", stat.S_IMODE(state.st_mode) & 0o777, state.st_size, sha256)
    return Artifact(name, path, ArtifactType.FILE, Format.RAW, blob, (entry,))


def _open(source: Source) -> int | None:
    """Open what is to be stored, following no link."""
    try:
        root = os.open(source.root, DIRECTORY_FLAGS)
        try:
            return open_below(root, source.path, FILE_FLAGS) if source.path else os.dup(root)
        finally:
            os.close(root)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _at_fault(
                f"{source.shown} is a symbolic link, or a part of its path is not a directory:"
                " artifacts hold files and directories only, copy what it leads to in its place"
            ) from None
        if error.errno == errno.ENXIO:
            raise _at_fault(not_kept(source.shown, stat.S_IFSOCK)) from None
        raise _at_fault(f"{source.shown} cannot be read: {error.strerror}") from None


def _store_directory(
    store: ArtifactStore, name: str, path: str, directory: int, source: Source
) -> Artifact:
    tar = _Tar(directory, source)
    blob = store.put(_compressed(tar.chunks()))
    kind = Format.TAR_ZSTD
    if blob.size * MAX_RATIO < tar.size and tar.size > MIN_RATIO_BYTES:
        # Whoever unpacks it could not tell it from a bomb.
        tar, kind = _Tar(directory, source), Format.TAR
        blob = store.put(tar.chunks())
    return Artifact(name, path, ArtifactType.DIRECTORY, kind, blob, tuple(tar.entries))


class _Tar:
    """The archive of an open directory, made as it is read."""

    def __init__(self, directory: int, source: Source) -> None:
        self.entries: list[Entry] = []
        self.size = 0
        self._directory = directory
        self._shown = source.shown
        self._skipped = source.skipped

    def chunks(self) -> Iterator[bytes]:
        for chunk in self._chunks():
            self.size += len(chunk)
            yield chunk

    def _chunks(self) -> Iterator[bytes]:
        own = os.fstat(self._directory)
        self.entries.append(Entry("", stat.S_IMODE(own.st_mode) & 0o777))
        for path, parent, state in walk(self._directory, self._shown, self._skipped):
            if len(self.entries) > MAX_ENTRIES:
                raise _at_fault(
                    f"{self._shown} has more than {MAX_ENTRIES:,} files and directories: hand over"
                    " an archive of your own"
                )
            mode = stat.S_IMODE(state.st_mode) & 0o777
            if stat.S_ISDIR(state.st_mode):
                self.entries.append(Entry(path, mode))
                yield _header(path, mode)
                continue
            shown = f"{self._shown}/{path}"
            file = _open_file(parent, path.rpartition("/")[2], shown)
            try:
                size = os.fstat(file).st_size
                yield _header(path, mode, size)
                digest = hashlib.sha256()
                yield from _contents(file, size, shown, digest)
                yield bytes(-size % _BLOCK)
            finally:
                os.close(file)
            self.entries.append(Entry(path, mode, size, digest.hexdigest()))
        yield bytes(2 * _BLOCK)


def _header(path: str, mode: int, size: int | None = None) -> bytes:
    info = tarfile.TarInfo(path)
    info.mode = mode
    info.type = tarfile.DIRTYPE if size is None else tarfile.REGTYPE
    info.size = size or 0
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def _open_file(directory: int, name: str, shown: str) -> int:
    try:
        file = os.open(name, FILE_FLAGS, dir_fd=directory)
    except OSError as error:
        raise _at_fault(f"{shown} cannot be read: {error.strerror}") from None
    mode = os.fstat(file).st_mode
    if not stat.S_ISREG(mode):
        os.close(file)
        raise _at_fault(not_kept(shown, mode))
    return file


class _Digest:
    """A digest made in a thread beside the reader: pieces have digests of their own already."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="artifacts-digest")
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def update(self, data: bytes) -> None:
        """Add to what is digested; a reader that is far ahead waits."""
        if len(self._waiting) == _AHEAD:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._digest.update, data))

    def hexdigest(self) -> str:
        """Return the digest of all of it."""
        while self._waiting:
            self._waiting.popleft().result()
        return self._digest.hexdigest()


def _contents(
    file: int, size: int, shown: str, digest: "hashlib._Hash | _Digest"
) -> Iterator[bytes]:
    """Return exactly `size` bytes of a file."""
    left = size
    while left:
        data = os.read(file, min(_CHUNK, left))
        if not data:
            raise _at_fault(f"{shown} became shorter while it was read: leave it as it is")
        digest.update(data)
        left -= len(data)
        yield data


def _at_fault(message: str) -> ArtifactError:
    return ArtifactError(message, is_content=True)


def _compressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    import zstandard  # noqa: PLC0415 - most artifacts are not compressed

    packing = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False).compressobj()
    for chunk in chunks:
        if data := packing.compress(chunk):
            yield data
    yield packing.flush()
