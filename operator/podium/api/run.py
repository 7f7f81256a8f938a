"""WorkflowRun: one execution of a graph; what is asked of it and everything that happened."""

from enum import StrEnum

from pydantic import Field

from podium.api.base import ApiModel, Id, JsonObject, LongText, Name, Text, Timestamp
from podium.api.workflow import KeySelector, WorkflowSpec

__all__ = [
    "CONTEXT_EDITS",
    "HANDLED_REQUESTS",
    "Condition",
    "ConditionStatus",
    "ContextEdit",
    "ExecutionRecord",
    "NodeError",
    "NodeState",
    "NodeStatus",
    "RecordedAnswers",
    "RunPhase",
    "ShardReference",
    "WorkflowReference",
    "WorkflowRunSpec",
    "WorkflowRunStatus",
    "WorkflowStatus",
]

CONTEXT_EDITS = 50
"""Changes of the context that the status has room for."""
HANDLED_REQUESTS = 20
"""Ids of requests that the status remembers."""


class RunPhase(StrEnum):
    """Where a run stands."""

    PENDING = "Pending"
    RUNNING = "Running"
    PAUSED = "Paused"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens unless a node is re-run."""
        return self in (RunPhase.SUCCEEDED, RunPhase.FAILED, RunPhase.CANCELLED)


class NodeStatus(StrEnum):
    """Where a node stands."""

    PENDING = "Pending"
    WAITING = "WaitingForDependencies"
    READY = "Ready"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    SKIPPED = "Skipped"
    CANCELLED = "Cancelled"

    @property
    def ended(self) -> bool:
        """Whether only a re-run or a restore changes it."""
        return self in _ENDED


_ENDED = frozenset(
    {NodeStatus.COMPLETED, NodeStatus.FAILED, NodeStatus.SKIPPED, NodeStatus.CANCELLED}
)


class ConditionStatus(StrEnum):
    """Status of a condition, as in Kubernetes."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ApiModel):
    """An observation, as in Kubernetes."""

    type: Text
    """What is observed: Valid or Succeeded."""
    status: ConditionStatus
    """True, False or Unknown."""
    reason: Text = ""
    """One CamelCase word, for programs."""
    message: LongText = ""
    """For people."""
    last_transition_time: Timestamp
    """When the status last changed."""
    observed_generation: int | None = None
    """The generation of the spec that was looked at."""


class WorkflowReference(ApiModel):
    """Which Workflow of the same namespace a run executes."""

    name: Name
    """Its name, or its spec.id."""


class RecordedAnswers(ApiModel):
    """Where personas take recorded answers from, instead of asking a model; one is set."""

    config_map_key_ref: KeySelector | None = None
    """A key of a ConfigMap in the run's namespace. Cluster only."""
    file: Text | None = None
    """A file on this machine. Laptop only."""


class WorkflowRunSpec(ApiModel):
    """What is asked of a run. Fixed once made, but for suspend, cancel and the TTL."""

    workflow_ref: WorkflowReference | None = None
    """The Workflow to run; either this or workflowSpec."""
    workflow_spec: WorkflowSpec | None = None
    """The graph itself, for a run of its own; either this or workflowRef."""
    context: JsonObject = Field(default_factory=dict)
    """The run's context, over the workflow's globalContext."""
    max_parallel: int = Field(default=10, ge=1, le=10_000)
    """How many nodes may run at the same time."""
    fail_fast: bool = False
    """Whether the first failure stops everything else."""
    suspend: bool = False
    """true: nothing new is started until it is false again."""
    cancel: bool = False
    """true: what runs is stopped, what waits is cancelled."""
    recorded_answers: RecordedAnswers | None = None
    """Recorded answers for the personas of this run; for tests and for trying examples."""
    ttl_seconds_after_finished: int | None = Field(default=None, ge=0, le=315_360_000)
    """Seconds after its end at which the run is deleted; left out: never."""


class NodeError(ApiModel):
    """Why a node failed."""

    reason: Text
    """One CamelCase word, such as Error, Timeout, OOMKilled, OutputContract."""
    message: LongText = ""
    """What is wrong, and what would be right."""
    details: JsonObject = Field(default_factory=dict)
    """More, such as exitCode."""


class ExecutionRecord(ApiModel):
    """An earlier execution of a node."""

    execution_id: Text
    """Its id."""
    status: NodeStatus
    """How it ended."""
    reason: Text = ""
    """Why, in one word."""
    message: Text = ""
    """Why, for people."""
    started_at: Timestamp | None = None
    """When its program started."""
    completed_at: Timestamp | None = None
    """When it ended."""
    output: JsonObject | None = None
    """What it handed over."""
    context_version: int | None = None
    """The context version that its output made."""


