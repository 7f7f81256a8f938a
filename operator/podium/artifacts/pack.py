"""Files and directories on their way into a store.

A directory is a tar archive whose order, times and owners are fixed, so that equal directories have
equal digests, compressed by zstd. A single file stays as it is.
"""

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from podium.artifacts.errors import ArtifactError
from podium.artifacts.limits import MAX_ENTRIES, MAX_RATIO, MIN_RATIO_BYTES
from podium.artifacts.manifest import Artifact, ArtifactType, Entry, Format
from podium.artifacts.paths import DIRECTORY_FLAGS, FILE_FLAGS, kind_of, not_kept, open_below, walk
from podium.artifacts.store import ArtifactStore

__all__ = ["store_directory", "store_file"]

_CHUNK = 1 << 20
_BLOCK = 512
_LEVEL = 3


def store_file(store: ArtifactStore, name: str, path: str, root: Path, shown: str) -> Artifact:
    """Store the file `path` below `root`. `shown` is what messages call it.

    Raises `ArtifactError`, `OSError`.
    """
    directory = os.open(root, DIRECTORY_FLAGS)
    try:
        file = _open_file(directory, path, shown)
    finally:
        os.close(directory)
    try:
        state = os.fstat(file)
        digest = hashlib.sha256()
        blob = store.put(_contents(file, state.st_size, shown, digest))
    finally:
        os.close(file)
    entry = Entry("", stat.S_IMODE(state.st_mode) & 0o777, state.st_size, digest.hexdigest())
    return Artifact(name, path, ArtifactType.FILE, Format.RAW, blob, (entry,))


def store_directory(
    store: ArtifactStore,
    name: str,
    path: str,
    root: Path,
    shown: str,
    skipped: frozenset[str] = frozenset(),
) -> Artifact:
    """Store the directory `root`, without what `skipped` names below it.

    `path` is where it lies among what the node left. Raises `ArtifactError`, `OSError`.
    """
    directory = os.open(root, DIRECTORY_FLAGS)
    try:
        tar = _Tar(directory, shown, skipped)
        blob = store.put(_compressed(tar.chunks()))
        kind = Format.TAR_ZSTD
        if blob.size * MAX_RATIO < tar.size and tar.size > MIN_RATIO_BYTES:
            # Whoever unpacks it could not tell it from a bomb.
            tar, kind = _Tar(directory, shown, skipped), Format.TAR
            blob = store.put(tar.chunks())
    finally:
        os.close(directory)
    return Artifact(name, path, ArtifactType.DIRECTORY, kind, blob, tuple(tar.entries))


class _Tar:
    """The archive of an open directory, made as it is read."""

    def __init__(self, directory: int, shown: str, skipped: frozenset[str]) -> None:
        self.entries: list[Entry] = []
        self.size = 0
        self._directory = directory
        self._shown = shown
        self._skipped = skipped

    def chunks(self) -> Iterator[bytes]:
        for chunk in self._chunks():
            self.size += len(chunk)
            yield chunk

    def _chunks(self) -> Iterator[bytes]:
        own = os.fstat(self._directory)
        self.entries.append(Entry("", stat.S_IMODE(own.st_mode) & 0o777))
        for path, parent, state in walk(self._directory, self._shown, self._skipped):
            if len(self.entries) > MAX_ENTRIES:
                raise ArtifactError(
                    f"{self._shown} has more than {MAX_ENTRIES:,} files and directories: hand over"
                    " an archive of your own",
                    is_retryable=False,
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


def _open_file(directory: int, path: str, shown: str) -> int:
    try:
        file = open_below(directory, path, FILE_FLAGS)
    except OSError as error:
        error.filename = shown
        raise
    mode = os.fstat(file).st_mode
    if not stat.S_ISREG(mode):
        os.close(file)
        if stat.S_ISDIR(mode):
            raise ArtifactError(f"{shown} is {kind_of(mode)}, not a file", is_retryable=False)
        raise ArtifactError(not_kept(shown, mode), is_retryable=False)
    return file


def _contents(file: int, size: int, shown: str, digest: "hashlib._Hash") -> Iterator[bytes]:
    """Return exactly `size` bytes of a file."""
    left = size
    while left:
        data = os.read(file, min(_CHUNK, left))
        if not data:
            raise ArtifactError(f"{shown} became shorter while it was read: leave it as it is")
        digest.update(data)
        left -= len(data)
        yield data


def _compressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    import zstandard  # noqa: PLC0415 - most artifacts are not compressed

    packing = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False).compressobj()
    for chunk in chunks:
        if data := packing.compress(chunk):
            yield data
    yield packing.flush()
