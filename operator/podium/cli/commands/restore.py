"""podium restore."""

import uuid
from pathlib import Path

import click

from podium.cli.execution import carry_on, require_accepted, require_runnable
from podium.cli.options import result_option, state_dir_option
from podium.cli.session import hold_run
from podium.engine import RestoreRequest

__all__ = ["restore"]


@click.command()
@click.argument("name", metavar="RUN")
@click.option("--version", type=click.IntRange(0), required=True, help="The context version.")
@result_option
@state_dir_option
def restore(name: str, version: int, output: str | None, state_dir: Path) -> int:
    """Take a run back to a context version, and run again what came after it."""
    with hold_run(state_dir, name) as run:
        request = RestoreRequest(id=str(uuid.uuid4()), version=version)
        planned = require_accepted(run, request)
        require_runnable(run, run.plan, planned.reset)
        return carry_on(run, output, [request])
