"""The resources: kind, metadata, spec and status together."""

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from podium.api.base import ApiModel
from podium.api.run import WorkflowRunSpec, WorkflowRunStatus, WorkflowStatus
from podium.api.workflow import WorkflowSpec

__all__ = ["ObjectMeta", "Workflow", "WorkflowRun"]


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
