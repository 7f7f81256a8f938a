"""Compensations: programs that undo what completed nodes did, when a run is rolled back."""

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import Field

from podium.api.base import ApiModel, JsonObject, Name
from podium.api.names import compensation_path
from podium.api.retry import RetryPolicy

if TYPE_CHECKING:
    from podium.api.workflow import Node

__all__ = ["Compensation", "RollbackPolicy", "bare_node", "compensation_node"]

_AS_THE_NODE = (
    *("resources", "pod", "start_timeout_seconds", "input_as"),
    *("max_disruptions", "force_restart_after_seconds"),
)
"""How a node is run: its compensation is run in the same way."""


class RollbackPolicy(StrEnum):
    """Ends of a run after which it is rolled back."""

    ON_FAILURE = "OnFailure"
    ON_CANCEL = "OnCancel"
    ALWAYS = "Always"
    NEVER = "Never"

    def covers(self, phase: str) -> bool:
        """Return whether a run that would end in a phase is rolled back first."""
        if self is RollbackPolicy.ALWAYS:
            return phase in ("Failed", "Cancelled")
        wanted = {RollbackPolicy.ON_FAILURE: "Failed", RollbackPolicy.ON_CANCEL: "Cancelled"}
        return wanted.get(self) == phase


class Compensation(ApiModel):
    """What undoes a node that completed, when its run is rolled back."""

    executor: Name | None = None
    """Executor of the compensation; default: the node's own."""
    config: JsonObject = Field(default_factory=dict)
    """Configuration of that executor. Its strings see what the node saw, the node's own output,
    run.phase and run.failures."""
    retry_policy: RetryPolicy | None = None
    """How often and when it is retried; default: the workflow's default, not the node's."""
    timeout_seconds: float | None = Field(default=None, gt=0, le=31_536_000)
    """Maximum seconds of each execution; default: the workflow's default, not the node's."""


def bare_node(node: "Node") -> "Node":
    """Return the compensation of a node as a node, with what it says itself."""
    return _node(node, ())


def compensation_node(node: "Node") -> "Node":
    """Return the compensation of a node as a node, which runs as that one does."""
    return _node(node, _AS_THE_NODE)


def _node(node: "Node", shared: Iterable[str]) -> "Node":
    own = node.compensation
    assert own is not None  # noqa: S101 - for the type checker
    made = type(node).model_construct(
        id=compensation_path(node.id), executor=own.executor or node.executor, config=own.config
    )
    changes = {name: getattr(node, name) for name in shared if name in node.model_fields_set}
    for name in ("retry_policy", "timeout_seconds"):
        if getattr(own, name) is not None:
            changes[name] = getattr(own, name)
    return made.model_copy(update=changes)
