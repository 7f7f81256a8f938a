"""WorkflowRun: one run of a graph; its desired state and everything that happened."""

from enum import StrEnum

from pydantic import Field

from podium.api.artifact_stores import ArtifactLocation
from podium.api.base import ApiModel, JsonObject, LongText, Name, NodePath, Text, Timestamp
from podium.api.node_state import (
    ChangedInPlace,
    CopiedFrom,
    ExecutionRecord,
    NodeError,
    NodeState,
    NodeStatus,
)
from podium.api.personas import Limits
from podium.api.usage import TokenUsage
from podium.api.workflow import MAX_NODES, KeySelector, WorkflowSpec

__all__ = [
    "CONTEXT_EDITS",
    "HANDLED_REQUESTS",
    "Condition",
    "ConditionStatus",
    "ContextEdit",
    "CopiedFrom",
    "EarlierRun",
    "ExecutionRecord",
    "FormerDefinition",
    "NodeError",
    "NodeState",
    "NodeStatus",
    "RecordedAnswers",
    "Requester",
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
    """Phase of a run."""

    PENDING = "Pending"
    RUNNING = "Running"
    PAUSED = "Paused"
    ROLLING_BACK = "RollingBack"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens unless a node is re-run."""
        return self in _ENDED_PHASES


_ENDED_PHASES = frozenset({RunPhase.SUCCEEDED, RunPhase.FAILED, RunPhase.CANCELLED})


class ConditionStatus(StrEnum):
    """Status of a condition, as in Kubernetes."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ApiModel):
    """A condition, as in Kubernetes."""

    type: Text
    """Type of the condition, such as Valid or Succeeded."""
    status: ConditionStatus
    """True, False or Unknown."""
    reason: Text = ""
    """Machine-readable reason in CamelCase."""
    message: LongText = ""
    """Human-readable message."""
    last_transition_time: Timestamp
    """When the status last changed."""
    observed_generation: int | None = None
    """The metadata.generation that the condition was set for."""


class WorkflowReference(ApiModel):
    """The Workflow of the same namespace that a run executes."""

    name: Name
    """Its name, or its spec.id."""


class RecordedAnswers(ApiModel):
    """Source of recorded answers for personas; exactly one field is set."""

    config_map_key_ref: KeySelector | None = None
    """A key of a ConfigMap in the run's namespace. Cluster only."""
    file: Text | None = None
    """A file on this machine. Laptop only."""


class EarlierRun(ApiModel):
    """Where a run begins: at a node, with what another run has completed; one of both is set."""

    run: Name | None = None
    """A run of the namespace whose results are copied."""
    node: NodePath | None = None
    """The node to begin at."""


class WorkflowRunSpec(ApiModel):
    """Desired state of a run. Immutable except suspend, cancel, terminate and its TTL."""

    workflow_ref: WorkflowReference | None = None
    """The Workflow to run; exactly one of workflowRef and workflowSpec is set."""
    workflow_spec: WorkflowSpec | None = None
    """The graph itself; exactly one of workflowRef and workflowSpec is set."""
    context: JsonObject = Field(default_factory=dict)
    """The run's context, over the workflow's globalContext."""
    max_parallel: int | None = Field(default=None, ge=1, le=10_000)
    """Maximum number of nodes that run at the same time; default: the Workflow's, else 10."""
    limits: Limits | None = None
    """What the personas of the run may spend together; the Workflow's limits hold as well."""
    fail_fast: bool | None = None
    """Whether the first failed node cancels everything else; default: as the Workflow says."""
    only: list[NodePath] = Field(default_factory=list, max_length=MAX_NODES)
    """Nodes to run, and no others but those of finally: a part of the graph. What is left out is
    Skipped (NotSelected), and its edges count for nothing."""
    until: list[NodePath] = Field(default_factory=list, max_length=MAX_NODES)
    """Nodes to run with all that comes before them; instead of only."""
    from_: EarlierRun | None = Field(default=None, alias="from")
    """Where to begin: at a node, from the results of an earlier run."""
    suspend: bool = False
    """Whether the run is suspended: running nodes go on, no new ones start."""
    cancel: bool = False
    """Whether to cancel the run: running nodes are stopped, all others are cancelled; then it is
    rolled back, if the workflow says so, and the nodes of finally run."""
    terminate: bool = False
    """Whether to end the run at once: like cancel, but without the rollback and without the nodes
    of finally."""
    recorded_answers: RecordedAnswers | None = None
    """Recorded answers for personas, for tests and for trying examples."""
    ttl_seconds_after_finished: int | None = Field(default=None, ge=0, le=315_360_000)
    """Seconds after its end at which the run is deleted; default: never."""


class ContextEdit(ApiModel):
    """A change of the run's context by a re-run or a restore."""

    version: int
    """The context version that it made."""
    request: Text
    """Id of the request."""
    context: JsonObject
    """The keys that were set; after a restore: the whole context."""
    at: Timestamp | None = None
    """When it was made."""
    restored: int | None = None
    """The version that a restore went back to; not set for a re-run with edits."""


class FormerDefinition(ApiModel):
    """An earlier definition of the run, which earlier context versions need."""

    revision: Text
    """A ControllerRevision of this name; on a laptop the hash of the definition."""
    format_version: int | None = None
    """Format of the definition; version 0.1.0 wrote none."""
    before_version: int
    """Context versions below this one were made under it."""


class ShardReference(ApiModel):
    """Reference to an object that holds states of some nodes of a large run."""

    name: Text
    """Name of a WorkflowRunNodes in the run's namespace."""
    nodes: int
    """Number of nodes that it holds."""
    hash: Text | None = None
    """Hash of what it holds; version 0.1.0 wrote none."""


class Requester(ApiModel):
    """Who asked for a run, as the annotation podium.dev/requested-by said."""

    name: Text
    """Name of the user."""
    verified: bool = False
    """Whether the API server made sure that the user set the name, by an admission policy."""

    def __str__(self) -> str:
        """Return the words for people."""
        return self.name if self.verified else f"{self.name} (not verified)"


class WorkflowRunStatus(ChangedInPlace):
    """Observed state of a run."""

    phase: RunPhase
    """Pending, Running, Paused, RollingBack, Succeeded, Failed or Cancelled."""
    conditions: list[Condition] = Field(default_factory=list, max_length=20)
    """Conditions: Valid and Succeeded; RolledBack of a run that was, or is being, rolled back;
    Readable, False, of one that has begun and cannot be read."""
    observed_generation: int | None = None
    """The metadata.generation that was last reconciled."""
    format_version: int | None = None
    """Format of the definition that the run is pinned to; version 0.1.0 wrote none."""
    spec_hash: Text | None = None
    """Hash of the run's context and workflowSpec as they were when it began: they never change."""
    requested_by: Requester | None = None
    """Who asked for the run."""
    started_at: Timestamp | None = None
    """When the run left Pending."""
    completed_at: Timestamp | None = None
    """When it ended."""
    duration: Text | None = None
    """Time in which the run could run, such as 2m5s, written at its end: without suspensions,
    interruptions of a laptop, and the time between an end and a re-run."""
    active_seconds: float = 0
    """The same in seconds, up to activeSince."""
    active_since: Timestamp | None = None
    """Since when the run could run without a break; left out while it cannot."""
    remaining_seconds: float | None = None
    """What is left of the workflow's timeoutSeconds while the run is suspended."""
    deadline: Timestamp | None = None
    """When the run is stopped because the workflow's timeoutSeconds have passed."""
    finishing_since: Timestamp | None = None
    """When all nodes had ended but those of finally, which then began."""
    progress: Text = "0/0"
    """Nodes that completed or failed, of all; skipped and cancelled ones do not count as done."""
    reason: Text = ""
    """Why the run is in its phase, or what its nodes wait for, as one CamelCase word."""
    workflow: Text = ""
    """Name of the Workflow that it runs, or id of its own graph."""
    current: Text = ""
    """Running nodes: up to three ids, then +n."""
    workflow_revision: Text | None = None
    """Name of the ControllerRevision with the definition that the run is pinned to."""
    artifact_store: ArtifactLocation | None = None
    """Where its artifacts are kept; on a laptop they are in .podium/artifacts."""
    log_store: ArtifactLocation | None = None
    """Where the logs of its nodes are kept, for when their Pods are gone; none: nowhere."""
    artifacts_of: Text = ""
    """UIDs, by commas, of the runs whose artifacts it has copied."""
    workflow_revisions: list[FormerDefinition] = Field(
        default_factory=list, max_length=CONTEXT_EDITS
    )
    """Earlier definitions that context versions need, the oldest first."""
    outputs: JsonObject | None = None
    """What the run hands over, as spec.outputs of the workflow says; only of one that succeeded."""
    token_usage: TokenUsage | None = None
    """Tokens used by personas in all executions of the run, every attempt counted."""
    cost: float | None = None
    """What these cost, by the prices of the ModelConfigs."""
    context_version: int = 0
    """The latest context version; 0 is the initial context."""
    context_edits: list[ContextEdit] = Field(default_factory=list, max_length=CONTEXT_EDITS)
    """Changes of the context by re-runs, in order."""
    handled_requests: list[Text] = Field(default_factory=list, max_length=HANDLED_REQUESTS)
    """Ids of the most recent requests that were carried out."""
    nodes: dict[NodePath, NodeState] = Field(default_factory=dict, max_length=200_000)
    """State of each node, and of items (node[3]) that are open, failed or have an output; of a run
    with shards, of those that changed since."""
    shards: list[ShardReference] = Field(default_factory=list, max_length=5000)
    """Objects with the states of the other nodes; large runs only (500 nodes or 400 KB)."""
    node_counts: dict[NodeStatus, int] = Field(default_factory=dict)
    """Number of nodes by state; large runs only."""
    failed_nodes: list[NodePath] = Field(default_factory=list, max_length=50)
    """The first nodes that failed; large runs only."""
    removed_nodes: dict[NodePath, NodeState] = Field(default_factory=dict, max_length=500)
    """Last state of nodes that a newer definition no longer has."""
    forgotten_executions: int = 0
    """The highest execution number of removed nodes that are no longer kept; new nodes count from
    it, so that no execution id is given out twice."""


class WorkflowStatus(ApiModel):
    """Observed state of a Workflow."""

    observed_generation: int | None = None
    """The metadata.generation that the condition was set for."""
    conditions: list[Condition] = Field(default_factory=list, max_length=20)
    """Valid."""
    nodes: int = 0
    """Number of nodes."""
    runs: int = 0
    """Number of runs that exist, updated at most every ten seconds."""
    active_runs: int = 0
    """Number of them that have not ended."""
