"""podium resume."""

from pathlib import Path

import click

from podium.cli.execution import carry_on, require_runnable
from podium.cli.live import stream_for
from podium.cli.options import result_option, run_argument, state_dir_option
from podium.cli.run_end import run_code
from podium.cli.session import document_text, hold_run, require_no_child

__all__ = ["resume"]


@click.command()
@run_argument
@result_option
@state_dir_option
def resume(name: str, output: str | None, state_dir: Path) -> int:
    """Resume a run that was interrupted or killed; what still runs is found again."""
    with hold_run(state_dir, name) as run:
        if not run.status.phase.ended:
            require_no_child(run)
            require_runnable(run, run.plan)
            return carry_on(run, output)
        print(
            f"run {name} has ended: {run.status.phase.value}; run nodes again with podium rerun",
            file=stream_for(output),
        )
        if output is not None:
            click.echo(document_text(run, output), nl=False)
        return run_code(run.status)
