"""Workflow: the graph, as users write it."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from podium.api.base import ApiModel, Id, JsonObject, LongText, Name, Quantity, Text

__all__ = [
    "MAX_DEFINITION_BYTES",
    "MAX_EDGES",
    "MAX_NODES",
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
    "PodOverrides",
    "Resources",
    "RetryPolicy",
    "TriggerRule",
    "WorkflowSpec",
]

MAX_NODES = 5000
MAX_EDGES = 20_000
MAX_DEFINITION_BYTES = 900_000
"""Size of a definition as JSON: what etcd takes, less what else an object holds."""

PreservedItem = Annotated[
    dict[str, Any],
    WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
]


class NodeType(StrEnum):
    """What a node is. Groups, conditionals and approvals come in a later version."""

    PHASE = "phase"
    CUSTOM = "custom"


class EdgeType(StrEnum):
    """What an edge carries besides order."""

    DEPENDS_ON = "depends_on"
    PRODUCES_FOR = "produces_for"
    TRIGGERS = "triggers"


class TriggerRule(StrEnum):
    """When a node starts, given its incoming edges."""

    NONE_FAILED_MIN_ONE_SUCCESS = "NoneFailedMinOneSuccess"
    ALL_SUCCESS = "AllSuccess"
    ONE_SUCCESS = "OneSuccess"
    ALL_DONE = "AllDone"


class InputAs(StrEnum):
    """How a container node gets its input."""

    ENVIRONMENT = "Environment"
    FILE = "File"


class RetryPolicy(ApiModel):
    """How often and when a failed node is tried again."""

    max_attempts: int = Field(default=1, ge=1, le=100)
    """Tries of one run or re-run of the node, the first one included."""
    backoff_seconds: float = Field(default=0, ge=0, le=86400)
    """Seconds to wait before the second try."""
    backoff_factor: float = Field(default=2, ge=1, le=100)
    """Each further wait is this many times longer than the one before."""
    max_backoff_seconds: float = Field(default=300, ge=0, le=86400)
    """The longest wait, in seconds."""
    retry_on: list[Text] | None = Field(default=None, max_length=50)
    """Reasons that are tried again, such as Timeout or OOMKilled; left out: all that may be."""


class InputContract(ApiModel):
    """What a node demands of its input before it starts."""

    required_fields: list[Text] = Field(default_factory=list, max_length=MAX_NODES)
    """Dotted paths that must be in the input: a context key, or NODE.field of an ancestor."""
    schema_: JsonObject | None = Field(default=None, alias="schema")
    """JSON Schema (Draft 2020-12) that the whole input must meet."""
    include: list[Id] = Field(default_factory=list, max_length=MAX_NODES)
    """Farther ancestors whose outputs are delivered even if they are not among the 200 nearest."""
    context: list[Text] | None = Field(default=None, max_length=MAX_NODES)
    """Context keys that are delivered; left out: all of them."""


class OutputContract(ApiModel):
    """What a node promises to hand over."""

    produces: list[Text] = Field(default_factory=list, max_length=200)
    """Keys that must be in the output."""
    schema_: JsonObject | None = Field(default=None, alias="schema")
    """JSON Schema (Draft 2020-12) that the whole output must meet."""
    quality_threshold: float | None = Field(default=None, ge=0, le=1)
    """The lowest quality score that is accepted; a node that has it must report a score."""
    quality_field: Text = "quality_score"
    """Dotted path of the output's quality score, a number from 0 to 1."""


class Resources(ApiModel):
    """CPU, memory and the like of the node's container, as in Kubernetes."""

    requests: dict[str, Quantity] = Field(default_factory=dict, max_length=20)
    """What the node is guaranteed, by resource name."""
    limits: dict[str, Quantity] = Field(default_factory=dict, max_length=20)
    """What the node may use at most, by resource name."""


class KeySelector(ApiModel):
    """One key of a Secret or ConfigMap in the run's namespace."""

    name: Name
    """Name of the Secret or ConfigMap."""
    key: Name
    """The key in it."""
    optional: bool = False
    """Whether the key may be missing."""


