"""A run that is being worked on: what is kept of it between two turns."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from podium.cluster.jobs.builder import Owner
from podium.cluster.jobs.map_status import MapProgress
from podium.cluster.kube.events import Subject
from podium.cluster.kube.views import PodView, RunView
from podium.cluster.runs.shards import Shards
from podium.cluster.watch.store import RunKey
from podium.engine import Emit, Engine, Observation, Stop
from podium.judge.verdicts import PooledVerdicts

__all__ = [
    "ActiveRun",
    "AfterWrite",
    "Child",
    "Execution",
    "MapJob",
    "MapUpdate",
    "Waited",
    "has_gone",
]


@dataclass(frozen=True, slots=True)
class Execution:
    """What a Job runs."""

    node: str
    id: str
    restart: int
    uid: str
    """UID of the Job; empty: it was gone before the operator saw it."""
    is_ours: bool = True
    """Whether this operator made or found it, or the status records it; only then it counts."""
    is_seen: bool = True
    """Whether the operator saw it; else the server is asked before it is taken for gone."""


@dataclass(slots=True)
class Child:
    """A child run."""

    node: str
    name: str
    uid: str
    depth: int
    asked: dict[str, bool] = field(default_factory=dict)
    """What of suspend, cancel and terminate it was asked for."""
    has_ended: bool = False
    """Whether nothing of it runs any more, or it is gone."""
    shown: str | None = None
    """The phase that was last looked at."""
    is_known: bool = True
    """Whether its parent made it, found it to be what it would make, or has recorded its UID."""


@dataclass(slots=True)
class Waited:
    """How long a Secret or ConfigMap that is missing has been waited for."""

    since: float
    """Monotonic."""
    until: float = 0.0
    """When (monotonic) it is looked for again."""
    times: int = 0


@dataclass(slots=True)
class MapJob:
    """The Indexed Job of a map's execution."""

    name: str = ""
    uid: str = ""
    """Empty: it is not known yet."""
    body: dict[str, Any] | None = None
    """As the server returned it; Pods are made of it."""
    told: tuple[int, int, int] | None = None
    """How many items had completed, failed and been skipped when its status was last told."""
    making: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while it is made or found."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the launch that is the first to go on once there is room for another item."""


@dataclass(slots=True)
class MapUpdate:
    """What the Indexed Job of a map may be told."""

    job: str
    uid: str
    progress: MapProgress | None = None
    """How its items stand; None: as it was told before."""
    is_over: bool = False
    """Whether the map has ended, or began again."""
    outcome: bool | None = None
    """Whether it succeeded; None: it has not ended by itself."""


@dataclass(slots=True)
class AfterWrite:
    """What may be done only once the status that says so is written."""

    stops: list[Stop] = field(default_factory=list)
    events: list[Emit] = field(default_factory=list)
    outcomes: dict[str, bool] = field(default_factory=dict)
    """Jobs that have ended, by name: whether their node succeeded."""
    disrupted_pods: list[PodView] = field(default_factory=list)
    """Pods whose disruption was given to the engine."""
    remove: set[str] = field(default_factory=set)
    """Jobs to delete: they do not end by themselves although their outcome is decided."""
    remove_pods: set[str] = field(default_factory=set)
    """Jobs of whose Pods only containers other than the node's own run."""
    maps: list[MapUpdate] = field(default_factory=list)
    refusals: list[tuple[str, str, str]] = field(default_factory=list)
    """Requests that cannot be carried out: id, reason of the Event, and why."""

    def __bool__(self) -> bool:
        return bool(
            self.stops
            or self.events
            or self.outcomes
            or self.disrupted_pods
            or self.remove
            or self.remove_pods
            or self.refusals
        )


