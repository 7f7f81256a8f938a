"""What waits: nodes for their launch, in the order of the definition, and moments to come."""

import heapq
from collections import deque
from collections.abc import Iterator

from podium.api.names import item_path
from podium.api.reasons import NodeReason
from podium.api.run import NodeState, NodeStatus
from podium.engine.run_limits import RunLimits, run_limits
from podium.engine.state import RunState

__all__ = ["HOLD_SECONDS", "RUN_TIMER", "ReadyQueue"]

HOLD_SECONDS = 300.0
"""How long what was stopped is waited for: a lost machine never says that it is gone."""

WAITS_FOR_LIMITS = ""
"""In the place of a group's name: the run's limits of tokens and cost."""
RUN_TIMER = ""
"""In the place of a node's name: a timer of the run."""


class ReadyQueue:
    """Nodes to launch, and timers. Both may hold what has become stale: it is passed over."""

    def __init__(self, state: RunState) -> None:
        self._run = state
        self._queue: list[tuple[float, str]] = []
        self._unbounded: list[tuple[float, str]] = []
        """Nodes that take no slot: they start whatever runs."""
        self._limited: dict[str, list[tuple[float, str]]] = {}
        """Nodes whose group has no slot left for them, by that group."""
        self._timers: list[tuple[float, str]] = []
        self._held: set[str] = set()
        """Nodes before something that was stopped and is reset: they start when that is gone."""
        self._held_at = 0
        """`Executions.changes` when `_held` was found."""
        self._passed_over: set[str] = set()
        """Ready nodes that were held when it was their turn."""
        self._feeding: set[str] = set()
        """Maps that are queued, for their next item."""
        self.limits: RunLimits | None = None
        """What nodes that ask models may spend together; None: no bound."""

    def clear(self) -> None:
        """Forget everything; `podium.engine.rebuild` fills it again."""
        self._queue.clear()
        self._unbounded.clear()
        self._limited.clear()
        self._timers.clear()
        self._passed_over.clear()
        self._feeding.clear()
        self._held_at = -1
        self.limits = run_limits(self._run)

    def add(self, node: str) -> None:
        """Queue a Ready node, or a Running one that was disrupted, for its launch."""
        run = self._run
        state = run.status.nodes[node]
        if state.next_attempt_at is not None and state.next_attempt_at > run.now:
            heapq.heappush(self._timers, (state.next_attempt_at, node))
        elif not run.executions.is_stopping(node):
            # What was disrupted goes first: it has its place among the running already.
            first = state.status is NodeStatus.RUNNING
            planned = run.plan.nodes[node]
            queue = self._queue if planned.kind.holds_slot else self._unbounded
            # What completed last is undone first.
            place = planned.index if run.rollback is None else run.rollback.place_of(node)
            heapq.heappush(queue, (-1 if first else place, node))

    def feed(self, map_: str) -> None:
        """Queue a map whose items may start, as long as some have not begun."""
        items = self._run.items
        if map_ not in self._feeding and items.is_open(map_) and items.has_unstarted(map_):
            self._feeding.add(map_)
            # After items of it that are queued by themselves: for their next try, say.
            place = self._run.plan.nodes[map_].index + 0.5
            heapq.heappush(self._queue_of(map_), (place, map_))

    def _queue_of(self, name: str) -> list[tuple[float, str]]:
        """Return the queue of a node, or of the next item of a map that is queued."""
        node = item_path(name, 0) if name in self._feeding else name
        return self._queue if self._run.plan.nodes[node].kind.holds_slot else self._unbounded

    def _next_item(self, map_: str, queue: list[tuple[float, str]]) -> str | None:
        """Begin the next item of the map whose turn it is; None: there is none, or no room."""
        run = self._run
        entry = heapq.heappop(queue)
        if map_ not in run.plan.for_each or not run.items.is_open(map_):
            self._feeding.discard(map_)
            return None
        if (full := self._full_group(item_path(map_, 0))) is not None:
            heapq.heappush(self._limited.setdefault(full, []), entry)
            return None
        item = run.items.begin_next(map_) if run.items.may_begin(map_) else None
        if item is None:
            self._feeding.discard(map_)
            return None
        heapq.heappush(queue, entry)
        return item

    def take(self) -> str | None:
        """Return the next node to launch; None if there is none, or no room for it."""
        while self._queue or self._unbounded or self._readmit():
            queue = self._unbounded or self._queue
            if queue is self._queue and not self._has_slot():
                if self._readmit(without_slot=True):
                    continue
                return None
            if (name := self._take_from(queue)) is not None:
                return name
        return None

    def _has_slot(self) -> bool:
        """Return whether the run has a slot for what is next; what starts again has its own."""
        run = self._run
        if len(run.counters.slots) + run.executions.launching_with_slot < run.max_parallel:
            return True
        name = self._queue[0][1]
        return name not in self._feeding and self._is_restart(name)

    def _take_from(self, queue: list[tuple[float, str]]) -> str | None:
        """Return the node that is next, or an item of the map; None: it may not start for now."""
        entry = queue[0]
        name = entry[1]
        if name in self._feeding:
            item = self._next_item(name, queue)
            return item if item is not None and self._may_start(item) else None
        heapq.heappop(queue)
        if not self._may_start(name):
            return None
        if not self._is_restart(name) and (full := self._full_group(name)) is not None:
            heapq.heappush(self._limited.setdefault(full, []), entry)
            if full == WAITS_FOR_LIMITS:
                self._show_wait(name)
            return None
        return name

    def _is_restart(self, node: str) -> bool:
        state = self._run.status.nodes.get(node)
        return state is not None and state.status is NodeStatus.RUNNING

    def _full_group(self, node: str) -> str | None:
        """Return a group or the map of a node that bounds how many run, and has as many.

        The run's limits are the last: others may hold what is left of them.
        """
        for group in self._run.plan.nodes[node].bounds:
            if self._busy_in(group) >= self._limit_of(group):
                return group
        limits = self.limits
        return WAITS_FOR_LIMITS if limits is not None and limits.must_wait(node) else None

    def _show_wait(self, node: str) -> None:
        """Say on a node that it waits for what others hold of the run's limits."""
        state = self._run.touch(node)
        state.reason = NodeReason.WAITING_FOR_LIMITS.value
        state.message = (
            "nodes that run may spend what is left of the run's limits: with limits in its config a"
            " node holds no more than these"
        )

    def _limit_of(self, group: str) -> int:
        """Return how many of a group, or of a map whose items take no slot, may run."""
        run = self._run
        return run.plan.nodes[group].definition.max_parallel or run.max_parallel

    def _busy_in(self, group: str) -> int:
        """Return how many run that a group bounds."""
        run = self._run
        return run.counters.slots_in.get(group, 0) + run.executions.launching_in[group]

    def _readmit(self, *, without_slot: bool = False) -> bool:
        """Queue one node again of each group that has a slot now; False: there is none.

        `without_slot`: only what takes none of the run, where that has none left.
        """
        found = False
        for group, waiting in list(self._limited.items()):
            queue = self._queue_of(waiting[0][1])
            if without_slot and queue is self._queue:
                continue
            if group == WAITS_FOR_LIMITS:
                limits = self.limits
                has_room = limits is None or not limits.must_wait(waiting[0][1])
            else:
                has_room = self._busy_in(group) < self._limit_of(group)
            if has_room:
                heapq.heappush(queue, heapq.heappop(waiting))
                found = True
                if not waiting:
                    del self._limited[group]
        return found

    def _may_start(self, node: str) -> bool:
        planned = self._run.plan.nodes[node]
        if planned.map and not self._run.items.is_open(planned.map):
            return False  # it is queued again once the list of its map is known
        state = self._run.status.nodes.get(node)
        if state is None:  # an item that was dropped
            return False
        if self._run.executions.is_in_flight(node):
            return False
        if state.next_attempt_at is not None:
            if state.next_attempt_at > self._run.now:
                return False
            if state.status is NodeStatus.RUNNING:  # after a disruption
                return True
        if state.status is not NodeStatus.READY:
            return False
        if self._is_held(node):
            self._passed_over.add(node)
            return False
        return True

    def release(self) -> None:
        """Queue what was held again: something that was stopped is waited for no longer."""
        for node in self._passed_over:
            if node in self._run.plan.nodes:
                self.add(node)
        self._passed_over.clear()

    def _is_held(self, node: str) -> bool:
        """Return whether what was stopped of a node's descendants, to run again, is not gone."""
        changes = self._run.executions.changes
        if changes != self._held_at:
            self._held_at = changes
            self._held = self._before_stopped()
        return node in self._held

    def _before_stopped(self) -> set[str]:
        run = self._run
        found: set[str] = set()
        waiting: deque[str] = deque()
        for name in run.executions.awaited():
            state = run.known(name)
            if state is None:  # a newer definition removed it: what came before it is not known
                found.update(run.plan.nodes)
            elif name in run.plan.compensations:  # its node, to run again, does not run beside it
                found.add(run.plan.compensations[name])
                waiting.append(run.plan.compensations[name])
            elif not state.status.ended:
                waiting.append(name)
            else:
                continue
            if name not in run.executions.held_until:
                self.hold(name, run.now + HOLD_SECONDS)
        edges = run.plan.edges
        while waiting:
            node = run.plan.nodes[waiting.popleft()]
            before = [edges[index].source for index in node.incoming]
            for source in [*before, node.group] if node.group else before:
                if source not in found:
                    found.add(source)
                    waiting.append(source)
        return found

    # Timers

    def set_timers(self, node: str, state: NodeState) -> None:
        """Have a node looked at when its deadline, its next attempt or its wait is due."""
        for moment in (state.deadline, state.next_attempt_at, state.waits_until):
            if moment is not None:
                heapq.heappush(self._timers, (moment, node))

    def set_deadline(self, node: str, deadline: float | None) -> None:
        """Change the deadline of a node's execution; None: it has none."""
        deadline = None if deadline is None else round(deadline, 3)
        if self._run.status.nodes[node].deadline != deadline:
            state = self._run.touch(node)
            state.deadline = deadline
            self.set_timers(node, state)

    def set_run_timer(self, moment: float) -> None:
        """Have the run looked at when its deadline is due."""
        heapq.heappush(self._timers, (moment, RUN_TIMER))

    def hold(self, node: str, until: float) -> None:
        """Have what waits for the end of a stopped node go on at the latest at this moment."""
        moment = round(until, 3)
        self._run.executions.held_until[node] = moment
        heapq.heappush(self._timers, (moment, node))

    def due(self) -> Iterator[tuple[float, str]]:
        """Return the timers that are due, and forget them; new ones may be set meanwhile."""
        while self._timers and self._timers[0][0] <= self._run.now:
            yield heapq.heappop(self._timers)

    def next_wake(self) -> float | None:
        """Return when something is due at the latest; stale timers are dropped on the way."""
        status = self._run.status
        while self._timers:
            moment, name = self._timers[0]
            if name == RUN_TIMER:
                if status.deadline == moment:
                    return moment
            else:
                if self._run.executions.held_until.get(name) == moment:
                    return moment
                state = status.nodes.get(name)
                if state is not None and moment in (
                    state.deadline,
                    state.next_attempt_at,
                    state.waits_until,
                ):
                    return moment
            heapq.heappop(self._timers)
        return None
