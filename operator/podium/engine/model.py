"""What goes into the engine and what comes out: observations, requests, actions.

They are never changed after they are made. Those made for each event are not frozen, because a
frozen dataclass takes several times as long to make.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from podium.api.names import MAX_ITEMS
from podium.api.personas import Limits
from podium.api.problems import Problem
from podium.contracts import OutputVerdict
from podium.engine.verdicts import Answer
from podium.kinds import Answer as AnswerToNode
from podium.kinds import JobShape

if TYPE_CHECKING:
    from podium.engine.plan import Plan

__all__ = [
    "LONG_WAIT_SECONDS",
    "Action",
    "ApprovalRequest",
    "AttemptPhase",
    "Control",
    "Emit",
    "EventType",
    "Hold",
    "ItemOf",
    "LargeInput",
    "Launch",
    "Observation",
    "Request",
    "RerunRequest",
    "ResetRequest",
    "RestoreRequest",
    "RunInfo",
    "Stop",
    "StoredOutput",
    "WakeAt",
    "not_started",
]


DEPENDENCY_OUTPUTS = "dependencyOutputs"
"""Key of an input: the outputs of the nodes before."""
LONG_WAIT_SECONDS = 30.0
"""An execution that has not started after so long is worth an Event."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What never changes about a run."""

    name: str
    uid: str
    max_parallel: int | None = None
    """None: as the definition says."""
    fail_fast: bool | None = None
    """None: as the definition says."""
    recorded: bool = False
    """Whether personas take recorded answers."""
    command: str = "podium"
    """The command whose verbs work on the run, for people to copy."""
    whole_seconds: bool = False
    """Whether times of programs are cut to whole seconds, as Kubernetes writes them."""
    max_items: int = MAX_ITEMS
    """Items that a map may have where the run is."""
    limits: Limits | None = None
    """What its personas may spend together, beside what the definition says."""


class Hold(NamedTuple):
    """Why a run that has not begun must not begin: for now, or for good."""

    reason: str
    message: str
    failures: Mapping[str, str] = MappingProxyType({})
    """What is wrong with nodes, by node. Empty: the run may begin later; else it fails."""


class Control(NamedTuple):
    """What is asked of the run at the moment, by its spec and by its shell."""

    suspend: bool = False
    cancel: bool = False
    hold: Hold | None = None
    terminate: bool = False
    """Cancel, and the nodes of `finally` with all others."""


class AttemptPhase(StrEnum):
    """What a shell sees of one execution."""

    LAUNCHED = "Launched"
    """The Job or process exists."""
    WAITING = "Waiting"
    """It exists, its program has not started; `reason` says why."""
    RUNNING = "Running"
    """Its program started at `started_at`; `reason` may say more (NodeLost)."""
    SUCCEEDED = "Succeeded"
    """Its program ended with exit code 0; `output` holds what it wrote."""
    FAILED = "Failed"
    """It ended otherwise, was refused for good, or vanished; `reason` says how."""
    DISRUPTED = "Disrupted"
    """It was ended by the platform, not by itself: it is started again, not counted."""
    REFUSED = "Refused"
    """It could not be created for now (quota, throttling); tried again after `retry_after`."""
    JUDGED = "Judged"
    """A question about it was answered (`podium.engine.verdicts`): `verdict` is the answer."""
    GONE = "Gone"
    """Nothing of it runs any more, after a Stop."""


class StoredOutput(NamedTuple):
    """A large output that rests elsewhere: `output` of its observation is what the graph reads."""

    size: int
    digest: str
    """SHA-256 of all of it."""
    verdict: OutputVerdict
    """Whether it keeps its contract: judged where it lies."""


@dataclass(slots=True)
class Observation:
    """What a shell saw of one execution. May come late, twice, or out of order."""

    node: str
    execution_id: str
    phase: AttemptPhase
    attempt: str = ""
    """Identity of the Pod or process; tells one disruption from the next."""
    at: float | None = None
    """When it happened, seconds since 1970; default: now."""
    created_at: float | None = None
    """When the Pod or process was made: a start time-out of the node's own counts from here."""
    scheduled_at: float | None = None
    """When the Pod found its machine: the default start time-out counts from here."""
    started_at: float | None = None
    """When its program started."""
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    output: bytes | None = None
    """What the program wrote; None: nothing."""
    values: Mapping[str, bytes] = field(default_factory=dict)
    """What it left for the values in `outputs` of its node, by name, as far as there is any."""
    output_limit: int | None = None
    """Bytes from which on the output is too large for what carries it."""
    output_size: int | None = None
    """Bytes of all of it; None: what carries it does not say how many it cut off."""
    stored: StoredOutput | None = None
    """Of an output that rests elsewhere."""
    retryable: bool = True
    """Whether the retry policy may try a failure again."""
    retry_after: float = 5.0
    """Seconds until a refused creation is tried again."""
    details: Mapping[str, Any] = field(default_factory=dict)
    idle: bool = False
    """Of one that waits: whether nothing of it runs any more, though it may have started before."""
    verdict: OutputVerdict | Answer | None = None
    """Of one that was judged: the verdict on its output, or the answer to another question."""
    job_uid: str = ""
    """UID of the Job that the shell made for it."""
    job_name: str = ""
    """Name of that Job, where it is not the one that follows from the execution."""
    child_run: str = ""
    """Name of the run that the shell made for it."""
    pod_uid: str = ""
    """UID of the Pod that the shell made for it."""
    artifacts: str = ""
    """Digest by which the store knows what the program left."""
    usage: Mapping[str, Any] | None = None
    """Of personas that asked models: what they spent, as the program tells it."""
    own: bool = False
    """Whether a disruption was the shell's own doing: it neither counts nor waits."""


