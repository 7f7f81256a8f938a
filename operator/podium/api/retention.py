"""How long ended runs of a Workflow are kept: what users write, and which runs go."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import Field

from podium.api.base import ApiModel

__all__ = ["EndedRun", "Retention", "no_longer_kept"]

MAX_RUNS = 100_000

K = TypeVar("K")


class Retention(ApiModel):
    """How long and how many ended runs of a Workflow are kept; a run that has not ended stays."""

    seconds_after_success: int | None = Field(default=None, ge=0, le=315_360_000)
    """Seconds after its end at which a run that succeeded is deleted, unless the run has a
    ttlSecondsAfterFinished of its own; default: never."""
    seconds_after_failure: int | None = Field(default=None, ge=0, le=315_360_000)
    """The same for a run that failed or was cancelled; default: never."""
    successful_runs: int | None = Field(default=None, ge=0, le=MAX_RUNS)
    """Number of runs that succeeded to keep, those that ended last; default: all."""
    failed_runs: int | None = Field(default=None, ge=0, le=MAX_RUNS)
    """Number of runs that failed or were cancelled to keep; default: all."""


@dataclass(frozen=True, slots=True)
class EndedRun(Generic[K]):
    """A run that has ended."""

    key: K
    has_succeeded: bool
    ended_at: float
    """In seconds since 1970."""
    has_own_ttl: bool = False


def no_longer_kept(
    retention: Retention, runs: Iterable[EndedRun[K]], now: float
) -> Iterator[EndedRun[K]]:
    """Return the runs of one Workflow that its retention does not keep, the oldest last."""
    newest = sorted(runs, key=lambda run: run.ended_at, reverse=True)
    for has_succeeded, seconds, number in (
        (True, retention.seconds_after_success, retention.successful_runs),
        (False, retention.seconds_after_failure, retention.failed_runs),
    ):
        alike = [run for run in newest if run.has_succeeded is has_succeeded]
        for position, run in enumerate(alike):
            is_one_too_many = number is not None and position >= number
            is_over = seconds is not None and now - run.ended_at >= seconds
            if is_one_too_many or (is_over and not run.has_own_ttl):
                yield run
