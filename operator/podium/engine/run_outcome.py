"""How a run ends, by the ends of its nodes (semantics.md 4, "Run outcome")."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

from podium.api.base import shorten
from podium.api.reasons import NodeReason, RunReason
from podium.api.run import NodeStatus, RunPhase
from podium.engine.state import RunState

__all__ = ["RUN_OUTCOMES", "Outcome", "ending_of", "outcome"]

MAX_FAILURES = 50
"""Failures that nodes of `finally` are told of."""
_FAILURE_CHARACTERS = 256


class Outcome(NamedTuple):
    """How a run ends."""

    phase: RunPhase
    reason: RunReason
    message: str


class _Ends(NamedTuple):
    """The nodes that decide it."""

    run: RunState
    bad: AbstractSet[str]
    cancelled: AbstractSet[str]

    def has_cancelled(self, reason: NodeReason) -> bool:
        """Return whether a node was cancelled for this reason."""
        return any(self.run.status.nodes[node].reason == reason for node in self.cancelled)


def _cancelled(ends: _Ends) -> str | None:
    return "the run was cancelled" if ends.has_cancelled(NodeReason.RUN_CANCELLED) else None


def _held_back(reason: NodeReason) -> Callable[[_Ends], str | None]:
    """Return whether a run was kept from beginning for a reason."""

    def message(ends: _Ends) -> str | None:
        hold = ends.run.held_back
        return hold.message if hold is not None and hold.reason == reason else None

    return message


def _timed_out(ends: _Ends) -> str | None:
    if not ends.has_cancelled(NodeReason.RUN_TIMEOUT):
        return None
    return f"the run took longer than {ends.run.plan.spec.timeout_seconds:.15g} s"


def _node_failed(ends: _Ends) -> str | None:
    if not ends.bad:
        return None
    run = ends.run
    order = sorted(ends.bad, key=lambda node: run.plan.nodes[node].index)
    failed = [n for n in order if run.status.nodes[n].status is NodeStatus.FAILED]
    if failed:
        return f"failed: {_some([f'{n} ({run.status.nodes[n].reason})' for n in failed])}"
    # What failed before them was run again without cascade, and they were not.
    they = "it" if len(order) == 1 else "them"
    return f"not run after an earlier failure: {_some(order)}; re-run {they}"


def _some(names: list[str]) -> str:
    more = len(names) - 5
    return ", ".join(names[:5]) + (f" and {more} more" if more > 0 else "")


def _finally_timed_out(ends: _Ends) -> str | None:
    if not ends.has_cancelled(NodeReason.FINALLY_TIMEOUT):
        return None
    seconds = ends.run.plan.spec.finally_timeout_seconds
    return f"finally took longer than {seconds:.15g} s (finallyTimeoutSeconds)"


def _nodes_cancelled(ends: _Ends) -> str | None:
    return "nodes were cancelled" if ends.cancelled else None


def _no_outputs(ends: _Ends) -> str | None:
    return ends.run.output_problem


RUN_OUTCOMES: Final[tuple[tuple[Callable[[_Ends], str | None], RunPhase, RunReason], ...]] = (
    (_cancelled, RunPhase.CANCELLED, RunReason.CANCELLED),
    (_held_back(NodeReason.CONFIG), RunPhase.FAILED, RunReason.CONFIG),
    (_held_back(NodeReason.FORBIDDEN), RunPhase.FAILED, RunReason.FORBIDDEN),
    (_timed_out, RunPhase.FAILED, RunReason.TIMEOUT),
    (_node_failed, RunPhase.FAILED, RunReason.NODE_FAILED),
    (_finally_timed_out, RunPhase.FAILED, RunReason.TIMEOUT),
    (_nodes_cancelled, RunPhase.CANCELLED, RunReason.CANCELLED),
    (_no_outputs, RunPhase.FAILED, RunReason.OUTPUTS),
    (lambda _: "", RunPhase.SUCCEEDED, RunReason.COMPLETED),
)
"""How a run ends: by the first row that has a message (semantics.md 4, "Run outcome")."""


def outcome(run: RunState) -> Outcome:
    """Return how a run ends whose nodes have all ended."""
    return _first(_Ends(run, run.counters.bad, run.counters.cancelled))


def ending_of(run: RunState) -> dict[str, Any]:
    """Return what compensations and nodes of `finally` are told of the run.

    These are `run.phase` and `run.failures`.

    By all other nodes, which have ended, so it stays the same as long as these run.
    """
    last = run.plan.finally_nodes | run.plan.compensations.keys()
    bad, cancelled = run.counters.bad - last, run.counters.cancelled - last
    states = run.status.nodes
    failed = [node for node in run.plan.nodes if node in bad]
    failed = [node for node in failed if states[node].status is NodeStatus.FAILED]
    return {
        "phase": _first(_Ends(run, bad, cancelled)).phase.value,
        "failures": [
            {
                "node": node,
                "reason": states[node].reason,
                "message": shorten(states[node].message, _FAILURE_CHARACTERS),
            }
            for node in failed[:MAX_FAILURES]
        ],
    }


def _first(ends: _Ends) -> Outcome:
    for describe, phase, reason in RUN_OUTCOMES:
        if (message := describe(ends)) is not None:
            return Outcome(phase, reason, message)
    raise AssertionError("the last row applies to every run")
