"""A run's status on the server: the one module that writes it, in patches of what changed."""

import asyncio
import logging
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from podium.api.reasons import RunReason
from podium.api.run import RunPhase, WorkflowRunStatus
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError, ConflictError
from podium.cluster.kube.views import dig
from podium.cluster.runs.active_run import ActiveRun
from podium.cluster.runs.shard_objects import Shard, build_shard, shard_of
from podium.cluster.runs.shards import ShardPlan
from podium.cluster.watch.store import InformerCache
from podium.engine import Changes, dump_node, dump_status, load_status, set_end
from podium.errors import PodiumError
from podium.judge.slices import in_slices

__all__ = ["StatusWriter", "TooLargeError", "bare_status"]

CONFLICTS = 5
SHARE = 0.1
"""Of the time, a run spends at most this much on writes that can wait."""
SPACING_SECONDS = 0.1
"""At least this long between two of them."""
BYTES_PER_SECOND = 4_000_000
"""What the server may have to store for writes that can wait, of all runs together."""
WRITE_BYTES = 100_000
"""A write costs the server as much as so many bytes, however small it is."""


_WHERE = ("nodes", "shards", "nodeCounts", "failedNodes")
"""Fields of a status that say where its nodes stand."""
_NOWHERE: dict[str, Any] = {"nodes": {}, "shards": [], "node_counts": {}, "failed_nodes": []}

log = logging.getLogger(__name__)


class TooLargeError(PodiumError):
    """The server does not take a status of this size; the run has failed for it."""


@dataclass(slots=True)
class _Patch:
    """One write of a status, and the shards that were made for it."""

    states: dict[str, Any]
    """Of each changed node; None: it is gone."""
    plan: ShardPlan | None
    forced: bool
    """Whether no smaller status is possible."""
    shards: dict[str, Shard] = field(default_factory=dict)
    """Those that were made for it, by name."""
    size: int = 0
    """Bytes of the shards."""
    operations: list[dict[str, Any]] = field(default_factory=list)


class StatusWriter:
    """Writes statuses of runs, and says when the next write that can wait is due."""

    def __init__(self, client: KubernetesClient, cache: InformerCache) -> None:
        self._client = client
        self._cache = cache
        self._free_at = 0.0

    def due(self, run: ActiveRun) -> float:
        """Return when (monotonic) a write that can wait may be made."""
        return max(run.write_at, self._free_at)

    async def write(self, run: ActiveRun, generation: int, changes: Changes) -> None:
        """Write what changed, in one patch. Of a large run, the shards first that it names.

        Raises `ConflictError`, `TooLargeError`, `ApiError`.
        """
        try:
            await self._write(run, generation, changes)
        except (TooLargeError, ApiError) as error:
            # Without a clear answer (a conflict is none: perhaps a proxy sent the patch twice)
            # the status may name what was made for it.
            if not isinstance(error, ApiError) or not error.transient:
                run.shards.refused()
                await self._delete_spent(run)
            raise

    async def _write(self, run: ActiveRun, generation: int, changes: Changes) -> None:
        _observed(run.engine.status, generation)
        begin = time.monotonic()
        patch = await self._prepare(run, changes)
        for _ in range(CONFLICTS):
            try:
                body, size = await self._client.patch_run_status(
                    *run.key, [at_version(run.version), *patch.operations]
                )
            except ApiError as error:
                if error.status == 404:
                    raise ConflictError from None
                if error.status == 409:
                    await self._catch_up(run)
                    continue
                if not _too_large(error):
                    if error.status == 422:  # such as a field to remove that is not there
                        await self._catch_up(run)
                    raise
                if patch.forced:
                    await self._give_up(run, error)
                    raise TooLargeError(error.message) from None
                # With what has changed since: the fields are those of now.
                since = run.engine.take_changes()
                changes = Changes(changes.nodes | since.nodes, changes.run or since.run)
                patch = await self._prepare(run, changes, force=True)
                continue
            run.persisted_status = body.get("status") or {}
            run.version = str(dig(body, "metadata", "resourceVersion"))
            run.generation = generation
            run.shards.written(patch.states, patch.plan, patch.shards)
            self._cache.put_run(body)
            end = time.monotonic()
            run.write_at = end + max(SPACING_SECONDS, (end - begin) * (1 / SHARE - 1))
            cost = size + patch.size + WRITE_BYTES
            # A busy server, which takes long, gets fewer of them.
            pause = max(cost / BYTES_PER_SECOND, end - begin)
            self._free_at = max(self._free_at, end) + pause
            await self._delete_spent(run)
            return
        raise ConflictError

    async def _prepare(self, run: ActiveRun, changes: Changes, *, force: bool = False) -> "_Patch":
        """Make the shards that the next status names, and the patch that writes it."""
        # The engine stands still: a status that counts more than its nodes show would be believed
        # after a crash.
        async with run.stepping:
            patch, fields = await in_slices(_made_of(run, changes, force=force))
        plan, states = patch.plan, patch.states
        if plan is not None:
            bodies = [build_shard(run.owner, name, nodes) for name, nodes in plan.made.items()]
            made = map(self._client.create_run_nodes, bodies)
            answers = await asyncio.gather(*made, return_exceptions=True)
            for answer in answers:
                if isinstance(answer, BaseException):
                    continue
                body, size = answer
                shard = shard_of(body)
                patch.shards[shard.name] = shard
                run.shards.made.append(shard)
                patch.size += size
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
            for reference in fields["shards"]:
                if made_for_it := patch.shards.get(reference["name"]):
                    reference["hash"] = made_for_it.hash
        patch.operations = _operations(run.persisted_status, fields, states, plan)
        return patch

    async def _delete_spent(self, run: ActiveRun) -> None:
        """Delete shards that the status names no more."""
        spent, run.shards.spent = run.shards.spent, []
        namespace = run.owner.namespace
        deletions = [self._client.delete_run_nodes(namespace, s.name, s.uid) for s in spent]
        for error in await asyncio.gather(*deletions, return_exceptions=True):
            if isinstance(error, ApiError):  # they go with their run at the latest
                log.info("%s/%s: a shard is left behind: %s", *run.key, error)
            elif error is not None:
                raise error

    async def write_bare(
        self, body: dict[str, Any], status: WorkflowRunStatus, known: dict[str, Any]
    ) -> None:
        """Write the status of a run that has no engine."""
        meta = body["metadata"]
        _observed(status, int(meta.get("generation") or 0))
        document = dump_status(status)
        document.update({name: known[name] for name in _WHERE if name in known})
        operations = [
            at_version(str(meta["resourceVersion"])),
            {"op": "add", "path": "/status", "value": document},
        ]
        answer, _ = await self._client.patch_run_status(meta["namespace"], meta["name"], operations)
        self._cache.put_run(answer)

    async def _catch_up(self, run: ActiveRun) -> None:
        """Read the object again that another client wrote: fine, unless it was the status."""
        body = await self._client.get_run(*run.key)
        if dig(body, "metadata", "uid") != run.owner.uid:
            raise ConflictError
        if (body.get("status") or {}) != run.persisted_status:
            raise ConflictError
        run.version = str(dig(body, "metadata", "resourceVersion"))
        self._cache.put_run(body)

    async def _give_up(self, run: ActiveRun, error: ApiError) -> None:
        """Fail a run whose status the server does not take."""
        now = round(time.time(), 3)
        message = f"the run's status is too large for the server: {error.message}"
        status = WorkflowRunStatus.model_construct(
            phase=RunPhase.FAILED,
            conditions=list(run.engine.status.conditions),
            started_at=run.engine.status.started_at,
            completed_at=now,
            # What made it too large must not be carried out again.
            handled_requests=run.engine.status.handled_requests,
        )
        status.reason = RunReason.STATUS_TOO_LARGE.value
        set_end(status, now, RunPhase.FAILED, status.reason, message)
        document = {
            **run.persisted_status,
            **dump_status(status),
            "nodes": run.persisted_status.get("nodes", {}),
        }
        document.pop("current", None)  # nothing of it runs any more
        body, _ = await self._client.patch_run_status(
            *run.key,
            [at_version(run.version), {"op": "add", "path": "/status", "value": document}],
        )
        self._cache.put_run(body)  # it has ended: it is not loaded again


