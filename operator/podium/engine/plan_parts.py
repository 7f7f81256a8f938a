"""Nodes and edges of a plan."""

from collections.abc import Mapping
from dataclasses import dataclass

from podium import expressions, kinds
from podium.api.executors import ExecutorSpec
from podium.api.workflow import EdgeType, Node, RetryPolicy, TriggerRule

__all__ = ["PlanEdge", "PlanNode"]


@dataclass(slots=True, eq=False)
class PlanEdge:
    """An edge with its compiled condition."""

    index: int
    source: str
    target: str
    type: EdgeType
    condition: expressions.Expression | None
    route: str | None
    allow_failure: bool
    """Whether its target goes on when its source fails."""
    mapping: Mapping[str, str]


@dataclass(slots=True, eq=False)
class PlanNode:
    """A node with its edges and everything that `defaults` adds."""

    id: str
    index: int
    definition: Node
    kind: kinds.NodeKind
    incoming: tuple[int, ...]
    outgoing: tuple[int, ...]
    conditional: int
    """How many incoming edges have a condition."""
    rule: TriggerRule
    condition: expressions.Expression | None
    retry: RetryPolicy
    timeout: float | None
    start_timeout: float
    start_timeout_own: bool
    """Whether the node sets it: then it counts from the Pod's creation, else from its being
    scheduled."""
    required_fields: tuple[str, ...]
    wanted: tuple[str, ...]
    """Ancestors that are delivered however far they are."""
    executor: ExecutorSpec | None = None
    """Its executor, where that is a resource."""
    group: str = ""
    """The group that it is a member of; empty: none."""
    limited_by: tuple[str, ...] = ()
    """Groups that it is in and that bound how many run at a time (`maxParallel`)."""
