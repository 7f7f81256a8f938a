"""Items: how those of a map begin, end and are reset (semantics.md 9).

An item is a node of its own, `node[3]`, while it waits for another try or runs, and where there is
something to say of it: the first that failed, those with an output. Everything else of items is in
ranges on their map, so that 100,000 of them take a few KB, and what one of them does costs the same
however many there are.
"""

import weakref
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import orjson

from podium import expressions, kinds
from podium.api.index_ranges import IndexRanges
from podium.api.names import item_path
from podium.api.node_state import ItemsState
from podium.api.reasons import NodeReason
from podium.api.run import NodeState, NodeStatus
from podium.engine.executions import MAX_AHEAD, execution_number
from podium.engine.identity import digest_of
from podium.engine.item_ends import is_ended, items_of
from podium.engine.item_list import ItemsError, list_of
from podium.engine.verdicts import ValueQuestion, read_by, value_of

if TYPE_CHECKING:
    from podium.engine.state import RunState

__all__ = ["MAX_OUTPUTS_BYTES", "Items"]

MAX_OUTPUTS_BYTES = 256 * 1024
"""What the outputs of a map's items may have together, as JSON."""
FAILED_KEPT = 100
"""Failed items that keep a state of their own."""
READY_ITEMS = 1_000
"""Items that wait for another try, or for an answer, before no further one begins."""


