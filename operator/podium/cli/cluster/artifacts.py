"""`podium --cluster artifacts`."""

import asyncio

import click

from podium.artifacts.errors import ArtifactError
from podium.cli.cluster.artifact_store import opened
from podium.cli.cluster.connection import Cluster, on_cluster
from podium.cli.cluster.runs import name_of, read_run
from podium.cli.left_artifacts import (
    ArtifactsRequest,
    RunArtifacts,
    answer,
    artifact_arguments,
    remove_manifests,
)
from podium.cli.output import CliError, ExitCode

__all__ = ["artifacts"]


@click.command()
@artifact_arguments
@on_cluster()
async def artifacts(
    cluster: Cluster,
    action: str,
    name: str,
    node: str | None,
    output: str | None,
    execution: str | None,
) -> int:
    """List, copy or remove the artifacts of a run; @latest is the newest.

    ls lists what each execution left. get copies an artifact of the node's newest execution:
    NODE.NAME is one that it declares, or a file or directory that it left in
    $PODIUM_ARTIFACTS_OUT; NODE alone is all of them, into a directory NODE. rm removes those of all
    nodes of a run, which itself stays.

    A Pod in the run's namespace mounts the store for so long: that takes the right to create Pods
    there, to delete them, and to run programs in them (pods/exec).
    """
    request = ArtifactsRequest.of(action, name, node, execution, output)
    run = await read_run(cluster, await name_of(cluster, name))
    nodes = {
        id_: (state.execution_id, state.artifacts or "") for id_, state in run.status.nodes.items()
    }
    copied = {
        id_: (state.copied_from.uid, state.copied_from.execution_id)
        for id_, state in run.status.nodes.items()
        if state.copied_from is not None
    }
    left = RunArtifacts(run.name, run.uid, nodes, copied)
    left.check(request)
    try:
        async with opened(cluster, run) as store:
            # The store blocks, in threads of its own too, while requests are made here.
            if action == "rm":
                await asyncio.to_thread(remove_manifests, left, store)
            else:
                await asyncio.to_thread(answer, left, store, request)
    except ArtifactError as error:
        raise CliError(str(error)) from None
    return ExitCode.OK
