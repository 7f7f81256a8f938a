"""`podium --cluster get`, `list`, `watch` and `wait`."""

import asyncio
import time

import click

from podium.api.base import format_duration
from podium.api.run import NodeState
from podium.cli.child_runs import print_child_runs
from podium.cli.cluster.connection import Cluster, on_cluster
from podium.cli.cluster.runs import ClusterRun, RunRow, changes, list_rows, name_of, read_run
from podium.cli.durations import DURATION
from podium.cli.items import nodes_in_order
from podium.cli.members import is_unneeded
from podium.cli.node_details import show_node
from podium.cli.output import CliError, ExitCode, warn
from podium.cli.run_end import run_code
from podium.cli.session import text_of
from podium.cli.tables import (
    RUN_HEADER,
    WIDE,
    Table,
    header_of,
    node_row,
    node_rows,
    print_asked,
    print_outputs,
    run_row,
)

__all__ = ["get", "wait", "watch", "watch_run"]

LIST_SECONDS = 2.0
"""Between looks at a list that is watched."""


@click.command()
@click.argument("name", metavar="[RUN]", required=False)
@click.argument("node", metavar="[NODE]", required=False)
@click.option(
    "-w", "--watch", is_flag=True, help="Print changes as they happen; of a run: until it ends."
)
@click.option("-l", "--selector", default="", metavar="LABELS", help="Only runs with these labels.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["json", "yaml", "wide", "name"]),
    help="Print whole resources, more columns, or only names.",
)
@on_cluster(all_namespaces=True)
async def get(
    cluster: Cluster,
    name: str | None,
    node: str | None,
    watch: bool,
    selector: str,
    output: str | None,
) -> int:
    """List the runs of a namespace, or show one with its nodes, or one node.

    @latest is the newest run.
    """
    if name is None:
        if watch and output in ("json", "yaml"):
            raise CliError("-w prints changes as lines: leave out -o")
        await _show_all(cluster, selector, output, watch=watch)
        return ExitCode.OK
    if not cluster.namespace:
        raise CliError("-A lists runs: name the namespace of one run with -n")
    if watch and (output is not None or node is not None):
        raise CliError("-w prints changes as lines: leave out -o and NODE")
    name = await name_of(cluster, name)
    if watch:
        await watch_run(cluster, name)
        return ExitCode.OK
    run = await read_run(cluster, name)
    if node is not None:
        show_node(run.name, run.status, node, None if output in ("wide", "name") else output)
    elif output in ("json", "yaml"):
        click.echo(text_of(run.document, output), nl=False)
    elif output == "name":
        click.echo(f"workflowrun.podium.dev/{run.name}")
    else:
        wide = output == "wide"
        Table([header_of(wide=wide), run_row(run, wide=wide)]).print()
        click.echo()
        Table(node_rows(run.status)).print()
        print_child_runs(run.status)
        print_asked(run.status)
        print_outputs(run.status)
    return ExitCode.OK


async def watch_run(cluster: Cluster, name: str) -> ClusterRun:
    """Print a run, and its nodes as they change until it has ended; return it."""
    table: Table | None = None
    shown: dict[str, NodeState] = {}
    async for run in changes(cluster, name):
        if table is None:
            Table([RUN_HEADER, run_row(run)]).print()
            click.echo()
            table = Table(node_rows(run.status))
            table.print()
        else:
            for node, state in nodes_in_order(run.status.nodes):
                if is_unneeded(state):
                    continue
                if node not in shown or _key(shown[node]) != _key(state):
                    table.add(node_row(node, state, time.time()))
        shown = dict(run.status.nodes)
        if run.status.phase.ended:
            click.echo()
            Table([RUN_HEADER, run_row(run)]).print()
            print_outputs(run.status)
            return run
    raise AssertionError("changes are given without an end")


def _key(state: NodeState) -> tuple[object, ...]:
    return state.status, state.reason, state.execution_count, state.stale


async def _show_all(cluster: Cluster, selector: str, output: str | None, *, watch: bool) -> None:
    rows = [row async for row in list_rows(cluster, selector)]
    if output in ("json", "yaml"):
        items = [(await read_run(_of(cluster, row), row.name)).document for row in rows]
        document = {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}
        click.echo(text_of(document, output), nl=False)
        return
    if output == "name":
        for row in rows:
            click.echo(f"workflowrun.podium.dev/{row.name}")
        return
    if not rows and not watch:
        where = f"namespace {cluster.namespace}" if cluster.namespace else "any namespace"
        warn(f"no runs in {where}")
        return
    more = WIDE if output == "wide" else ()
    header = (*(() if cluster.namespace else ("NAMESPACE",)), *RUN_HEADER, *more)
    table = Table([header, *(_cells(cluster, row, more) for row in rows)])
    table.print()
    known = {(row.namespace, row.name): _lasting(row) for row in rows}
    while watch:
        await asyncio.sleep(LIST_SECONDS)
        async for row in list_rows(cluster, selector):
            key, lasting = (row.namespace, row.name), _lasting(row)
            if known.get(key) != lasting:
                table.add(_cells(cluster, row, more))
            known[key] = lasting


def _of(cluster: Cluster, row: RunRow) -> Cluster:
    return Cluster(cluster.client, row.namespace)


def _cells(cluster: Cluster, row: RunRow, more: tuple[str, ...]) -> tuple[str, ...]:
    cells = {name.upper(): cell for name, cell in row.cells.items()}
    cells["AGE"] = format_duration(max(0.0, time.time() - row.created_at))
    found = tuple(cells.get(column, "") for column in (*RUN_HEADER, *more))
    return found if cluster.namespace else (row.namespace, *found)


def _lasting(row: RunRow) -> dict[str, str]:
    """Return what of a row can change: neither its age nor its duration is a change."""
    return {name: cell for name, cell in row.cells.items() if name not in ("Age", "Duration")}


@click.command()
@click.argument("name", metavar="RUN")
@on_cluster()
async def watch(cluster: Cluster, name: str) -> int:
    """Show a run and its changes until it has ended."""
    await watch_run(cluster, await name_of(cluster, name))
    return ExitCode.OK


@click.command()
@click.argument("name", metavar="RUN")
@click.option("--timeout", type=DURATION, help="Give up after this long, such as 90s, 5m or 1h.")
@on_cluster()
async def wait(cluster: Cluster, name: str, timeout: float | None) -> int:  # noqa: ASYNC109 - an option
    """Wait until a run has ended; the exit code is the run's, or 3 if it takes too long."""
    name = await name_of(cluster, name)
    try:
        async with asyncio.timeout(timeout):
            async for run in changes(cluster, name):
                if run.status.phase.ended:
                    click.echo(f"run {name} has ended: {run.status.phase.value}")
                    return run_code(run.status)
    except TimeoutError:
        raise CliError(
            f"run {name} has not ended within {format_duration(timeout or 0)}", ExitCode.TIMEOUT
        ) from None
    raise AssertionError("changes are given without an end")
