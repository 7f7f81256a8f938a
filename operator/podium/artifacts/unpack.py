"""Files and directories on their way out of a store.

What is unpacked is exactly what the manifest lists. Nothing is followed: each directory is opened
below the one before, each file is made where nothing was.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Self, cast

from podium.api.artifact_rules import unsafe_path
from podium.artifacts.errors import ArtifactError
from podium.artifacts.limits import MIN_RATIO_BYTES, Limits
from podium.artifacts.manifest import Artifact, Entry, Format
from podium.artifacts.paths import DIRECTORY_FLAGS, Directories
from podium.artifacts.store import ArtifactStore
from podium.artifacts.tar import members, refused

__all__ = ["Unpacking"]

_CHUNK = 1 << 20
_WINDOW = 8 << 20
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DEFAULT = Limits()


class Unpacking:
    """A directory that artifacts are written into. As a context: at its end it gets its modes.

    Until then directories can be written to whatever their modes are, since several artifacts may
    share one. `read_only` takes the right to write from all that is made, `for_all` lets every user
    read it, such as that of a container.
    """

    def __init__(
        self,
        root: Path,
        *,
        read_only: bool = False,
        for_all: bool = False,
        limits: Limits = _DEFAULT,
    ) -> None:
        self._root = os.open(root, DIRECTORY_FLAGS)
        self._removed = 0o222 if read_only else 0
        self._for_all = for_all
        self._limits = limits
        self._directories: dict[str, int] = {}
        """Modes of the directories that were made, by their paths from the root on."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._set_modes()
        finally:
            os.close(self._root)

    def add(self, store: ArtifactStore, artifact: Artifact, path: str) -> None:
        """Write an artifact as `path`; empty: into the directory itself.

        Directories on the way are made. Raises `ArtifactError`, `OSError`, and `InterruptedError`
        once the store is stopped.
        """
        if path and (why := unsafe_path(path)):
            raise ArtifactError(f"the path {path!r:.200} {why}", is_retryable=False)
        limits = self._limits
        if artifact.size > limits.size or len(artifact.entries) > limits.entries:
            raise ArtifactError(
                f"the artifact {artifact.name} has {artifact.size:,} bytes in"
                f" {len(artifact.entries):,} files and directories, and {limits.size:,} bytes in"
                f" {limits.entries:,} is the limit: hand over less",
                is_retryable=False,
            )
        opened = Directories(self._root)
        try:
            self._make_parents(opened, path)
            if artifact.format is Format.RAW:
                self._add_file(opened, artifact, store.read(artifact.blob), path)
                return
            if path:
                self._make_directory(opened, path, artifact.entries[0].mode)
            source = _Source(store.read(artifact.blob))
            read: Callable[[int], bytes] = source.read
            if artifact.format is Format.TAR_ZSTD:
                read = _Decompressed(source, limits.ratio).read
            self._add_archive(opened, read, artifact.entries, path)
        finally:
            opened.close()

    def _add_file(
        self, opened: Directories, artifact: Artifact, data: Iterator[memoryview], path: str
    ) -> None:
        if len(artifact.entries) != 1 or artifact.entries[0].digest is None or not path:
            raise refused("the manifest does not list one file")
        self._write(opened, path, artifact.entries[0], data)

    def _add_archive(
        self,
        opened: Directories,
        read: Callable[[int], bytes],
        listed: Sequence[Entry],
        base: str,
    ) -> None:
        """Unpack a tar stream; what is not listed is refused."""
        wanted = {entry.path: entry for entry in listed}
        wanted.pop("", None)
        prefix = f"{base}/" if base else ""

        def exactly(size: int) -> bytes:
            data = read(size)
            while len(data) < size:
                more = read(size - len(data))
                if not more:
                    raise refused("it ends too early")
                data += more
            return data

        def contents(size: int) -> Iterator[bytes]:
            left = size
            while left:
                data = exactly(min(_CHUNK, left))
                left -= len(data)
                yield data
            exactly(-size % 512)

        for member in members(exactly):
            entry = wanted.pop(member.path, None)
            if entry is None:
                raise refused(f"{member.path!r:.200} comes twice, or is not in the manifest")
            if member.is_directory != (entry.digest is None) or member.size != entry.size:
                raise refused(f"{member.path!r:.200} is not what the manifest says")
            path = prefix + member.path
            if member.is_directory:
                self._make_directory(opened, path, entry.mode)
            else:
                self._write(opened, path, entry, contents(entry.size))
        if wanted:
            raise refused(f"{next(iter(wanted))!r:.200} is missing")

    def _write(
        self,
        opened: Directories,
        path: str,
        entry: Entry,
        data: Iterator[bytes] | Iterator[memoryview],
    ) -> None:
        parent, name = opened.parent_of(path)
        file = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
        try:
            digest, size = hashlib.sha256(), 0
            for chunk in data:
                digest.update(chunk)
                rest = memoryview(chunk)
                size += len(rest)
                while rest:
                    rest = rest[os.write(file, rest) :]
            if size != entry.size or digest.hexdigest() != entry.digest:
                raise refused(f"{path!r:.200} is not what the manifest says")
            os.fchmod(file, self._mode(entry.mode))
        except BaseException:
            os.unlink(name, dir_fd=parent)
            raise
        finally:
            os.close(file)

    def _make_parents(self, opened: Directories, path: str) -> None:
        parts = path.split("/")[:-1]
        for count in range(1, len(parts) + 1):
            parent = "/".join(parts[:count])
            if parent not in self._directories:
                self._make_directory(opened, parent, 0o755)

    def _make_directory(self, opened: Directories, path: str, mode: int) -> None:
        parent, name = opened.parent_of(path)
        os.mkdir(name, 0o700, dir_fd=parent)
        self._directories[path] = mode

    def _mode(self, mode: int) -> int:
        if self._for_all:
            mode |= 0o555 if mode & 0o100 else 0o444
        return mode & ~self._removed

    def _set_modes(self) -> None:
        """Give directories their modes, the deepest first: others could not be reached then."""
        opened = Directories(self._root)
        try:
            paths = sorted(self._directories, key=lambda path: path.count("/"), reverse=True)
            for path in paths:
                parent, name = opened.parent_of(path)
                directory = os.open(name, DIRECTORY_FLAGS, dir_fd=parent)
                try:
                    os.fchmod(directory, self._mode(self._directories[path]))
                finally:
                    os.close(directory)
        finally:
            opened.close()


class _Source:
    """Pieces of a blob, read as a file is."""

    def __init__(self, pieces: Iterator[memoryview]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")
        self.taken = 0

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, none at the end."""
        if not self._rest:
            self._rest = next(self._pieces, self._rest)
        found = bytes(self._rest[: max(0, size)])
        self._rest = self._rest[len(found) :]
        self.taken += len(found)
        return found


class _Decompressed:
    """What comes out of zstd, a bounded part at a time, and not beyond all measure."""

    def __init__(self, source: _Source, ratio: int) -> None:
        import zstandard  # noqa: PLC0415 - most artifacts are not compressed

        self._error = zstandard.ZstdError
        self._source = source
        self._ratio = ratio
        self._given = 0
        self._reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(
            cast("IO[bytes]", source), read_size=128 << 10
        )

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end. Raises `ArtifactError`."""
        try:
            data: bytes = self._reader.read(size)
        except self._error as error:
            raise refused(f"it cannot be decompressed ({error!s:.100})") from None
        self._given += len(data)
        if self._given > MIN_RATIO_BYTES and self._given > self._ratio * self._source.taken:
            raise refused(
                f"{self._source.taken:,} bytes of it become more than {self._given:,}: it is an"
                " archive bomb"
            )
        return data
