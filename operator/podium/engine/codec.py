"""The one place where a run's status becomes JSON and comes back."""

from collections.abc import Mapping
from typing import Any

from podium.api.run import NodeState, WorkflowRunStatus

__all__ = ["dump_node", "dump_status", "load_status"]


def dump_status(status: WorkflowRunStatus) -> dict[str, Any]:
    """Return the status as JSON: fields at their default are left out, every node is in it."""
    return status.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def dump_node(state: NodeState) -> dict[str, Any]:
    """Return one node's state as JSON, as it is in the status."""
    return state.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def load_status(data: Mapping[str, Any]) -> WorkflowRunStatus:
    """Read a status. Raises `pydantic.ValidationError` (a `ValueError`) if it is none."""
    return WorkflowRunStatus.model_validate(data)
