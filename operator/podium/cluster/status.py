"""A run's status on the server: the one module that writes it, in patches of what changed."""

import time
from typing import Any

from podium.api.run import ConditionStatus, RunPhase, WorkflowRunStatus
from podium.cluster.active import ActiveRun
from podium.cluster.cache import Cache
from podium.cluster.gateway import ApiError, Gateway
from podium.cluster.views import dig
from podium.engine.codec import dump_node, dump_status, load_status
from podium.engine.conditions import set_condition
from podium.engine.engine import Changes

__all__ = ["ConflictError", "StatusWriter", "TooLargeError", "bare_status"]

CONFLICTS = 5
SHARE = 0.1
"""Of the time, a run spends at most this much on writes that can wait."""
SPACING_SECONDS = 0.1
"""At least this long between two of them."""
BYTES_PER_SECOND = 4_000_000
"""What the server may have to store for writes that can wait, of all runs together."""


class ConflictError(Exception):
    """The status on the server is not the one that this operator wrote last."""


class TooLargeError(Exception):
    """The server does not take a status of this size; the run has failed for it."""


class StatusWriter:
    """Writes statuses of runs, and says when the next write that can wait is due."""

    def __init__(self, gateway: Gateway, cache: Cache) -> None:
        self._gateway = gateway
        self._cache = cache
        self._free_at = 0.0

    def due(self, run: ActiveRun) -> float:
        """Return when (monotonic) a write that can wait may be made."""
        return max(run.write_at, self._free_at)

    async def write(self, run: ActiveRun, generation: int, changes: Changes) -> None:
        """Write what changed, in one patch.

        Raises `ConflictError`, `TooLargeError`, `ApiError`.
        """
        _observed(run.engine.status, generation)
        operations = _operations(run.known, run.engine.status, changes)
        for _ in range(CONFLICTS):
            begin = time.monotonic()
            try:
                body, size = await self._gateway.patch_run_status(
                    *run.key, [at_version(run.version), *operations]
                )
            except ApiError as error:
                if error.status == 404:
                    raise ConflictError from None
                if error.status == 409:
                    await self._catch_up(run)
                    continue
                if _too_large(error):
                    await self._give_up(run, error)
                    raise TooLargeError(error.message) from None
                raise
            run.known = body.get("status") or {}
            run.version = str(dig(body, "metadata", "resourceVersion"))
            run.generation = generation
            self._cache.put_run(body)
            end = time.monotonic()
            run.write_at = end + max(SPACING_SECONDS, (end - begin) * (1 / SHARE - 1))
            self._free_at = max(self._free_at, end) + size / BYTES_PER_SECOND
            return
        raise ConflictError

    async def write_bare(
        self, body: dict[str, Any], status: WorkflowRunStatus, known: dict[str, Any]
    ) -> None:
        """Write the status of a run that has no engine."""
        meta = body["metadata"]
        _observed(status, int(meta.get("generation") or 0))
        document = dump_status(status)
        if "nodes" in known:
            document["nodes"] = known["nodes"]
        operations = [
            at_version(str(meta["resourceVersion"])),
            {"op": "add", "path": "/status", "value": document},
        ]
        answer, _ = await self._gateway.patch_run_status(
            meta["namespace"], meta["name"], operations
        )
        self._cache.put_run(answer)

    async def _catch_up(self, run: ActiveRun) -> None:
        """Somebody wrote the object: fine, unless it was the status."""
        body = await self._gateway.get_run(*run.key)
        if dig(body, "metadata", "uid") != run.owner.uid:
            raise ConflictError
        if (body.get("status") or {}) != run.known:
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
        )
        set_condition(status, now, "Succeeded", ConditionStatus.FALSE, "StatusTooLarge", message)
        document = {**run.known, **dump_status(status), "nodes": run.known.get("nodes", {})}
        body, _ = await self._gateway.patch_run_status(
            *run.key,
            [at_version(run.version), {"op": "add", "path": "/status", "value": document}],
        )
        self._cache.put_run(body)  # it has ended: nobody takes it up again


def bare_status(known: dict[str, Any], phase: RunPhase) -> WorkflowRunStatus:
    """Return the status of a run without its nodes, in this phase."""
    try:
        return load_status({**known, "phase": phase.value, "nodes": {}})
    except ValueError:  # somebody wrote into it
        return WorkflowRunStatus(phase=phase)


def at_version(version: str) -> dict[str, Any]:
    """Make a patch conditional: another version on the server answers 409."""
    return {"op": "replace", "path": "/metadata/resourceVersion", "value": version}


def _operations(
    known: dict[str, Any], status: WorkflowRunStatus, changes: Changes
) -> list[dict[str, Any]]:
    """Return the JSON Patch from the status on the server to the engine's.

    A changed node is replaced whole: a merge would mix the outputs of two executions.
    """
    if "nodes" not in known:
        return [{"op": "add", "path": "/status", "value": dump_status(status)}]
    fields = dump_status(status.model_copy(update={"nodes": {}}))
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
    for node in sorted(changes.nodes):
        state = status.nodes.get(node)
        if state is not None:
            path = f"/status/nodes/{node}"
            operations.append({"op": "add", "path": path, "value": dump_node(state)})
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