class Items:
    """What is derived of the maps of a run."""

    def __init__(self, run: "RunState") -> None:
        # No cycle: a run that is let go is freed at once.
        self._run: RunState = weakref.proxy(run)
        self._values: dict[str, Sequence[Any]] = {}
        """The items of maps that run, once they are known. Lost in a crash: evaluated again."""
        self.open: dict[str, dict[str, None]] = {}
        """Paths of the items of each map that have begun, until their end is taken in."""
        self.running: set[str] = set()
        """Items that run."""
        self._refused: dict[str, set[str]] = {}
        """Of each map: items that the shell could not start, for now. Lost in a crash."""
        self._next: dict[str, int] = {}
        """Of each map: below this, each item has begun."""
        self._bytes: dict[str, int] = {}
        """What the outputs of the items of each map have together."""
        self._told: dict[str, int] = {}
        """How many Events there were about items of each map."""

    def load(self) -> None:
        """Forget what is derived, but for the values of maps that still run."""
        run = self._run
        self.running = set()
        self.open = {node: {} for node in run.plan.for_each}
        self._refused = {node: set() for node in run.plan.for_each}
        self._next = {}
        self._bytes = dict.fromkeys(run.plan.for_each, 0)
        still = {
            node: values
            for node, values in self._values.items()
            if node in run.plan.for_each and run.status.nodes[node].status is NodeStatus.RUNNING
        }
        self._values = still

    def count(self, map_: str, node: str, state: NodeState, by: int) -> None:
        """Add or take away one item in the counters."""
        if by > 0 and not state.status.ended:
            self.open[map_][node] = None
        if by < 0:
            self._refused[map_].discard(node)
        if state.status is NodeStatus.RUNNING:
            (self.running.add if by > 0 else self.running.discard)(node)
        if state.status is NodeStatus.COMPLETED and state.output:
            self._bytes[map_] += by * len(orjson.dumps(state.output))

    # Values

    def values(self, map_: str) -> Sequence[Any]:
        """Return the items of a map that is open."""
        return self._values[map_]

    def is_open(self, map_: str) -> bool:
        """Return whether the items of a map may start."""
        running = self._run.status.nodes[map_].status is NodeStatus.RUNNING
        return running and map_ in self._values

    def evaluate(self, map_: str) -> bool:
        """Find the items of a map that has begun; False: its list is not known yet.

        Raises `ItemsError`, `ExpressionError`.
        """
        if map_ in self._values:
            return True
        run, expression = self._run, self._run.plan.for_each[map_]
        scope = run.node_scope(map_)
        try:
            found = run.questions.at_once(map_, "forEach", lambda: [value_of(expression, scope)])
            if found is None:
                return False
            value = found[0]
        except expressions.OutOfFuelError:
            question = ValueQuestion(
                number=run.questions.next_number(),
                about="forEach",
                expression=expression.source,
                scope=read_by(expression.references, scope),
                node=map_,
                execution=run.next_execution(map_),
            )
            answer = run.questions.ask(question)
            if answer is None:
                return False
            value = answer.computed()
        self._begin(map_, value)
        return True

    def _begin(self, map_: str, value: Any) -> None:
        values = list_of(value, self._run.plan.nodes[map_].definition, self._run.info.max_items)
        digest = digest_of(values)
        state = self._run.touch(map_)
        least = self._run.status.forgotten_executions
        if state.items is None:
            state.items = ItemsState(first_execution=least, last_execution=least)
        items = state.items
        if items.digest and items.digest != digest:
            message = "forEach gives another list than when these items ran: re-run the whole node"
            raise ItemsError(NodeReason.ITEMS_CHANGED, message)
        items.digest, items.count = digest, len(values)
        self._values[map_] = values

    # What starts

    def may_begin(self, map_: str) -> bool:
        """Return whether another item may begin.

        Not while too many wait for their next try, or where one could not be started for now: the
        next one could not, either.
        """
        is_full = len(self.open[map_]) >= self._run.max_parallel + READY_ITEMS
        return not (is_full or self._refused[map_])

    def refuse(self, map_: str, node: str) -> None:
        """Note that an item could not be started for now: until it starts no other one begins."""
        self._refused[map_].add(node)

    def begin_next(self, map_: str) -> str | None:
        """Begin the next item of a map that is open; None: there is none."""
        run = self._run
        items = items_of(run.status.nodes[map_])
        if items.partial or self.is_draining(map_):
            return None
        at = self._next.get(map_)
        if at is None:
            at = next(items.completed.missing(items.count), items.count)
        while at < items.count:
            path = item_path(map_, at)
            if path not in run.status.nodes and not is_ended(items, at):
                self._next[map_] = at + 1
                self.begin(map_, at, items.first_execution)
                return path
            at += 1
        self._next[map_] = at
        return None

    def begin(self, map_: str, index: int, executions: int) -> None:
        """Give an item a state of its own: it is Ready."""
        state = NodeState(
            status=NodeStatus.READY, created_at=self._run.now, execution_count=executions
        )
        self._run.put(item_path(map_, index), state)

    def is_draining(self, map_: str) -> bool:
        """Return whether too many items of a map have failed: nothing new of it starts."""
        items = items_of(self._run.status.nodes[map_])
        allowed = kinds.may_fail(self._run.plan.nodes[map_].definition, items.count)
        return len(items.failed) > allowed

    def has_unstarted(self, map_: str) -> bool:
        """Return whether an item of a map that is open is still to begin."""
        items = items_of(self._run.status.nodes[map_])
        if items.partial or self.is_draining(map_):
            return False
        ended = len(items.completed) + len(items.failed) + len(items.skipped)
        return ended + len(self.open[map_]) < items.count

    def has_room(self, map_: str, output: Mapping[str, Any]) -> bool:
        """Return whether an output of an item fits beside those of the others."""
        return self._bytes[map_] + len(orjson.dumps(output)) <= MAX_OUTPUTS_BYTES

    def may_tell(self, map_: str) -> bool:
        """Return whether there may be one more Event about an item of a map."""
        told = self._told[map_] = self._told.get(map_, 0) + 1
        return told <= FAILED_KEPT

    # What ends

    def end(self, map_: str, index: int) -> None:
        """Take an item that has ended into the ranges of its map."""
        run, path = self._run, item_path(map_, index)
        state = run.status.nodes[path]
        items = items_of(run.touch(map_))
        items.last_execution = max(items.last_execution, state.last_execution_number)
        self.open[map_].pop(path, None)
        match state.status:
            case NodeStatus.COMPLETED:
                items.completed.add(index)
                if state.output:
                    run.status.nodes[path] = NodeState(
                        status=NodeStatus.COMPLETED,
                        output=state.output,
                        execution_id=state.execution_id,
                        child_run=state.child_run,
                        execution_count=state.execution_count,
                        cancelled_launches=state.cancelled_launches,
                    )
                    return
            case NodeStatus.FAILED:
                items.failed.add(index)
                if len(items.failed) <= FAILED_KEPT:
                    state.history = []
                    return
            case NodeStatus.SKIPPED:
                items.skipped.add(index)
        run.drop(path)

    def drop_waiting(self, map_: str, reason: str) -> None:
        """Drop the items of a map that are not started: nothing new of it starts."""
        launching = self._run.executions.launching
        for path in list(self.open[map_]):
            is_begun = path in self.running or path in launching
            if not (is_begun or self._run.status.nodes[path].status.ended):
                self._drop(map_, path, reason)

    def close(self, map_: str, reason: str, *, keep_launched: bool = False) -> None:
        """Stop what runs of a map, and drop what has not ended: the map has.

        `keep_launched`: what the status does not know of may be what the map begins with.
        """
        executions = self._run.executions
        for path in list(self.open[map_]):
            self._drop(map_, path, reason)
        self._values.pop(map_, None)
        self._next.pop(map_, None)
        if keep_launched:
            return
        for path in [each for each in executions.unrecorded if each.startswith(f"{map_}[")]:
            execution = executions.unrecorded.pop(path)
            self.spend(map_, execution_number(path, execution) or 0)
            self._run.stop(path, execution, reason)

    def _drop(self, map_: str, path: str, reason: str) -> None:
        run = self._run
        run.stop_current(path, reason)
        state = run.status.nodes[path]
        items = items_of(run.touch(map_))
        items.last_execution = max(items.last_execution, state.last_execution_number)
        run.drop(path)
        run.questions.drop(path)
        run.judging.pop(path, None)

    def spend(self, map_: str, number: int) -> bool:
        """Never give out an execution's number (again), of an item without a state."""
        run = self._run
        state = run.status.nodes.get(map_)
        last = 0 if state is None or state.items is None else state.items.last_execution
        if state is None or not last < number <= last + MAX_AHEAD:
            return False
        items_of(run.touch(map_)).last_execution = number
        return True

    # What is reset

    def reset(self, map_: str) -> None:
        """Forget all items of a map: it runs again from its beginning."""
        run = self._run
        self.close(map_, NodeReason.RERUN, keep_launched=run.is_first_step)
        state = run.touch(map_)
        if state.items is None:
            return
        self._forget_all(map_, state.items.completed, state.items.failed)
        last = state.items.last_execution
        state.items = ItemsState(first_execution=last, last_execution=last)

    def remove(self, map_: str) -> None:
        """Stop what runs of a map, and drop all states of its items: it is no map any more."""
        self.close(map_, NodeReason.REMOVED)
        items = items_of(self._run.status.nodes[map_])
        self._forget_all(map_, items.completed, items.failed)

    def keep(self, map_: str, indexes: Collection[int] | None) -> None:
        """Have items of a map that has ended run again, and keep the others.

        None: all that did not complete.
        """
        run = self._run
        self.close(map_, NodeReason.RERUN, keep_launched=run.is_first_step)
        items = items_of(run.touch(map_))
        items.first_execution = items.last_execution
        items.partial = indexes is not None
        if indexes is None:
            self._forget_all(map_, items.failed)
            items.failed = IndexRanges()
            return
        for index in indexes:
            self.again(map_, index)

    def again(self, map_: str, index: int) -> str:
        """Have one item that has ended run again."""
        run, path = self._run, item_path(map_, index)
        items = items_of(run.touch(map_))
        if path in run.status.nodes:
            run.drop(path)
        for each in (items.completed, items.failed, items.skipped):
            each.discard(index)
        self.begin(map_, index, items.last_execution)
        return path

    def _forget_all(self, map_: str, *indexes: IndexRanges) -> None:
        for index in chain(*indexes):
            if (path := item_path(map_, index)) in self._run.status.nodes:
                self._run.drop(path)

    # What is known of one

    def known(self, map_: str, index: int) -> NodeState | None:
        """Return how an item stands that has no state of its own; None: there is no such map."""
        state = self._run.known(map_)
        if state is None:
            return None
        items = state.items or ItemsState()
        is_over = state.status.ended or is_ended(items, index)
        number = items.last_execution if is_over else items.first_execution
        status = NodeStatus.CANCELLED if is_over else NodeStatus.PENDING
        return NodeState(status=status, execution_count=number)
