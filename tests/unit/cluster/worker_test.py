"""What a worker makes of how a reconciliation went."""

import asyncio
import itertools
import logging

import pytest

from podium.cluster import worker as worker_module
from podium.cluster.kube.errors import ApiError, ConflictError
from podium.cluster.metrics import Metrics
from podium.cluster.worker import (
    Result,
    TerminalError,
    Worker,
    reconcile_id,
    waiting_for_others,
)
from podium.cluster.workqueue import KeyQueue


class Reconciler:
    """Gives or raises what it is told."""

    def __init__(self):
        self.outcomes = []
        self.ids = []
        self.told = []

    async def reconcile(self, key):
        self.ids.append(reconcile_id.get())
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def failed(self, key, error, wait):
        self.told.append((key, str(error), wait))


class World:
    def __init__(self, monkeypatch):
        self.reconciler, self.metrics, self.later = Reconciler(), Metrics(), []
        queue = KeyQueue()
        monkeypatch.setattr(queue, "add_after", lambda *call: self.later.append(call))
        self.worker = Worker(queue, lambda _: ("Thing", self.reconciler), self.metrics)

    async def work(self, *outcomes):
        self.reconciler.outcomes = [*outcomes]
        for _ in outcomes:
            await self.worker.work_on("x")
        return self.later

    def counted(self, outcome):
        labels = {"kind": "Thing", "outcome": outcome}
        return self.metrics.registry.get_sample_value("podium_reconcile_total", labels) or 0


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


async def test_a_result_says_when_the_object_is_due_again(world):
    assert await world.work(Result()) == []
    assert await world.work(Result(requeue_after=7.0)) == [("x", 7.0)]
    assert (world.counted("success"), world.counted("error")) == (2, 0)


@pytest.mark.parametrize(
    ("error", "waits", "told"),
    [
        (ValueError("odd"), [0.5, 1, 2, 4, 8], 2),
        (ApiError(403, "Forbidden", "no"), [0.5, 1, 2, 4, 8], 2),
        (ApiError(503, "Unavailable", "no"), [0.5, 1, 2, 4, 8], 0),
        (ApiError(404, "NotFound", "no"), [0.5, 1, 2, 4, 8], 0),
        (ApiError(409, "Conflict", "no"), [0.1, 0.2, 0.4, 0.8, 1.6], 0),
        (ConflictError(), [0.1, 0.2, 0.4, 0.8, 1.6], 0),
        (ApiError(403, "Forbidden", "no", causes=["NamespaceTerminating"]), [], 0),
        (TerminalError("never"), [], 5),
    ],
    ids=str,
)
async def test_what_failed_comes_again_later_and_later(world, error, waits, told):
    assert await world.work(*[error] * 5) == [("x", pytest.approx(wait)) for wait in waits]
    assert len(world.reconciler.told) == told
    assert world.counted("error") == 5


async def test_a_terminal_error_is_reported_without_a_next_time(world):
    await world.work(TerminalError("never"))
    assert world.reconciler.told == [("x", "never", None)]


async def test_failures_are_forgotten_only_once_they_are_overcome(world):
    error = ValueError("odd")
    await world.work(error, Result(recovered=False), error, Result(), error)
    assert [wait for _, wait in world.later] == [0.5, 1.0, 0.5]


async def test_each_reconciliation_has_an_id_in_the_logs(world, caplog):
    with caplog.at_level(logging.INFO):
        await world.work(Result(), Result())
    assert len(set(world.reconciler.ids)) == 2
    assert all(world.reconciler.ids)


async def test_who_waits_for_others_is_not_stuck(monkeypatch):
    """However long: but when it goes on, it has to come to an end in time."""
    seconds = [0.0]
    monkeypatch.setattr(worker_module.time, "monotonic", lambda: seconds[0])
    gates = [asyncio.Event() for _ in range(3)]

    class Slow(Reconciler):
        async def reconcile(self, key):
            await gates[0].wait()
            with waiting_for_others():
                await gates[1].wait()
            await gates[2].wait()
            return Result()

    async def later(by):
        for _ in range(5):
            await asyncio.sleep(0)
        seconds[0] += by
        return worker.stuck()

    queue, slow = KeyQueue(), Slow()
    worker = Worker(queue, lambda _: ("Thing", slow), Metrics())
    queue.add("x")
    task = asyncio.create_task(worker.run())
    assert await later(301) == ["x"]
    gates[0].set()
    assert await later(10_000) == []
    gates[1].set()
    assert await later(299) == []
    assert await later(2) == ["x"]
    gates[2].set()
    assert await later(1000) == []
    task.cancel()


async def test_reconciliations_that_wait_for_nothing_leave_the_loop_to_others(monkeypatch):
    """A run whose next step is due at once would else hold everything up until it waits."""
    clock = itertools.count()
    monkeypatch.setattr(worker_module.time, "monotonic", lambda: next(clock) / 50)
    turns, enough = [], asyncio.Event()

    class Busy:
        async def reconcile(self, key):
            turns.append("ours")
            if len(turns) < 100:
                queue.add(key)
            else:
                enough.set()
            return Result()

    async def others():
        while True:
            turns.append("others")
            await asyncio.sleep(0)

    queue = KeyQueue()
    queue.add("x")
    tasks = [
        asyncio.create_task(Worker(queue, lambda _: ("Thing", Busy()), Metrics()).run()),
        asyncio.create_task(others()),
    ]
    await enough.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    ours = turns[:100].count("ours")
    assert 20 < ours < 80
