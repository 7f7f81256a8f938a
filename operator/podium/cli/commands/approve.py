"""podium approve, and reject."""

import time
from pathlib import Path
from typing import Any

import click

from podium.cli.approvals import (
    Asked,
    answer_options,
    comment_option,
    find_asked,
    outcome_of,
    values_of,
)
from podium.cli.decisions import checked_request
from podium.cli.execution import carry_on, require_runnable
from podium.cli.options import run_argument, state_dir_option
from podium.cli.output import CliError, ExitCode
from podium.cli.session import OpenRun, open_run, run_directory
from podium.engine import ApprovalRequest
from podium.local import approvals
from podium.local.store import BusyError

__all__ = ["approve", "reject"]

POLL_SECONDS = 0.1


@click.command()
@run_argument
@click.argument("node", metavar="[NODE]", required=False)
@answer_options
@state_dir_option
def approve(
    name: str,
    node: str | None,
    comment: str,
    values: tuple[str, ...],
    values_file: str | None,
    state_dir: Path,
) -> int:
    """Approve what a run waits for, also one of another podium process.

    An interrupted run is resumed. NODE may be left out where one node waits.
    """
    given = values_of(values, values_file)
    return _decide(name, node, state_dir, is_approved=True, comment=comment, values=given)


@click.command()
@run_argument
@click.argument("node", metavar="[NODE]", required=False)
@comment_option
@state_dir_option
def reject(name: str, node: str | None, comment: str, state_dir: Path) -> int:
    """Reject what a run waits for: the node fails."""
    return _decide(name, node, state_dir, is_approved=False, comment=comment, values={})


def _decide(
    name: str,
    node: str | None,
    state_dir: Path,
    *,
    is_approved: bool,
    comment: str,
    values: dict[str, Any],
) -> int:
    run = open_run(state_dir, name)
    asked = find_asked(name, run.status, node)
    request = checked_request(run, asked, is_approved=is_approved, comment=comment, values=values)
    directory = run_directory(state_dir, name)
    while True:
        try:
            with directory.locked():
                approvals.clear(directory, request.id)
                return _carry_out(OpenRun(directory, *directory.load()), asked, request)
        except BusyError:
            if outcome := _wait(run, asked, request):
                click.echo(f"{asked.node} of run {name} is {outcome}")
                return ExitCode.OK


def _carry_out(run: OpenRun, asked: Asked, request: ApprovalRequest) -> int:
    """Decide about a run on which no other podium works, and carry it on."""
    if request.id in run.status.handled_requests:
        click.echo(f"{asked.node} of run {run.name} is {outcome_of(run.status, asked)}")
        return ExitCode.OK
    find_asked(run.name, run.status, asked.node)
    require_runnable(run, run.plan)
    return carry_on(run, None, [request])


def _wait(run: OpenRun, asked: Asked, request: ApprovalRequest) -> str:
    """Leave the decision to the podium that works on the run; return what became of it.

    Empty: that podium let go of the run first.
    """
    directory = run.directory
    approvals.put(directory, request)
    while approvals.is_pending(directory, request.id):
        if not directory.is_held:
            return ""
        time.sleep(POLL_SECONDS)
    outcome = outcome_of(directory.load()[1], asked)
    if not outcome:
        raise CliError(
            f"the decision about {asked.node} came too late: see podium get {run.name} {asked.node}"
        )
    return outcome
