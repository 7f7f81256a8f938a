"""The resources: kind, metadata, spec and status together."""

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from podium.api.artifact_stores import ArtifactStoreSpec
from podium.api.base import ApiModel, NodePath
from podium.api.contract_schemas import ContractSchemaSpec
from podium.api.contract_status import ContractSchemaStatus
from podium.api.executors import ExecutorSpec
from podium.api.personas import ModelConfigSpec, PersonaSpec
from podium.api.run import NodeState, WorkflowRunSpec, WorkflowRunStatus, WorkflowStatus
from podium.api.workflow import WorkflowSpec

__all__ = [
    "ArtifactStore",
    "ClusterExecutor",
    "ContractSchema",
    "Executor",
    "ModelConfig",
    "ObjectMeta",
    "Persona",
    "Workflow",
    "WorkflowRun",
    "WorkflowRunNodes",
]


class ObjectMeta(ApiModel):
    """The metadata of an object that Podium reads; the rest is ignored."""

    model_config = ConfigDict(**{**ApiModel.model_config, "extra": "allow"})

    name: str = ""
    """Name of the object."""
    generate_name: str = ""
    """Beginning of a name that the server completes."""
    namespace: str = ""
    """Namespace of the object."""
    uid: str = ""
    """Identity of the object over time."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Annotations."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels."""


class Workflow(ApiModel):
    """A graph of nodes that runs can execute."""

    KIND: ClassVar[str] = "Workflow"

    api_version: Literal["podium.dev/v1alpha1"]
    kind: Literal["Workflow"]
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    spec: WorkflowSpec
    """The graph and what belongs to it."""
    status: WorkflowStatus | None = None
    """Observed state of the Workflow."""


class WorkflowRun(ApiModel):
    """One run of a Workflow."""

    KIND: ClassVar[str] = "WorkflowRun"

    api_version: Literal["podium.dev/v1alpha1"]
    kind: Literal["WorkflowRun"]
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    spec: WorkflowRunSpec
    """Desired state of the run."""
    status: WorkflowRunStatus | None = None
    """Observed state of the run."""


class WorkflowRunNodes(ApiModel):
    """States of some nodes of a large WorkflowRun, whose status refers to this object.

    Immutable: states that changed since are in the run's status, and a newer object replaces it.
    """

    KIND: ClassVar[str] = "WorkflowRunNodes"

    api_version: Literal["podium.dev/v1alpha1"]
    kind: Literal["WorkflowRunNodes"]
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    nodes: dict[NodePath, NodeState] = Field(default_factory=dict, max_length=250)
    """State of each node when this object was created."""


class Executor(ApiModel):
    """A named way to run nodes of its namespace: executor: NAME.

    Whoever may create one may run Pods of any shape in the namespace.
    """

    KIND: ClassVar[str] = "Executor"

    api_version: Literal["podium.dev/v1alpha1"]
    kind: Literal["Executor"]
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    spec: ExecutorSpec
    """The node's config, and the Pod that is made of it."""


class ClusterExecutor(ApiModel):
    """A named way to run nodes of all namespaces; an Executor of that name comes first."""

    KIND: ClassVar[str] = "ClusterExecutor"

    api_version: Literal["podium.dev/v1alpha1"]
    kind: Literal["ClusterExecutor"]
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    spec: ExecutorSpec
    """The node's config, and the Pod that is made of it."""


class ArtifactStore(ApiModel):
    """A place where artifacts are kept, for Workflows of its namespace: spec.artifacts.store: NAME.

    A laptop keeps artifacts in .podium/artifacts, whatever a Workflow names.
    """

    KIND: ClassVar[str] = "ArtifactStore"

    api_version: Literal["podium.dev/v1alpha1"]
    kind: Literal["ArtifactStore"]
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    spec: ArtifactStoreSpec
    """The bucket or the volume."""


class ContractSchema(ApiModel):
    """A schema in versions, which contracts of its namespace name: schemaRef: {name, version}."""

    KIND: ClassVar[str] = "ContractSchema"

    api_version: Literal["podium.dev/v1alpha1"]
    kind: Literal["ContractSchema"]
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    spec: ContractSchemaSpec
    """The versions, and what they must keep to."""
    status: ContractSchemaStatus | None = None
    """What the operator found of them."""


class Persona(ApiModel):
    """An LLM role, which nodes of its namespace name: config.personas: [NAME]."""

    KIND: ClassVar[str] = "Persona"

    api_version: Literal["podium.dev/v1alpha1"]
    kind: Literal["Persona"]
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    spec: PersonaSpec
    """Who it is, and the model that answers for it."""


class ModelConfig(ApiModel):
    """An endpoint and a model, which Personas of its namespace name: modelConfig: NAME."""

    KIND: ClassVar[str] = "ModelConfig"

    api_version: Literal["podium.dev/v1alpha1"]
    kind: Literal["ModelConfig"]
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    spec: ModelConfigSpec
    """The endpoint, the model, its key and its prices."""
