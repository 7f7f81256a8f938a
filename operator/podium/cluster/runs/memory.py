"""What active runs take of the operator's memory: weighed, and kept within a budget.

A run that is active is held in memory whole, so what tenants write decides how much that is: 1.3 MB
of JSON are up to 25 MB here. Weights are estimates in bytes, rather too high than too low.
"""

from collections import Counter
from collections.abc import Generator, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import orjson

from podium.api.reasons import NodeReason
from podium.cluster.kube.views import dig
from podium.cluster.settings import Limits
from podium.cluster.watch.store import RunKey
from podium.engine import AttemptPhase, Observation
from podium.judge.small import is_small

__all__ = [
    "LIGHT_BYTES",
    "MB",
    "STATE_BYTES",
    "MemoryBudget",
    "Weight",
    "weigh",
    "weigh_output",
    "weigh_outputs_in_slices",
    "weigh_run",
]

MB = 1_000_000
LIGHT_BYTES = 128_000
"""A run that takes less never waits: about 700 values, or a graph of its own of 30 nodes."""
VALUE_BYTES = 180
"""What a value takes, with a key in two maps; without one, it is a third of that."""
DEFINITION_BYTES = 2_500
"""What a node takes beside the values in its definition, once it is compiled."""
SMALL_OUTPUT_BYTES = 1_000
"""An output that takes less is always taken in."""
OUTPUTS_SHARE = 0.5
"""So much more memory is for the outputs of what has begun."""
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


class _Budget(NamedTuple):
    whose: str
    used: int
    limit: int
    """0: none."""
    setting: str

    def lacks(self, added: int, more: float) -> bool:
        """Return whether so much does not fit, with a share of the limit beyond it."""
        return bool(self.limit) and self.used + added > self.limit * (1 + more)


def weigh(value: Any, nodes: int = 0) -> int:
    """Return about how many bytes JSON takes as objects, with so many compiled nodes.

    It takes a few milliseconds, whatever the value holds. What is small weighs nothing.
    """
    compiled = nodes * DEFINITION_BYTES
    if is_small(value):
        return compiled
    try:
        return weigh_output(orjson.dumps(value)) + compiled
    except TypeError:  # nested too deep: it never begins
        return compiled


def weigh_output(data: bytes) -> int:
    """Return about how many bytes JSON takes as objects."""
    values = sum(map(data.count, (b",", b"[", b"{")))  # in strings they count, too
    characters = len(data) * (1 if data.isascii() else 4)
    return VALUE_BYTES * values + characters


def weigh_outputs_in_slices(nodes: Mapping[str, Any]) -> Generator[None, None, dict[str, int]]:
    """Return what the outputs in the states of nodes take, by node."""
    found: dict[str, int] = {}
    for node, state in nodes.items():
        output = dig(state, "output")
        if output:
            found[node] = weigh_output(orjson.dumps(output))
            yield
    return found


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

    def take_outputs(
        self, key: RunKey, outputs: dict[str, int], observations: Iterable[Observation]
    ) -> list[Observation]:
        """Count what nodes hand over; what there is no room for is seen as a failure.

        `outputs`: what those of the run take, by node; it is kept true. What is seen again counts
        once.
        """
        return [
            self._take_output(key, outputs, seen)
            if (seen.output or seen.values) and seen.phase is AttemptPhase.SUCCEEDED
            else seen
            for seen in observations
        ]

    def _take_output(self, key: RunKey, outputs: dict[str, int], seen: Observation) -> Observation:
        lines = (each.replace(b"\n", b",") for each in seen.values.values())  # one value each
        takes, held = weigh_output(b",".join([seen.output or b"", *lines])), self.held.get(key)
        more = takes - outputs.get(seen.node, 0)
        if held is None or more <= 0:
            return seen
        lacks = self._lacks_for_output(key[0], more) if takes >= SMALL_OUTPUT_BYTES else ""
        if lacks:
            return replace(
                seen,
                phase=AttemptPhase.FAILED,
                output=None,
                reason=NodeReason.OUTPUT_TOO_LARGE,
                message=lacks,
                retryable=False,
            )
        outputs[seen.node] = takes
        self.hold(key, replace(held, own=held.own + more))
        return seen

    def _lacks_for_output(self, namespace: str, added: int) -> str:
        """Return why there is no room for an output; empty: there is.

        A namespace that holds little is not refused for what others hold.
        """
        own, of_all = self._budgets(namespace)
        is_large = own.used + added > (self.per_namespace or self.total) / 4
        for budget in (own, of_all) if is_large else (own,):
            if budget.lacks(added, OUTPUTS_SHARE):
                return (
                    f"there is no room for its output: the active runs {budget.whose} hold"
                    f" {_mb(budget.used)} of the operator's memory, the output takes {_mb(added)},"
                    f" and {_mb(budget.limit * (1 + OUTPUTS_SHARE))} is the limit"
                    f" ({budget.setting}, and half of it): hand large data over in files or in a"
                    " store, or let fewer runs be active"
                )
        return ""

    def takes(self, namespace: str, weight: Weight) -> int:
        """Return the bytes that a run adds to what is held."""
        is_there = weight.shared is not None and self._sharing[namespace, weight.shared] > 0
        return weight.own + (0 if is_there else weight.plan)

    def lacks(self, key: RunKey, weight: Weight, *, more: float = 0.0) -> str:
        """Return why there is no room for a run; empty: there is.

        `more`: a share of the budget that the run may have beyond it; of that of all no more than
        outputs may have: anyone may start runs at any depth, or write that they are child runs.
        """
        namespace, added = key[0], self.takes(key[0], weight)
        if added < LIGHT_BYTES or not self._heavy[namespace]:
            return ""
        own, of_all = self._budgets(namespace)
        for budget, share in ((own, more), (of_all, min(more, OUTPUTS_SHARE))):
            if budget.lacks(added, share):
                return (
                    f"the active runs {budget.whose} hold {_mb(budget.used)} of the operator's"
                    f" memory, this run takes {_mb(added)}, and {_mb(budget.limit)} is the limit"
                    f" ({budget.setting}): it begins when some of them end; it takes less with a"
                    " smaller context or graph: hand large data over in files or in a store"
                )
        return ""

    def _budgets(self, namespace: str) -> tuple[_Budget, _Budget]:
        """Return what a namespace holds of what it may, and what all of them do."""
        setting = "limits.activeRunsMegabytes"
        return (
            _Budget(
                f"of the namespace {namespace}",
                self.used[namespace],
                self.per_namespace,
                f"{setting}PerNamespace",
            ),
            _Budget("of this cluster", self.used.total(), self.total, setting),
        )


def _mb(count: float) -> str:
    return f"{count / MB:.3g} MB"
