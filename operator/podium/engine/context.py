"""What a node sees: scopes for its expressions, its resolved input, the document it reads."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from podium import contracts
from podium.api.base import format_time
from podium.api.run import NodeState, NodeStatus
from podium.api.workflow import EdgeType
from podium.engine.item_outputs import output_of_items
from podium.engine.model import DEPENDENCY_OUTPUTS, LargeInput, RunInfo
from podium.engine.plan import Plan, PlanEdge, PlanNode
from podium.engine.selection import is_unselected
from podium.errors import PodiumError

__all__ = [
    "InputError",
    "NodeInput",
    "edge_scope",
    "node_input",
    "node_scope",
    "output_of",
    "run_scope",
]

_UNDONE = (NodeStatus.SKIPPED, NodeStatus.FAILED, NodeStatus.CANCELLED)


class InputError(PodiumError, ValueError):
    """The input of a node cannot be resolved."""


def output_of(plan: Plan, node: str, states: Mapping[str, NodeState]) -> dict[str, Any] | None:
    """Return a node's output; that of a group or a map is made of its members' or items'.

    It is stored nowhere else.
    """
    if node in plan.for_each:
        return output_of_items(node, states)
    members = plan.members.get(node)
    if members is None:
        return states[node].output
    return {
        member.rpartition(".")[2]: output_of(plan, member, states)
        for member in members
        if states[member].status is NodeStatus.COMPLETED
    }


class _Context(Mapping[str, Any]):
    """`context` of an expression: looked up on demand, in the order of semantics.md 2."""

    def __init__(
        self,
        plan: Plan,
        states: Mapping[str, NodeState],
        context: Mapping[str, Any],
        viewer: str | None,
        first: Mapping[str, Any] | None = None,
    ) -> None:
        self._plan = plan
        self._states = states
        self._context = context
        self._viewer = viewer
        self._first = first if first is not None else {}

    def __getitem__(self, name: str) -> Any:
        if name in self._first:
            return self._first[name]
        viewer = self._viewer  # None: it sees all; it itself: of an edge, the source
        node = self._plan.dag.resolve(viewer, name)
        if node in self._plan.nodes and "." not in name:
            if viewer is None or node == viewer or self._plan.dag.can_read(viewer, node):
                state = self._states[node]
                if state.status is NodeStatus.COMPLETED and state.output is not None:
                    return output_of(self._plan, node, self._states)
                if is_unselected(state):  # a run of a part may give what it would have handed over
                    return self._context[name]
            raise KeyError(name)
        return self._context[name]

    def __iter__(self) -> Iterator[str]:
        nodes = (self._plan.dag.name_of(node, self._viewer) for node in self._plan.nodes)
        names = dict.fromkeys([*self._first, *nodes, *self._context])
        return (name for name in names if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Nodes(Mapping[str, Any]):
    """`nodes` of an expression: how the ancestors of a node stand, along edges of any type."""

    def __init__(
        self, plan: Plan, states: Mapping[str, NodeState], viewer: str | None, *, of_edge: bool
    ) -> None:
        self._plan = plan
        self._states = states
        self._viewer = viewer
        self._of_edge = of_edge

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        node = self._plan.dag.resolve(self._viewer, name)
        return _standing(self._plan, node, self._states[node])

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        node = self._plan.dag.resolve(self._viewer, name)
        if node not in self._plan.nodes:
            return False
        if node == self._viewer:
            return self._of_edge
        return self._viewer is None or self._plan.dag.comes_after(self._viewer, node)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._plan.nodes if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _standing(plan: Plan, node: str, state: NodeState) -> dict[str, Any]:
    """Return the fields of `nodes.X` (`expressions.NODE_FIELDS`): null before there is a value."""
    exit_code = state.error.details.get("exitCode") if state.error is not None else None
    if state.status is NodeStatus.COMPLETED and plan.nodes[node].definition.executor is not None:
        exit_code = 0
    return {
        "status": state.status.value,
        "reason": state.reason or None,
        "message": state.message or None,
        "exitCode": exit_code,
        "startedAt": None if state.started_at is None else format_time(state.started_at),
        "completedAt": None if state.completed_at is None else format_time(state.completed_at),
        "durationSeconds": state.duration_seconds,
        "retryCount": state.retry_count,
    }


def _scope(
    plan: Plan,
    info: RunInfo,
    context: _Context,
    nodes: _Nodes,
    started_at: float | None,
    ending: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "context": context,
        "nodes": nodes,
        "run": {
            "name": info.name,
            "id": info.uid,
            "startedAt": None if started_at is None else format_time(started_at),
            "scheduledAt": None,
            **(ending or {}),
        },
        "workflow": {
            "id": plan.workflow_id,
            "version": plan.spec.version,
            "metadata": plan.spec.metadata,
        },
    }


def node_scope(
    plan: Plan,
    info: RunInfo,
    node: str,
    execution: str,
    states: Mapping[str, NodeState],
    context: Mapping[str, Any],
    started_at: float | None = None,
    ending: Mapping[str, Any] | None = None,
) -> Mapping[str, Any]:
    """Return the names that a node's own expressions know; `ending`: how all others ended."""
    seen = _Context(plan, states, context, node)
    nodes = _Nodes(plan, states, node, of_edge=False)
    scope = _scope(plan, info, seen, nodes, started_at, ending)
    scope["node"] = {"id": node, "executionId": execution}
    return scope


