"""podium get."""

from pathlib import Path

import click

from podium.cli.options import document_option, state_dir_option
from podium.cli.output import warn
from podium.cli.session import OpenRun, document_text, open_run, text_of
from podium.cli.tables import RUN_HEADER, node_rows, print_table, run_row
from podium.local.store import StoreError, list_runs

__all__ = ["get"]


@click.command()
@click.argument("name", metavar="[RUN]", required=False)
@document_option
@state_dir_option
def get(name: str | None, output: str | None, state_dir: Path) -> None:
    """List the runs of this machine, or show one with its nodes."""
    if name is not None:
        _show(open_run(state_dir, name), output)
        return
    found = []
    for each in list_runs(state_dir):
        try:
            found.append(open_run(state_dir, each))
        except StoreError as error:
            warn(f"podium: {error}")
    if output is not None:
        items = [run.document for run in found]
        document = {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}
        click.echo(text_of(document, output), nl=False)
    elif found:
        print_table([RUN_HEADER, *(run_row(run) for run in found)])
    else:
        warn(f"no runs in {state_dir}")


def _show(run: OpenRun, output: str | None) -> None:
    if output is not None:
        click.echo(document_text(run, output), nl=False)
        return
    print_table([RUN_HEADER, run_row(run)])
    click.echo()
    print_table(node_rows(run.status))
