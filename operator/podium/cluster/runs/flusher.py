"""Writes of statuses, as a reconciler of their own: runs are stepped meanwhile."""

from podium.cluster.runs.controller import RunController
from podium.cluster.worker import ObjectKey, Result

__all__ = ["StatusFlusher"]


class StatusFlusher:
    """Reconciles statuses of runs: writes what is due."""

    def __init__(self, runs: RunController) -> None:
        self._runs = runs

    async def reconcile(self, key: ObjectKey) -> Result:
        """Write the status of a run. Raises `ApiError`, `ConflictError`."""
        run_key = (key.namespace, key.name)
        await self._runs.flush(run_key)
        return Result(recovered=self._runs.has_pending_writes(run_key) is not None)

    def failed(self, key: ObjectKey, error: Exception, wait: float | None) -> None:
        """Record on the run that its status cannot be written."""
        self._runs.failed(key, error, wait)
