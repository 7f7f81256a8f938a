"""podium restore."""

import uuid
from pathlib import Path
from typing import Any

import click

from podium.cli.execution import carry_on, require_accepted, require_runnable
from podium.cli.options import result_option, run_argument, state_dir_option
from podium.cli.output import CliError
from podium.cli.session import OpenRun, hold_run, require_no_child
from podium.engine import (
    RestoreRequest,
    VersionGoneError,
    context_at,
    former_definition,
    initial_context,
)

__all__ = ["restore"]


@click.command()
@run_argument
@click.option("--version", type=click.IntRange(0), required=True, help="The context version.")
@result_option
@state_dir_option
def restore(name: str, version: int, output: str | None, state_dir: Path) -> int:
    """Take a run back to a context version, and run again what came after it."""
    with hold_run(state_dir, name) as run:
        require_no_child(run)
        request = RestoreRequest(
            id=str(uuid.uuid4()), version=version, context=_former_context(run, version)
        )
        planned = require_accepted(run, request)
        require_runnable(run, run.plan, planned.reset)
        return carry_on(run, output, [request])


def _former_context(run: OpenRun, version: int) -> dict[str, Any] | None:
    """Return the context of a version that an earlier definition made, None for any other."""
    if former_definition(run.status, version) is None:
        return None
    plan = run.plan_at(version)
    initial = initial_context(plan, run.record.spec)
    try:
        found = context_at(run.status, initial, version, constants=plan.fixed_context)
    except VersionGoneError as error:
        raise CliError(str(error)) from None
    context: dict[str, Any] = found["context"]
    return context
