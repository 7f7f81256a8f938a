"""Graphs as text: levels for a terminal, Mermaid, Graphviz' dot."""

import json
from collections.abc import Iterator, Mapping

from podium.api.run import NodeState, NodeStatus
from podium.api.workflow import EdgeType
from podium.cli.output import plain
from podium.dag import DagEdge, WorkflowDAG

__all__ = ["ascii_levels", "dot", "mermaid"]

_COLORS = {
    NodeStatus.RUNNING: "#cfe2ff",
    NodeStatus.COMPLETED: "#d1e7dd",
    NodeStatus.FAILED: "#f8d7da",
    NodeStatus.SKIPPED: "#e2e3e5",
    NodeStatus.CANCELLED: "#fff3cd",
}


def ascii_levels(dag: WorkflowDAG, states: Mapping[str, NodeState]) -> Iterator[str]:
    """Draw a graph by levels, a node a line, with what comes before it."""
    widest = max(len(node) for node in dag.nodes)
    width = min(widest, 40)
    words = max((len(_word(states.get(node))) for node in dag.nodes), default=0)
    incoming: dict[str, list[DagEdge]] = {node: [] for node in dag.nodes}
    for edge in dag.edges:
        incoming[edge.target].append(edge)
    for number, level in enumerate(dag.levels(), start=1):
        for position, node in enumerate(level):
            place = f"{number:>3}" if position == 0 else "   "
            word = f"  {_word(states.get(node)):<{words}}" if words else ""
            before = ", ".join(_before(edge) for edge in incoming[node])
            line = f"{place}  {node:<{width}}{word}"
            if before:
                line += f"  <- {before}"
            condition = dag.nodes[node].condition
            if condition:
                line += f"  if {condition}"
            yield plain(line.rstrip())


def _word(state: NodeState | None) -> str:
    return "" if state is None else state.status.value


def _before(edge: DagEdge) -> str:
    text = edge.source
    if edge.edge.type is not EdgeType.DEPENDS_ON:
        text += f" ({edge.edge.type.value})"
    if edge.edge.condition:
        text += f" [{edge.edge.condition}]"
    return text


def mermaid(dag: WorkflowDAG, states: Mapping[str, NodeState]) -> Iterator[str]:
    """Write a graph as a Mermaid flowchart."""
    yield "flowchart TD"
    names = {node: f"n{position}" for position, node in enumerate(dag.nodes)}
    for node, definition in dag.nodes.items():
        label = _entity(definition.title or node)
        if word := _word(states.get(node)):
            label += f"<br/>{word}"
        yield f'  {names[node]}["{label}"]'
    for edge in dag.edges:
        arrow = "-->" if edge.edge.type is EdgeType.DEPENDS_ON else "-.->"
        label = f'|"{_entity(edge.edge.condition)}"|' if edge.edge.condition else ""
        yield f"  {names[edge.source]} {arrow}{label} {names[edge.target]}"
    for node, state in states.items():
        if node in names and state.status in _COLORS:
            yield f"  style {names[node]} fill:{_COLORS[state.status]}"


def _entity(text: str) -> str:
    """Write a text so that Mermaid shows it as it is."""
    return "".join(
        character if character.isalnum() or character in " _-.,:/" else f"#{ord(character)};"
        for character in text
    )


def dot(dag: WorkflowDAG, states: Mapping[str, NodeState]) -> Iterator[str]:
    """Write a graph in the language of Graphviz."""
    yield "digraph workflow {"
    yield '  node [shape=box, style="rounded,filled", fillcolor=white];'
    for node, definition in dag.nodes.items():
        label = definition.title or node
        if word := _word(states.get(node)):
            label += f"\n{word}"
        color = _COLORS.get(states[node].status) if node in states else None
        fill = f", fillcolor={_quoted(color)}" if color else ""
        yield f"  {_quoted(node)} [label={_quoted(label)}{fill}];"
    for edge in dag.edges:
        about = []
        if edge.edge.condition:
            about.append(f"label={_quoted(edge.edge.condition)}")
        if edge.edge.type is not EdgeType.DEPENDS_ON:
            about.append("style=dashed")
        told = f" [{', '.join(about)}]" if about else ""
        yield f"  {_quoted(edge.source)} -> {_quoted(edge.target)}{told};"
    yield "}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
