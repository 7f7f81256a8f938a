"""Rebuilding what is derived from a plan and a status: after a crash, or a newer definition."""

from collections.abc import Container, Generator

from podium.api.run import NodeStatus
from podium.engine.joins import Joins
from podium.engine.plan import Plan
from podium.engine.ready_queue import ReadyQueue
from podium.engine.run_outcome import ending_of
from podium.engine.state import RunState

__all__ = ["rebuild", "rebuild_in_slices"]


def rebuild(
    run: RunState, queue: ReadyQueue, joins: Joins, plan: Plan, leave: Container[str] = ()
) -> None:
    """Derive counters, edges, queue and timers again; nodes of `leave` are about to be reset."""
    for _ in rebuild_in_slices(run, queue, joins, plan, leave):
        pass


def rebuild_in_slices(
    run: RunState, queue: ReadyQueue, joins: Joins, plan: Plan, leave: Container[str] = ()
) -> Generator[None, None, None]:
    """Rebuild in pieces, between which the caller can do other work."""
    yield from run.load(plan)
    run.executions.bind(lambda node: () if (own := plan.node(node)) is None else own.bounds)
    yield from joins.load()
    if plan.compensations:
        from podium.engine.rollback import restore_rollback  # noqa: PLC0415 - few runs have some

        restore_rollback(run)
    queue.clear()
    for name, state in run.status.nodes.items():
        yield
        if name in leave:
            continue
        if state.status is NodeStatus.READY:
            queue.add(name)
        elif state.status is NodeStatus.RUNNING:
            queue.set_timers(name, state)
            if name in plan.for_each:
                run.spawned.append(name)
    if run.is_finishing:
        run.ending = ending_of(run)
    if run.status.deadline is not None:
        queue.set_run_timer(run.status.deadline)
