"""The resources: kind, metadata, spec and status together."""

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from podium.api.base import ApiModel, Id
from podium.api.run import NodeState, WorkflowRunSpec, WorkflowRunStatus, WorkflowStatus
from podium.api.workflow import WorkflowSpec

__all__ = ["ObjectMeta", "Workflow", "WorkflowRun", "WorkflowRunNodes"]


class ObjectMeta(ApiModel):
    """What Podium reads of an object's metadata; the rest is passed over."""

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
    """What the operator knows of it."""


class WorkflowRun(ApiModel):
    """One execution of a Workflow."""

    KIND: ClassVar[str] = "WorkflowRun"

    api_version: Literal["podium.dev/v1alpha1"]
    kind: Literal["WorkflowRun"]
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    spec: WorkflowRunSpec
    """What is asked of the run."""
    status: WorkflowRunStatus | None = None
    """Everything that happened."""


class WorkflowRunNodes(ApiModel):
    """Where some nodes of a large WorkflowRun stood when this was made; the run's status names it.

    It never changes: states that changed since stand in the status, and a newer one replaces it.
    """

    KIND: ClassVar[str] = "WorkflowRunNodes"

    api_version: Literal["podium.dev/v1alpha1"]
    kind: Literal["WorkflowRunNodes"]
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    nodes: dict[Id, NodeState] = Field(default_factory=dict, max_length=250)
    """Where each node stood."""
