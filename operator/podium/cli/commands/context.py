"""podium context."""

from pathlib import Path

import click

from podium.cli.options import state_dir_option
from podium.cli.output import CliError
from podium.cli.session import open_run, text_of
from podium.engine import VersionGoneError, context_at, initial_context

__all__ = ["context"]


@click.command()
@click.argument("name", metavar="RUN")
@click.option("--version", type=click.IntRange(0), help="Which version; default: the latest.")
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), default="yaml")
@state_dir_option
def context(name: str, version: int | None, output: str, state_dir: Path) -> None:
    """Print the context and outputs of a run, at the latest or an earlier version."""
    run = open_run(state_dir, name)
    try:
        found = context_at(run.status, initial_context(run.plan, run.record.spec), version)
    except VersionGoneError as error:
        raise CliError(str(error)) from None
    click.echo(text_of(found, output), nl=False)
