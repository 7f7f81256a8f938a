"""podium delete."""

from collections.abc import Iterable
from pathlib import Path

import click

from podium.artifacts.errors import ArtifactError
from podium.cli.options import runs_argument, state_dir_option
from podium.cli.output import CliError, ExitCode, warn
from podium.cli.session import run_directory
from podium.local.artifact_store import sweep
from podium.local.removal import remove_run
from podium.local.store import StoreError

__all__ = ["delete", "delete_runs", "free_artifacts"]


@click.command()
@runs_argument
@state_dir_option
def delete(names: tuple[str, ...], state_dir: Path) -> int:
    """Delete runs with their state, logs and artifacts; one that is running is refused."""
    return delete_runs(dict.fromkeys(names), state_dir)


def delete_runs(names: Iterable[str], state_dir: Path) -> ExitCode:
    """Delete runs; one that cannot be deleted is a warning, and does not keep the others."""
    code = ExitCode.OK
    for name in names:
        try:
            remove_run(run_directory(state_dir, name))
        except (StoreError, CliError) as error:
            warn(f"podium: {error}")
            code = ExitCode.USAGE
        else:
            click.echo(f"run {name} deleted")
    free_artifacts(state_dir)
    return code


def free_artifacts(state_dir: Path) -> None:
    """Remove what no run needs any more; where that fails, the next one does it."""
    try:
        sweep(state_dir)
    except (ArtifactError, OSError) as error:
        warn(f"podium: artifacts that no run needs are still there: {error}")
