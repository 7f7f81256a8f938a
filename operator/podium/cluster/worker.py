"""Workers: they take keys from a queue, have them reconciled, and try again what failed.

A reconciler says by its `Result` when its object is due again, and raises what went wrong. The
queue, the back-off, the metrics and the ids in the logs are the worker's.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from podium.cluster.kube.errors import ApiError, ConflictError
from podium.cluster.metrics import Metrics
from podium.cluster.workqueue import KeyQueue, backoff
from podium.errors import PodiumError

__all__ = [
    "ObjectKey",
    "Reconciler",
    "Result",
    "TerminalError",
    "Worker",
    "reconcile_id",
    "waiting_for_others",
]

log = logging.getLogger(__name__)

BACKOFF_SECONDS = (0.5, 60.0)
CONFLICT_SECONDS = (0.1, 60.0)
STUCK_SECONDS = 300.0
"""A worker that is busy with one key for so long makes the operator unhealthy."""
TURN_SECONDS = 0.005
"""After a reconciliation that took longer everything else has its turn: one that waits for nothing,
and is due again at once, would else hold the event loop up together with the next one."""
TOLD_AT = (1, 5)
"""Failures in a row after which the reconciler is notified."""

reconcile_id: ContextVar[str] = ContextVar("reconcile_id", default="")
"""Id of the reconciliation that is under way, for the logs."""


@dataclass(slots=True)
class _Busy:
    """A worker that is at work on a key."""

    since: float
    """Of `time.monotonic`: when it began, or last had to wait for others."""
    waits: int = 0


_busy: ContextVar[_Busy | None] = ContextVar("busy", default=None)


@contextmanager
def waiting_for_others() -> Iterator[None]:
    """Do not count as stuck the worker that waits meanwhile: what others began has to end first."""
    busy = _busy.get()
    if busy is None:
        yield
        return
    busy.waits += 1
    try:
        yield
    finally:
        busy.waits -= 1
        busy.since = time.monotonic()


class ObjectKey(NamedTuple):
    """What is to be reconciled: an object, by what is done with it."""

    kind: str
    """Name of the reconciler, such as WorkflowRun or Workflow."""
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Result:
    """How a reconciliation went."""

    requeue_after: float | None = None
    """Seconds after which the object is due again, whatever happens; None: when it changes."""
    recovered: bool = True
    """Whether earlier failures of the object are overcome."""


class TerminalError(PodiumError):
    """A failure that another try meets again: the object is left alone until it changes."""


K = TypeVar("K", bound=Hashable)
K_contra = TypeVar("K_contra", contravariant=True)


class Reconciler(Protocol[K_contra]):
    """What brings one object to where it should be."""

    async def reconcile(self, key: K_contra) -> Result:
        """Do what there is to do. Raises `TerminalError`, `ConflictError`, `ApiError`."""
        ...

    def failed(self, key: K_contra, error: Exception, wait: float | None) -> None:
        """Take in that it failed for the first or fifth time in a row, by no fault of the server.

        `wait`: the seconds until it is tried again; None: it is not.
        """
        ...


class Worker(Generic[K]):
    """Works on the keys of one queue with a number of tasks."""

    def __init__(
        self,
        queue: KeyQueue[K],
        reconciler: Callable[[K], tuple[str, Reconciler[K]]],
        metrics: Metrics,
        *,
        retry_as: Callable[[K], K] = lambda key: key,
    ) -> None:
        """`reconciler` returns a key's kind and who reconciles it.

        `retry_as` returns the key by which a failed one is tried again.
        """
        self.queue = queue
        self._reconciler = reconciler
        self._metrics = metrics
        self._retry_as = retry_as
        self._failures: dict[K, int] = {}
        self._busy: dict[K, _Busy] = {}
        self._ids = itertools.count(1)

    async def run(self) -> None:
        """Take keys and work on them until cancelled. No object stops this."""
        while True:
            key = await self.queue.get()
            self._busy[key] = busy = _Busy(time.monotonic())
            _busy.set(busy)
            try:
                await self.work_on(key)
            finally:
                del self._busy[key]
                self.queue.done(key)
            if time.monotonic() - busy.since > TURN_SECONDS:
                await asyncio.sleep(0)

    def stuck(self) -> list[K]:
        """Return keys that have been worked on for too long."""
        now = time.monotonic()
        return [
            key
            for key, busy in self._busy.items()
            if not busy.waits and now - busy.since > STUCK_SECONDS
        ]

    async def work_on(self, key: K) -> None:
        """Reconcile one key, and see to it that it comes again when it has to."""
        kind, reconciler = self._reconciler(key)
        reconcile_id.set(f"{next(self._ids):x}")
        with self._metrics.reconciliation(kind):
            outcome = await self._try(key, reconciler)
        self._metrics.outcomes.labels(kind, outcome).inc()

    async def _try(self, key: K, reconciler: Reconciler[K]) -> str:
        """Reconcile a key; return how it went, in one word."""
        try:
            result = await reconciler.reconcile(key)
        except TerminalError as error:
            log.warning("%s: %s", key, error)
            self._failures.pop(self._retry_as(key), None)
            reconciler.failed(key, error, None)
        except ConflictError:
            log.info("%s: it was changed meanwhile: read again", key)
            self._try_again(key, reconciler, None, CONFLICT_SECONDS)
        except ApiError as error:
            self._refused(key, reconciler, error)
        except Exception as error:
            log.exception("%s failed, retrying with back-off", key)
            self._try_again(key, reconciler, error)
        else:
            if result.recovered:
                self._failures.pop(self._retry_as(key), None)
            if result.requeue_after is not None:
                self.queue.add_after(key, result.requeue_after)
            return "success"
        return "error"

    def _refused(self, key: K, reconciler: Reconciler[K], error: ApiError) -> None:
        if error.namespace_terminating:
            log.info("%s: the namespace is being deleted", key)
        elif error.status == 409:
            self._try_again(key, reconciler, None, CONFLICT_SECONDS)
        elif error.status == 404:
            log.info("%s: %s", key, error)
            self._try_again(key, reconciler, None)
        else:
            log.warning("%s: %s", key, error)
            self._try_again(key, reconciler, None if error.transient else error)

    def _try_again(
        self,
        key: K,
        reconciler: Reconciler[K],
        error: Exception | None,
        bounds: tuple[float, float] = BACKOFF_SECONDS,
    ) -> None:
        """Try a key again later; the reconciler hears of what is not the server's fault."""
        again = self._retry_as(key)
        times = self._failures[again] = self._failures.get(again, 0) + 1
        wait = backoff(times, bounds)
        self.queue.add_after(again, wait)
        if error is not None and times in TOLD_AT:
            reconciler.failed(key, error, wait)


def by_kind(
    reconcilers: Mapping[str, Reconciler[ObjectKey]],
) -> Callable[[ObjectKey], tuple[str, Reconciler[ObjectKey]]]:
    """Return what finds the reconciler of a key by its kind."""

    def find(key: ObjectKey) -> tuple[str, Reconciler[ObjectKey]]:
        return key.kind, reconcilers[key.kind]

    return find
