"""What active runs take of the operator's memory: weighed, and kept within a budget.

A run that is active is held in memory whole, so what tenants write decides how much that is: 1.3 MB
of JSON are up to 25 MB here. Weights are estimates in bytes, rather too high than too low.
"""

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from podium.cluster.kube.views import dig
from podium.cluster.settings import Limits
from podium.cluster.watch.store import RunKey
from podium.judge.small import is_small

__all__ = ["LIGHT_BYTES", "MB", "STATE_BYTES", "MemoryBudget", "Weight", "weigh", "weigh_run"]

MB = 1_000_000
LIGHT_BYTES = 128_000
"""A run that takes less never waits: about 700 values, or a graph of its own of 30 nodes."""
VALUE_BYTES = 180
"""What a value takes, with a key in two maps; without one, it is a third of that."""
DEFINITION_BYTES = 2_500
"""What a node takes beside the values in its definition, once it is compiled."""
STATE_BYTES = 1_500
"""What the state of a node takes at the start of a run, with its place in the engine."""


@dataclass(frozen=True, slots=True)
class Weight:
    """Bytes that an active run takes."""

    own: int
    plan: int = 0
    """Of a definition that other runs may have, too."""
    shared: Hashable = None
    """By what these know it; None: there is none."""

    @property
    def is_light(self) -> bool:
        """Whether a run of this weight never waits."""
        return self.own + self.plan < LIGHT_BYTES


def weigh(value: Any, nodes: int = 0) -> int:
    """Return about how many bytes JSON takes as objects, with so many compiled nodes.

    It takes a few milliseconds, whatever the value holds. What is small weighs nothing.
    """
    compiled = nodes * DEFINITION_BYTES
    if is_small(value):
        return compiled
    try:
        data = orjson.dumps(value)
    except TypeError:  # nested too deep: it never begins
        return compiled
    values = sum(map(data.count, (b",", b"[", b"{")))  # in strings they count, too
    characters = len(data) * (1 if data.isascii() else 4)
    return VALUE_BYTES * values + characters + compiled


def weigh_run(body: Mapping[str, Any]) -> Weight:
    """Return what a run takes by itself: its context, and the graph and states of its own nodes."""
    nodes = dig(body, "spec", "workflowSpec", "nodes")
    count = len(nodes) if isinstance(nodes, list) else 0
    return Weight(weigh(body.get("spec"), count) + count * STATE_BYTES)


class MemoryBudget:
    """What active runs hold, by namespace and in all.

    A definition counts once for all runs of it. Who holds nothing large may always begin one.
    """

    def __init__(self, limits: Limits) -> None:
        self.total = limits.active_runs_megabytes * MB
        self.per_namespace = limits.active_runs_megabytes_per_namespace * MB
        self.held: dict[RunKey, Weight] = {}
        self.used: Counter[str] = Counter()
        """Bytes, by namespace."""
        self._heavy: Counter[str] = Counter()
        """Active runs that are not light, by namespace."""
        self._sharing: Counter[tuple[str, Hashable]] = Counter()
        """Active runs of a definition."""

    def hold(self, key: RunKey, weight: Weight) -> None:
        """Count a run that is loaded."""
        self.release(key)
        self.held[key] = weight
        self.used[key[0]] += self.takes(key[0], weight)
        self._sharing[key[0], weight.shared] += weight.shared is not None
        self._heavy[key[0]] += not weight.is_light

    def release(self, key: RunKey) -> None:
        """Count a run no longer."""
        weight = self.held.pop(key, None)
        if weight is None:
            return
        namespace = key[0]
        self._heavy[namespace] -= not weight.is_light
        self._sharing[namespace, weight.shared] -= weight.shared is not None
        self.used[namespace] -= self.takes(namespace, weight)
        for counter in (self.used, self._heavy):
            if not counter[namespace]:
                del counter[namespace]
        if not self._sharing[namespace, weight.shared]:
            del self._sharing[namespace, weight.shared]

    def takes(self, namespace: str, weight: Weight) -> int:
        """Return the bytes that a run adds to what is held."""
        is_there = weight.shared is not None and self._sharing[namespace, weight.shared] > 0
        return weight.own + (0 if is_there else weight.plan)

    def lacks(self, key: RunKey, weight: Weight, *, more: float = 0.0) -> str:
        """Return why there is no room for a run; empty: there is.

        `more`: a share of the budget that the run may have beyond it.
        """
        namespace, added = key[0], self.takes(key[0], weight)
        if added < LIGHT_BYTES or not self._heavy[namespace]:
            return ""
        for whose, used, limit, setting in (
            (
                f"of the namespace {namespace}",
                self.used[namespace],
                self.per_namespace,
                "limits.activeRunsMegabytesPerNamespace",
            ),
            ("of this cluster", self.used.total(), self.total, "limits.activeRunsMegabytes"),
        ):
            if limit and used + added > limit * (1 + more):
                return (
                    f"the active runs {whose} hold {_mb(used)} of the operator's memory, this run"
                    f" takes {_mb(added)}, and {_mb(limit)} is the limit ({setting}): it begins"
                    " when some of them end; it takes less with a smaller context or graph: hand"
                    " large data over in files or in a store"
                )
        return ""


def _mb(count: int) -> str:
    return f"{count / MB:.3g} MB"
