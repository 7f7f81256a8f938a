"""`podium executors`: the executors that a node may name."""

import click

from podium.cli.executor_list import listed
from podium.cli.options import executor_files_option
from podium.cli.session import text_of
from podium.cli.tables import Table

__all__ = ["executors"]


@click.command()
@executor_files_option
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), help="Print them as data.")
def executors(more: tuple[str, ...], output: str | None) -> None:
    """List the executors that nodes may name: built-in ones, and Executors of files.

    Those of a cluster come by way of kubectl:

      kubectl get executors,clusterexecutors -o json | podium executors -f -
    """
    found = listed(more)
    if output is not None:
        document = [{"name": each.name, "kind": each.kind, "title": each.title} for each in found]
        click.echo(text_of(document, output), nl=False)
        return
    Table(
        [("NAME", "KIND", "TITLE"), *((each.name, each.kind, each.title) for each in found)]
    ).print()
