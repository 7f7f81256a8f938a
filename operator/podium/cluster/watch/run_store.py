"""Runs and Workflows as they were last observed, and what is known to be gone."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from podium.cluster.kube.views import (
    RunView,
    WorkflowView,
    dig,
    real_job,
    run_view,
    text,
    workflow_view,
)
from podium.cluster.watch.run_counts import RunCounts, counts_as

__all__ = ["RunKey", "RunStore", "is_older"]

RunKey = tuple[str, str]
"""Namespace and name."""

TOMBSTONE_SECONDS = 60.0
"""Longer than any request takes."""


class RunStore:
    """Runs and Workflows."""

    on_count: Callable[[str, str], None] = staticmethod(lambda *_: None)
    """Hears of the namespace and the Workflow of which another number of runs is active."""

    def __init__(self) -> None:
        self.runs: dict[RunKey, RunView] = {}
        self.keys: dict[str, RunKey] = {}
        """Runs by UID."""
        self.workflows: dict[RunKey, WorkflowView] = {}
        self._runs_counted = RunCounts()
        self.active_runs = self._runs_counted.active
        self.children = self._runs_counted.children
        self.below = self._runs_counted.below
        self._tombstones: dict[str, float] = {}
        """When (monotonic) objects went, by UID, the first ones first."""

    def add_tombstone(self, body: Any) -> None:
        """Note that an object is gone for good: a copy of it that still comes is passed over."""
        uid, now = text(dig(body, "metadata", "uid")), time.monotonic()
        self._tombstones.pop(uid, None)
        self._tombstones[uid] = now
        while now - self._tombstones[oldest := next(iter(self._tombstones))] > TOMBSTONE_SECONDS:
            del self._tombstones[oldest]

    def is_tombstoned(self, uid: str) -> bool:
        """Return whether an object went a moment ago; the share of an item goes with its Job."""
        return real_job(uid) in self._tombstones

    # Runs and Workflows

    def put_run(self, body: Any) -> RunView | None:
        """Take in a run; an older copy than the one known is passed over."""
        view = run_view(body)
        if view is None or view.uid in self._tombstones:
            return None
        key = (view.namespace, view.name)
        known = self.runs.get(key)
        if known is not None and is_older(view.version, known.version):
            return known
        if known is not None and known.uid != view.uid:  # deleted and made again, unseen
            self.drop_run(key, known.uid)
        self._runs_counted.add(self.runs.get(key), -1)
        self._runs_counted.add(view, +1)
        self.runs[key] = view
        self.keys[view.uid] = key
        if counts_as(known) != counts_as(view):
            self.on_count(view.namespace, view.workflow)
        return view

    def note_run(self, body: Any) -> RunView | None:
        """Take in the metadata of a run, which is all that the watch shows; None: it is not new.

        What was known of the rest stays until it is read.
        """
        view = run_view(body)
        if view is None or view.uid in self._tombstones:
            return None
        key = (view.namespace, view.name)
        known = self.runs.get(key)
        if known is not None and known.uid != view.uid:  # deleted and made again, unseen
            self.drop_run(key, known.uid)
            known = None
        if known is None:
            view = replace(view, is_whole=False)
        elif view.version == known.version:
            return known  # our own change, whose answer came first
        elif is_older(view.version, known.version):
            return None
        else:
            view = replace(
                known,
                version=view.version,
                generation=view.generation,
                annotations=view.annotations,
                deleting=view.deleting,
                is_whole=False,
            )
        self._runs_counted.add(known, -1)
        self._runs_counted.add(view, +1)
        self.runs[key] = view
        self.keys[view.uid] = key
        return view

    def drop_run(self, key: RunKey, uid: str) -> None:
        """Forget a run that was deleted."""
        known = self.runs.get(key)
        if known is not None and known.uid == uid:
            self._runs_counted.add(known, -1)
            del self.runs[key]
        self.keys.pop(uid, None)

    def put_workflow(self, body: Any) -> WorkflowView | None:
        """Take in a Workflow, or its metadata: then what was known of the rest stays."""
        view = workflow_view(body)
        if view is None:
            return None
        known = self.workflows.get((view.namespace, view.name))
        if not view.is_known and known is not None and known.uid == view.uid:
            view = replace(known, generation=view.generation)
        self.workflows[view.namespace, view.name] = view
        return view

    def children_of(self, uid: str) -> list[RunKey]:
        """Return the runs that have not ended and say that they are children of one."""
        return list(self._runs_counted.by_parent.get(uid, ()))

    def unknown_workflows(self, namespace: str) -> list[str]:
        """Return the names of Workflows whose id is not known yet."""
        return [
            name
            for (where, name), view in self.workflows.items()
            if where == namespace and not view.is_known
        ]

    def find_workflow(self, namespace: str, reference: str) -> str | None:
        """Return the name of the Workflow that has this name or this id."""
        if (namespace, reference) in self.workflows:
            return reference
        for (where, name), view in self.workflows.items():
            if where == namespace and view.id == reference:
                return name
        return None


def is_older(version: str, than: str) -> bool:
    """Compare resourceVersions of one object; what is not a number is never older."""
    return version.isdigit() and than.isdigit() and int(version) < int(than)
