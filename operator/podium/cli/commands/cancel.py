"""podium cancel."""

import time
from pathlib import Path

import click

from podium.cli.execution import carry_on
from podium.cli.options import state_dir_option
from podium.cli.output import ExitCode
from podium.cli.session import OpenRun, run_directory
from podium.local.store import BusyError, RunFolder

__all__ = ["cancel"]

POLL_SECONDS = 0.1


@click.command()
@click.argument("name", metavar="RUN")
@state_dir_option
def cancel(name: str, state_dir: Path) -> int:
    """Cancel a run, also one that another podium works on; returns when nothing of it runs.

    What runs is stopped and what waits is cancelled. Unlike an interrupted run, a cancelled one is
    not resumed; its nodes can be run again.
    """
    folder = run_directory(state_dir, name)
    folder.load()
    while True:
        try:
            with folder.locked():
                return _cancel(OpenRun(folder, *folder.load()))
        except BusyError:
            _wait(folder)


def _cancel(run: OpenRun) -> int:
    """Cancel a run on which no other podium works."""
    if run.status.phase.ended:
        run.folder.clear_cancel()
        click.echo(f"run {run.record.name} has ended: {run.status.phase.value}")
        return ExitCode.OK
    run.folder.request_cancel()
    carry_on(run, None)
    return ExitCode.OK


def _wait(folder: RunFolder) -> None:
    """Ask the podium that works on the run, and wait until it has let go of it."""
    folder.request_cancel()
    while folder.is_held:
        time.sleep(POLL_SECONDS)
