"""What the nodes of a run left: listed and copied, whichever shell the run is of."""

import tempfile
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from podium.cli.options import together
from podium.cli.output import CliError
from podium.cli.session import text_of
from podium.cli.tables import Table
from podium.local.files import remove_tree

if TYPE_CHECKING:
    from podium.artifacts.manifest import Artifact, Entry, Manifest
    from podium.artifacts.store import ArtifactStore

__all__ = [
    "ArtifactsRequest",
    "RunArtifacts",
    "answer",
    "artifact_arguments",
    "remove_manifests",
]

_ACTIONS = ("ls", "get", "rm")

artifact_arguments = together(
    click.argument("action", metavar="ls|get|rm", type=click.Choice(_ACTIONS)),
    click.argument("name", metavar="RUN"),
    click.argument("node", metavar="[NODE[.NAME]]", required=False),
    click.option(
        "-o",
        "--output",
        metavar="DIR",
        help="Of get: the directory to copy to; default: this one. Of ls: json or yaml.",
    ),
    click.option("--execution", metavar="ID", help="Of this execution, such as build-1."),
)


@dataclass(frozen=True, slots=True)
class ArtifactsRequest:
    """What is asked for."""

    action: str
    node: str
    artifact: str
    """Of the node: one that it declares, or a file or directory; empty: all."""
    execution: str | None
    output: str | None

    @classmethod
    def of(
        cls, action: str, name: str, node: str | None, execution: str | None, output: str | None
    ) -> "ArtifactsRequest":
        """Check what can be before any run is read. Raises `CliError`."""
        wanted, _, artifact = (node or "").partition(".")
        if action == "rm" and (node, execution, output) != (None, None, None):
            raise CliError("rm removes all artifacts of a run: name only the run")
        if action == "ls" and output not in (None, "json", "yaml"):
            raise CliError(f"-o {output:.40}: ls prints a table, json or yaml")
        if action == "get" and not wanted:
            raise CliError(f"name what to copy, NODE.NAME: podium artifacts ls {name} lists them")
        return cls(action, wanted, artifact, execution, output)

    def of_run(self, nodes: Container[str]) -> "ArtifactsRequest":
        """Return what is asked of a run with these nodes: that of a member is GROUP.MEMBER."""
        node, artifact = self.node, self.artifact
        while artifact:
            first, _, rest = artifact.partition(".")
            if f"{node}.{first}" not in nodes:
                break
            node, artifact = f"{node}.{first}", rest
        return replace(self, node=node, artifact=artifact)


