"""podium logs."""

from contextlib import suppress
from pathlib import Path

import click

from podium.cli.log_output import print_logs
from podium.cli.options import state_dir_option
from podium.cli.output import CliError
from podium.cli.session import open_run

__all__ = ["logs"]


@click.command()
@click.argument("name", metavar="RUN")
@click.argument("node", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
@state_dir_option
def logs(name: str, node: str | None, follow: bool, state_dir: Path) -> None:
    """Print what the programs of a run wrote, each node's latest execution."""
    run = open_run(state_dir, name)
    known = [each.id for each in run.record.workflow.nodes]
    if node is not None and node not in known:
        raise CliError(f"run {name} has no node {node!r:.80}: nodes are {', '.join(known[:10])}")
    if node is not None and not follow and not run.status.nodes[node].execution_count:
        status = run.status.nodes[node].status.value
        raise CliError(f"node {node} has not started: it is {status}")
    with suppress(KeyboardInterrupt):
        print_logs(run.folder, known if node is None else [node], follow=follow, named=node is None)
