"""The one place where a run's status becomes JSON and comes back."""

from collections.abc import Generator, Mapping
from typing import Any

from podium.api.run import NodeState, WorkflowRunStatus

__all__ = ["dump_node", "dump_status", "load_in_slices", "load_status"]


def dump_status(status: WorkflowRunStatus) -> dict[str, Any]:
    """Return the status as JSON: fields at their default are left out, every node is in it."""
    return status.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def dump_node(state: NodeState) -> dict[str, Any]:
    """Return one node's state as JSON, as it is in the status."""
    return state.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def load_status(data: Mapping[str, Any]) -> WorkflowRunStatus:
    """Read a status. Raises `pydantic.ValidationError` (a `ValueError`) if it is none."""
    return WorkflowRunStatus.model_validate(data)


def load_in_slices(data: Mapping[str, Any]) -> Generator[None, None, WorkflowRunStatus]:
    """Read a status node by node; the caller can do other work in between.

    Raises as `load_status` does.
    """
    nodes = {}
    for name, state in data["nodes"].items():
        nodes[name] = NodeState.model_validate(state)
        yield
    return WorkflowRunStatus.model_validate({**data, "nodes": nodes})