def edge_scope(
    plan: Plan,
    info: RunInfo,
    edge: PlanEdge,
    states: Mapping[str, NodeState],
    context: Mapping[str, Any],
    started_at: float | None = None,
    ending: Mapping[str, Any] | None = None,
) -> Mapping[str, Any]:
    """Return the names that an edge's condition knows: its source's output comes first."""
    source = states[edge.source]
    output = source.output if source.output is None else output_of(plan, edge.source, states)
    seen = _Context(plan, states, context, edge.source, output)
    execution = source.execution_id or ""
    nodes = _Nodes(plan, states, edge.source, of_edge=True)
    scope = _scope(plan, info, seen, nodes, started_at, ending)
    scope["node"] = {"id": edge.source, "executionId": execution}
    return scope


def run_scope(
    plan: Plan,
    info: RunInfo,
    states: Mapping[str, NodeState],
    context: Mapping[str, Any],
    started_at: float | None = None,
) -> Mapping[str, Any]:
    """Return the names that expressions of the run know: they see every node."""
    seen = _Context(plan, states, context, None)
    return _scope(plan, info, seen, _Nodes(plan, states, None, of_edge=False), started_at)


@dataclass(slots=True)
class NodeInput:
    """A node's input, not checked yet."""

    document: dict[str, Any]
    """What PODIUM_INPUT holds."""
    resolved: dict[str, Any] | None
    """What its contract is about; None: it has none."""
    undone: frozenset[str]
    """Ancestors whose output nothing can provide: the contract does not demand it."""
    large: tuple[LargeInput, ...]
    """What belongs to the document and rests elsewhere."""
    paths: Mapping[str, str]
    """Nodes that it knows by another name, by that name."""
    omitted: int
    """How many farther ancestors' outputs are not handed over."""


