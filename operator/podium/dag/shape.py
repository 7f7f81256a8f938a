"""What is wrong with the shape of a graph, once all of it is known."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from podium.api.names import ID_PATTERN
from podium.api.problems import Problem, Severity
from podium.api.workflow import MAX_EDGES, MAX_NODES, Edge

if TYPE_CHECKING:
    from podium.dag.graph import Graph

__all__ = ["bad_id", "duplicate_edge", "problems_of_shape", "unknown_end"]


def problems_of_shape(graph: "Graph") -> Iterator[Problem]:
    """Find too many edges or nodes, cycles, groups nested too deep, and isolated nodes."""
    if len(graph.edges) > MAX_EDGES:
        yield Problem(
            ("edges",),
            f"the graph has {len(graph.edges):,} edges, those of dependsOn included, and"
            f" {MAX_EDGES:,} is the limit: let one node gather what many others depend on",
        )
    for cycle in graph.cycles():
        shown = cycle if len(cycle) <= 20 else [*cycle[:10], "…", *cycle[-9:]]
        way = " → ".join([*shown, cycle[0]])
        yield Problem(
            graph.node_paths[cycle[0]],
            f"cycle: {way}; a workflow has none: remove one of these edges",
        )
    total = len(graph.nodes) + len(graph.compensations)
    if (graph.finally_nodes or graph.groups or graph.compensations) and total > MAX_NODES:
        what = "with these" if graph.finally_nodes else "with the members of groups"
        what = "with their compensations" if graph.compensations else what
        yield Problem(
            ("finally",) if graph.finally_nodes else ("nodes",),
            f"the graph has {total:,} nodes {what}, and {MAX_NODES:,} is the limit: leave some out",
        )
    yield from graph.nesting_problems()
    joined = {end for edge in graph.edges for end in (edge.source, edge.target)}
    if not joined <= graph.finally_nodes.keys() | graph.groups.keys():
        for node in graph.nodes:
            if node not in joined and node not in graph.finally_nodes and node not in graph.groups:
                yield Problem(
                    graph.node_paths[node],
                    f"node {node!r} is isolated: no edge leads to it or from it",
                    Severity.WARNING,
                )


def duplicate_edge(edge: Edge, *, is_same: bool) -> str:
    """Describe an edge that is there already."""
    if is_same:
        route = "" if edge.route is None else f", route {edge.route!r:.80}"
        return (
            f"duplicate edge {edge.from_} → {edge.to} ({edge.type.value}{route}): it is already in"
            " edges or dependsOn; remove one"
        )
    return (
        f"{edge.from_} → {edge.to} ({edge.type.value}) is there with a route and, in edges or"
        " dependsOn, without one, which is active for every route: remove one"
    )


def bad_id(identifier: str) -> str:
    """Describe an id that is none."""
    return (
        f"{identifier!r:.80} is not a node id: use {ID_PATTERN}, that is a letter or _ first, then"
        " letters, digits, _ and -, 63 characters at most"
    )


def unknown_end(graph: "Graph", end: str, group: str) -> str:
    """Describe an end of an edge of a group that is no node of it."""
    if group and end in graph.nodes:
        return (
            f"{end!r:.80} is not a member of the group {group!r}: no edge crosses its border;"
            f" let {group!r} follow, or be followed by, what is outside"
        )
    if end in graph.nodes:
        return (
            f"{end!r:.80} is a member of a group: no edge crosses its border; name the group,"
            f" {end.partition('.')[0]!r:.80}"
        )
    known: Iterable[str] = graph.nodes
    if group:
        known = (each.rpartition(".")[2] for each in graph.members.get(group, ()))
    hint = graph.hints.did_you_mean(end, known)
    of_group = f" in the group {group!r}" if group else ""
    return f"unknown node {end!r}{of_group}{hint}"
