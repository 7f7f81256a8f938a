"""Graphs as text: levels for a terminal, Mermaid, Graphviz' dot."""

import re
from collections.abc import Iterable, Iterator, Mapping

from podium.api.run import NodeState, NodeStatus
from podium.api.workflow import EdgeType
from podium.cli.output import escape_control
from podium.dag import DagEdge, WorkflowDAG

__all__ = ["ascii_levels", "dot", "mermaid"]

_COLORS = {
    NodeStatus.RUNNING: "#cfe2ff",
    NodeStatus.COMPLETED: "#d1e7dd",
    NodeStatus.FAILED: "#f8d7da",
    NodeStatus.SKIPPED: "#e2e3e5",
    NodeStatus.CANCELLED: "#fff3cd",
}


def ascii_levels(
    dag: WorkflowDAG, states: Mapping[str, NodeState], width: int | None = None
) -> Iterator[str]:
    """Draw a graph by levels, a node a line, with what comes before it.

    Lines are broken at `width` columns; None: never.
    """
    ids = min(max(len(node) for node in dag.nodes), 40)
    words = max(len(_word(states.get(node))) for node in dag.nodes)
    incoming: dict[str, list[DagEdge]] = {node: [] for node in dag.nodes}
    for edge in dag.edges:
        incoming[edge.target].append(edge)
    levels = dag.levels()
    places = len(str(len(levels)))
    for number, level in enumerate(levels, start=1):
        for position, node in enumerate(level):
            place = f"{number:>{places}}" if position == 0 else " " * places
            start = f"{place}  {node:<{ids}}"
            if words:
                start += f"  {_word(states.get(node)):<{words}}"
            condition, each = dag.nodes[node].condition, dag.nodes[node].for_each
            own = [f"for each {each}"] if each is not None else []
            own += [f"if {condition}"] if condition else []
            pieces = [*_before(incoming[node]), *own]
            for line in _broken(start, [escape_control(piece) for piece in pieces], width):
                yield escape_control(line.rstrip())


def _broken(start: str, pieces: Iterable[str], width: int | None) -> Iterator[str]:
    """Put pieces beside `start`, in as many lines as it takes; under it where there is no room."""
    indent = len(start)
    if width is not None and indent > width // 2:
        indent = min(6, width // 4)
    line = start
    for piece in pieces:
        gap = " " if line.endswith(",") or piece[0] in "([" else "  "
        full = width is not None and len(line) + len(gap) + len(piece) > width
        if full and len(line) > indent:
            yield line
            line, gap = " " * indent, "  "
        line += gap + piece
    yield line


def _word(state: NodeState | None) -> str:
    return "" if state is None else state.status.value


def _label(edge: DagEdge) -> str:
    """Return what must hold for an edge to be active: its route, its condition."""
    route = f"route {edge.edge.route}" if edge.edge.route is not None else ""
    return ", ".join(part for part in (route, edge.edge.condition or "") if part)


def _before(edges: list[DagEdge]) -> Iterator[str]:
    """Give what comes before a node, in pieces between which a line may be broken."""
    for position, edge in enumerate(edges):
        pieces = [edge.source if position else f"<- {edge.source}"]
        if edge.edge.type is not EdgeType.DEPENDS_ON:
            pieces.append(f"({edge.edge.type.value})")
        if label := _label(edge):
            pieces.append(f"[{label}]")
        if position < len(edges) - 1:
            pieces[-1] += ","
        yield from pieces


def mermaid(dag: WorkflowDAG, states: Mapping[str, NodeState]) -> Iterator[str]:
    """Write a graph as a Mermaid flowchart."""
    yield "flowchart TD"
    names = {node: f"n{position}" for position, node in enumerate(dag.nodes)}
    for node, definition in dag.nodes.items():
        label = _entities(definition.title or node)
        if definition.for_each is not None:
            label += f"<br/>{_entities(f'for each {definition.for_each}')}"
        if word := _word(states.get(node)):
            label += f"<br/>{word}"
        yield f'  {names[node]}["{label}"]'
    for edge in dag.edges:
        arrow = "-->" if edge.edge.type is EdgeType.DEPENDS_ON else "-.->"
        label = f'|"{_entities(_label(edge))}"|' if _label(edge) else ""
        yield f"  {names[edge.source]} {arrow}{label} {names[edge.target]}"
    for group, member in _first_members(dag):
        yield f"  {names[group]} -.- {names[member]}"
    for node, state in states.items():
        if node in names and state.status in _COLORS:
            yield f"  style {names[node]} fill:{_COLORS[state.status]}"


def _first_members(dag: WorkflowDAG) -> Iterator[tuple[str, str]]:
    """Return groups with the members that begin with them."""
    later = {edge.target for edge in dag.edges}
    return ((group, node) for node, group in dag.groups.items() if node not in later)


# Mermaid reads labels as HTML and as Markdown: `1. x` would be a list, `_x_` slanted.
_KEPT = re.compile(r"(?<=[^\W_])[-._]+(?=[^\W_])|[^\W_]|[ ,:/=()]")


def _entities(text: str) -> str:
    """Write a string so that Mermaid shows it as it is, in one line."""
    text = escape_control(" ".join(text.split()))
    found, end = "", 0
    for kept in _KEPT.finditer(text):
        found += "".join(f"#{ord(each)};" for each in text[end : kept.start()]) + kept.group()
        end = kept.end()
    return found + "".join(f"#{ord(each)};" for each in text[end:])


def dot(dag: WorkflowDAG, states: Mapping[str, NodeState]) -> Iterator[str]:
    """Write a graph in the language of Graphviz."""
    yield "digraph workflow {"
    yield '  node [shape=box, style="rounded,filled", fillcolor=white];'
    for node, definition in dag.nodes.items():
        label = definition.title or node
        if definition.for_each is not None:
            label += f"\nfor each {definition.for_each}"
        if word := _word(states.get(node)):
            label += f"\n{word}"
        color = _COLORS.get(states[node].status) if node in states else None
        fill = f", fillcolor={_quoted(color)}" if color else ""
        yield f"  {_quoted(node)} [label={_quoted(label)}{fill}];"
    for edge in dag.edges:
        about = []
        if label := _label(edge):
            about.append(f"label={_quoted(label)}")
        if edge.edge.type is not EdgeType.DEPENDS_ON:
            about.append("style=dashed")
        attributes = f" [{', '.join(about)}]" if about else ""
        yield f"  {_quoted(edge.source)} -> {_quoted(edge.target)}{attributes};"
    for group, member in _first_members(dag):
        yield f"  {_quoted(group)} -> {_quoted(member)} [style=dotted, arrowhead=none];"
    yield "}"


def _quoted(text: str) -> str:
    """Quote a string for Graphviz, which in labels also reads backslashes and HTML's entities."""
    lines = [escape_control(line.replace("\t", " ")) for line in text.split("\n")]
    for special, written in (("\\", "\\\\"), ('"', '\\"'), ("&", "&amp;")):
        lines = [line.replace(special, written) for line in lines]
    return '"' + "\\n".join(lines) + '"'
