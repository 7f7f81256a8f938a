"""podium artifacts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from podium.artifacts.errors import ArtifactError
from podium.cli.commands.delete import free_artifacts
from podium.cli.left_artifacts import (
    ArtifactsRequest,
    RunArtifacts,
    answer,
    artifact_arguments,
    remove_manifests,
)
from podium.cli.options import resolve_latest, state_dir_option
from podium.cli.output import CliError, ExitCode
from podium.cli.session import OpenRun, hold_run, open_run
from podium.local import artifact_store
from podium.local.artifacts import out_of
from podium.local.files import remove_tree

if TYPE_CHECKING:
    from podium.artifacts.store import ArtifactStore

__all__ = ["artifacts"]


@click.command()
@artifact_arguments
@state_dir_option
def artifacts(
    action: str,
    name: str,
    node: str | None,
    output: str | None,
    execution: str | None,
    state_dir: Path,
) -> int:
    """List, copy or remove the artifacts of a run on this machine; with --cluster, on a cluster.

    ls lists what each execution left. get copies an artifact of the node's newest execution:
    NODE.NAME is one that it declares, or a file or directory that it left in
    $PODIUM_ARTIFACTS_OUT; NODE alone is all of them, into a directory NODE. rm removes those of all
    nodes of a run, which itself stays.
    """
    name = resolve_latest(name, state_dir)
    request = ArtifactsRequest.of(action, name, node, execution, output)
    try:
        if action == "rm":
            _remove(state_dir, name)
            return ExitCode.OK
        opened = open_run(state_dir, name)
        run = _of(opened)
        run.check(request)
        with _store(opened) as store:
            answer(run, store, request)
    except ArtifactError as error:
        raise CliError(str(error)) from None
    return ExitCode.OK


def _of(run: OpenRun) -> RunArtifacts:
    nodes = {name: (state.execution_id, "") for name, state in run.status.nodes.items()}
    return RunArtifacts(run.record.name, run.record.uid, nodes)


@contextmanager
def _store(run: OpenRun) -> Iterator["ArtifactStore | None"]:
    """Open the store; None: nothing was ever stored here."""
    path = artifact_store.store_path(run.directory.state_dir)
    if not path.exists():
        yield None
        return
    with artifact_store.opened(path) as store:
        yield store


def _remove(state_dir: Path, name: str) -> None:
    with hold_run(state_dir, name) as run, _store(run) as store:
        for execution in run.directory.executions():
            left = out_of(run.directory.execution(execution))
            if left.is_dir() and not left.is_symlink():
                remove_tree(left)
        remove_manifests(_of(run), store)
    free_artifacts(state_dir)
