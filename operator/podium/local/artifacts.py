"""Artifacts of a laptop run: laid out for a program before it starts, stored when it ended well.

What a program finds is a copy of its own, read-only, so that it cannot change another's. When the
program has ended, links to what the nodes left take the copies' place.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from podium.api.run import NodeStatus, WorkflowRunStatus
from podium.api.workflow import ArtifactInput, ArtifactType, Node
from podium.artifacts.left import Left, has_entries
from podium.local.artifact_store import Laptop, Wanted
from podium.local.files import is_directory, remove, remove_tree

__all__ = [
    "ABSOLUTE",
    "IN",
    "OUT",
    "Artifacts",
    "Mount",
    "left_by",
    "mounts",
    "no_secret",
    "out_of",
]

OUT = "artifacts"
"""Directory of an execution that is its `$PODIUM_ARTIFACTS_OUT`."""
IN = "artifacts-in"
ABSOLUTE = "artifacts-at"
"""Directory of an execution for artifacts that a container finds, or leaves, at absolute paths."""


class Outside(NamedTuple):
    """What a program finds that comes from no node."""

    artifact: ArtifactInput
    base: str
    path: str
    """Where it is put, as of `Wanted`."""


class Artifacts(NamedTuple):
    """What a program finds in `$PODIUM_ARTIFACTS_IN`, and at absolute paths."""

    directory: Path
    """Of its execution."""
    laptop: Laptop
    wanted: tuple[Wanted, ...] = ()
    """What there is, to be copied before the start."""
    outside: tuple[Outside, ...] = ()
    """What is to be fetched before the start."""
    for_all: bool = False
    """Whether another user than podium's reads it, that of a container."""

    @property
    def is_any(self) -> bool:
        """Whether there is something to be had before the start."""
        return bool(self.wanted or self.outside)

    @property
    def path(self) -> Path:
        """The directory that is `$PODIUM_ARTIFACTS_IN`."""
        return self.directory / IN

    @classmethod
    def lay_out(
        cls,
        directory: Path,
        laptop: Laptop,
        node: Node,
        sources: Iterable[str],
        status: WorkflowRunStatus,
        original: Callable[[str], Path],
        *,
        for_all: bool = False,
    ) -> "Artifacts":
        """Make the directories; `copy` fills them.

        `sources` are the nodes whose outputs are delivered, `original` returns what an execution
        left.
        """
        inside = directory / IN
        for place in (inside, directory / ABSOLUTE):
            remove(place)  # of the same execution, started before
        inside.mkdir(mode=0o700)
        if for_all:
            inside.chmod(0o755)
        declared = node.artifacts.in_ if node.artifacts is not None else None
        asked = (
            [(source, None, IN, source.rpartition(".")[2]) for source in sources]
            if declared is None
            else [_asked(artifact) for artifact in declared if artifact.outside is None]
        )
        outside = [
            Outside(artifact, *_place_of(artifact))
            for artifact in declared or ()
            if artifact.outside is not None
        ]
        wanted = []
        for source, name, base, path in asked:
            execution = status.nodes[source].execution_id
            # Of a node that was skipped, or whose failure was let pass, there is nothing.
            if status.nodes[source].status is NodeStatus.COMPLETED and execution is not None:
                left = original(execution)
                if name is not None or laptop.has(source, execution) or has_entries(left):
                    wanted.append(Wanted(source, execution, name, base, path, left))
                    continue
            if name is None:
                (inside / path).mkdir(mode=0o555)
        return cls(directory, laptop, tuple(wanted), tuple(outside), for_all)

    def copy(self, is_stopped: Callable[[], bool]) -> None:
        """Copy what there is.

        Raises `ArtifactError`, `OSError`, `InterruptedError` once it is stopped.
        """
        for base in dict.fromkeys(each.base for each in self.wanted):
            place = self.directory / base
            place.mkdir(parents=True, exist_ok=True)
            here = [each for each in self.wanted if each.base == base]
            self.laptop.deliver(here, place, is_stopped, for_all=self.for_all)

    def fetch(
        self, is_stopped: Callable[[], bool], secrets: Mapping[str, Mapping[str, str]]
    ) -> None:
        """Fetch what comes from no node, after `copy`. Raises as it does."""
        from podium.artifacts.errors import ArtifactError  # noqa: PLC0415
        from podium.artifacts.reach import LAPTOP  # noqa: PLC0415 - few nodes need it
        from podium.artifacts.sources import Fetched, fetch  # noqa: PLC0415

        for artifact, base, path in self.outside:
            source, name = artifact.outside, artifact.secret
            if source is None:
                continue
            secret = secrets.get(name) if name else {}
            if secret is None:
                message = f"the artifact {artifact.name}: {no_secret(name)}"
                raise ArtifactError(message, is_retryable=False)
            place = self.directory / base
            place.mkdir(parents=True, exist_ok=True)
            wanted = Fetched(artifact.name, source, path, secret)
            fetch(wanted, place, LAPTOP, is_stopped, for_all=self.for_all)

    def release(self) -> None:
        """Let links take the place of the copies."""
        for base in (IN, ABSOLUTE):
            with suppress(FileNotFoundError):
                remove_tree(self.directory / base)
        self.path.mkdir(mode=0o700)
        for each in self.wanted:
            if each.name is None and each.original.exists():  # it is not, of what is copied
                (self.path / each.path).symlink_to(each.original)


