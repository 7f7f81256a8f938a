"""State of one node of a run."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from podium.api.base import ApiModel, JsonObject, LongText, Text, Timestamp
from podium.api.index_ranges import IndexRanges
from podium.api.names import MAX_ITEMS
from podium.api.usage import TokenUsage

__all__ = [
    "ChangedInPlace",
    "CopiedFrom",
    "ExecutionRecord",
    "ItemsState",
    "NodeError",
    "NodeState",
    "NodeStatus",
    "OutputRef",
]


class NodeStatus(StrEnum):
    """State of a node."""

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


class ChangedInPlace(ApiModel):
    """Part of a status that the engine changes in place, many times: a field is set quickly."""

    if not TYPE_CHECKING:  # a type checker would take any name for a field

        def __setattr__(self, name: str, value: Any) -> None:
            # pydantic's own notes too which fields were set. Nothing asks that of a status: what
            # is at its default is left out, whoever set it.
            fields = self.__dict__
            if name in fields:
                fields[name] = value
            else:
                super().__setattr__(name, value)


class NodeError(ApiModel):
    """Why a node failed."""

    reason: Text
    """Machine-readable reason, such as Error, Timeout, OOMKilled or OutputContract."""
    message: LongText = ""
    """What is wrong, and what would be right."""
    details: JsonObject = Field(default_factory=dict)
    """Further fields, such as exitCode."""


class OutputRef(ApiModel):
    """A large output, which rests elsewhere."""

    size: int
    """Bytes of all of it."""
    digest: Text
    """SHA-256 of all of it."""


class CopiedFrom(NamedTuple):
    """The execution of another run that a result is of, written RUN/UID/EXECUTION."""

    run: str
    uid: str
    """Of the run: under it the artifact store has what the execution left."""
    execution_id: str = ""
    """Empty: the node was skipped there."""

    def __str__(self) -> str:
        """Return it as a status has it."""
        return "/".join(self)


def _origin(value: object) -> CopiedFrom:
    if isinstance(value, CopiedFrom):
        return value
    parts = value.split("/") if isinstance(value, str) else []
    if len(parts) != 3:
        raise ValueError("must be RUN/UID/EXECUTION")
    return CopiedFrom(*parts)


Origin = Annotated[
    CopiedFrom,
    BeforeValidator(_origin),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "maxLength": 600}),
]
"""Where a result was made that was copied."""


class ExecutionRecord(ApiModel):
    """An earlier execution of a node."""

    execution_id: Text
    """Id of the execution, such as design_phase-1."""
    status: NodeStatus
    """State in which it ended."""
    reason: Text = ""
    """Machine-readable reason."""
    message: Text = ""
    """Human-readable message."""
    started_at: Timestamp | None = None
    """When its program started."""
    completed_at: Timestamp | None = None
    """When it ended."""
    output: JsonObject | None = None
    """Its output; of a large one what the graph reads of it."""
    output_ref: OutputRef | None = None
    """Of a large output: what all of it is."""
    artifacts: Text | None = None
    """Digest by which the store knows what it left. Cluster only."""
    context_version: int | None = None
    """The context version that its output made."""
    token_usage: TokenUsage | None = None
    """Of personas that asked models: the tokens that it took."""
    cost: float | None = None
    """What these cost, by the prices of the ModelConfigs."""
    copied_from: Origin | None = None
    """Of a copy: RUN/UID/EXECUTION that it is of."""


def _ranges(value: object) -> IndexRanges:
    return (
        value if isinstance(value, IndexRanges) else IndexRanges.parse(str(value), below=MAX_ITEMS)
    )


Indexes = Annotated[
    IndexRanges,
    BeforeValidator(_ranges),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "maxLength": 600_000}),
]
"""Indexes of items: ranges inside the program and outside, `0-5,7`."""


class ItemsState(ChangedInPlace, arbitrary_types_allowed=True):
    """How the items of a map stand. What is not named has not started, or never will."""

    count: int = Field(default=0, ge=0, le=MAX_ITEMS)
    """Number of items."""
    completed: Indexes = Field(default_factory=IndexRanges)
    """Indexes of the items that completed, such as 0-5,7."""
    failed: Indexes = Field(default_factory=IndexRanges)
    """Indexes of those that failed."""
    skipped: Indexes = Field(default_factory=IndexRanges)
    """Indexes of those whose condition is false."""
    digest: Text = ""
    """Hash of the list; empty before it is known."""
    partial: bool = False
    """Whether only items that a re-run named are run."""
    first_execution: int = 0
    """Items count their executions from here on: lower numbers are of earlier ones of the map."""
    last_execution: int = 0
    """The highest number of an execution of an item that has ended."""

    @model_validator(mode="after")
    def _has_items_that_ended(self) -> Self:
        """Refuse what no map has, and what would be looked up: others may write a status."""
        if max(self.completed.end, self.failed.end, self.skipped.end) > self.count:
            raise ValueError(f"items that ended are beyond the last of {self.count}")
        return self


class NodeState(ChangedInPlace, defer_build=False):
    """Current state of one node. Fields at their default are omitted."""

    status: NodeStatus
    """Current state of the node."""
    reason: Text = ""
    """Machine-readable reason, such as Scheduling, QuotaExceeded or ConditionFalse."""
    message: LongText = ""
    """Human-readable message."""
    execution_id: Text | None = None
    """Id of the latest execution, such as design_phase-1."""
    created_at: Timestamp | None = None
    """When the node was added to the run."""
    updated_at: Timestamp | None = None
    """When this state last changed."""
    started_at: Timestamp | None = None
    """When the latest execution's program started."""
    completed_at: Timestamp | None = None
    """When it ended."""
    duration_seconds: float | None = None
    """From startedAt to completedAt, in seconds."""
    next_attempt_at: Timestamp | None = None
    """When a Ready node is next tried."""
    waits_until: Timestamp | None = None
    """When a node that waits without a program continues."""
    job_uid: Text | None = None
    """UID of the latest execution's Job, or of its child run: no other object says how that went.
    Cluster only."""
    job_name: Text | None = None
    """Name of that Job, where another object had the name that follows from the execution."""
    pod_uid: Text | None = None
    """While it runs: UID of the Pod that Podium made for that Job. Cluster only."""
    child_run: Text | None = None
    """Of a node with the executor workflow: name of the latest execution's run, whose UID is jobUid
    on a cluster."""
    artifacts: Text | None = None
    """Digest by which the store knows what the latest execution left. Cluster only."""
    launched_at: Timestamp | None = None
    """When the latest execution's Job or process was created."""
    deadline: Timestamp | None = None
    """When the latest execution is stopped with the reason Timeout."""
    output: JsonObject | None = None
    """Output of the latest execution; of a large one what the graph reads of it."""
    output_ref: OutputRef | None = None
    """Of a large output: what all of it is. It rests in the artifact store."""
    error: NodeError | None = None
    """Why it failed."""
    warnings: list[Text] = Field(default_factory=list, max_length=50)
    """Warnings that did not fail the node."""
    retry_count: int = 0
    """Retries since the last run or re-run."""
    execution_count: int = 0
    """Number of executions in this run."""
    omitted_outputs: int = 0
    """Ancestors whose outputs the latest execution was not handed: of those that are not direct
    predecessors only the 200 nearest are."""
    cancelled_launches: int = 0
    """Starts of which nothing was seen to run: cancelled, failed before there was a Job or a
    process, or copied from another run. Their execution ids are spent: the next execution is
    counted after them."""
    disruptions: int = 0
    """Evictions, preemptions and the like after which the latest execution was restarted."""
    quality_score: float | None = None
    """The quality score that the output reports."""
    contract_fulfilled: bool | None = None
    """Whether the output met its contract."""
    context_version: int | None = None
    """The context version that this output made."""
    token_usage: TokenUsage | None = None
    """Of personas that asked models: the tokens that the latest execution took."""
    cost: float | None = None
    """What these cost, by the prices of the ModelConfigs."""
    copied_from: Origin | None = None
    """Of a copy: RUN/UID/EXECUTION that it is of."""
    stale: bool = False
    """Whether an upstream node was re-run since, without cascade."""
    items: ItemsState | None = None
    """Of a node with forEach: how its items stand. Those that wait for another try or run, and up
    to 100 that failed, have a state of their own (node[3]), and so have those with an output."""
    history: list[ExecutionRecord] = Field(default_factory=list, max_length=10)
    """Earlier executions, the latest first, 10 at most."""

    @property
    def last_execution_number(self) -> int:
        """The number n of the latest execution id `node-n` that is spent or recorded."""
        return self.execution_count + self.cancelled_launches
