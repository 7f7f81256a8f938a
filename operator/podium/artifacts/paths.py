"""Paths inside artifacts, and directories that are walked without following a link."""

import os
import stat
from collections.abc import Iterator

from podium.api.artifact_rules import unsafe_path
from podium.artifacts.errors import ArtifactError

__all__ = [
    "DIRECTORY_FLAGS",
    "FILE_FLAGS",
    "Directories",
    "kind_of",
    "not_kept",
    "open_below",
    "walk",
]

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISREG, "a file"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
)


def kind_of(mode: int) -> str:
    """Return what a mode says that a file is."""
    return next((name for holds, name in _KINDS if holds(mode)), "a device")


def open_below(root: int, path: str, flags: int) -> int:
    """Open what lies below an open directory, following no link on the way. Raises `OSError`."""
    *parents, name = path.split("/")
    current = os.dup(root)
    try:
        for part in parents:
            below = os.open(part, DIRECTORY_FLAGS, dir_fd=current)
            os.close(current)
            current = below
        return os.open(name, flags, dir_fd=current)
    finally:
        os.close(current)


class Directories:
    """Directories below a root that are open, those on the way to the last one that was asked for.

    Files come in the order of their directories: each directory is opened about once.
    """

    def __init__(self, root: int) -> None:
        self._open: list[tuple[str, int]] = [("", root)]

    def parent_of(self, path: str) -> tuple[int, str]:
        """Return the open directory that holds a path, and the name in it. Raises `OSError`."""
        *parents, name = path.split("/")
        common = 0
        for (part, _), wanted in zip(self._open[1:], parents, strict=False):
            if part != wanted:
                break
            common += 1
        self._close(common)
        for part in parents[common:]:
            below = os.open(part, DIRECTORY_FLAGS, dir_fd=self._open[-1][1])
            self._open.append((part, below))
        return self._open[-1][1], name

    def close(self) -> None:
        """Close all but the root."""
        self._close(0)

    def _close(self, kept: int) -> None:
        while len(self._open) > kept + 1:
            os.close(self._open.pop()[1])


def walk(
    root: int, place: str, skipped: frozenset[str] = frozenset()
) -> Iterator[tuple[str, int, os.stat_result]]:
    """Return the directories and files below an open directory: path, parent's descriptor, state.

    A directory comes before what is in it, names in the order of their bytes. What is neither is
    refused. Raises `ArtifactError`.
    """
    yield from _walk(root, "", place, skipped)


def _walk(
    directory: int, prefix: str, place: str, skipped: frozenset[str]
) -> Iterator[tuple[str, int, os.stat_result]]:
    for name in _names(directory, _shown(place, prefix)):
        path = f"{prefix}{name}"
        if path in skipped:
            continue
        if why := unsafe_path(path):
            raise ArtifactError(f"{_shown(place, path)}: the path {why}", is_content=True)
        try:
            state = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except OSError as error:
            raise _unreadable(_shown(place, path), error) from None
        if not (stat.S_ISREG(state.st_mode) or stat.S_ISDIR(state.st_mode)):
            raise ArtifactError(not_kept(_shown(place, path), state.st_mode), is_content=True)
        yield path, directory, state
        if stat.S_ISDIR(state.st_mode):
            try:
                below = os.open(name, DIRECTORY_FLAGS, dir_fd=directory)
            except OSError as error:
                raise _unreadable(_shown(place, path), error) from None
            try:
                yield from _walk(below, f"{path}/", place, skipped)
            finally:
                os.close(below)


def _names(directory: int, shown: str) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return sorted((entry.name for entry in entries), key=os.fsencode)
    except OSError as error:
        raise _unreadable(shown, error) from None


def _unreadable(shown: str, error: OSError) -> ArtifactError:
    what = f"{shown} cannot be read: {error.strerror}: let the program that made it allow that"
    return ArtifactError(what, number=error.errno, is_content=True)


def not_kept(shown: str, mode: int) -> str:
    """Report what is neither a file nor a directory."""
    is_link = stat.S_ISLNK(mode)
    right = "copy what it leads to in its place" if is_link else "remove it before the node ends"
    return f"{shown} is {kind_of(mode)}: artifacts hold files and directories only, {right}"


def _shown(place: str, path: str) -> str:
    return f"{place}/{path if path.isprintable() else ascii(path)[1:-1]}"
