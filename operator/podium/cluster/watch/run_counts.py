"""How many runs there are that have not ended, by the pools that bound them."""

from collections import Counter

from podium.cluster.kube.views import RunView

__all__ = ["RunCounts", "counts_as"]


class RunCounts:
    """Counts runs by pool (`RunView.pool`)."""

    def __init__(self) -> None:
        self.active: Counter[str] = Counter()
        """Runs that have begun and not ended."""
        self.children: Counter[str] = Counter()
        """Child runs that have not ended, begun or not."""
        self.by_parent: dict[str, dict[tuple[str, str], None]] = {}
        """Their namespaces and names, by the UIDs of the runs that they say are their parents."""
        self.below: Counter[tuple[str, str]] = Counter()
        """Child runs that are there, ended or not, by namespace and UID of the run above all."""

    def __bool__(self) -> bool:
        return bool(self.active or self.children or self.below or self.by_parent)

    def add(self, run: RunView | None, by: int) -> None:
        """Count a run, or (-1) count it no longer."""
        if run is None:
            return
        if run.depth:
            self.below[run.namespace, run.root] += by
            if not self.below[run.namespace, run.root]:
                del self.below[run.namespace, run.root]
        if run.ended:
            return
        if (parent := run.parent) is not None:
            self._count_child(parent.uid, (run.namespace, run.name), by)
        pool = run.pool
        counters = [self.active] if run.started else []
        if pool != run.namespace:
            counters.append(self.children)
        for counter in counters:
            counter[pool] += by
            if not counter[pool]:
                del counter[pool]

    def _count_child(self, parent: str, key: tuple[str, str], by: int) -> None:
        known = self.by_parent.setdefault(parent, {})
        if by > 0:
            known[key] = None
        else:
            known.pop(key, None)
        if not known:
            del self.by_parent[parent]


def counts_as(view: RunView | None) -> str:
    """Return as what a run is counted; one that was never read is not."""
    if view is None or not view.is_known:
        return "none"
    return "ended" if view.ended else "active"
