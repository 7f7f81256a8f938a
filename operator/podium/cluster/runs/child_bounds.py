"""How many child runs there may be: at each depth, and below one run in all."""

from collections import Counter
from collections.abc import Callable

from podium.api.child_runs import MAX_BELOW, MAX_DEPTH, too_deep, too_many_below
from podium.api.reasons import NodeReason
from podium.cluster.kube.views import pool_of
from podium.cluster.runs.active_run import ActiveRun
from podium.cluster.runs.job_maker import refused_for_now
from podium.cluster.watch.store import InformerCache
from podium.cluster.workqueue import backoff
from podium.engine import Launch, Observation, not_started

__all__ = ["ChildBounds"]

CROWDED_SECONDS = (2.0, 60.0)


class ChildBounds:
    """Says whether a run may have one more child."""

    def __init__(self, cache: InformerCache, limit: int) -> None:
        """Let so many child runs of a depth be active in a namespace; 0: any number."""
        self._cache = cache
        self._limit = limit
        self._making: Counter[str] = Counter()
        """Children that are being made, by pool, and by the UID of the run above all."""

    def depth_below(self, run: ActiveRun) -> int:
        """Return the depth of the children of a run."""
        view = self._cache.runs.get(run.key)
        return 1 + (view.depth if view is not None else MAX_DEPTH)

    def root(self, run: ActiveRun) -> str:
        """Return the UID of the root run, which has no parent."""
        view = self._cache.runs.get(run.key)
        return run.owner.uid if view is None else view.root

    def refusal(self, run: ActiveRun, launch: Launch) -> Observation | None:
        """Return why an execution gets no new child, for now or at all; None: it does."""
        namespace, depth, root = run.owner.namespace, self.depth_below(run), self.root(run)
        below = self._cache.below[namespace, root] + self._making[root]
        if below >= MAX_BELOW:
            return not_started(launch, NodeReason.TOO_MANY_CHILD_RUNS, too_many_below())
        pool = pool_of(namespace, depth)
        if not self._limit or self._cache.children[pool] + self._making[pool] < self._limit:
            return None
        times = run.refusals[launch.node] = run.refusals.get(launch.node, 0) + 1
        message = (
            f"as many child runs of this depth ({depth}) exist in the namespace as this cluster"
            f" allows ({self._limit}, limits.maxActiveRunsPerNamespace)"
        )
        wait = backoff(times, CROWDED_SECONDS)
        return refused_for_now(launch, NodeReason.OPERATOR_LIMIT, message, wait)

    def too_deep(self, run: ActiveRun, launch: Launch) -> Observation | None:
        """Return why a run has no children at all; None: it may."""
        if self.depth_below(run) <= MAX_DEPTH:
            return None
        return not_started(launch, NodeReason.TOO_DEEP, too_deep(run.owner.workflow))

    def count_making(self, run: ActiveRun) -> Callable[..., None]:
        """Count a child that is being made, until what is returned is called."""
        counted = [pool_of(run.owner.namespace, self.depth_below(run)), self.root(run)]
        self._making.update(counted)

        def free(*_: object) -> None:
            self._making.subtract(counted)
            self._making += Counter()  # without those at 0
            counted.clear()

        return free
