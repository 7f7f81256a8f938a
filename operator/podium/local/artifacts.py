"""Artifacts of earlier nodes for a program: a copy of its own, so that it cannot change another's.

On file systems that share blocks (btrfs, XFS, APFS does not offer it here) a copy takes no space;
holes stay holes everywhere. When the program has ended, links to the originals take the copies'
place.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from podium.local.files import remove_tree

__all__ = ["Artifacts"]

_FICLONE = 0x40049409
_CHUNK = 1 << 20


class Artifacts(NamedTuple):
    """What a program finds in `$PODIUM_ARTIFACTS_IN`: directories by node id."""

    path: Path
    copied: Mapping[str, Path] = MappingProxyType({})
    """Originals that are to be copied, because there is something in them."""

    @classmethod
    def lay_out(cls, path: Path, originals: Mapping[str, Path]) -> "Artifacts":
        """Make the directory, and the empty ones in it; `copy` fills in the others."""
        path.mkdir(mode=0o700, exist_ok=True)
        copied = {}
        for name, original in originals.items():
            place = path / name
            if place.is_symlink():
                place.unlink()  # of the same execution, started before
            elif place.exists():
                remove_tree(place)
            if original.is_symlink():
                place.symlink_to(original.readlink())  # the node said where to look
            elif _has_entries(original):
                copied[name] = original
            else:
                place.mkdir(mode=0o700)
        return cls(path, copied)

    def copy(self, is_stopped: Callable[[], bool]) -> None:
        """Copy what there is. Raises `OSError`, `InterruptedError` once it is stopped."""
        for name, original in self.copied.items():
            _Copy(original, self.path / name, is_stopped).run()

    def release(self) -> None:
        """Let links take the place of the copies."""
        for name, original in self.copied.items():
            place = self.path / name
            with contextlib.suppress(OSError):
                remove_tree(place)
                place.symlink_to(original)


class _Copy:
    """A copy of one node's artifacts. Sockets, FIFOs and devices stay behind."""

    def __init__(self, source: Path, target: Path, is_stopped: Callable[[], bool]) -> None:
        self._source = os.path.realpath(source)
        self._target = str(target)
        self._executions = os.path.realpath(source.parent.parent)
        self._is_stopped = is_stopped

    def run(self) -> None:
        waiting = [(self._source, self._target)]
        while waiting:
            source, target = waiting.pop()
            os.mkdir(target)  # noqa: PTH102 - many of them
            with os.scandir(source) as entries:
                for entry in entries:
                    place = f"{target}/{entry.name}"
                    if entry.is_symlink():
                        self._link(entry.path, target, place)
                    elif entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, place))
                    elif entry.is_file(follow_symlinks=False):
                        self._file(entry.path, place)

    def _link(self, link: str, directory: str, place: str) -> None:
        """Copy a link so that it leads into the copy, or to no other node's files."""
        leads_to, real = os.readlink(link), os.path.realpath(link)  # noqa: PTH115
        if _is_within(real, self._source):
            inside = os.path.join(self._target, os.path.relpath(real, self._source))  # noqa: PTH118
            os.symlink(os.path.relpath(inside, directory), place)  # noqa: PTH211
        elif _is_within(real, self._executions) and os.path.isfile(real):  # noqa: PTH113
            self._file(real, place)
        else:
            os.symlink(leads_to if os.path.isabs(leads_to) else real, place)  # noqa: PTH117, PTH211

    def _file(self, source: str, place: str) -> None:
        if self._is_stopped():
            raise InterruptedError(f"{place}: stopped")
        reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            found = os.fstat(reading)
            if stat.S_ISREG(found.st_mode):
                writing = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                try:
                    self._contents(reading, writing, found.st_size)
                    os.fchmod(writing, stat.S_IMODE(found.st_mode))
                    os.utime(writing, ns=(found.st_atime_ns, found.st_mtime_ns))
                except OSError as error:
                    raise OSError(error.errno, error.strerror, place) from None
                finally:
                    os.close(writing)
        finally:
            os.close(reading)

    def _contents(self, reading: int, writing: int, size: int) -> None:
        with contextlib.suppress(OSError):
            fcntl.ioctl(writing, _FICLONE, reading)
            return
        os.ftruncate(writing, size)
        start = end = 0
        while end < size:
            try:
                start = os.lseek(reading, end, os.SEEK_DATA)
            except OSError:
                return  # only a hole is left
            end = min(os.lseek(reading, start, os.SEEK_HOLE), size)
            while start < end:
                if self._is_stopped():
                    raise InterruptedError("stopped")
                data = os.pread(reading, min(_CHUNK, end - start), start)
                if not data:
                    return
                start += os.pwrite(writing, data, start)


def _has_entries(path: Path) -> bool:
    try:
        with os.scandir(path) as entries:
            return any(entries)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _is_within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory + "/")
