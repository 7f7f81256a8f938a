"""`podium --cluster context`."""

import click

from podium.cli.cluster.connection import Cluster, on_cluster
from podium.cli.cluster.definitions import definition_of
from podium.cli.cluster.runs import name_of, read_run
from podium.cli.contexts import context_options, record_of, show_contexts, wanted_versions
from podium.cli.output import ExitCode
from podium.cluster.kube.views import dig, mapping

__all__ = ["context"]


@click.command()
@click.argument("name", metavar="RUN")
@context_options
@on_cluster()
async def context(
    cluster: Cluster,
    name: str,
    version: int | None,
    diff: tuple[int, int] | None,
    output: str | None,
) -> int:
    """Print the context and outputs of a run, at the latest or an earlier version."""
    wanted = wanted_versions(version, diff)
    run = await read_run(cluster, await name_of(cluster, name))
    given = mapping(dig(run.document, "spec", "context"))
    found = []
    for each in wanted:
        definition = await definition_of(cluster, run, each)
        found.append(record_of(run.status, definition, given, each))
    show_contexts(found, output)
    return ExitCode.OK
