"""When a node starts, by `triggerRule` and the states of its incoming edges (semantics.md 3)."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from podium.api.reasons import NodeReason
from podium.api.workflow import TriggerRule

__all__ = ["TRIGGER_RULES", "EdgeCounts", "Verdict", "verdict"]


class Verdict(Enum):
    """What becomes of a node. Those after WAIT end it; their values are its reasons."""

    START = "Start"
    WAIT = "Wait"
    CONDITION_ERROR = NodeReason.CONDITION_ERROR
    UPSTREAM_FAILED = NodeReason.UPSTREAM_FAILED
    EDGE_INACTIVE = NodeReason.EDGE_INACTIVE
    NO_ACTIVE_EDGE = NodeReason.NO_ACTIVE_EDGE
    NO_FAILED_EDGE = NodeReason.NO_FAILED_EDGE


@dataclass(slots=True)
class EdgeCounts:
    """How many incoming edges of a node are in which state."""

    active: int
    """Those whose failed source has `allowFailure` included."""
    inactive: int
    failed: int
    broken: int
    """Their condition could not be evaluated."""
    allowed: int
    """Active ones whose source failed."""
    absent: int
    """Inactive ones whose own condition or route is false."""
    undecided: int
    undecided_conditional: int
    """Undecided edges with a condition, which may yet break."""


Row = tuple[Callable[[EdgeCounts], bool | int], Verdict]
"""A row applies when its condition holds and that of no row above it does."""


def _always(_: EdgeCounts) -> bool:
    return True


def _active(edges: EdgeCounts) -> int:
    return edges.active


def _inactive(edges: EdgeCounts) -> int:
    return edges.inactive


def _failed(edges: EdgeCounts) -> int:
    return edges.failed


def _one_failed(edges: EdgeCounts) -> int:
    return edges.failed + edges.allowed


def _one_counts(edges: EdgeCounts) -> int:
    return edges.active + edges.inactive - edges.absent


def _broken(edges: EdgeCounts) -> int:
    return edges.broken


def _undecided(edges: EdgeCounts) -> int:
    return edges.undecided


def _may_still_break(edges: EdgeCounts) -> bool:
    """One edge failed, which skips a node at once, unless another's condition may yet fail it.

    Else the answer would depend on the order in which sources end.
    """
    return bool((edges.failed or edges.broken) and edges.undecided_conditional)


_FAILURE: Final[tuple[Row, ...]] = (
    (_broken, Verdict.CONDITION_ERROR),
    (_failed, Verdict.UPSTREAM_FAILED),
)

TRIGGER_RULES: Final[dict[TriggerRule, tuple[Row, ...]]] = {
    TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS: (
        (_may_still_break, Verdict.WAIT),
        *_FAILURE,
        (_undecided, Verdict.WAIT),
        (_active, Verdict.START),
        (_always, Verdict.NO_ACTIVE_EDGE),
    ),
    TriggerRule.NONE_FAILED: (
        (_may_still_break, Verdict.WAIT),
        *_FAILURE,
        (_undecided, Verdict.WAIT),
        (_one_counts, Verdict.START),
        (_always, Verdict.NO_ACTIVE_EDGE),
    ),
    TriggerRule.ALL_SUCCESS: (
        (_may_still_break, Verdict.WAIT),
        *_FAILURE,
        (_undecided, Verdict.WAIT),
        (_inactive, Verdict.EDGE_INACTIVE),
        (_always, Verdict.START),
    ),
    TriggerRule.ONE_SUCCESS: (
        (_active, Verdict.START),
        (_undecided, Verdict.WAIT),
        *_FAILURE,
        (_always, Verdict.NO_ACTIVE_EDGE),
    ),
    TriggerRule.ONE_FAILED: (
        (_one_failed, Verdict.START),
        (_undecided, Verdict.WAIT),
        (_broken, Verdict.CONDITION_ERROR),
        (_always, Verdict.NO_FAILED_EDGE),
    ),
    TriggerRule.ALL_DONE: (
        (_undecided, Verdict.WAIT),
        (_broken, Verdict.CONDITION_ERROR),
        (_always, Verdict.START),
    ),
}


def verdict(rule: TriggerRule, edges: EdgeCounts) -> Verdict:
    """Decide what becomes of a node that has at least one incoming edge."""
    for applies, then in TRIGGER_RULES[rule]:
        if applies(edges):
            return then
    raise AssertionError("the last row applies to every node")