def _made_of(
    run: ActiveRun, changes: Changes, *, force: bool
) -> Generator[None, None, tuple[_Patch, dict[str, Any]]]:
    """Make what changed of a status, and its fields, as they are now."""
    status = run.engine.status
    states: dict[str, Any] = {}
    for node in sorted(changes.nodes):
        states[node] = dump_node(status.nodes[node]) if node in status.nodes else None
        yield
    plan = yield from run.shards.plan(
        run.owner.name, run.persisted_status.get("nodes") or {}, status, states, force=force
    )
    fields = dump_status(status.model_copy(update=_NOWHERE))
    yield
    fields.update(run.shards.summary(status, states, plan))
    return _Patch(states, plan, forced=force), fields


def bare_status(known: dict[str, Any], phase: RunPhase) -> WorkflowRunStatus:
    """Return the status of a run without its nodes, in this phase."""
    try:
        return load_status({**known, "phase": phase.value, "nodes": {}, "current": ""})
    except ValueError:  # a user wrote into it
        return WorkflowRunStatus(phase=phase)


def at_version(version: str) -> dict[str, Any]:
    """Make a patch conditional: another version on the server answers 409."""
    return {"op": "replace", "path": "/metadata/resourceVersion", "value": version}


def _operations(
    known: Mapping[str, Any],
    fields: Mapping[str, Any],
    states: Mapping[str, Any],
    plan: ShardPlan | None,
) -> list[dict[str, Any]]:
    """Return the JSON Patch from the status on the server to the engine's.

    A changed node is replaced whole: a merge would mix the outputs of two executions.
    """
    if "nodes" not in known:
        nodes = states if plan is None else plan.recent
        return [{"op": "add", "path": "/status", "value": {**fields, "nodes": nodes}}]
    operations: list[dict[str, Any]] = [
        {"op": "add", "path": f"/status/{name}", "value": value}
        for name, value in fields.items()
        if known.get(name) != value
    ]
    operations += [
        {"op": "remove", "path": f"/status/{name}"}
        for name in known
        if name not in fields and name != "nodes"
    ]
    if plan is not None:
        return [*operations, {"op": "add", "path": "/status/nodes", "value": plan.recent}]
    for node, state in states.items():
        if state is not None:
            operations.append({"op": "add", "path": f"/status/nodes/{node}", "value": state})
        elif node in known["nodes"]:
            operations.append({"op": "remove", "path": f"/status/nodes/{node}"})
    return operations


def _observed(status: WorkflowRunStatus, generation: int) -> None:
    status.observed_generation = generation
    for condition in status.conditions:
        condition.observed_generation = generation


def _too_large(error: ApiError) -> bool:
    # In the words of the API server, of etcd, of the connection between them, and of validation.
    words = ("too large", "larger than max", "Too long")
    return error.status == 413 or any(each in error.message for each in words)
