"""A run's limits of tokens and cost: what is left of them, and who waits for a part of it.

A node that asks models holds, while it runs, as much as its own `config.limits` let it spend; one
without holds all that is left, and others wait until it has told what it spent. So what runs at the
same time can never pass the limits together, and nothing of it needs to be kept: who holds what
follows from the status and from the launches that are given out.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from podium import executors
from podium.api.names import item_path
from podium.api.personas import Limits
from podium.api.run import NodeStatus
from podium.engine.plan import PlanNode

if TYPE_CHECKING:
    from podium.engine.state import RunState

__all__ = ["RunLimits", "run_limits"]


class RunLimits:
    """Made where a run has limits and asks models."""

    def __init__(self, run: "RunState", limits: Mapping[str, float]) -> None:
        self._run = run
        self._limits = limits

    def must_wait(self, node: str) -> bool:
        """Return whether a node, or the next item of a map, waits for what others hold."""
        run = self._run
        planned = run.plan.nodes[item_path(node, 0) if node in run.plan.for_each else node]
        if not _asks(planned):
            return False
        state = run.status.nodes.get(planned.id)
        # Of a map it is the next item: the first one runs as any other.
        is_busy = state is not None and state.status is NodeStatus.RUNNING
        is_other = is_busy or planned.id in run.executions.launching
        others, own = self._others("" if is_other else planned.id), _own(planned)
        return bool(others) and any(
            own.get(name, math.inf) > self._free(name, others) for name in self._limits
        )

    def grant(self, planned: PlanNode) -> tuple[dict[str, float] | None, str]:
        """Return what a node may spend of the limits, and why it may not start, or nothing.

        None: it asks no model.
        """
        if not _asks(planned):
            return None, ""
        others, own = self._others(planned.id), _own(planned)
        granted: dict[str, float] = {}
        for name, limit in self._limits.items():
            free = self._free(name, others)
            spent = f"the run's limits.{name}: {limit:,g}: {self._spent(name):,.8g} are spent"
            if free <= 0:
                return None, f"{spent}: raise the limit, or ask for less"
            if planned.map and name not in own:
                why = f"config.limits.{name} is missing: items have one where their run has limits"
                return None, why
            if planned.map and own[name] > free:  # their Pods are made of one template
                why = f"{spent}, and config.limits.{name} of an item is {own[name]:,g}"
                return None, f"{why}: lower it, or raise the run's"
            granted[name] = min(own.get(name, math.inf), free)
        return granted, ""

    def _others(self, node: str = "") -> list[PlanNode]:
        """Return the nodes that run, or are about to, or may still, and ask models; not `node`."""
        run = self._run
        executions = run.executions
        # What a predecessor launched that crashed before it wrote so may run as well.
        going = (executions.launching, executions.unrecorded, executions.awaited())
        busy = run.counters.slots.union(*going)
        found = (run.plan.node(name) for name in busy if name != node)
        return [each for each in found if each is not None and _asks(each)]

    def _free(self, name: str, others: list[PlanNode]) -> float:
        held = sum(_own(each).get(name, math.inf) for each in others)
        return self._limits[name] - self._spent(name) - held

    def _spent(self, name: str) -> float:
        status = self._run.status
        if name == "cost":
            return status.cost or 0.0
        return status.token_usage.total_tokens if status.token_usage is not None else 0


def run_limits(run: "RunState") -> RunLimits | None:
    """Return what bounds a run; None: nothing does, or no model is asked."""
    both = [each for each in (run.plan.spec.limits, run.info.limits) if each is not None]
    if not both or run.info.recorded:
        return None
    limits: dict[str, float] = {}
    for name in ("tokens", "cost"):  # of both the lower one: a run may not raise its Workflow's
        given = [value for each in both if (value := getattr(each, name)) is not None]
        limits |= {name: min(given)} if given else {}
    return RunLimits(run, limits) if limits else None


def _asks(planned: PlanNode) -> bool:
    return planned.definition.executor in executors.PERSONA_EXECUTORS


def _own(planned: PlanNode) -> dict[str, float]:
    """Return the limits of a node's config, which was validated, as far as they are numbers."""
    given: Any = planned.definition.config.get("limits")
    if isinstance(given, Limits):
        given = given.model_dump()
    found = given.items() if isinstance(given, Mapping) else ()
    return {
        name: value
        for name, value in found
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
