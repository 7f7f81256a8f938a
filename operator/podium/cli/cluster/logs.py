"""`podium --cluster logs`."""

import asyncio
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

import click

from podium.api.names import LABEL_RUN_UID
from podium.cli.cluster.connection import Cluster, on_cluster
from podium.cli.cluster.runs import ClusterRun, name_of, read_run
from podium.cli.options import log_options, require_one_log
from podium.cli.output import CliError, ExitCode, escape_control, warn
from podium.cluster.kube import paths
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import (
    ANNOTATION_EXECUTION,
    ANNOTATION_NODE,
    CONTAINER,
    dig,
    mapping,
    text,
    when,
)

__all__ = ["logs"]

POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Pod:
    """A Pod of an execution."""

    name: str
    node: str
    execution: str
    started_at: float
    """0: it has not started."""


@dataclass(frozen=True, slots=True)
class _Options:
    named: bool
    timestamps: bool
    tail: int | None


@click.command()
@click.argument("name", metavar="RUN")
@click.argument("node", required=False)
@log_options
@on_cluster()
async def logs(
    cluster: Cluster,
    name: str,
    node: str | None,
    follow: bool,
    tail: int | None,
    timestamps: bool,
    execution: str | None,
    previous: bool,
) -> int:
    """Print what the programs of a run wrote, or that of one node.

    Of each node it is the newest execution; nodes come in the order in which these started. A log
    goes with its Pod.
    """
    name = await name_of(cluster, name)
    run = await read_run(cluster, name)
    require_one_log(follow=follow, execution=execution, previous=previous)
    if node is not None and node not in run.status.nodes:
        known = ", ".join(list(run.status.nodes)[:10])
        raise CliError(f"run {name} has no node {node!r:.80}: nodes are {known}")
    options = _Options(node is None and execution is None, timestamps, tail)
    if follow:
        await _follow(cluster, run, node, execution, options)
        return ExitCode.OK
    pods = await _pods(cluster, run, node)
    if execution is not None:
        shown = [each for each in pods if each.execution == execution]
    else:
        shown = list(_one_of_each(pods, 1 if previous else 0))
    if not shown and (node is not None or execution is not None):
        raise CliError(_nothing(run, node, pods, execution))
    for each in shown:
        await _print(cluster, each, options, follow=False)
    return ExitCode.OK


async def _pods(cluster: Cluster, run: ClusterRun, node: str | None) -> list[_Pod]:
    """Return the Pods of a run, or of a node, the newest first."""
    path = paths.pods(cluster.namespace)
    selector = f"{LABEL_RUN_UID}={run.uid}"
    found = []
    for body in await cluster.client.list_objects(path, page_size=50, labelSelector=selector):
        pod = _pod(body)
        if pod.node in run.status.nodes and node in (None, pod.node):
            found.append(pod)
    return sorted(found, key=lambda pod: (_number(pod.execution), pod.started_at), reverse=True)


def _pod(body: dict[str, Any]) -> _Pod:
    metadata = mapping(body.get("metadata"))
    marks = {**mapping(metadata.get("labels")), **mapping(metadata.get("annotations"))}
    return _Pod(
        name=text(metadata.get("name")),
        node=text(marks.get(ANNOTATION_NODE)),
        execution=text(marks.get(ANNOTATION_EXECUTION)),
        started_at=when(dig(body, "status", "startTime")) or 0.0,
    )


def _number(execution: str) -> int:
    number = execution.rpartition("-")[2]
    return int(number) if number.isdecimal() and len(number) < 10 else 0


def _one_of_each(pods: Iterable[_Pod], place: int) -> list[_Pod]:
    """Return one execution of each node: the newest, or the one before; in order of start."""
    of_node: dict[str, list[_Pod]] = {}
    for pod in pods:
        of_node.setdefault(pod.node, []).append(pod)
    chosen = [found[place] for found in of_node.values() if len(found) > place]
    return sorted(chosen, key=lambda pod: pod.started_at)


def _nothing(run: ClusterRun, node: str | None, pods: list[_Pod], execution: str | None) -> str:
    known = ", ".join(pod.execution for pod in pods[:10]) or "none"
    if execution is not None:
        return f"there is no Pod of execution {execution!r:.80}: those of {known} are there"
    state = run.status.nodes[node or ""]
    if not state.execution_count:
        return f"node {node} has not started: it is {state.status.value}"
    return f"node {node} has no Pod with such a log any more: those of {known} are there"


async def _print(cluster: Cluster, pod: _Pod, options: _Options, *, follow: bool) -> None:
    query = {
        "container": CONTAINER,
        **({"follow": "true"} if follow else {}),
        **({"timestamps": "true"} if options.timestamps else {}),
        **({} if options.tail is None else {"tailLines": str(options.tail)}),
    }
    path = f"{paths.pods(cluster.namespace, pod.name, 'log')}?{urlencode(query)}"
    start = f"[{pod.node}] ".encode() if options.named else b""
    try:
        async for line in cluster.client.lines(path, "*/*"):
            _write(start + line)
    except ApiError as error:
        if error.status not in (400, 404):  # its container has not begun, or it is gone
            raise
        warn(f"podium: {pod.node} ({pod.execution}): {error.message}")


def _write(line: bytes) -> None:
    line = line.removesuffix(b"\r")
    if sys.stdout.isatty():
        print(escape_control(line.decode(errors="replace")), flush=True)
        return
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


async def _follow(
    cluster: Cluster, run: ClusterRun, node: str | None, execution: str | None, options: _Options
) -> None:
    """Print the logs of the newest executions, and of those that start, until all has ended."""
    streams: list[asyncio.Task[None]] = []
    seen: set[str] = set()
    """Names of Pods: those that are printed, and older executions of their nodes."""
    choose: Callable[[list[_Pod]], list[_Pod]]
    choose = list if execution is not None else partial(_one_of_each, place=0)
    try:
        while True:
            run = await read_run(cluster, run.name)
            state = None if node is None else run.status.nodes.get(node)
            has_ended = run.status.phase.ended if state is None else state.status.ended
            pods = await _pods(cluster, run, node)
            for pod in choose(pods):
                is_wanted = pod.started_at and execution in (None, pod.execution)
                if is_wanted and pod.name not in seen:
                    stream = _print(cluster, pod, options, follow=True)
                    streams.append(asyncio.create_task(stream))
            seen |= {pod.name for pod in pods if pod.started_at}
            choose = list  # what has started since, be it several of a node
            if has_ended:
                await asyncio.gather(*streams)
                return
            await asyncio.sleep(POLL_SECONDS)
    finally:
        for task in streams:
            task.cancel()
