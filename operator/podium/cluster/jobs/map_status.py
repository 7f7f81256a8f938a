"""The status of the Indexed Job of a map, which says of each index how it stands.

It says only what the run's status has recorded: counts of a Job never go down (kubernetes.md 2).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from podium.api.index_ranges import IndexRanges
from podium.cluster.jobs.job_status import ended_status, running_status, suspended_status
from podium.cluster.kube.views import JobView, PodView

__all__ = ["MapProgress", "MapStatuses", "map_status"]

SPACING_SECONDS = 1.0
"""A status of a map is written at most so often."""
BYTES_A_SECOND = 50_000
"""One with many ranges is written more seldom still: 100,000 scattered indexes are half a MB."""


@dataclass(frozen=True, slots=True)
class MapProgress:
    """How the items of a map stand, as the run's status has it."""

    completed: IndexRanges = field(default_factory=IndexRanges)
    """Skipped ones included: a queue gives back what these would have taken."""
    failed: IndexRanges = field(default_factory=IndexRanges)
    succeeded: int = 0
    """Without those that were skipped."""


def map_status(
    job: JobView, progress: MapProgress, pods: Sequence[PodView], outcome: bool | None, now: float
) -> dict[str, Any] | None:
    """Return what the status of an Indexed Job must become; None: there is nothing to say yet.

    `outcome`: whether the map succeeded, None while that is not recorded.
    """
    if job.ended:
        return None
    counts = {
        "succeeded": progress.succeeded,
        "failed": len(progress.failed),
        "completedIndexes": str(progress.completed),
        "failedIndexes": str(progress.failed),
    }
    if outcome is not None:
        return {**ended_status(job, now, succeeded=outcome), **counts}
    alive = [pod for pod in pods if pod.alive]
    if job.suspended:
        status = None if alive else suspended_status(job, now)
        return None if status is None else {**status, **counts}
    if not alive and not job.start_time:
        return None
    return {**running_status(job, len(alive), sum(pod.ready for pod in alive), now), **counts}


class MapStatuses:
    """What was last said of Indexed Jobs, and when more may be said."""

    def __init__(self) -> None:
        self._progress: dict[str, MapProgress] = {}
        self._said: dict[str, dict[str, Any]] = {}
        self._next: dict[str, float] = {}
        """When (monotonic) the status of a Job may be written again."""

    def set_progress(self, job_uid: str, progress: MapProgress) -> None:
        """Note how the items of a map stand."""
        self._progress[job_uid] = progress

    def wait(self, job_uid: str, now: float) -> float:
        """Return the seconds until the status of a Job may be written."""
        return max(0.0, self._next.get(job_uid, 0.0) - now)

    def status(
        self, job: JobView, pods: Sequence[PodView], outcome: bool | None, now: float
    ) -> dict[str, Any] | None:
        """Return what is to be written of a Job; None: it was said already."""
        progress = self._progress.get(job.uid)
        if progress is None:  # an operator that has just begun does not know it yet
            is_open = outcome is None or job.ended
            return None if is_open else ended_status(job, now, succeeded=bool(outcome))
        status = map_status(job, progress, pods, outcome, now)
        return None if status is None or status == self._said.get(job.uid) else status

    def written(self, job_uid: str, status: dict[str, Any], now: float) -> None:
        """Note that a status was written."""
        size = sum(len(status.get(key, "")) for key in ("completedIndexes", "failedIndexes"))
        self._said[job_uid] = status
        self._next[job_uid] = now + max(SPACING_SECONDS, size / BYTES_A_SECOND)

    def forget(self, job_uid: str) -> None:
        """Forget a Job that has ended or is gone."""
        for known in (self._progress, self._said, self._next):
            known.pop(job_uid, None)
