"""`podium --cluster logs`: of Pods that are there, else as they are kept in the store."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

import click

from podium.api.names import LABEL_RUN_UID
from podium.api.run import NodeState, NodeStatus
from podium.artifacts.kept_logs import KeptLog
from podium.cli.child_runs import require_own_log
from podium.cli.cluster.connection import Cluster, on_cluster
from podium.cli.cluster.runs import ClusterRun, changes, name_of, read_run
from podium.cli.describe import copied_text
from podium.cli.items import require_node, state_of
from podium.cli.members import is_of, members_of
from podium.cli.options import log_options, require_one_log
from podium.cli.output import CliError, ExitCode, escape_control, warn
from podium.cluster.kube import paths
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import (
    ANNOTATION_EXECUTION,
    ANNOTATION_NODE,
    CONTAINER,
    dig,
    items,
    mapping,
    text,
    when,
)

__all__ = ["logs"]

TOGETHER_SECONDS = 1.0
"""What changes within a second is looked at together."""


@dataclass(frozen=True, slots=True)
class _Pod:
    """A Pod of an execution."""

    name: str
    uid: str
    node: str
    execution: str
    started_at: float
    """0: it has not started."""
    has_log: bool
    """Whether its program has begun."""
    kept: KeptLog | None = None
    """Its log in the store, if it is gone."""


@dataclass(frozen=True, slots=True)
class _Options:
    named: bool
    timestamps: bool
    tail: int | None
    execution: str | None
    previous: bool


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
    """Print the logs of a run's nodes, or of one node.

    Of each node, the log of its newest execution; they come in the order in which these started.
    A log goes with its Pod, unless the cluster keeps logs (artifacts.logs): then a Pod reads them
    from the store, which takes the rights that podium artifacts takes there.
    """
    name = await name_of(cluster, name)
    run = await read_run(cluster, name)
    require_one_log(follow=follow, execution=execution, previous=previous)
    state = None if node is None else require_node(name, run.status, node)
    if node is not None and state is not None:
        require_own_log(node, state)
    is_map = state is not None and state.items is not None
    is_group = is_map or (node is not None and bool(members_of(node, run.status.nodes)))
    is_named = execution is None and (node is None or is_group)
    options = _Options(is_named, timestamps, tail, execution, previous=previous)
    if follow and not _has_ended(run, node):
        await _follow(cluster, run, node, options)
        return ExitCode.OK
    pods = await _pods(cluster, run, node)
    shown = _chosen(pods, options)
    async with contextlib.AsyncExitStack() as stack:
        kept = None
        if run.status.log_store is not None and _misses(run, node, shown, options):
            from podium.cli.cluster.kept_logs import opened_logs  # noqa: PLC0415 - loads long

            logs_of = opened_logs(cluster, run.uid, run.status.log_store)
            kept = await stack.enter_async_context(logs_of)
            there = {pod.uid for pod in pods}
            pods += [
                _Pod("", log.pod, log.node, log.execution, log.started_at, has_log=True, kept=log)
                for log in await asyncio.to_thread(kept.logs, None if is_group else node)
                if log.pod not in there
                and state_of(run.status, log.node) is not None
                and is_of(log.node, node)
            ]
            pods = _in_order(pods)
            shown = _chosen(pods, options)
        if not shown and not follow and (node is not None or execution is not None):
            raise CliError(_nothing(run, node, pods, execution))
        for pod in shown:
            if kept is not None and pod.kept is not None:
                start = f"[{pod.node}] ".encode() if options.named else b""
                read = partial(kept.lines, pod.kept, tail, timestamps=timestamps)
                for line in await asyncio.to_thread(read):
                    _write(start + line)
            else:
                await _print(cluster, pod, options, follow=False)
    return ExitCode.OK


def _has_ended(run: ClusterRun, node: str | None) -> bool:
    state = None if node is None else state_of(run.status, node)
    return run.status.phase.ended if state is None else state.status.ended


def _chosen(pods: list[_Pod], options: _Options) -> list[_Pod]:
    if options.execution is not None:
        return [each for each in pods if each.execution == options.execution]
    return _one_of_each(pods, 1 if options.previous else 0)


def _misses(run: ClusterRun, node: str | None, shown: list[_Pod], options: _Options) -> bool:
    """Return whether the Pod of a log that is asked for is gone."""
    if options.execution is not None:
        return not shown
    there = {pod.node: pod.execution for pod in shown}
    for name in run.status.nodes if node is None else (node,):
        state = require_node(run.name, run.status, name)
        if options.previous:
            if state.execution_count > 1:  # a Pod between these two may be gone
                return True
        elif state.status.ended and state.job_uid and there.get(name) != state.execution_id:
            return True
    return node is not None and not shown and _has_begun(require_node(run.name, run.status, node))


def _has_begun(state: NodeState) -> bool:
    return state.execution_count > 0 or state.status is NodeStatus.COMPLETED


async def _pods(cluster: Cluster, run: ClusterRun, node: str | None) -> list[_Pod]:
    """Return the Pods of a run, or of a node, the newest first."""
    path = paths.pods(cluster.namespace)
    selector = f"{LABEL_RUN_UID}={run.uid}"
    found = []
    for body in await cluster.client.list_objects(path, page_size=50, labelSelector=selector):
        pod = _pod(body)
        if state_of(run.status, pod.node) is not None and is_of(pod.node, node):
            found.append(pod)
    return _in_order(found)


def _in_order(pods: list[_Pod]) -> list[_Pod]:
    return sorted(pods, key=lambda pod: (_number(pod.execution), pod.started_at), reverse=True)


def _pod(body: dict[str, Any]) -> _Pod:
    metadata = mapping(body.get("metadata"))
    marks = {**mapping(metadata.get("labels")), **mapping(metadata.get("annotations"))}
    return _Pod(
        name=text(metadata.get("name")),
        uid=text(metadata.get("uid")),
        node=text(marks.get(ANNOTATION_NODE)),
        execution=text(marks.get(ANNOTATION_EXECUTION)),
        started_at=when(dig(body, "status", "startTime")) or 0.0,
        has_log=any(
            each.get("name") == CONTAINER and mapping(each.get("state")).keys() - {"waiting"}
            for each in items(dig(body, "status", "containerStatuses"))
        ),
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
    state = require_node(run.name, run.status, node or "")
    if copied := copied_text(run.status, node or "", state):
        return copied
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


async def _follow(cluster: Cluster, run: ClusterRun, node: str | None, options: _Options) -> None:
    """Print the logs of the newest executions, and of those that start, until all has ended."""
    streams: list[asyncio.Task[None]] = []
    seen: set[str] = set()
    """Names of Pods: those that are printed, and older executions of their nodes."""
    choose: Callable[[list[_Pod]], list[_Pod]]
    choose = list if options.execution is not None else partial(_one_of_each, place=0)
    try:
        async for now in changes(cluster, run.name, TOGETHER_SECONDS):
            run = now
            has_ended = _has_ended(run, node)
            pods = await _pods(cluster, run, node)
            for pod in choose(pods):
                is_wanted = pod.has_log and options.execution in (None, pod.execution)
                if is_wanted and pod.name not in seen:
                    stream = _print(cluster, pod, options, follow=True)
                    streams.append(asyncio.create_task(stream))
            seen |= {pod.name for pod in pods if pod.has_log}
            choose = list  # what has started since, be it several of a node
            if has_ended:
                await asyncio.gather(*streams)
                return
    finally:
        for task in streams:
            task.cancel()
