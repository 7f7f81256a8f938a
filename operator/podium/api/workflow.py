"""Workflow: the graph, as users write it."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from podium.api.artifact_rules import ArtifactType
from podium.api.artifact_stores import ArtifactStoreSpec
from podium.api.artifacts import ArtifactInput, ArtifactOutput, Artifacts, WorkflowArtifacts
from podium.api.base import ApiModel, Id, JsonObject, LongText, Name, Text
from podium.api.compensation import Compensation, RollbackPolicy, bare_node
from podium.api.contract_schemas import MAX_SCHEMAS, PinnedSchema
from podium.api.executors import MAX_EXECUTORS, ExecutorSpec
from podium.api.node_contracts import InputContract, OutputContract
from podium.api.node_types import NodeType
from podium.api.outputs import MAX_OUTPUTS, OutputFormat, OutputValue
from podium.api.personas import MAX_MODELS, MAX_PERSONAS, Limits, ModelConfigSpec, PersonaSpec
from podium.api.pod import EnvVar, KeySelector, PodOverrides, Resources
from podium.api.problems import Path
from podium.api.retention import Retention
from podium.api.retry import RetryPolicy
from podium.api.volume_claims import MAX_CLAIMS, AccessMode, VolumeClaim

__all__ = [
    "MAX_DEFINITION_BYTES",
    "MAX_EDGES",
    "MAX_FINALLY",
    "MAX_GROUP_DEPTH",
    "MAX_NODES",
    "MAX_RUN_OUTPUTS",
    "MAX_RUN_OUTPUT_BYTES",
    "AccessMode",
    "ArtifactInput",
    "ArtifactOutput",
    "ArtifactType",
    "Artifacts",
    "Case",
    "Compensation",
    "Defaults",
    "Edge",
    "EdgeType",
    "EnvVar",
    "InputAs",
    "InputContract",
    "KeySelector",
    "Node",
    "NodeType",
    "OutputContract",
    "OutputFormat",
    "OutputValue",
    "PodOverrides",
    "Resources",
    "Retention",
    "RetryPolicy",
    "RollbackPolicy",
    "TriggerRule",
    "VolumeClaim",
    "WorkflowArtifacts",
    "WorkflowSpec",
]

MAX_NODES = 5000
MAX_EDGES = 20_000
MAX_FINALLY = 100
"""Nodes that run once everything else has ended."""
MAX_GROUP_DEPTH = 3
"""How deep groups may be nested."""
MAX_DEFINITION_BYTES = 900_000
"""Size of a definition as JSON: what etcd takes, less what else an object holds."""
MAX_RUN_OUTPUTS = 50
MAX_RUN_OUTPUT_BYTES = 16_384
"""Size of what a run hands over, as JSON."""


AllowedFailures = Annotated[
    int | str,
    Field(union_mode="left_to_right"),
    WithJsonSchema({"x-kubernetes-int-or-string": True}),
]
"""How many items may fail: a number, or a percentage."""


class EdgeType(StrEnum):
    """What an edge brings in addition to order."""

    DEPENDS_ON = "depends_on"
    PRODUCES_FOR = "produces_for"
    TRIGGERS = "triggers"


class TriggerRule(StrEnum):
    """When a node starts, given its incoming edges."""

    NONE_FAILED_MIN_ONE_SUCCESS = "NoneFailedMinOneSuccess"
    NONE_FAILED = "NoneFailed"
    ALL_SUCCESS = "AllSuccess"
    ONE_SUCCESS = "OneSuccess"
    ONE_FAILED = "OneFailed"
    ALL_DONE = "AllDone"


class InputAs(StrEnum):
    """How a container node gets its input."""

    ENVIRONMENT = "Environment"
    FILE = "File"


class Defaults(ApiModel):
    """Defaults for nodes that do not set these fields."""

    retry_policy: RetryPolicy | None = None
    """Default retry policy."""
    timeout_seconds: float | None = Field(default=None, gt=0, le=31_536_000)
    """Default of timeoutSeconds."""
    start_timeout_seconds: float | None = Field(default=None, gt=0, le=31_536_000)
    """Default of startTimeoutSeconds."""
    resources: Resources | None = None
    """Default resources."""
    pod: PodOverrides | None = None
    """Default Pod settings."""


class Case(ApiModel):
    """A case of a conditional."""

    when: Text
    """Expression over what the node sees."""
    value: Text
    """The route that is taken if it is true."""


class Edge(ApiModel):
    """An edge of the graph."""

    from_: Id = Field(alias="from")
    """Id of the upstream node."""
    to: Id
    """Id of the downstream node."""
    type: EdgeType = EdgeType.DEPENDS_ON
    """depends_on brings the source's output, produces_for the mapped fields, triggers nothing."""
    condition: Text | None = None
    """Expression over the source's output; if it is false, the edge is inactive."""
    route: Text | None = None
    """Route of the source, a conditional; for any other route the edge is inactive."""
    allow_failure: bool = False
    """Whether this target may start although the source failed; the run still fails."""
    data_mapping: dict[str, Text] = Field(default_factory=dict, max_length=200)
    """Map from output path of the source to the name of the target's input."""
    metadata: JsonObject = Field(default_factory=dict)
    """Free-form metadata of the edge."""