@dataclass(frozen=True, slots=True)
class RunArtifacts:
    """A run of either shell."""

    name: str
    uid: str
    nodes: Mapping[str, tuple[str | None, str]]
    """For each node, in their order: its newest execution, and the digest of what that left."""
    copied: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Nodes whose newest result is of another run: its UID, and the execution there. A laptop has
    what is copied as its own."""

    def check(self, request: ArtifactsRequest) -> None:
        """Raise `CliError` if it has no such node, or if more is named than is listed."""
        request = request.of_run(self.nodes)
        if request.node and request.node not in self.nodes:
            known = ", ".join(list(self.nodes)[:10])
            raise CliError(f"run {self.name} has no node {request.node!r:.80}: nodes are {known}")
        if request.action == "ls" and request.artifact:
            raise CliError("ls lists what a node left: name a node, without .NAME")


def answer(run: RunArtifacts, store: "ArtifactStore | None", request: ArtifactsRequest) -> None:
    """Do as `ls` or `get` asks; without a store nothing was ever stored.

    Raises `CliError`, `ArtifactError`.
    """
    request = request.of_run(run.nodes)
    if request.action == "ls":
        _list(run, store, request)
    else:
        _get(run, store, request)


def remove_manifests(run: RunArtifacts, store: "ArtifactStore | None") -> None:
    """Remove what says what a run left, and print how much it was: a sweep removes the contents."""
    keys: list[str] = []
    if store is not None:
        keys = [each.key for each in store.backend.objects(f"runs/{run.uid}/")]
        store.backend.delete(keys)
    what = "execution" if len(keys) == 1 else "executions"
    click.echo(f"artifacts of {len(keys)} {what} removed")


class _Row(NamedTuple):
    """An artifact that was declared, or a file or directory of the rest."""

    node: str
    execution: str
    name: str
    type: str
    files: int
    size: int
    path: str
    """Where it is in `$PODIUM_ARTIFACTS_IN/NODE`."""


def _list(run: RunArtifacts, store: "ArtifactStore | None", request: ArtifactsRequest) -> None:
    order = {name: position for position, name in enumerate(run.nodes)}
    manifests = [] if store is None else [*store.manifests(run.uid), *_copied(run, store)]
    found = [
        each
        for each in manifests
        if request.node in ("", each.node)
        and request.execution in (None, each.execution)
        and each.node in order
    ]
    found.sort(key=lambda each: (order[each.node], len(each.execution), each.execution))
    rows = [row for manifest in found for row in _rows(manifest)]
    if request.output is not None:
        click.echo(text_of([row._asdict() for row in rows], request.output), nl=False)
        return
    if not rows:
        click.echo("no artifacts")
        return
    table = [("NODE", "EXECUTION", "NAME", "TYPE", "FILES", "SIZE")]
    table += [(*row[:4], str(row.files), _size(row.size)) for row in rows]
    Table(table).print()


def _rows(manifest: "Manifest") -> Iterator[_Row]:
    from podium.artifacts.manifest import REST  # noqa: PLC0415 - only where there are some

    head = (manifest.node, manifest.execution)
    for name, artifact in manifest.artifacts.items():
        if name != REST:
            yield _Row(
                *head, name, artifact.type.value, artifact.files, artifact.size, artifact.path
            )
            continue
        for top, entries in _tops(artifact).items():
            is_file = len(entries) == 1 and entries[0].digest is not None
            files = sum(entry.digest is not None for entry in entries)
            size = sum(entry.size for entry in entries)
            yield _Row(*head, top, "File" if is_file else "Directory", files, size, top)


def _tops(rest: "Artifact") -> "dict[str, list[Entry]]":
    """Return the entries of the rest by the file or directory at its top that they belong to."""
    found: dict[str, list[Entry]] = {}
    for entry in rest.entries:
        if entry.path:
            found.setdefault(entry.path.partition("/")[0], []).append(entry)
    return found


def _copied(run: RunArtifacts, store: "ArtifactStore") -> Iterator["Manifest"]:
    for node, (uid, execution) in run.copied.items():
        own, digest = run.nodes[node]
        manifest = _manifest(store, uid, node, execution, digest) if digest else None
        if manifest is not None and own is not None:
            yield manifest.of(run.uid, own)


def _get(run: RunArtifacts, store: "ArtifactStore | None", request: ArtifactsRequest) -> None:
    from podium.artifacts.handover import add_all  # noqa: PLC0415 - only where there are some
    from podium.artifacts.manifest import REST  # noqa: PLC0415
    from podium.artifacts.unpack import Unpacking  # noqa: PLC0415

    node, name, target = request.node, request.artifact, Path(request.output or ".")
    newest, digest = run.nodes[node]
    chosen = request.execution or newest
    manifest = None
    if store is not None and chosen is not None:
        known_digest = digest if chosen == newest else ""
        own = (run.uid, chosen)
        uid, execution = run.copied.get(node, own) if chosen == newest else own
        manifest = _manifest(store, uid, node, execution, known_digest)
    if store is None or manifest is None:
        raise CliError(
            f"{chosen or node} left no artifacts: podium artifacts ls {run.name} lists"
            " those that there are"
        )
    rest = manifest.artifacts.get(REST)
    declared = manifest.artifacts.get(name) if name != REST else None
    if name and declared is None and (rest is None or name not in _tops(rest)):
        known = ", ".join(row.name for row in [*_rows(manifest)][:10])
        raise CliError(f"{chosen} has no artifact {name!r:.80}: it has {known}")
    last = (Path(declared.path).name if declared is not None else name) or node
    place = target / last
    if place.is_symlink() or place.exists():
        raise CliError(f"{place} is there already: name another directory with -o")
    target.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=target, prefix=".podium-"))
    try:
        with Unpacking(aside) as unpacking:
            if declared is not None:
                unpacking.add(store, declared, last)
            elif name and rest is not None:
                unpacking.add(store, rest, "rest")
            else:
                add_all(store, unpacking, manifest, last)
        made = aside / "rest" / name if name and declared is None else aside / last
        _move(made, place)  # whole, or not there
    finally:
        remove_tree(aside)
    click.echo(f"{place}")


def _manifest(
    store: "ArtifactStore", uid: str, node: str, execution: str, digest: str
) -> "Manifest | None":
    """Return what an execution left: of several attempts on a cluster, the last."""
    if digest:
        return store.manifest_by_digest(uid, node, execution, digest)
    found = store.manifest(uid, node, execution)
    if found is not None:
        return found
    keys = sorted(
        (each.changed_at, each.key)
        for each in store.backend.objects(f"runs/{uid}/{node}/")
        if each.key.split("/")[3].startswith(f"{execution}.")
    )
    return store.manifest_at(keys[-1][1]) if keys else None


def _move(source: Path, target: Path) -> None:
    """Move what was unpacked; directories that cannot be written to can be moved only so."""
    mode = source.stat().st_mode & 0o777
    is_directory = source.is_dir()
    source.parent.chmod(0o700)
    if is_directory:
        source.chmod(0o700)
    source.rename(target)
    if is_directory:
        target.chmod(mode)


def _size(size: int) -> str:
    number = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"