class NodeState(ApiModel, defer_build=False):
    """Where one node stands. Fields at their default are left out."""

    status: NodeStatus
    """Where the node stands."""
    reason: Text = ""
    """Why, in one word, such as Scheduling, PullingImage, QuotaExceeded, ConditionFalse."""
    message: LongText = ""
    """Why, for people."""
    execution_id: Text | None = None
    """The latest execution, such as design_phase-1."""
    created_at: Timestamp | None = None
    """When the run first knew the node."""
    updated_at: Timestamp | None = None
    """When this state last changed."""
    started_at: Timestamp | None = None
    """When the latest execution's program started."""
    completed_at: Timestamp | None = None
    """When it ended."""
    duration_seconds: float | None = None
    """From startedAt to completedAt, in seconds."""
    next_attempt_at: Timestamp | None = None
    """When a node that is Ready is tried next."""
    launched_at: Timestamp | None = None
    """When the latest execution's Job or process was made."""
    deadline: Timestamp | None = None
    """When the latest execution is stopped with the reason Timeout."""
    output: JsonObject | None = None
    """What the node handed over."""
    error: NodeError | None = None
    """Why it failed."""
    warnings: list[Text] = Field(default_factory=list, max_length=50)
    """What is worth a look although it did not fail the node."""
    retry_count: int = 0
    """Tries beyond the first since the last run or re-run."""
    execution_count: int = 0
    """All tries in this run."""
    disruptions: int = 0
    """Evictions, preemptions and the like of the latest execution that were repaired."""
    quality_score: float | None = None
    """The quality score that the output reports."""
    contract_fulfilled: bool | None = None
    """Whether the output met its contract."""
    context_version: int | None = None
    """The context version that this output made."""
    stale: bool = False
    """Whether something before it was re-run without cascade since."""
    history: list[ExecutionRecord] = Field(default_factory=list, max_length=10)
    """Earlier executions, the latest first, 10 at most."""


class ContextEdit(ApiModel):
    """A change of the run's context by a re-run or a restore."""

    version: int
    """The context version that it made."""
    request: Text
    """The request that asked for it."""
    context: JsonObject
    """The keys that were set; after a restore: the whole context."""
    restored: int | None = None
    """The version that a restore went back to; left out for a re-run with edits."""


class ShardReference(ApiModel):
    """Where the states of some nodes of a large run stand."""

    name: Text
    """Name of a WorkflowRunNodes in the run's namespace."""
    nodes: int
    """How many nodes it holds."""


class WorkflowRunStatus(ApiModel):
    """Everything that happened in a run."""

    phase: RunPhase
    """Pending, Running, Paused, Succeeded, Failed or Cancelled."""
    conditions: list[Condition] = Field(default_factory=list, max_length=20)
    """Valid and Succeeded."""
    observed_generation: int | None = None
    """The generation of the spec that was last carried out."""
    started_at: Timestamp | None = None
    """When the run left Pending."""
    completed_at: Timestamp | None = None
    """When it ended."""
    duration: Text | None = None
    """From start to end, such as 2m5s; written at the end."""
    deadline: Timestamp | None = None
    """When the run is stopped because the workflow's timeoutSeconds are over."""
    progress: Text = "0/0"
    """Nodes that ended, of all."""
    current: Text = ""
    """Nodes that run now: up to three ids, then +n."""
    workflow_revision: Text | None = None
    """The definition that the run is pinned to: a ControllerRevision of this name."""
    context_version: int = 0
    """The latest context version; 0 is the initial context."""
    context_edits: list[ContextEdit] = Field(default_factory=list, max_length=CONTEXT_EDITS)
    """Changes of the context by re-runs, in order."""
    handled_requests: list[Text] = Field(default_factory=list, max_length=HANDLED_REQUESTS)
    """Ids of the last requests that were carried out."""
    nodes: dict[Id, NodeState] = Field(default_factory=dict, max_length=5000)
    """Where each node stands; of a run with shards, the nodes that changed since they were made."""
    shards: list[ShardReference] = Field(default_factory=list, max_length=5000)
    """Large runs only (over 500 nodes or 400 KB of states): where the other nodes stand."""
    node_counts: dict[NodeStatus, int] = Field(default_factory=dict)
    """Large runs only: how many nodes stand where."""
    failed_nodes: list[Id] = Field(default_factory=list, max_length=50)
    """Large runs only: the first nodes that failed."""
    removed_nodes: dict[Id, NodeState] = Field(default_factory=dict, max_length=500)
    """Nodes that a newer definition no longer has, as they last stood."""


class WorkflowStatus(ApiModel):
    """What is known of a Workflow."""

    observed_generation: int | None = None
    """The generation of the spec that was looked at."""
    conditions: list[Condition] = Field(default_factory=list, max_length=20)
    """Valid."""
    nodes: int = 0
    """How many nodes it has."""
    runs: int = 0
    """How many runs of it are active; written at most every ten seconds."""