class Node(ApiModel, defer_build=False):
    """One node of the graph."""

    id: Id
    """Unique id of the node in this graph: [A-Za-z_][A-Za-z0-9_-]{0,62}."""
    title: Text | None = None
    """Display name."""
    type: NodeType = NodeType.PHASE
    """Type of the node."""
    executor: Name | None = None
    """Executor of the node: script, container, persona, persona_team, team, or the name of an
    Executor of the namespace or of a ClusterExecutor."""
    config: JsonObject = Field(default_factory=dict)
    """Configuration of the executor, whose documentation has the fields. Strings may contain
    ${{ EXPRESSION }}, except a script's own text."""
    depends_on: list[Id] = Field(default_factory=list, max_length=1000)
    """Upstream nodes: short for edges of type depends_on."""
    input_contract: InputContract | None = None
    """Requirements on the node's input."""
    output_contract: OutputContract | None = None
    """Requirements on the node's output."""
    retry_policy: RetryPolicy | None = None
    """How often and when it is retried; default: never."""
    timeout_seconds: float | None = Field(default=None, gt=0, le=31_536_000)
    """Maximum seconds of each execution, from the start of its program; default: no limit."""
    start_timeout_seconds: float | None = Field(default=None, gt=0, le=31_536_000)
    """Maximum seconds from the creation of the Pod to the start of its program, 600 by default;
    time in which the Pod cannot be scheduled counts only if this field is set."""
    condition: Text | None = None
    """Expression; if it is false, the node is skipped."""
    for_each: Text | None = None
    """Expression that gives a list, or an object (of items with key and value): the node runs once
    for each item, which is item in its expressions, and its position index. 100,000 at most, or
    1,000 child runs."""
    allowed_failures: AllowedFailures | None = None
    """With forEach: number of items that may fail, or a percentage such as 10%; 0 by default. When
    more have failed, no further item starts, and the node fails."""
    cases: list[Case] = Field(default_factory=list, max_length=100)
    """Of a conditional: its cases; the first whose expression is true determines the route."""
    default: Text | None = None
    """Of a conditional: the route if no case is true; default: the node fails."""
    nodes: list["Node"] = Field(default_factory=list, max_length=MAX_NODES)
    """Of a parallel_group: its members, a graph of their own; a group may be a member, 3 deep."""
    edges: list[Edge] = Field(default_factory=list, max_length=MAX_EDGES)
    """Of a parallel_group: edges between its members, in addition to those of dependsOn."""
    max_parallel: int | None = Field(default=None, ge=1, le=10_000)
    """Of a parallel_group, or with forEach: maximum number of its members, or items, that run at
    the same time; default: as many as the run allows. Items that are child runs count here only."""
    min_success: int | None = Field(default=None, ge=1, le=MAX_NODES)
    """Of a parallel_group: number of members that must complete for the group to complete although
    others failed; default: none may fail without allowFailure."""
    trigger_rule: TriggerRule = TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS
    """Rule that decides when the node starts, given its incoming edges."""
    allow_failure: bool = False
    """Whether downstream nodes start, and the run may succeed, when this node fails."""
    input_as: InputAs = InputAs.ENVIRONMENT
    """How a container node gets its input: PODIUM_INPUT_JSON, or, as always over 96 KiB, the file
    PODIUM_INPUT."""
    outputs: dict[str, OutputValue] = Field(default_factory=dict, max_length=MAX_OUTPUTS)
    """Values of its output, by name, from files or from standard output: for images that know
    nothing of $PODIUM_OUTPUT."""
    large_output: bool = False
    """Whether its output may have up to 64 MiB instead of less than 4,096 bytes. It then rests in
    the artifact store; what expressions read of it must be small."""
    artifacts: Artifacts | None = None
    """Files that it needs, and files that it hands over."""
    resources: Resources | None = None
    """Compute resources of its container."""
    pod: PodOverrides | None = None
    """Further fields of its Pod."""
    compensation: Compensation | None = None
    """Program that undoes what the node did, if it completed and its run is rolled back."""
    max_disruptions: int = Field(default=10, ge=0, le=1000)
    """Maximum restarts after evictions, preemptions and the like, which are not retries."""
    force_restart_after_seconds: float | None = Field(default=None, gt=0, le=31_536_000)
    """Seconds after which a node on an unreachable machine is started again although its
    first program may still run: the work may then be done twice. Off by default."""


