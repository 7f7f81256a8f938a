"""What a run shows of itself in a word or two."""

import heapq
from typing import TYPE_CHECKING

from podium.api.reasons import RunReason
from podium.api.run import RunPhase

if TYPE_CHECKING:
    from podium.engine.state import RunState

__all__ = ["current_of", "reason_of"]

_FEW = 30
"""Nodes up to which sorting all of them takes less time than a heap."""


def reason_of(run: "RunState") -> str:
    """Return in one word why the run is in its phase, or what its nodes wait for."""
    if run.status.phase in (RunPhase.RUNNING, RunPhase.ROLLING_BACK):
        if run.is_finishing:
            return RunReason.FINISHING.value
        if not run.held_up:
            return ""
        first = min(run.held_up, key=lambda node: run.plan.nodes[node].index)
        return run.held_up[first]
    known = (each for each in run.status.conditions if each.type == "Succeeded")
    return next((each.reason for each in known), "")


def current_of(run: "RunState") -> str:
    """Return the first nodes that run, and how many more do."""
    running, nodes = run.counters.running, run.plan.nodes
    if len(running) > _FEW:
        first = heapq.nsmallest(3, running, key=lambda node: nodes[node].index)
    else:
        first = sorted(running, key=lambda node: nodes[node].index)[:3]
    more = len(running) - len(first)
    return ", ".join(first) + (f" +{more}" if more else "")