class FieldSelector(ApiModel):
    """A field of the node's own Pod."""

    field_path: Name
    """For example metadata.name or status.podIP."""
    api_version: Name | None = None
    """Version of the schema that fieldPath is written in."""


class EnvSource(ApiModel):
    """Where the value of an environment variable comes from; exactly one is set."""

    secret_key_ref: KeySelector | None = None
    """A key of a Secret. On a laptop: the variable of that name, or --secrets."""
    config_map_key_ref: KeySelector | None = None
    """A key of a ConfigMap. Cluster only."""
    field_ref: FieldSelector | None = None
    """A field of the Pod. Cluster only."""


class EnvVar(ApiModel):
    """An environment variable, as in a Kubernetes container."""

    name: Name
    """Name of the variable."""
    value: LongText | None = None
    """Its value, taken as it stands: no $(NAME) is expanded."""
    value_from: EnvSource | None = None
    """Where the value comes from instead."""


class VolumeMount(ApiModel):
    """Where a volume appears in the node's container."""

    name: Name
    """Name of a volume of the same list."""
    mount_path: Text
    """Absolute path in the container."""
    sub_path: Text | None = None
    """Path inside the volume."""
    read_only: bool = False
    """Whether the node may only read it."""


class Volume(ApiModel):
    """A volume of the node's Pod: exactly one source, from a closed list."""

    name: Name
    """Name that mounts refer to."""
    empty_dir: PreservedItem | None = None
    """Scratch space that lives as long as the Pod."""
    persistent_volume_claim: PreservedItem | None = None
    """A claim in the run's namespace."""
    config_map: PreservedItem | None = None
    """A ConfigMap in the run's namespace."""
    secret: PreservedItem | None = None
    """A Secret in the run's namespace."""
    projected: PreservedItem | None = None
    """Several of these in one directory; service account tokens are refused."""


class PodOverrides(ApiModel, defer_build=False):
    """What a node may say about its Pod: a closed list, the rest belongs to the platform."""

    env: list[EnvVar] = Field(default_factory=list, max_length=200)
    """More environment variables."""
    labels: dict[str, Text] = Field(default_factory=dict, max_length=50)
    """More labels, outside kubernetes.io, k8s.io and podium.dev."""
    annotations: dict[str, LongText] = Field(default_factory=dict, max_length=50)
    """More annotations, outside kubernetes.io, k8s.io and podium.dev."""
    node_selector: dict[str, Text] = Field(default_factory=dict, max_length=50)
    """Labels that the machine must have."""
    tolerations: list[PreservedItem] = Field(default_factory=list, max_length=50)
    """Taints that the Pod tolerates."""
    affinity: PreservedItem | None = None
    """Affinity and anti-affinity rules."""
    priority_class_name: Name | None = None
    """The Pod's priority class."""
    volumes: list[Volume] = Field(default_factory=list, max_length=50)
    """Volumes of the Pod."""
    volume_mounts: list[VolumeMount] = Field(default_factory=list, max_length=50)
    """Where the volumes appear in the container."""
    service_account_name: Name | None = None
    """A ServiceAccount that carries the label podium.dev/usable: "true"."""


class Defaults(ApiModel):
    """What nodes have that do not say otherwise."""

    retry_policy: RetryPolicy | None = None
    """Retry policy of nodes that have none."""
    timeout_seconds: float | None = Field(default=None, gt=0, le=31_536_000)
    """Time-out of nodes that have none."""
    start_timeout_seconds: float | None = Field(default=None, gt=0, le=31_536_000)
    """Start time-out of nodes that have none."""
    resources: Resources | None = None
    """Resources of nodes that have none."""
    pod: PodOverrides | None = None
    """Pod settings of nodes that have none."""