def node_input(
    plan: Plan,
    info: RunInfo,
    node: PlanNode,
    execution: str,
    states: Mapping[str, NodeState],
    completed: Mapping[str, Any],
    context: Mapping[str, Any],
    ending: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
) -> NodeInput:
    """Resolve a node's input.

    `completed` holds the outputs of the Completed nodes of `states`: hundreds of them may be handed
    over, and to look each state up would cost more than all the rest. `ending`: how all others
    ended, of a node of `finally` or a compensation. `given`: `item` and `index` of an item.
    Raises `InputError` if what an edge maps is not there.
    """
    visible = plan.delivered(node.place)
    outputs = {name: completed[name] for name in visible if name in completed}
    own = plan.nodes[plan.dag.undone_by(node.place)]  # a compensation sees what its node saw
    mapped, large = _mapped(plan, own, states)
    handed = outputs
    if plan.large_outputs and not plan.large_outputs.isdisjoint(outputs):
        handed, whole = _without_large(plan, node, states, outputs)
        large = (*whole, *large)
    paths: dict[str, str] = {}
    if own.group:  # its own names of them
        paths = {plan.dag.name_of(name, node.place): name for name in visible}
        outputs = {plan.dag.name_of(name, node.place): output for name, output in outputs.items()}
        handed = {plan.dag.name_of(name, node.place): output for name, output in handed.items()}
        visible = [plan.dag.name_of(name, node.place) for name in visible]
    elsewhere = {each.name for each in large if each.part == "inputs"}
    resolved, undone = None, frozenset[str]()
    if node.definition.input_contract is not None:
        resolved = {**context, **outputs, **mapped, **(given or {})}
        # Skipped, Failed or Cancelled and let pass by the join, or (OneSuccess) not there yet:
        # what nothing can provide is not demanded (semantics.md 3).
        undone = frozenset(visible) - outputs.keys()
    document = {
        "workflowId": plan.workflow_id,
        "runId": info.uid,
        "executionId": execution,
        "nodeId": node.id,
        "globalContext": _delivered(node, context),
        DEPENDENCY_OUTPUTS: handed,
        "inputs": mapped,
        "artifacts": {},
        "metadata": plan.spec.metadata,
    }
    if given is not None:
        document.update(given)
    if ending is not None:
        document["run"] = ending
    if elsewhere:
        left = {name: value for name, value in mapped.items() if name not in elsewhere}
        document["inputs"] = left
    omitted = plan.dag.visible_count(node.place) - len(visible)
    return NodeInput(document, resolved, undone, large, paths, omitted)


def _without_large(
    plan: Plan, node: PlanNode, states: Mapping[str, NodeState], outputs: Mapping[str, Any]
) -> tuple[dict[str, Any], list[LargeInput]]:
    """Return the outputs that are handed over as they are, and those that rest elsewhere.

    Of these a node gets its direct predecessors', and those that its contract names.
    """
    near = {*plan.data_sources[node.place], *node.wanted}
    handed: dict[str, Any] = {}
    large = []
    for name, output in outputs.items():
        state = states[name]
        if state.output_ref is None:
            handed[name] = output
        elif name in near:
            execution = state.execution_id or ""
            known = plan.dag.name_of(name, node.place)
            large.append(LargeInput(DEPENDENCY_OUTPUTS, known, name, execution))
    return handed, large


def _delivered(node: PlanNode, context: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of the run's context that a node is handed."""
    contract = node.definition.input_contract
    if contract is None or contract.context is None:
        return dict(context)
    return {key: context[key] for key in (*contract.context, *node.wanted) if key in context}


def _mapped(
    plan: Plan, node: PlanNode, states: Mapping[str, NodeState]
) -> tuple[dict[str, Any], tuple[LargeInput, ...]]:
    """Return what edges map to a node, and what of it rests elsewhere: null stands for that."""
    mapped: dict[str, Any] = {}
    large: dict[str, LargeInput] = {}
    for index in node.incoming:
        edge = plan.edges[index]
        state = states[edge.source]
        if not edge.mapping or edge.type is EdgeType.TRIGGERS:
            continue
        if state.status is not NodeStatus.COMPLETED or state.output is None:
            continue
        for path, name in edge.mapping.items():
            try:
                mapped[name] = contracts.get_path(output_of(plan, edge.source, states), path)
            except KeyError:
                raise InputError(
                    f"dataMapping of the edge {edge.source} → {edge.target}: the output of"
                    f" {edge.source} has no {path!r}"
                ) from None
            large.pop(name, None)  # as the value, the last edge's
            if state.output_ref is not None:
                execution = state.execution_id or ""
                large[name] = LargeInput("inputs", name, edge.source, execution, path)
    return mapped, tuple(large.values())
