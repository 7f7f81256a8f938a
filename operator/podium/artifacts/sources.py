"""Artifacts that come from no node, put where a program finds them."""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from podium.api.artifact_rules import unsafe_path
from podium.api.sources import GitSource, HttpSource, RawSource, S3Object, Source
from podium.artifacts.errors import ArtifactError
from podium.artifacts.git_source import fetch_repository
from podium.artifacts.http_source import fetch_file
from podium.artifacts.limits import MAX_ENTRIES
from podium.artifacts.reach import Reach
from podium.artifacts.s3_source import fetch_object

__all__ = ["Fetched", "fetch", "load"]


class Fetched(NamedTuple):
    """An artifact that comes from no node."""

    name: str
    source: Source
    path: str
    """Where it is put, below the directory in which all of them are."""
    secret: Mapping[str, str]
    """What the Secret holds that its source names; empty: it names none."""


_KINDS: Mapping[str, type[Source]] = {
    "git": GitSource,
    "http": HttpSource,
    "s3": S3Object,
    "raw": RawSource,
}


def load(source: Mapping[str, Any]) -> Source:
    """Read a source as a Pod is told it: one field, its kind. Raises `ValueError`."""
    ((kind, told),) = source.items()
    return _KINDS[kind].model_validate(told)


def fetch(
    wanted: Fetched,
    root: Path,
    reach: Reach,
    is_stopped: Callable[[], bool],
    *,
    for_all: bool,
) -> None:
    """Put an artifact where a program finds it, read-only. `for_all`: for every user.

    Raises `ArtifactError`, `OSError`, `InterruptedError` once it is stopped.
    """
    if why := unsafe_path(wanted.path):
        raise ArtifactError(f"the path {wanted.path!r:.200} {why}", is_retryable=False)
    place = root / wanted.path
    try:
        with _parents(root, place, for_all=for_all):
            _put(wanted, place, reach, is_stopped)
            _settle(place, for_all=for_all)
    except ArtifactError as error:
        raise ArtifactError(
            f"the artifact {wanted.name}: {error}", is_retryable=error.is_retryable
        ) from None


def _put(wanted: Fetched, place: Path, reach: Reach, is_stopped: Callable[[], bool]) -> None:
    source, secret = wanted.source, wanted.secret
    if isinstance(source, GitSource):
        place.mkdir(mode=0o700)
        fetch_repository(source, place, secret, is_stopped, reach)
        return
    with place.open("xb") as file:
        if isinstance(source, RawSource):
            file.write(source.content.encode())
        elif isinstance(source, S3Object):
            fetch_object(source, file, secret, is_stopped, reach)
        else:
            fetch_file(source, file, secret, is_stopped, reach)


@contextmanager
def _parents(root: Path, place: Path, *, for_all: bool) -> Iterator[None]:
    """Make the directories above a place, and let something be made in the last one meanwhile."""
    above = [each for each in reversed(place.parents) if root in each.parents]
    for each in above:
        if not each.exists():
            with _writable(each.parent):
                each.mkdir()
                each.chmod(0o555 if for_all else 0o500)
    with _writable(place.parent):
        yield


@contextmanager
def _writable(directory: Path) -> Iterator[None]:
    if os.access(directory, os.W_OK):  # as a volume of a Pod is, which belongs to another user
        yield
        return
    mode = stat.S_IMODE(directory.lstat().st_mode)
    directory.chmod(mode | 0o700)
    try:
        yield
    finally:
        directory.chmod(mode)


def _settle(place: Path, *, for_all: bool) -> None:
    """Take the right to write from all that is there, and look at what it is."""
    found = [place]
    for directory, names, files in os.walk(place):
        found += [Path(directory, name) for name in (*names, *files)]
        if len(found) > MAX_ENTRIES:
            message = f"has more than {MAX_ENTRIES:,} files and directories, the limit"
            raise ArtifactError(message, is_retryable=False)
    for path in reversed(found):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            message = f"{path.name!r:.200} is neither a file nor a directory"
            raise ArtifactError(message, is_retryable=False)
        runs = stat.S_ISDIR(mode) or mode & 0o100
        read, run = (0o444, 0o111) if for_all else (0o400, 0o100)
        path.chmod(read | (run if runs else 0))
