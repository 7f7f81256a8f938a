"""What is asked of a run on a cluster: to run again, to stop, to go on, to be deleted."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import click
import orjson

from podium.api.reasons import EventReason
from podium.cli.cluster.connection import Cluster, on_cluster
from podium.cli.cluster.get import watch_run
from podium.cli.cluster.runs import ClusterRun, name_of, read_run
from podium.cli.forks import require_fork
from podium.cli.options import context_options, names_in, rerun_options, rerun_targets
from podium.cli.output import CliError, ExitCode, warn
from podium.cli.run_end import run_code
from podium.cli.values import context_of
from podium.cluster.kube import paths
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.transport import MERGE_PATCH
from podium.cluster.kube.views import dig, mapping, text, when
from podium.cluster.runs.requests import RERUN

__all__ = ["annotate", "cancel", "delete", "refusals", "rerun", "resume", "suspend", "terminate"]

TAKEN_UP_SECONDS = 15.0
"""How long the operator has to take a request up before the verb says that it waits."""
POLL_SECONDS = 0.3


@click.command()
@click.argument("name", metavar="RUN")
@rerun_options
@click.option("--latest", is_flag=True, help="Move to the Workflow as the cluster has it now.")
@context_options
@click.option("-w", "--watch", is_flag=True, help="Print changes until the run has ended.")
@on_cluster()
async def rerun(
    cluster: Cluster,
    name: str,
    nodes: tuple[str, ...],
    failed: bool,
    no_cascade: bool,
    fork: bool,
    latest: bool,
    values: tuple[str, ...],
    strings: tuple[str, ...],
    context_file: str | None,
    watch: bool,
) -> int:
    """Run nodes of a run again and, by default, all downstream nodes.

    --failed takes what Failed, was Cancelled, or was Skipped because of a failure before it. --fork
    makes a new run, which copies the results of nodes that completed, have the same definition, and
    are not downstream of --node.
    """
    if fork:
        from podium.cli.cluster.fork import fork_run  # noqa: PLC0415 - it loads definitions

        node = require_fork(names_in(nodes), no_cascade=no_cascade, latest=latest)
        made = await fork_run(
            cluster, await name_of(cluster, name), node, (context_file, values, strings)
        )
        click.echo(f"run {made} created")
        return run_code((await watch_run(cluster, made)).status) if watch else ExitCode.OK
    named = rerun_targets(nodes, failed=failed, no_cascade=no_cascade, latest=latest)
    asked: dict[str, Any] = {"nodes": named} if named else {}
    asked |= {"failed": True} if failed else {}
    asked |= {"cascade": False} if no_cascade else {}
    asked |= {"revision": "latest"} if latest else {}
    if edits := context_of({}, context_file, values, strings):
        asked["context"] = edits
    name = await name_of(cluster, name)
    run = await read_run(cluster, name)
    begin = time.time()
    await annotate(cluster, run, {RERUN: orjson.dumps(asked).decode()})
    await _taken_up(cluster, run, RERUN, EventReason.RERUN_REFUSED, begin)
    click.echo(f"run {name} accepted the re-run")
    if watch:
        return run_code((await watch_run(cluster, name)).status)
    return ExitCode.OK


async def annotate(cluster: Cluster, run: ClusterRun, notes: Mapping[str, str]) -> None:
    """Put a request where the operator finds it, unless another one waits there.

    Its first annotation is the request. Raises `CliError`, `ApiError`.
    """
    known = mapping(dig(run.document, "metadata", "annotations"))
    if next(iter(notes)) in known:
        raise CliError(f"run {run.name} has a request that waits for the operator: try again")
    version = text(dig(run.document, "metadata", "resourceVersion"))
    operations: list[dict[str, Any]] = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        *([] if known else [{"op": "add", "path": "/metadata/annotations", "value": {}}]),
        *(
            {"op": "add", "path": f"/metadata/annotations/{_escaped(key)}", "value": value}
            for key, value in notes.items()
        ),
    ]
    try:
        await cluster.client.patch_run(cluster.namespace, run.name, operations)
    except ApiError as error:
        if error.status in (409, 422) and "test" in error.message:
            raise CliError(f"run {run.name} changed meanwhile: try again") from None
        raise


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


async def _taken_up(
    cluster: Cluster, run: ClusterRun, key: str, refused: EventReason, begin: float
) -> None:
    """Wait until the operator has taken a request up. Raises `CliError` if it was refused."""
    path = paths.own(cluster.namespace, "workflowruns", run.name)
    end = time.monotonic() + TAKEN_UP_SECONDS
    while True:
        body = await cluster.client.call("GET", path)
        if key not in mapping(dig(body, "metadata", "annotations")):
            break
        if time.monotonic() > end:
            warn("podium: the operator has not taken the request up so far: does it run?")
            return
        await asyncio.sleep(POLL_SECONDS)
    await asyncio.sleep(POLL_SECONDS)  # its Event comes after it
    for message in await refusals(cluster, run, refused, begin):
        raise CliError(message)


async def refusals(
    cluster: Cluster, run: ClusterRun, refused: EventReason, begin: float
) -> list[str]:
    """Return what Events say since a moment, of requests that were refused."""
    found = []
    for event in await cluster.client.list_events(cluster.namespace, run.uid):
        times = (event.get(name) for name in ("lastTimestamp", "eventTime", "firstTimestamp"))
        latest = max((when(each) or 0.0 for each in times), default=0.0)
        if event.get("reason") == refused and latest >= int(begin):
            found.append(text(event.get("message")) or "the request was refused")
    return found


async def _merge(cluster: Cluster, name: str, spec: dict[str, Any]) -> None:
    path = paths.own(cluster.namespace, "workflowruns", name)
    await cluster.client.call("PATCH", path, {"spec": spec}, content=MERGE_PATCH)


async def _set(cluster: Cluster, name: str, spec: dict[str, Any], said: str) -> int:
    """Change the spec of a run that has not ended; else say how it ended."""
    name = await name_of(cluster, name)
    run = await read_run(cluster, name)
    if run.status.phase.ended:
        said = f"has ended: {run.status.phase.value}"
    else:
        await _merge(cluster, name, spec)
    click.echo(f"run {name} {said}")
    return ExitCode.OK


@click.command()
@click.argument("name", metavar="RUN")
@on_cluster()
async def cancel(cluster: Cluster, name: str) -> int:
    """Cancel a run: what runs is stopped and what waits is cancelled; its nodes can run again.

    Nodes of `finally` run then.
    """
    return await _set(cluster, name, {"cancel": True}, "is to be cancelled")


@click.command()
@click.argument("name", metavar="RUN")
@on_cluster()
async def terminate(cluster: Cluster, name: str) -> int:
    """Cancel a run without its rollback and its nodes of `finally`."""
    return await _set(cluster, name, {"terminate": True}, "is to be terminated")


@click.command()
@click.argument("name", metavar="RUN")
@on_cluster()
async def suspend(cluster: Cluster, name: str) -> int:
    """Start nothing new of a run until it is resumed; what runs goes on."""
    return await _set(cluster, name, {"suspend": True}, "is suspended")


@click.command()
@click.argument("name", metavar="RUN")
@on_cluster()
async def resume(cluster: Cluster, name: str) -> int:
    """Resume a suspended run."""
    name = await name_of(cluster, name)
    run = await read_run(cluster, name)
    if not mapping(run.document.get("spec")).get("suspend"):
        click.echo(f"run {name} is not suspended: {run.phase}")
        return ExitCode.OK
    await _merge(cluster, name, {"suspend": False})
    click.echo(f"run {name} is resumed")
    return ExitCode.OK


@click.command()
@click.argument("names", metavar="RUN...", nargs=-1, required=True)
@on_cluster()
async def delete(cluster: Cluster, names: tuple[str, ...]) -> int:
    """Delete runs with their Jobs and Pods; one that runs is stopped."""
    code = ExitCode.OK
    for given in dict.fromkeys(names):
        name = await name_of(cluster, given)
        path = paths.own(cluster.namespace, "workflowruns", name)
        try:
            await cluster.client.call("DELETE", path, {"propagationPolicy": "Background"})
        except ApiError as error:
            if error.status != 404:
                raise
            warn(f"podium: there is no run {name} in namespace {cluster.namespace}")
            code = ExitCode.USAGE
        else:
            click.echo(f"run {name} deleted")
    return code
