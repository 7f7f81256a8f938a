"""Executions between a decision and its answer: launches given out, restarts, stops."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from itertools import chain

from podium.api.names import split_item
from podium.api.run import NodeState, NodeStatus

__all__ = ["MAX_AHEAD", "Executions", "execution_number"]

MAX_AHEAD = 100
"""Executions that a predecessor may have launched of a node without having written it: a number
beyond is not Podium's."""


class Executions:
    """What was asked of the shell and is not answered yet. Empty after a crash: see `Engine`."""

    def __init__(self) -> None:
        self.launching: dict[str, str] = {}
        """Execution by node: its Launch was given out and not answered yet."""
        self.without_slot: set[str] = set()
        """Those of `launching` that take no slot."""
        self.launching_in: Counter[str] = Counter()
        """How many of `launching` each group or map bounds."""
        self._bounds: dict[str, Collection[str]] = {}
        """What bounds each of these."""
        self.unrecorded: dict[str, str] = {}
        """Execution by node: it was given out, by this engine or by one that crashed, and is not
        recorded in the status. Something of it may exist."""
        self.restarting: set[str] = set()
        """Running nodes whose Launch after a disruption was not answered yet."""
        self.disrupted: set[str] = set()
        """Attempts (Pods, processes) whose disruption was seen."""
        self._stopping: dict[str, set[str]] = {}
        self._items: dict[str, dict[str, None]] = {}
        """Items that are stopping, by map."""
        self.changes = 0
        """How often an execution was stopped, or was no longer waited for."""
        self.held_until: dict[str, float] = {}
        """When what waits for the end of a node that was stopped goes on all the same."""
        self._given_up: set[str] = set()
        """Nodes whose stopped executions nothing waits for any more."""

    def is_in_flight(self, node: str) -> bool:
        """Return whether a Launch or a Stop of the node is unanswered: it must not start."""
        return node in self.launching or node in self.restarting or node in self._stopping

    @property
    def is_any_stopping(self) -> bool:
        """Whether any execution was stopped and may still run."""
        return bool(self._stopping)

    def is_stopping(self, node: str, execution: str | None = None) -> bool:
        """Return whether an execution (default: any of the node) was stopped and may still run."""
        stopping = self._stopping.get(node)
        return stopping is not None and (execution is None or execution in stopping)

    def holds_followers(self, node: str) -> bool:
        """Return whether a stopped execution of the node may still run, and is waited for."""
        return node in self._stopping and node not in self._given_up

    def awaited(self) -> list[str]:
        """Return the nodes of which a stopped execution may still run, and is waited for."""
        return [node for node in self._stopping if node not in self._given_up]

    def stopped_items(self, map_: str) -> Iterator[str]:
        """Return the items of a map that were stopped and are waited for."""
        return (each for each in self._items.get(map_, ()) if each not in self._given_up)

    def give_up(self, node: str) -> None:
        """Let nothing wait any more for what was stopped of a node, but a new start of itself."""
        self._given_up.add(node)
        self.changes += 1
        self.held_until.pop(node, None)

    def add_stop(self, node: str, execution: str) -> None:
        """Note that an execution was asked to stop."""
        self._stopping.setdefault(node, set()).add(execution)
        if (item := split_item(node)) is not None:
            self._items.setdefault(item[0], {})[node] = None
        self.changes += 1

    def remove_stop(self, node: str, execution: str) -> bool:
        """Note that nothing of an execution runs; return whether it was the node's last one."""
        stopping = self._stopping.get(node)
        if stopping is None:
            return False
        stopping.discard(execution)
        if stopping:
            return False
        del self._stopping[node]
        if (item := split_item(node)) is not None:
            self._items[item[0]].pop(node, None)
        self.changes += 1
        self._given_up.discard(node)
        self.held_until.pop(node, None)
        return True

    @property
    def launching_with_slot(self) -> int:
        """How many launches that are given out take a slot."""
        return len(self.launching) - len(self.without_slot)

    def add_launch(
        self, node: str, execution: str, holds_slot: bool, bounds: Collection[str]
    ) -> None:
        """Note that a Launch is given out; `bounds`: groups or a map that bound how many run."""
        self._end_launch(node)
        self.launching[node] = execution
        if not holds_slot:
            self.without_slot.add(node)
        if bounds:
            self._bounds[node] = bounds
            self.launching_in.update(bounds)
        self.add_unrecorded(node, execution)

    def bind(self, bounds_of: Callable[[str], Collection[str]]) -> None:
        """Count again what bounds launches: a newer definition may bound others."""
        self._bounds = {node: bounds_of(node) for node in self.launching}
        self.launching_in = Counter(chain.from_iterable(self._bounds.values()))

    def add_unrecorded(self, node: str, execution: str) -> None:
        """Note that an execution was given out which the status does not record."""
        known = self.unrecorded.get(node)
        if known is None or _number(node, execution) >= _number(node, known):
            self.unrecorded[node] = execution

    def set_recorded(self, node: str) -> None:
        """Note that the launch of a node was answered, and that the status records it."""
        if self.unrecorded.get(node) == self._end_launch(node):
            del self.unrecorded[node]

    def drop_launch(self, node: str) -> None:
        """Expect no answer to a Launch any more; what it gave out may exist all the same."""
        self.restarting.discard(node)
        self._end_launch(node)

    def _end_launch(self, node: str) -> str | None:
        self.without_slot.discard(node)
        self.launching_in.subtract(self._bounds.pop(node, ()))
        return self.launching.pop(node, None)

    def is_current(self, node: str, state: NodeState | None, execution: str) -> bool:
        """Return whether an execution is due or runs, as far as is known: it may be started."""
        if state is None or self.is_stopping(node, execution):
            return False
        if self.launching.get(node) == execution:
            return True
        return state.status is NodeStatus.RUNNING and state.execution_id == execution


def execution_number(node: str, execution: str) -> int | None:
    """Return n of `node-n`, None where the string is not such an id."""
    digits = execution.removeprefix(f"{node}-")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None


def _number(node: str, execution: str) -> int:
    return execution_number(node, execution) or 0