class WorkflowSpec(ApiModel, defer_build=False):
    """Definition of a workflow: its graph and what belongs to it."""

    id: Name | None = None
    """Id that references may use; default: the object's name."""
    title: Text | None = None
    """Display name."""
    version: Text | None = None
    """Version of the definition, not interpreted."""
    description: LongText | None = None
    """Description of the workflow."""
    owner: Text | None = None
    """Owner of the workflow, such as a team."""
    tags: list[Text] = Field(default_factory=list, max_length=100)
    """Tags to find it by."""
    metadata: JsonObject = Field(default_factory=dict)
    """Free-form metadata, delivered to nodes with their input."""
    inputs: JsonObject | None = None
    """JSON Schema (2020-12, or draft-07 by $schema) of a run's context; its defaults are used."""
    global_context: JsonObject = Field(default_factory=dict)
    """Default context of every run."""
    constants: JsonObject = Field(default_factory=dict)
    """Context keys that no run or re-run can set; read as context.KEY."""
    defaults: Defaults = Field(default_factory=Defaults)
    """Defaults for nodes that do not set these fields."""
    timeout_seconds: float | None = Field(default=None, gt=0, le=31_536_000)
    """Maximum seconds of a run."""
    max_parallel: int | None = Field(default=None, ge=1, le=10_000)
    """Maximum number of nodes of a run that run at the same time, 10 by default; a run may set
    another one."""
    limits: Limits | None = None
    """What the personas of a run may spend together, in all executions of its nodes."""
    fail_fast: bool = False
    """Whether the first failed node of a run cancels everything else; a run may say otherwise."""
    outputs: dict[Id, Text] = Field(default_factory=dict, max_length=MAX_RUN_OUTPUTS)
    """What a run that succeeds hands over: an expression for each name. Together they have 16,384
    bytes as JSON at most."""
    volume_claims: list[VolumeClaim] = Field(default_factory=list, max_length=MAX_CLAIMS)
    """Volumes that are made for each run and mounted by the nodes that name them."""
    artifacts: WorkflowArtifacts | None = None
    """Where the artifacts of its runs are kept, and how long; default: the store of the cluster."""
    retention: Retention | None = None
    """How long and how many of its ended runs are kept; default: all, until they are deleted. The
    Workflow as it is now decides, also on earlier runs."""
    nodes: list[Node] = Field(min_length=1, max_length=MAX_NODES)
    """The nodes of the graph."""
    edges: list[Edge] = Field(default_factory=list, max_length=MAX_EDGES)
    """The edges of the graph, in addition to those of dependsOn."""
    finally_: list[Node] = Field(default_factory=list, alias="finally", max_length=MAX_FINALLY)
    """Nodes that run once everything else has ended, whatever the end: to clean up, or to report.
    They see the outputs of all nodes; edges lead only from one of them to another."""
    finally_timeout_seconds: float = Field(default=600, gt=0, le=31_536_000)
    """Maximum seconds of the nodes of finally, together."""
    rollback: RollbackPolicy = RollbackPolicy.ON_FAILURE
    """After which end of a run the compensations of its completed nodes run, before finally."""
    executors: Annotated[
        dict[Name, ExecutorSpec], Field(max_length=MAX_EXECUTORS), SkipJsonSchema()
    ] = Field(default_factory=dict)
    """Executors that the nodes name, as they were when a run began. Podium's own: no user writes it
    (`podium.api.checks`)."""
    pinned_store: Annotated[ArtifactStoreSpec | None, SkipJsonSchema()] = None
    """The ArtifactStore that artifacts.store names, as it was when a run began. Podium's own: no
    user writes it (`podium.api.checks`)."""

    pinned_schemas: Annotated[
        dict[str, PinnedSchema], Field(max_length=MAX_SCHEMAS), SkipJsonSchema()
    ] = Field(default_factory=dict)
    """What schemaRef of contracts names, by NAME/VERSION, as it was when a run began. Podium's own:
    no user writes it (`podium.api.checks`)."""

    pinned_personas: Annotated[
        dict[Name, PersonaSpec], Field(max_length=MAX_PERSONAS), SkipJsonSchema()
    ] = Field(default_factory=dict)
    """Personas that nodes name, and (below) the ModelConfigs that answer for them, as they were
    when a run began. Podium's own: no user writes them (`podium.api.checks`)."""
    pinned_models: Annotated[
        dict[Name, ModelConfigSpec], Field(max_length=MAX_MODELS), SkipJsonSchema()
    ] = Field(default_factory=dict)

    @property
    def has_pinned(self) -> bool:
        """Whether it has resources that its nodes name, as they were when a run began."""
        store = self.pinned_store is not None
        return bool(
            self.executors or store or self.pinned_schemas
            or self.pinned_personas or self.pinned_models
        )  # fmt: skip

    def placed_nodes(self) -> Iterator[tuple[Path, Node]]:
        """Return all nodes with their places in the definition, those of `finally` last.

        A group comes before its members, as far as these are nested no deeper than allowed, a node
        before its compensation, which is a node here with what it says itself.
        """
        for name, nodes in (("nodes", self.nodes), ("finally", self.finally_)):
            yield from _placed((name,), nodes, MAX_GROUP_DEPTH)


def _placed(path: Path, nodes: list[Node], depth: int) -> Iterator[tuple[Path, Node]]:
    for position, node in enumerate(nodes):
        here = (*path, position)
        yield here, node
        if node.compensation is not None:
            yield (*here, "compensation"), bare_node(node)
        if node.nodes and depth:
            yield from _placed((*here, "nodes"), node.nodes, depth - 1)
