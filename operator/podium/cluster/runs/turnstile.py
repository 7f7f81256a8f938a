"""How many runs of a namespace are active: those beyond wait for one of them to end."""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from podium.cluster.kube.views import RunView
from podium.cluster.settings import Settings
from podium.cluster.watch.store import InformerCache, RunKey

__all__ = ["Turnstile"]


class Turnstile:
    """Lets runs begin as long as their namespace has not too many that are active."""

    def __init__(self, cache: InformerCache, settings: Settings) -> None:
        self._cache = cache
        self.limit = settings.limits.max_active_runs_per_namespace
        self._entering: Counter[str] = Counter()
        """Runs that are being begun, by namespace."""
        self._waiting: dict[str, OrderedDict[RunKey, None]] = {}

    def is_closed(self, view: RunView) -> bool:
        """Return whether a run must wait; one that has begun, or is to be cancelled, need not."""
        if not self.limit or view.started or view.ended or view.cancel:
            return False
        line = self._waiting.get(view.namespace)
        if line and (view.namespace, view.name) not in line:
            return True  # others came first
        active = self._cache.active_runs[view.namespace] + self._entering[view.namespace]
        return active >= self.limit

    def wait(self, key: RunKey) -> bool:
        """Note that a run waits; return whether that is new."""
        line = self._waiting.setdefault(key[0], OrderedDict())
        is_new = key not in line
        line.setdefault(key)
        return is_new

    @contextmanager
    def entering(self, key: RunKey) -> Iterator[None]:
        """Count a run that is being begun, until its status says so."""
        self.forget(key)
        self._entering[key[0]] += 1
        try:
            yield
        finally:
            self._entering[key[0]] -= 1
            if not self._entering[key[0]]:
                del self._entering[key[0]]

    def forget(self, key: RunKey) -> None:
        """Drop what is kept of a run."""
        line = self._waiting.get(key[0])
        if line is not None and key in line:
            del line[key]
            if not line:
                del self._waiting[key[0]]

    def next(self, namespace: str) -> RunKey | None:
        """Return the run that has waited longest in a namespace."""
        return next(iter(self._waiting.get(namespace, ())), None)