class Node(ApiModel, defer_build=False):
    """One phase of the work."""

    id: Id
    """Name of the node in this graph: [A-Za-z_][A-Za-z0-9_-]{0,62}."""
    title: Text | None = None
    """Name for people."""
    type: NodeType = NodeType.PHASE
    """What the node is."""
    executor: Name | None = None
    """What runs it: script, container, persona, persona_team or team."""
    config: JsonObject = Field(default_factory=dict)
    """What the executor is to do; each executor documents its fields. Strings may hold
    ${{ EXPRESSION }}, the text of a script may not."""
    depends_on: list[Id] = Field(default_factory=list, max_length=1000)
    """Nodes that come before this one: short for edges of type depends_on."""
    input_contract: InputContract | None = None
    """What the node demands of its input."""
    output_contract: OutputContract | None = None
    """What the node promises to hand over."""
    retry_policy: RetryPolicy | None = None
    """How often and when it is tried again; default: once."""
    timeout_seconds: float | None = Field(default=None, gt=0, le=31_536_000)
    """Seconds its program may run, for each execution; default: no limit."""
    start_timeout_seconds: float | None = Field(default=None, gt=0, le=31_536_000)
    """Seconds from Pod to running program, default 600; time in which the Pod cannot be
    scheduled counts only if this is set."""
    condition: Text | None = None
    """Expression; false: the node is skipped."""
    trigger_rule: TriggerRule = TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS
    """When it starts, given its incoming edges."""
    allow_failure: bool = False
    """Whether what follows goes on, and the run may succeed, when this node fails."""
    input_as: InputAs = InputAs.ENVIRONMENT
    """How a container node gets its input: PODIUM_INPUT_JSON, or the file PODIUM_INPUT."""
    resources: Resources | None = None
    """CPU, memory and the like of its container."""
    pod: PodOverrides | None = None
    """What else it says about its Pod."""
    max_disruptions: int = Field(default=10, ge=0, le=1000)
    """How many evictions, preemptions and the like are repaired without counting as a try."""
    force_restart_after_seconds: float | None = Field(default=None, gt=0, le=31_536_000)
    """After this long on an unreachable machine the node is started again although its
    first program may still run: the work may then be done twice. Off by default."""


class Edge(ApiModel):
    """An edge of the graph."""

    from_: Id = Field(alias="from")
    """Id of the node that comes first."""
    to: Id
    """Id of the node that follows."""
    type: EdgeType = EdgeType.DEPENDS_ON
    """depends_on brings the source's output, produces_for the mapped fields, triggers nothing."""
    condition: Text | None = None
    """Expression over the source's output; false: the edge is inactive."""
    allow_failure: bool = False
    """Whether this follower goes on when the source fails; the run still fails."""
    data_mapping: dict[str, Text] = Field(default_factory=dict, max_length=200)
    """Output path of the source: name under which the target finds it among its inputs."""
    metadata: JsonObject = Field(default_factory=dict)
    """Whatever else you want to say about the edge."""


class WorkflowSpec(ApiModel, defer_build=False):
    """The graph and what belongs to it."""

    id: Name | None = None
    """Id by which references may name it; default: the object's name."""
    title: Text | None = None
    """Name for people."""
    version: Text | None = None
    """Your version of it, for people."""
    description: LongText | None = None
    """What it is for."""
    owner: Text | None = None
    """Who answers for it."""
    tags: list[Text] = Field(default_factory=list, max_length=100)
    """Words to find it by."""
    metadata: JsonObject = Field(default_factory=dict)
    """Whatever else nodes should know about the workflow."""
    inputs: JsonObject | None = None
    """JSON Schema (Draft 2020-12) of a run's context; its defaults are filled in."""
    global_context: JsonObject = Field(default_factory=dict)
    """Context keys that every run has unless it sets them itself."""
    constants: JsonObject = Field(default_factory=dict)
    """Context keys that no run, re-run or schedule can set: read as context.KEY."""
    defaults: Defaults = Field(default_factory=Defaults)
    """What nodes have that do not say otherwise."""
    timeout_seconds: float | None = Field(default=None, gt=0, le=31_536_000)
    """Seconds a run may take in all."""
    nodes: list[Node] = Field(min_length=1, max_length=MAX_NODES)
    """The nodes of the graph."""
    edges: list[Edge] = Field(default_factory=list, max_length=MAX_EDGES)
    """The edges of the graph, beside those that dependsOn makes."""
