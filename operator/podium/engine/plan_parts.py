"""Nodes and edges of a plan."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace

from podium import expressions, kinds
from podium.api.executors import ExecutorSpec
from podium.api.names import split_item
from podium.api.workflow import EdgeType, Node, RetryPolicy, TriggerRule

__all__ = ["PlanEdge", "PlanNode", "PlanNodes"]


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
    """Groups that it is in and that bound how many run at a time (`maxParallel`), and its map."""
    map: str = ""
    """Of an item: the node whose item it is."""
    item: int = -1
    """Of an item: its index."""

    @property
    def bounds(self) -> tuple[str, ...]:
        """What bounds how many of it run: of what takes no slot nothing but its map."""
        return self.limited_by if self.kind.holds_slot or self.map else ()

    @property
    def place(self) -> str:
        """The node in the graph: of an item its map."""
        return self.map or self.id


class PlanNodes(dict[str, PlanNode]):
    """The nodes of a plan by id; items are made when they are asked for by their path.

    Only `[]` knows items: what goes through all nodes, or asks for a node of the graph, does not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.items_of: dict[str, PlanNode] = {}
        """Of each map: what its items have in common."""

    def __missing__(self, name: str) -> PlanNode:
        found = split_item(name)
        if found is None or found[0] not in self.items_of:
            raise KeyError(name)
        made = copy(self.items_of[found[0]])
        made.id, made.item = name, found[1]
        return made

    def add_map(self, node: PlanNode) -> None:
        """Split a map in what begins and ends once, and what each of its items has."""
        definition = node.definition.model_copy(update={"for_each": None})
        per_item = kinds.decides_per_item(node.condition)
        kind = kinds.of(definition)
        own = (node.id,) if definition.max_parallel is not None or not kind.holds_slot else ()
        self.items_of[node.id] = replace(
            node,
            definition=definition,
            kind=kind,
            condition=node.condition if per_item else None,
            outgoing=(),
            limited_by=(*own, *node.limited_by) if kind.holds_slot else own,
            map=node.id,
        )
        node.retry, node.timeout = RetryPolicy(), None
        if per_item:
            node.condition = None
