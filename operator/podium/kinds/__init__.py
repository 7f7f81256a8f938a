"""Kinds of nodes: what each type of node checks, how it starts and how it ends.

A kind decides, the engine moves the node, and the shells carry out. Kinds are pure: values in,
values out. A new one is a file here and a line in the registry below.
"""

from podium.api.child_runs import CHILD_EXECUTOR
from podium.api.workflow import Node, NodeType
from podium.kinds.approval import Approval, checked_values
from podium.kinds.base import (
    Answer,
    Answerable,
    AnswerRefusedError,
    CheckedValues,
    Complete,
    Decision,
    DeclaredOutput,
    Fail,
    ItemEnds,
    JobShape,
    Launch,
    MemberEnd,
    NodeKind,
    NodeView,
    Skip,
    Source,
    Spawn,
    Wait,
)
from podium.kinds.child_run import ChildRun
from podium.kinds.conditional import Conditional
from podium.kinds.for_each import ForEach, decides_per_item, may_fail, most_items
from podium.kinds.parallel_group import ParallelGroup
from podium.kinds.task import Task

__all__ = [
    "Answer",
    "AnswerRefusedError",
    "Answerable",
    "CheckedValues",
    "ChildRun",
    "Complete",
    "Decision",
    "DeclaredOutput",
    "Fail",
    "ForEach",
    "ItemEnds",
    "JobShape",
    "Launch",
    "MemberEnd",
    "NodeKind",
    "NodeView",
    "Skip",
    "Source",
    "Spawn",
    "Wait",
    "checked_values",
    "decides_per_item",
    "has_child",
    "may_fail",
    "most_items",
    "of",
    "register",
    "runs_program",
]

_KINDS: dict[NodeType, NodeKind] = {
    NodeType.PHASE: Task(),
    NodeType.CUSTOM: Task(),
    NodeType.CONDITIONAL: Conditional(),
    NodeType.APPROVAL: Approval(),
    NodeType.PARALLEL_GROUP: ParallelGroup(),
}


_CHILD = ChildRun()
_MAP = ForEach(Task())
_MAP_OF_CHILDREN = ForEach(_CHILD)


def of(node: Node) -> NodeKind:
    """Return the kind of a node."""
    kind = _KINDS[node.type]
    if not isinstance(kind, Task):
        return kind
    # What makes it another kind is no type: that is the one of any node with an executor.
    if node.executor == CHILD_EXECUTOR:
        return _CHILD if node.for_each is None else _MAP_OF_CHILDREN
    return kind if node.for_each is None else _MAP


def runs_program(node: Node) -> bool:
    """Return whether a node, or each of its items, has a program, with a Job or a process."""
    return of(node).runs_program


def has_child(node: Node) -> bool:
    """Return whether a node, or each of its items, is a child run."""
    kind = of(node)
    return isinstance(kind, Task | ForEach) and not kind.runs_program


def register(name: str, kind: NodeKind) -> NodeType:
    """Make a type of node known, for validation, the engine, both shells and the command line."""
    node_type = NodeType.add(name)
    _KINDS[node_type] = kind
    return node_type
