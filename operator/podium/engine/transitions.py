"""Which statuses a node may move between (semantics.md 4)."""

from typing import Final

from podium.api.run import NodeStatus as S

__all__ = ["TRANSITIONS"]

TRANSITIONS: Final[dict[S, frozenset[S]]] = {
    # Completed: only a restore, which puts an earlier result in place.
    S.PENDING: frozenset({S.WAITING, S.READY, S.SKIPPED, S.FAILED, S.CANCELLED, S.COMPLETED}),
    S.WAITING: frozenset({S.READY, S.SKIPPED, S.FAILED, S.CANCELLED, S.PENDING}),
    # Skipped: the condition of an item is false.
    S.READY: frozenset({S.RUNNING, S.FAILED, S.SKIPPED, S.CANCELLED, S.PENDING}),
    # Ready: the execution failed and is tried again. Skipped: an approval's time is over.
    S.RUNNING: frozenset({S.COMPLETED, S.FAILED, S.SKIPPED, S.CANCELLED, S.READY, S.PENDING}),
    # What has ended leaves only by a re-run or a restore; a compensation leaves Skipped.
    S.COMPLETED: frozenset({S.PENDING}),
    S.FAILED: frozenset({S.PENDING}),
    S.SKIPPED: frozenset({S.PENDING}),
    S.CANCELLED: frozenset({S.PENDING}),
}
