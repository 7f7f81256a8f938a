"""podium artifacts."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import click

from podium.artifacts.errors import ArtifactError
from podium.cli.commands.delete import free_artifacts
from podium.cli.options import cluster_options, state_dir_option
from podium.cli.output import CliError, ExitCode
from podium.cli.session import OpenRun, hold_run, open_run, text_of
from podium.cli.tables import Table
from podium.local import artifact_store
from podium.local.artifacts import out_of
from podium.local.files import remove_tree

if TYPE_CHECKING:
    from podium.artifacts.manifest import Artifact, Entry, Manifest
    from podium.artifacts.store import ArtifactStore

__all__ = ["artifacts", "on_cluster"]

_ACTIONS = ("ls", "get", "rm")


@click.command()
@click.argument("action", metavar="ls|get|rm", type=click.Choice(_ACTIONS))
@click.argument("name", metavar="RUN")
@click.argument("node", metavar="[NODE[.NAME]]", required=False)
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    help="Of get: the directory to copy to; default: this one. Of ls: json or yaml.",
)
@click.option("--execution", metavar="ID", help="Of this execution, such as build-1.")
@cluster_options
@state_dir_option
def artifacts(
    action: str,
    name: str,
    node: str | None,
    output: str | None,
    execution: str | None,
    cluster: bool,
    namespace: str | None,
    kube_context: str | None,
    state_dir: Path,
) -> int:
    """List, copy or remove the artifacts of a run on this machine, or on a cluster.

    ls lists what each execution left. get copies an artifact of the node's newest execution:
    NODE.NAME is one that it declares, or a file or directory that it left in
    $PODIUM_ARTIFACTS_OUT; NODE alone is all of them, into a directory NODE. rm removes those of all
    nodes of a run, which itself stays.

    With --cluster a Pod in the run's namespace mounts the store for so long: that takes the right
    to create Pods there, to delete them, and to run programs in them (pods/exec).
    """
    if not cluster and (namespace or kube_context):
        raise CliError("--namespace and --kube-context are of a cluster: add --cluster")
    try:
        if action == "rm":
            if node is not None or execution is not None or output is not None:
                raise CliError("rm removes all artifacts of a run: name only the run")
            if cluster:
                _remove_there(_on_cluster(name, namespace, kube_context))
            else:
                _remove(state_dir, name)
            return ExitCode.OK
        if cluster:
            run = _on_cluster(name, namespace, kube_context)
        else:
            run = _here(open_run(state_dir, name))
        wanted, _, artifact = (node or "").partition(".")
        if wanted and wanted not in run.nodes:
            known = ", ".join(list(run.nodes)[:10])
            raise CliError(f"run {name} has no node {wanted!r:.80}: nodes are {known}")
        if action == "ls":
            if artifact:
                raise CliError("ls lists what a node left: name a node, without .NAME")
            _list(run, wanted, execution, output)
            return ExitCode.OK
        if not wanted:
            raise CliError(f"name what to copy, NODE.NAME: podium artifacts ls {name} lists them")
        _get(run, wanted, artifact, execution, Path(output or "."))
    except ArtifactError as error:
        raise CliError(str(error)) from None
    return ExitCode.OK


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


@dataclass(frozen=True, slots=True)
class _Run:
    """A run of either shell."""

    name: str
    uid: str
    nodes: Mapping[str, tuple[str | None, str]]
    """For each node, in their order: its newest execution, and the digest of what that left."""
    store: AbstractContextManager["ArtifactStore | None"]
    """None: nothing was ever stored there."""


on_cluster = click.Command(
    "artifacts",
    params=[each for each in artifacts.params if each.name not in ("cluster", "state_dir")],
    callback=partial(
        cast("Callable[..., int]", artifacts.callback), cluster=True, state_dir=Path()
    ),
    help=artifacts.help,
)
"""The same, where the cluster is said before the verb."""


def _here(run: OpenRun) -> _Run:
    nodes = {name: (state.execution_id, "") for name, state in run.status.nodes.items()}
    return _Run(run.record.name, run.record.uid, nodes, _store(run))


def _on_cluster(name: str, namespace: str | None, context: str | None) -> _Run:
    from podium.cli.cluster import artifact_store as cluster_store  # noqa: PLC0415 - loads long
    from podium.cli.cluster.kubectl import Kubectl  # noqa: PLC0415

    kubectl = Kubectl(context, namespace)
    run = kubectl.get("workflowruns.podium.dev", name)
    namespace = run["metadata"]["namespace"]
    nodes = {
        id_: (state.get("executionId"), state.get("artifacts", ""))
        for id_, state in cluster_store.node_states(kubectl, run).items()
    }
    store = cluster_store.opened(Kubectl(context, namespace), run)
    return _Run(name, run["metadata"]["uid"], nodes, store)


@contextmanager
def _store(run: OpenRun) -> Iterator["ArtifactStore | None"]:
    """Open the store; None: nothing was ever stored here."""
    path = artifact_store.store_path(run.directory.state_dir)
    if not path.exists():
        yield None
        return
    with artifact_store.opened(path) as store:
        yield store


def _list(run: _Run, node: str, execution: str | None, output: str | None) -> None:
    if output not in (None, "json", "yaml"):
        raise CliError(f"-o {output:.40}: ls prints a table, json or yaml")
    order = {name: position for position, name in enumerate(run.nodes)}
    with run.store as store:
        found = [] if store is None else list(store.manifests(run.uid))
    found = [
        each
        for each in found
        if node in ("", each.node) and execution in (None, each.execution) and each.node in order
    ]
    found.sort(key=lambda each: (order[each.node], len(each.execution), each.execution))
    rows = [row for manifest in found for row in _rows(manifest)]
    if output is not None:
        click.echo(text_of([row._asdict() for row in rows], output), nl=False)
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


def _get(run: _Run, node: str, name: str, execution: str | None, target: Path) -> None:
    from podium.artifacts.handover import add_all  # noqa: PLC0415 - only where there are some
    from podium.artifacts.manifest import REST  # noqa: PLC0415
    from podium.artifacts.unpack import Unpacking  # noqa: PLC0415

    newest, digest = run.nodes[node]
    chosen = execution or newest
    with run.store as store:
        manifest = None
        if store is not None and chosen is not None:
            known_digest = digest if chosen == newest else ""
            manifest = _manifest(store, run.uid, node, chosen, known_digest)
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


def _remove_there(run: _Run) -> None:
    """Remove the manifests of a run; the next sweep of the store removes the contents."""
    with run.store as store:
        keys = [] if store is None else list(store.backend.objects(f"runs/{run.uid}/"))
        if store is not None:
            store.backend.delete([each.key for each in keys])
    _say_removed(len(keys))


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


def _remove(state_dir: Path, name: str) -> None:
    with hold_run(state_dir, name) as run, _store(run) as store:
        count = 0
        for execution in run.directory.executions():
            left = out_of(run.directory.execution(execution))
            if left.is_dir() and not left.is_symlink():
                remove_tree(left)
        if store is not None:
            keys = [each.key for each in store.backend.objects(f"runs/{run.record.uid}/")]
            store.backend.delete(keys)
            count = len(keys)
    free_artifacts(state_dir)
    _say_removed(count)


def _say_removed(count: int) -> None:
    what = "execution" if count == 1 else "executions"
    click.echo(f"artifacts of {count} {what} removed")


def _size(size: int) -> str:
    number = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"
