"""podium prune."""

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click

from podium.api.base import format_duration
from podium.api.run import RunPhase
from podium.cli.commands.delete import delete_runs
from podium.cli.describe import counted
from podium.cli.durations import DURATION
from podium.cli.options import state_dir_option
from podium.cli.output import CliError, ExitCode
from podium.cli.session import open_run, run_directory
from podium.cli.tables import Table
from podium.local.store import StoreError, list_runs

__all__ = ["prune"]

_ENDED = tuple(phase.value for phase in RunPhase if phase.ended)
_PHASES = (*_ENDED, "Interrupted", "Unreadable")


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    phase: str
    since: float
    """When it ended, or last changed."""


@click.command()
@click.option(
    "--older-than", type=DURATION, metavar="AGE", help="Runs that ended longer ago: 90m, 12h, 7d."
)
@click.option("--keep", type=click.IntRange(0), metavar="N", help="All but the N newest.")
@click.option(
    "--phase",
    "phases",
    multiple=True,
    type=click.Choice(_PHASES, case_sensitive=False),
    help="Runs in this phase; may be repeated. Default: all that have ended.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only print what would be deleted.")
@state_dir_option
def prune(
    older_than: float | None,
    keep: int | None,
    phases: tuple[str, ...],
    yes: bool,
    dry_run: bool,
    state_dir: Path,
) -> int:
    """Delete runs by age, number or phase; never one that is running. Asks first.

    Options are combined: --older-than 7d --keep 20 deletes what is older than a week, except
    the 20 newest of all that have ended.
    """
    if older_than is None and keep is None and not phases:
        raise CliError("name the runs: --older-than 7d, --keep 20 or --phase Failed")
    found = [run for run in _runs(state_dir) if run.phase in (phases or _ENDED)]
    found.sort(key=lambda run: run.since, reverse=True)
    now = time.time()
    chosen = found[keep or 0 :]
    if older_than is not None:
        chosen = [run for run in chosen if now - run.since > older_than]
    if not chosen:
        click.echo("no runs to delete")
        return ExitCode.OK
    rows = [(run.name, run.phase, format_duration(max(0.0, now - run.since))) for run in chosen]
    Table([("NAME", "PHASE", "SINCE"), *rows]).print()
    if dry_run:
        return ExitCode.OK
    question = f"Delete {counted(len(chosen), 'run')}?"
    if not yes and not sys.stdin.isatty():
        raise CliError(f"{question} There is no terminal to ask on: give --yes")
    if not yes and not click.confirm(question):
        return ExitCode.OK
    return delete_runs([run.name for run in chosen], state_dir)


def _runs(state_dir: Path) -> Iterable[_Found]:
    """Return the runs of a state directory but for those that run."""
    for name in list_runs(state_dir):
        directory = run_directory(state_dir, name)
        if directory.is_held:
            continue
        try:
            run = open_run(state_dir, name)
        except StoreError:
            if directory.path.exists():  # else it was deleted meanwhile
                yield _Found(name, "Unreadable", _changed(directory.path))
            continue
        parent = run.record.parent
        if parent is not None and run_directory(state_dir, parent.run).exists:
            continue  # it goes with its parent
        ended = run.status.completed_at if run.status.phase.ended else None
        yield _Found(name, run.phase, ended or _changed(directory.path / "log.jsonl"))


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()
