"""Shapes: what a Launch becomes on a cluster, and how its Job is read.

Each shape has two methods: `build` makes the Job of an execution, `interpret` says what the Job and
its Pods mean. A Job is interpreted by its own shape only, never by that of another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from podium.cluster.jobs.builder import Owner, build_job
from podium.cluster.jobs.interpret import ExecutionReport, live, observe
from podium.cluster.kube.views import INDEXED, ITEM, JobView, PodView
from podium.cluster.settings import Settings
from podium.engine import Launch, Plan
from podium.kinds import JobShape

__all__ = ["SHAPES", "ExecutionSnapshot", "Shape", "interpret", "shape_of"]


@dataclass(frozen=True, slots=True)
class ExecutionSnapshot:
    """The Job and Pods of an execution, as far as they are known."""

    node: str
    execution: str
    job: JobView | None
    """None: it is gone."""
    pods: Sequence[PodView]
    """All Pods it ever had, vanished ones included."""
    stuck_for: float
    """Seconds since the newest Pod began to wait for an image or its configuration, or since its
    program was seen to have ended while other containers run on."""
    age: float
    """Seconds since the Job was made."""
    failed_create: str | None = None
    """What the Job's Events say about its lack of Pods; None: they were not read."""


class Shape(Protocol):
    """One way to carry out a Launch."""

    def build(self, owner: Owner, plan: Plan, launch: Launch, settings: Settings) -> dict[str, Any]:
        """Build the Job of an execution. Raises `BuildError`."""
        ...

    def interpret(self, snapshot: ExecutionSnapshot) -> ExecutionReport:
        """Describe what its Job and Pods mean for an execution."""
        ...


class _Single:
    """One Job with one Pod at a time."""

    def build(self, owner: Owner, plan: Plan, launch: Launch, settings: Settings) -> dict[str, Any]:
        return build_job(owner, plan, launch, settings)

    def interpret(self, snapshot: ExecutionSnapshot) -> ExecutionReport:
        return observe(
            snapshot.node,
            snapshot.execution,
            snapshot.job,
            snapshot.pods,
            stuck_for=snapshot.stuck_for,
            age=snapshot.age,
            failed_create=snapshot.failed_create,
        )


class _Unknown:
    """A Job whose shape this operator does not know, perhaps of a later one: it is left alone."""

    def interpret(self, snapshot: ExecutionSnapshot) -> ExecutionReport:
        return ExecutionReport((live(snapshot.node, snapshot.execution),))


SHAPES: Final[dict[str, Shape]] = {JobShape.SINGLE.value: _Single()}


_INTERPRETED: Final[dict[str, Shape]] = {**SHAPES, ITEM: _Single()}
"""An item's share of an Indexed Job is one Pod at a time, too."""


def interpret(snapshot: ExecutionSnapshot) -> ExecutionReport:
    """Describe what a Job and its Pods mean, by the Job's own shape."""
    return (_INTERPRETED.get(shape_of(snapshot.job, snapshot.pods)) or _Unknown()).interpret(
        snapshot
    )


def shape_of(job: JobView | None, pods: Sequence[PodView]) -> str:
    """Return the shape of a Job; of one that is gone, as its Pods show it."""
    if job is not None:
        return job.shape
    if any(pod.is_indexed for pod in pods):
        return ITEM if all(pod.item for pod in pods) else INDEXED
    return JobShape.SINGLE.value
