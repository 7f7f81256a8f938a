"""A run that is being worked on: what is kept of it between two turns."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from podium.cluster.jobs.builder import Owner
from podium.cluster.kube.events import Subject
from podium.cluster.kube.views import PodView
from podium.cluster.runs.shards import Shards
from podium.cluster.watch.store import RunKey
from podium.engine import Emit, Engine, Observation, Stop

__all__ = ["ActiveRun", "Execution", "Mark"]


@dataclass(frozen=True, slots=True)
class Execution:
    """What a Job runs."""

    node: str
    id: str
    restart: int
    uid: str
    """UID of the Job; empty: it was gone before anybody saw it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What may be done with a Job once the engine has taken in what was seen of its execution."""

    node: str
    execution: str
    job: str
    succeeded: bool | None = None
    """None: it has not ended."""
    remove: bool = False
    """Whether it does not end by itself."""
    spent: tuple[PodView, ...] = ()
    """Its Pods that were disrupted."""


@dataclass(slots=True)
class ActiveRun:
    """A run, its engine, and what was seen and is to be done and is neither yet."""

    owner: Owner
    subject: Subject
    engine: Engine
    known: dict[str, Any]
    """The status as the server has it."""
    version: str
    """resourceVersion of the run as the server has it."""
    generation: int
    """Generation of the spec that the status on the server has seen."""
    shards: Shards = field(default_factory=Shards)
    executions: dict[str, Execution] = field(default_factory=dict)
    """By name of the Job."""
    jobs_of: dict[str, list[str]] = field(default_factory=dict)
    """Names of an execution's Jobs, in the order of its restarts."""
    dirty: set[str] = field(default_factory=set)
    """Jobs of which something changed."""
    answers: list[Observation] = field(default_factory=list)
    """What became of launches, for the next turn."""
    marks: list[Mark] = field(default_factory=list)
    """What to note once the engine has taken in what was seen."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    """Launches under way."""
    launching: set[str] = field(default_factory=set)
    """Executions whose launch is under way."""
    making: set[str] = field(default_factory=set)
    """Jobs of which a Pod is being made."""
    stopping: set[tuple[str, str]] = field(default_factory=set)
    """Node and execution of what was told to stop and is not known to be gone."""
    stuck: dict[str, float] = field(default_factory=dict)
    """Since when (monotonic) Pods wait for their image or configuration."""
    refusals: dict[str, int] = field(default_factory=dict)
    """How often nodes were refused in a row."""

    # For the next write of the status, and what may be done only after it.
    urgent: bool = False
    write_at: float = 0.0
    """The earliest time (monotonic) of a write that can wait."""
    stops: list[Stop] = field(default_factory=list)
    events: list[Emit] = field(default_factory=list)
    ended: dict[str, bool] = field(default_factory=dict)
    """Jobs whose outcome was given to the engine: whether they succeeded."""
    spent: list[PodView] = field(default_factory=list)
    """Pods whose disruption was given to the engine."""
    remove: set[str] = field(default_factory=set)
    """Jobs that do not end by themselves although their outcome is decided."""
    refused: dict[str, str] = field(default_factory=dict)
    """Requests that cannot be carried out, by id: why."""

    @property
    def key(self) -> RunKey:
        """Namespace and name."""
        return self.owner.namespace, self.owner.name

    @property
    def owes(self) -> bool:
        """Whether something waits for the next write."""
        return bool(
            self.urgent
            or self.stops
            or self.events
            or self.ended
            or self.spent
            or self.remove
            or self.refused
            or self.engine.changed
        )

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not (self.owes or self.dirty or self.answers or self.tasks or self.stopping)

    def add(self, name: str, execution: Execution) -> None:
        """Note the Job of an execution."""
        self.executions[name] = execution
        names = self.jobs_of.setdefault(execution.id, [])
        if name not in names:
            names.append(name)
            names.sort(key=lambda each: self.executions[each].restart)