@dataclass(slots=True)
class ActiveRun:
    """A run, its engine, and what was seen and is to be done and is neither yet."""

    owner: Owner
    subject: Subject
    engine: Engine
    persisted_status: dict[str, Any]
    """The status as the server has it."""
    version: str
    """resourceVersion of the run as the server has it."""
    generation: int
    """Generation of the spec that the status on the server has seen."""
    checked_generation: int = 0
    """Generation of the spec that was last found to have the context and graph of the start."""
    wake: Callable[[], None] = lambda: None
    """Asks for a turn."""
    shards: Shards = field(default_factory=Shards)
    outputs: dict[str, int] = field(default_factory=dict)
    """Bytes that outputs take in memory, by node (`memory.weigh_output`)."""
    executions: dict[str, Execution] = field(default_factory=dict)
    """By name of the Job."""
    jobs_of: dict[str, list[str]] = field(default_factory=dict)
    """Names of an execution's Jobs, in the order of its restarts."""
    maps: dict[str, MapJob] = field(default_factory=dict)
    """Indexed Jobs by the executions of the maps."""
    dirty: set[str] = field(default_factory=set)
    """Jobs of which something changed."""
    children: dict[str, Child] = field(default_factory=dict)
    """Child runs by the execution that each carries out."""
    dirty_children: set[str] = field(default_factory=set)
    """Executions of whose child runs something changed."""
    asked_of_children: tuple[bool, bool] | None = None
    """Whether its child runs were last asked to be suspended, and those that end to terminate."""
    set_aside: dict[str, float] = field(default_factory=dict)
    """Since when (monotonic) other objects are known that have names of the run's, by UID."""
    claims: dict[str, str] = field(default_factory=dict)
    """Names of its PersistentVolumeClaims that were made or found, by name of the claim."""
    claiming: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while one of these is made or found for the first time."""
    unrecorded: set[str] = field(default_factory=set)
    """Jobs that were looked at before the engine recorded their execution, or how it ended."""
    launch_results: list[Observation] = field(default_factory=list)
    """What became of launches and of questions, for the next turn."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    """Launches under way."""
    launching: set[str] = field(default_factory=set)
    """Executions whose launch is under way."""
    making: set[str] = field(default_factory=set)
    """Jobs of which a Pod is being made."""
    stopping: set[tuple[str, str]] = field(default_factory=set)
    """Node and execution of what was asked to stop and is not known to be gone."""
    stuck: dict[tuple[str, str], float] = field(default_factory=dict)
    """Since when (monotonic) Pods wait, by UID and for what."""
    printed: dict[str, bytes | str] = field(default_factory=dict)
    """What programs printed that have ended, by UID of the Pod, or why it cannot be read."""
    reading: set[str] = field(default_factory=set)
    """Pods whose logs are being read, by UID."""
    timers: dict[str, asyncio.TimerHandle] = field(default_factory=dict)
    """When Jobs are looked at again, by name."""
    refusals: dict[str, int] = field(default_factory=dict)
    """How often the launches of nodes were refused in a row."""
    missing: dict[str, Waited] = field(default_factory=dict)
    """What waits for a Secret or ConfigMap, by execution or request; empty: the run's start."""
    held_requests: set[str] = field(default_factory=set)
    """Requests that wait for a Secret or ConfigMap."""
    look_again: float | None = None
    """Seconds after which what is held back is looked at again."""

    verdicts: PooledVerdicts | None = None
    """Answers what the engine does not answer at once."""

    stepping: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while the engine makes a step, and while a status is made of what it has."""
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while the status is written: what the watch tells meanwhile may be that very write."""

    # For the next write of the status, and what may be done only after it.
    urgent: bool = False
    write_at: float = 0.0
    """The earliest time (monotonic) of a write that can wait."""
    after_write: AfterWrite = field(default_factory=AfterWrite)

    @property
    def key(self) -> RunKey:
        """Namespace and name."""
        return self.owner.namespace, self.owner.name

    @property
    def has_pending_writes(self) -> bool:
        """Whether something waits for the next write."""
        return bool(self.urgent or self.after_write or self.engine.changed)

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not (
            self.has_pending_writes
            or self.dirty
            or self.dirty_children
            or self.launch_results
            or self.tasks
            or self.stopping
            or self.held_requests
        )

    def add(self, name: str, execution: Execution) -> None:
        """Note the Job of an execution."""
        self.executions[name] = execution
        names = self.jobs_of.setdefault(execution.id, [])
        if name not in names:
            names.append(name)
            names.sort(key=lambda each: self.executions[each].restart)

    def forget(self, name: str) -> None:
        """Forget an item's share of a Job, whose end is recorded: a map may have very many."""
        execution = self.executions.pop(name, None)
        if execution is not None:
            names = self.jobs_of.get(execution.id, [])
            if name in names:
                names.remove(name)
            if not names:
                self.jobs_of.pop(execution.id, None)
        if (timer := self.timers.pop(name, None)) is not None:
            timer.cancel()
        self.dirty.discard(name)
        self.unrecorded.discard(name)

    def tell(self, observation: Observation) -> None:
        """Take in an answer, for the next turn."""
        self.launch_results.append(observation)
        self.wake()

    def look_later(self, name: str, seconds: float) -> None:
        """Look at a Job again after some seconds although nothing of it changed."""
        loop, seconds = asyncio.get_running_loop(), max(0.05, seconds)
        timer = self.timers.get(name)
        if timer is not None:
            if timer.when() <= loop.time() + seconds:
                return
            timer.cancel()

        def again() -> None:
            del self.timers[name]
            self.dirty.add(name)
            self.wake()

        self.timers[name] = loop.call_later(seconds, again)

    def close(self) -> None:
        """End what is under way: nothing may keep a run in memory that is not worked on."""
        for task in self.tasks:  # what loads the run again decides by what is recorded by then
            task.cancel()
        for timer in self.timers.values():
            timer.cancel()
        self.timers.clear()
        if self.verdicts is not None:
            self.verdicts.close()

    def take_after_write(self) -> AfterWrite:
        """Return what follows the write that is about to be made."""
        work, self.after_write = self.after_write, AfterWrite()
        self.urgent = False
        return work


def has_gone(view: RunView | None, run: ActiveRun) -> bool:
    """Return whether a run that is no longer worked on was deleted, or its end is recorded.

    Else the write of its status failed meanwhile.
    """
    if view is None or view.deleting:
        return True
    return view.ended and run.engine.status.phase.ended
