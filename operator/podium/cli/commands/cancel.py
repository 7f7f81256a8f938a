"""podium cancel, and terminate."""

import time
from pathlib import Path

import click

from podium.cli.execution import carry_on
from podium.cli.options import run_argument, state_dir_option
from podium.cli.output import ExitCode
from podium.cli.session import OpenRun, run_directory
from podium.local.store import BusyError, RunDirectory

__all__ = ["cancel", "terminate"]

POLL_SECONDS = 0.1


@click.command()
@run_argument
@state_dir_option
def cancel(name: str, state_dir: Path) -> int:
    """Cancel a run, also one of another podium process; return once nothing of it runs.

    What runs is stopped and what waits is cancelled; then the nodes of `finally` run. Unlike an
    interrupted run, a cancelled one is not resumed; its nodes can be run again.
    """
    return _end(name, state_dir, now=False)


@click.command()
@run_argument
@state_dir_option
def terminate(name: str, state_dir: Path) -> int:
    """Cancel a run without its rollback and `finally`; return once nothing of it runs.

    For a run whose clean-up hangs, or is not wanted. Its nodes can be run again.
    """
    return _end(name, state_dir, now=True)


def _end(name: str, state_dir: Path, *, now: bool) -> int:
    directory = run_directory(state_dir, name)
    directory.load()
    while True:
        try:
            with directory.locked():
                return _cancel(OpenRun(directory, *directory.load()), now=now)
        except BusyError:
            _wait(directory, now=now)


def _cancel(run: OpenRun, *, now: bool) -> int:
    """Cancel a run on which no other podium works."""
    if run.status.phase.ended:
        run.directory.clear_cancel()
        click.echo(f"run {run.record.name} has ended: {run.status.phase.value}")
        return ExitCode.OK
    run.directory.request_cancel(terminate=now)
    carry_on(run, None)
    return ExitCode.OK


def _wait(directory: RunDirectory, *, now: bool) -> None:
    """Ask the podium that works on the run, and wait until it has let go of it."""
    directory.request_cancel(terminate=now)
    while directory.is_held:
        time.sleep(POLL_SECONDS)
