"""Ended runs that their Workflow does not keep any longer: they go when another run has ended."""

import time
from collections.abc import Iterator
from contextlib import suppress

from podium.api.retention import EndedRun, Retention, no_longer_kept
from podium.api.run import RunPhase
from podium.cli.commands.delete import free_artifacts
from podium.cli.output import CliError
from podium.cli.session import OpenRun, open_run, run_directory
from podium.local.removal import remove_run
from podium.local.store import StoreError, list_runs

__all__ = ["remove_other_runs"]


def remove_other_runs(run: OpenRun, retention: Retention) -> list[str]:
    """Delete what a Workflow does not keep; return the names. The run that has just ended stays."""
    state_dir = run.directory.state_dir
    removed = []
    for each in no_longer_kept(retention, _ended(run), time.time()):
        if each.key == run.name:
            continue
        with suppress(StoreError, CliError):  # in use, or gone: the next end looks again
            remove_run(run_directory(state_dir, each.key))
            removed.append(each.key)
    if removed:
        free_artifacts(state_dir)
    return removed


def _ended(run: OpenRun) -> Iterator[EndedRun[str]]:
    """Return the ended runs of the same Workflow, this one included."""
    for name in list_runs(run.directory.state_dir):
        with suppress(StoreError, CliError):
            other = run if name == run.name else open_run(run.directory.state_dir, name)
            status = other.status
            if other.record.parent is not None:  # it goes with its parent
                continue
            if other.workflow_id != run.workflow_id or status.completed_at is None:
                continue
            if status.phase.ended:
                own_ttl = other.record.spec.ttl_seconds_after_finished is not None
                has_succeeded = status.phase is RunPhase.SUCCEEDED
                yield EndedRun(name, has_succeeded, status.completed_at, own_ttl)