def _asked(artifact: ArtifactInput) -> tuple[str, str | None, str, str]:
    source, _, name = artifact.from_.rpartition(".")
    return source, name, *_place_of(artifact)


def _place_of(artifact: ArtifactInput) -> tuple[str, str]:
    path = artifact.path or artifact.name
    return (f"{ABSOLUTE}/in", artifact.name) if path.startswith("/") else (IN, path)


def no_secret(name: str) -> str:
    """Report that a Secret of a source is not known."""
    return f"the secret {name!r:.80} is not known: name a file that has it, with --secrets"


class Mount(NamedTuple):
    """A file or directory of this machine at a path in a container."""

    host: Path
    inside: str
    read_only: bool = False


def mounts(artifacts: Artifacts, node: Node) -> list[Mount]:
    """Return what a container needs for its artifacts at absolute paths, and make it."""
    if node.artifacts is None:
        return []
    found = []
    for host, inside in _outside(artifacts.directory, node).values():
        if not host.exists():
            host.mkdir(parents=True)
            host.chmod(0o777)  # the container may run as another user
            found.append(Mount(host, inside))
    delivered = {each.path for each in artifacts.wanted if each.base != IN}
    delivered |= {each.path for each in artifacts.outside if each.base != IN}
    for artifact in node.artifacts.in_ or ():
        if artifact.name in delivered and artifact.path is not None:
            host = artifacts.directory / ABSOLUTE / "in" / artifact.name
            found.append(Mount(host, artifact.path, read_only=True))
    return found


def out_of(directory: Path) -> Path:
    """Return the `$PODIUM_ARTIFACTS_OUT` of an execution on this machine."""
    inside = directory / "container"
    return inside / OUT if is_directory(inside) else directory / OUT


def left_by(directory: Path, node: Node) -> Left:
    """Return where an execution left what it hands over."""
    if is_directory(directory / "container"):
        absolute = {
            path: (host, os.path.relpath(path, inside) if path != inside else "")
            for path, (host, inside) in _outside(directory, node).items()
        }
        return Left(out_of(directory), absolute)
    absolute = {
        path: (Path(os.path.realpath(Path(path).parent)), Path(path).name)
        for path in _absolute(node)
    }
    return Left(out_of(directory), absolute)


def _outside(directory: Path, node: Node) -> dict[str, tuple[Path, str]]:
    """Return a directory of this machine, and where it is mounted, for each absolute output."""
    places: dict[str, Path] = {}
    found = {}
    for path, is_whole in _absolute(node).items():
        inside = path if is_whole else str(Path(path).parent)
        host = places.setdefault(inside, directory / ABSOLUTE / "out" / str(len(places)))
        found[path] = (host, inside)
    return found


def _absolute(node: Node) -> dict[str, bool]:
    """Return the absolute paths of declared outputs: whether each is a directory."""
    outputs = node.artifacts.out if node.artifacts is not None else ()
    return {
        each.path: each.type is ArtifactType.DIRECTORY
        for each in outputs
        if each.path.startswith("/")
    }
