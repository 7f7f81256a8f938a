"""Child runs of a run, in lines for people."""

import click

from podium.api.names import split_item
from podium.api.run import NodeState, WorkflowRunStatus
from podium.cli.output import CliError

__all__ = ["print_child_runs", "require_own_log"]

_SHOWN = 20


def print_child_runs(status: WorkflowRunStatus) -> None:
    """Print below the nodes which runs are children of the run, by their nodes."""
    found = [(node, state.child_run) for node, state in status.nodes.items() if state.child_run]
    places = {node: place for place, node in enumerate(status.nodes)}

    def place(named: tuple[str, str | None]) -> tuple[int, int]:
        map_, index = split_item(named[0]) or (named[0], 0)
        return places.get(map_, 0), index

    found.sort(key=place)
    for number, (node, name) in enumerate(found[:_SHOWN]):
        if number == 0:
            click.echo()
        click.echo(f"child run of {node}: {name}")
    if len(found) > _SHOWN:
        click.echo(f"and {len(found) - _SHOWN} more: podium get RUN NODE names each")


def require_own_log(node: str, state: NodeState) -> None:
    """Raise `CliError` for a node that a child run carries out: that has the logs."""
    if state.child_run is not None:
        raise CliError(
            f"node {node} has no log of its own: look at those of its child run {state.child_run}"
        )
