"""How many runs of a namespace are active, and what they hold in memory: others wait for them."""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from podium.api.child_runs import MAX_DEPTH
from podium.api.reasons import RunReason
from podium.cluster.kube.views import RunView, pool_of
from podium.cluster.runs.memory import LIGHT_BYTES, MemoryBudget, Weight
from podium.cluster.settings import Settings
from podium.cluster.watch.store import InformerCache, RunKey

__all__ = ["Closed", "Turnstile"]

CANCEL_SHARE = 0.25
"""A large run that is to be cancelled has to be loaded for it: so much more memory is for these."""

CHILD_SHARE = 0.25
"""A run that waits for a large child must not keep it out: each depth has so much more."""

_Line = dict[str, OrderedDict[RunKey, None]]
"""Runs that wait, by pool, who came first first."""


class Closed(NamedTuple):
    """Why a run must wait."""

    reason: RunReason
    message: str


class Turnstile:
    """Lets runs begin as long as not too many are active, and those not too large together."""

    def __init__(self, cache: InformerCache, settings: Settings) -> None:
        self._cache = cache
        self.limit = settings.limits.max_active_runs_per_namespace
        self.memory = MemoryBudget(settings.limits)
        self._entering: Counter[str] = Counter()
        """Runs that are being begun, by pool."""
        self._crowd: _Line = {}
        self._large: _Line = {}
        self._weights: dict[RunKey, Weight] = {}
        """Of large runs, also while they wait: to know that they must, they are not read again."""
        self._unread: set[RunKey] = set()
        """Runs that were there at the start and were not looked at yet: some have begun."""

    # What is known of runs

    def expect(self, keys: Iterable[RunKey]) -> None:
        """Let no large run begin before these were looked at."""
        self._unread = set(keys)

    def has_seen(self, key: RunKey) -> None:
        """Note that a run was looked at."""
        self._unread.discard(key)

    def is_early(self, view: RunView) -> bool:
        """Return whether a large run comes before all that have begun are known to be in memory."""
        return bool(self._unread) and _key(view) in self._weights and not view.started

    def note(self, key: RunKey, weight: Weight) -> None:
        """Remember what a run takes, if it is large."""
        self._weights.pop(key, None)
        if not weight.is_light:
            self._weights[key] = weight

    # Who may begin

    def why_closed(self, view: RunView) -> Closed | None:
        """Return why a run must wait; None: it may begin."""
        return self._is_crowded(view) or self._is_full(view, self._weights.get(_key(view)))

    def _is_crowded(self, view: RunView) -> Closed | None:
        """Count; a run that has begun, or is to be cancelled, need not wait."""
        if not self.limit or view.started or view.ended or view.cancel:
            return None
        active = self._cache.active_runs[view.pool] + self._entering[view.pool]
        line = self._crowd.get(view.pool, ())
        if active < self.limit and (not line or _key(view) in line):  # else others came first
            return None
        return Closed(
            RunReason.TOO_MANY_ACTIVE_RUNS,
            f"as many runs of the namespace {view.namespace} are active as this cluster allows"
            f" ({self.limit}, limits.maxActiveRunsPerNamespace): it begins when one of them ends",
        )

    def _is_full(
        self, view: RunView, weight: Weight | None, *, was_let_in: bool = False
    ) -> Closed | None:
        """Weigh; a run that has begun and not ended need not wait, a light one neither."""
        if weight is None or (view.started and not view.ended):
            return None
        key = _key(view)
        more = max(CANCEL_SHARE if view.cancel else 0.0, CHILD_SHARE * view.depth)
        lacks = self.memory.lacks(key, weight, more=more)
        if lacks:
            return Closed(RunReason.ACTIVE_RUNS_TOO_LARGE, lacks)
        first = next(iter(self._large.get(key[0], ())), key)
        is_light = self.memory.takes(key[0], weight) < LIGHT_BYTES
        # What comes first may be an ancestor of what waits for this very child.
        if first == key or was_let_in or view.cancel or is_light or view.depth:
            return None
        return Closed(
            RunReason.ACTIVE_RUNS_TOO_LARGE,
            f"the run {first[1]} came first and waits for room in the operator's memory"
            " (limits.activeRunsMegabytesPerNamespace): this one is also large and begins after it",
        )

    def wait(self, key: RunKey, closed: Closed) -> bool:
        """Note that a run waits; return whether that is new."""
        is_large = closed.reason is RunReason.ACTIVE_RUNS_TOO_LARGE
        line, other = (self._large, self._crowd) if is_large else (self._crowd, self._large)
        _leave(other, key)
        of_it = line.setdefault(key[0] if is_large else self._pool(key), OrderedDict())
        is_new = key not in of_it
        of_it.setdefault(key)
        return is_new

    def waits(self, key: RunKey) -> bool:
        """Return whether a run waits."""
        lines = (self._crowd, self._large)
        return any(key in line.get(pool, ()) for line in lines for pool in _pools(key[0]))

    @contextmanager
    def entering(self, key: RunKey) -> Iterator[None]:
        """Count a run that is being begun, until its status says so."""
        self._leave(key)
        if key in self._weights:
            self.memory.hold(key, self._weights[key])
        pool = self._pool(key)
        self._entering[pool] += 1
        try:
            yield
        finally:
            self._entering[pool] -= 1
            if not self._entering[pool]:
                del self._entering[pool]

    def admit(self, view: RunView, weight: Weight) -> Closed | None:
        """Let a run begin that was read and weighed; return why it has to wait after all."""
        key = _key(view)
        was_let_in = key in self.memory.held
        self.note(key, weight)
        self.memory.release(key)
        closed = self._is_full(view, self._weights.get(key), was_let_in=was_let_in)
        if closed is None:
            self.memory.hold(key, weight)
        else:
            self.wait(key, closed)
        return closed

    def forget(self, key: RunKey) -> None:
        """Drop what is kept of a run, but for what it takes: it may come again."""
        self._leave(key)
        self.memory.release(key)

    def drop(self, key: RunKey) -> None:
        """Drop all that is kept of a run: it is gone."""
        self.forget(key)
        self._weights.pop(key, None)

    def next(self, namespace: str) -> list[RunKey]:
        """Return the runs whose turn it may be after something of a namespace ended.

        One of each pool that has waited longest in the namespace, and those that wait for memory in
        all.
        """
        lines = [self._crowd[pool] for pool in _pools(namespace) if pool in self._crowd]
        first = [next(iter(line)) for line in lines]
        return first + [next(iter(line)) for line in self._large.values()]

    def _pool(self, key: RunKey) -> str:
        view = self._cache.runs.get(key)
        return key[0] if view is None else view.pool

    def _leave(self, key: RunKey) -> None:
        for line in (self._crowd, self._large):
            _leave(line, key)


def _key(view: RunView) -> RunKey:
    return view.namespace, view.name


def _leave(line: _Line, key: RunKey) -> None:
    if not line:
        return
    for pool in _pools(key[0]):
        of_it = line.get(pool)
        if of_it is not None and key in of_it:
            del of_it[key]
            if not of_it:
                del line[pool]


def _pools(namespace: str) -> list[str]:
    """Return the pools of a namespace: of its runs, and of child runs by their depth."""
    return [pool_of(namespace, depth) for depth in range(MAX_DEPTH + 1)]