@dataclass(frozen=True, slots=True)
class RerunRequest:
    """Run these nodes again and, by default, everything after them."""

    id: str
    nodes: tuple[str, ...]
    cascade: bool = True
    context: Mapping[str, Any] | None = None
    """Context keys to set first; makes a new context version."""
    plan: "Plan | None" = None
    """A newer definition to move the run to."""
    initial_context: Mapping[str, Any] | None = None
    """With `plan`: context version 0 under the newer definition."""
    failed: bool = False
    """Also run again what keeps the run from succeeding: all that Failed, was Cancelled, or was
    Skipped because of a failure."""
    requested_by: str = ""
    """Who asked for it, in words; empty: it is not known."""
    only_declared: bool = False
    """Whether the context may not set keys of globalContext that `inputs` does not declare."""
    is_outdated: bool = False
    """Whether the definition has changed since, and the run is not moved to it."""
    context_problems: tuple[Problem, ...] | None = None
    """What is wrong with the context that it makes, where that was checked elsewhere."""


class RestoreRequest(NamedTuple):
    """Go back to a context version, and run again what came after."""

    id: str
    version: int
    context: Mapping[str, Any] | None = None
    """Context of the version, where it was made under an earlier definition."""
    requested_by: str = ""
    """Who asked for it, in words; empty: it is not known."""
    context_problems: tuple[Problem, ...] | None = None
    """What is wrong with that context, where it was checked elsewhere."""


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A person's decision about an approval that waits."""

    id: str
    node: str
    execution: str
    """The execution that was decided about: no other one is meant."""
    answer: AnswerToNode


ResetRequest = RerunRequest | RestoreRequest
"""What sets nodes going again."""
Request = ResetRequest | ApprovalRequest


class LargeInput(NamedTuple):
    """A value of a node's input that rests elsewhere: the shell adds it to the document."""

    part: str
    """Key of the document: dependencyOutputs or inputs."""
    name: str
    """Key in that part."""
    node: str
    """Whose output it is."""
    execution: str
    path: str | None = None
    """Dotted path of the part of that output; None: all of it."""


@dataclass(frozen=True, slots=True)
class ItemOf:
    """Which item of which map a node is."""

    map: str
    """Path of the map."""
    execution: str
    """Id of the map's own execution."""
    index: int
    count: int
    """Items of the map."""


@dataclass(slots=True)
class Launch:
    """Start this execution. Doing it twice must start it once."""

    node: str
    execution_id: str
    restart: int
    """0 for the first start, n after n disruptions of the same execution."""
    config: Mapping[str, Any]
    """The node's config, its templates filled in."""
    input: Mapping[str, Any]
    """The node context (PODIUM_INPUT): workflowId, runId, executionId, nodeId, …"""
    shape: JobShape = JobShape.SINGLE
    """What the shell makes of it."""
    template: Mapping[str, Any] | None = None
    """What an executor that is a resource makes of the config (`podium.executors.custom`)."""
    large: tuple[LargeInput, ...] = ()
    """What the input holds beside `input`."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Fields of its Pod whose templates are filled in (`podium.kinds.pod_fields`)."""
    paths: Mapping[str, str] = field(default_factory=dict)
    """Nodes that a member of a group knows by another name, by that name."""
    item: ItemOf | None = None
    """Of an item of a map."""
    limits: Mapping[str, float] | None = None
    """Of one that asks models in a run with limits: what it may spend of these."""

    @property
    def delivered(self) -> list[str]:
        """Nodes whose outputs it is handed."""
        large = (each.name for each in self.large if each.part == DEPENDENCY_OUTPUTS)
        known = [*self.input.get(DEPENDENCY_OUTPUTS, ()), *large]
        return [self.paths.get(name, name) for name in known] if self.paths else known


@dataclass(slots=True)
class Stop:
    """End this execution and report it GONE when nothing of it runs any more."""

    node: str
    execution_id: str
    reason: str


class EventType(StrEnum):
    """Type of an event, as in Kubernetes."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(slots=True)
class Emit:
    """An Event, for the users of the run."""

    type: EventType
    reason: str
    message: str
    node: str | None = None


@dataclass(slots=True)
class WakeAt:
    """Call `step` again at this time, at the latest. The last one of a step counts."""

    at: float


Action = Launch | Stop | Emit | WakeAt


def not_started(launch: Launch, reason: str, message: str) -> Observation:
    """Report that an execution cannot be started, now or later."""
    return Observation(
        launch.node,
        launch.execution_id,
        AttemptPhase.FAILED,
        reason=reason,
        message=message,
        retryable=False,
    )
