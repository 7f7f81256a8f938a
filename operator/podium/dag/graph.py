"""The graph of a definition: what its edges say, and what is wrong with its shape.

networkx is loaded when one of its algorithms is asked for: that takes longer than all checks of
most definitions, which need only an order of the nodes.
"""

from collections.abc import Container, Generator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any, Self

from podium.api.compensation import compensation_node
from podium.api.names import compensation_path, is_id
from podium.api.problems import Path, Problem
from podium.api.workflow import Edge, EdgeType, Node, WorkflowSpec
from podium.dag.ancestors import cycles
from podium.dag.contracts import with_schemas
from podium.dag.hints import Hints
from podium.dag.members import Members, dotted_edge, placed_edges, placed_nodes
from podium.dag.shape import bad_id, duplicate_edge, problems_of_shape, unknown_end

__all__ = ["DagEdge", "Graph"]


@dataclass(slots=True, eq=False)
class DagEdge:
    """An edge with its place in the definition."""

    index: int
    edge: Edge
    path: Path

    @property
    def source(self) -> str:
        """Id of the node that comes first."""
        return self.edge.from_

    @property
    def target(self) -> str:
        """Id of the node that follows."""
        return self.edge.to


class Graph(Members):
    """A directed graph of workflow nodes.

    `nodes` maps ids to nodes in the order of the definition, `edges` holds the edges of `edges`
    and of `dependsOn`, in this order. Members of groups are nodes too, by their path
    (`group.member`), each after its group.
    """

    def __init__(self, spec: WorkflowSpec | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.edges: list[DagEdge] = []
        self.finally_nodes: dict[str, None] = {}
        """Nodes that run once all others have ended: no edge leads from one to another kind."""
        self._structure: list[Problem] = []
        self._routes: dict[tuple[str, str, str], set[str | None]] = {}
        """Routes of the edges, by source, target and type."""
        self._nodes_given = 0
        self.other_executors: dict[str, bool] = {}
        """Further Executors that there are, for what is said of an unknown one, and whether they
        are sound."""
        self.contract_problems: list[Problem] = []
        """What kept schemas that contracts name from being pinned."""
        self.refused: list[DagEdge] = []
        """Edges that are not part of the graph, because something is wrong with them."""
        self.hints = Hints()
        if spec is not None:
            for _ in self._fill(spec):
                pass

    @classmethod
    def in_slices(cls, spec: WorkflowSpec) -> Generator[None, None, Self]:
        """Make a graph in pieces, between which the caller can do other work."""
        graph = cls()
        graph.spec = spec
        yield from graph._fill(spec)
        return graph

    def _fill(self, spec: WorkflowSpec) -> Generator[None, None, None]:
        for where, node, group in placed_nodes(spec):
            own = with_schemas(node, spec.pinned_schemas) if spec.pinned_schemas else node
            self.add_node(own, path=where, group=group)
            yield
        self.resolve_artifacts()
        for where, edge, group in placed_edges(spec):
            self.add_edge(edge, path=where, group=group)
            yield
        for where, node, group in placed_nodes(spec):
            yield
            for place, source in enumerate(node.depends_on):
                path = (*where, "dependsOn", place)
                edge = Edge.model_construct(from_=source, to=node.id.rpartition(".")[2])
                if self.node_paths[node.id] == where:
                    self.add_edge(edge, path=path, group=group)
                else:  # A second node of one id: as edges of the first they would tell of cycles.
                    self._are_known(edge, path, group)

    # Building

    def add_node(self, node: Node, *, path: Path | None = None, group: str = "") -> None:
        """Add a node. A second one of the same id is a problem, and the first one stays.

        A member of a group has its path as its id.
        """
        path = ("nodes", self._nodes_given) if path is None else path
        self._nodes_given += 1
        self._forget()
        own_id = node.id[len(group) + 1 :] if group else node.id
        if not is_id(own_id):
            self._structure.append(Problem((*path, "id"), bad_id(own_id)))
        if node.id in self.nodes:
            first = self.node_paths[node.id]
            self._structure.append(
                Problem(
                    (*path, "id"),
                    f"duplicate node id {own_id!r}: the node at position {first[-1]} has it too;"
                    " give each node an id of its own",
                )
            )
            return
        self.nodes[node.id] = node
        self.node_paths[node.id] = path
        if group:
            self.groups[node.id] = group
            self.members.setdefault(group, []).append(node.id)
        if path[0] == "finally":
            self.finally_nodes[node.id] = None
        if node.compensation is not None:
            self._add_compensation(node, (*path, "compensation"))

    def _add_compensation(self, node: Node, path: Path) -> None:
        if node.id in self.finally_nodes:
            message = "a node of finally runs after the rollback: leave its compensation out"
            self._structure.append(Problem(path, message))
        elif node.executor is not None:  # else its kind says what is wrong
            made = compensation_path(node.id)
            self.compensations[made] = compensation_node(node)
            self.node_paths[made] = path

    def add_edge(self, edge: Edge, *, path: Path | None = None, group: str = "") -> None:
        """Add an edge between nodes that are there. What is wrong with it is a problem.

        One of a group names members of it.
        """
        path = ("edges", len(self.edges) + len(self.refused)) if path is None else path
        self._forget()
        sound = self._are_known(edge, path, group)
        if group:
            edge = dotted_edge(edge, group)
        if edge.from_ == edge.to and sound:
            self._structure.append(
                Problem(path, f"node {edge.to!r} depends on itself: remove this edge")
            )
            sound = False
        if sound and (edge.from_ in self.finally_nodes) != (edge.to in self.finally_nodes):
            late, other = (edge.from_, edge.to)
            if late not in self.finally_nodes:
                late, other = other, late
            message = (
                f"{late!r} is of finally, whose nodes run once all others have ended, and {other!r}"
                " is not: remove this edge; a node of finally sees the outputs of all others"
            )
            self._structure.append(Problem(path, message))
            sound = False
        routes = self._routes.setdefault((edge.from_, edge.to, edge.type.value), set())
        if sound and routes and (edge.route in routes or None in {edge.route, *routes}):
            self._structure.append(
                Problem(path, duplicate_edge(edge, is_same=edge.route in routes))
            )
            sound = False
        if sound:
            routes.add(edge.route)
            self.edges.append(DagEdge(len(self.edges), edge, path))
        else:
            self.refused.append(DagEdge(-1, edge, path))

    def _are_known(self, edge: Edge, path: Path, group: str = "") -> bool:
        """Return whether both ends are nodes of the edge's graph; others are problems."""
        unknown = [
            (n, end)
            for n, end in (("from", edge.from_), ("to", edge.to))
            if "." in end or (f"{group}.{end}" if group else end) not in self.nodes
        ]
        for name, end in unknown:
            place = path if path[-2:-1] == ("dependsOn",) else (*path, name)
            self._structure.append(Problem(place, unknown_end(self, end, group)))
        return not unknown

    # Questions about the graph

    def _forget(self) -> None:
        """Drop what was derived before the graph grew."""
        for derived in ("_graph", "_position", "_visible", "_before", "shape_problems"):
            self.__dict__.pop(derived, None)

    @cached_property
    def _graph(self) -> Any:
        """The graph for networkx: a `DiGraph`."""
        graph = _networkx().DiGraph()
        graph.add_nodes_from(self.nodes)
        graph.add_edges_from((edge.source, edge.target) for edge in self.edges)
        graph.add_edges_from((group, member) for member, group in self.groups.items())
        return graph

    def _order(self) -> list[str]:
        """Return the nodes, each after those before it and its group. Raises `CycleError`."""
        groups = self.groups
        sources: dict[str, list[str]] = {
            node: [groups[node]] if node in groups else [] for node in self.nodes
        }
        for edge in self.edges:
            sources[edge.target].append(edge.source)
        return list(TopologicalSorter(sources).static_order())

    def entry_points(self) -> list[str]:
        """Return the ids of the nodes without incoming edges."""
        known = (
            {edge.target for edge in self.edges} | self.finally_nodes.keys() | self.groups.keys()
        )
        return [node for node in self.nodes if node not in known]

    def levels(self) -> list[list[str]]:
        """Return the nodes by their longest distance from an entry point.

        For people and pictures: a node starts when its join allows, not when its level does. Those
        of `finally` come last.
        Raises `networkx.NetworkXUnfeasible` on a graph with a cycle.
        """
        if self.groups:
            return self.nested_levels(self._order(), self.edges, self.finally_nodes)
        order = {node: position for position, node in enumerate(self.nodes)}
        levels: list[list[str]] = []
        last: list[list[str]] = []
        for generation in _networkx().topological_generations(self._graph):
            level = sorted(generation, key=order.__getitem__)
            levels.append([node for node in level if node not in self.finally_nodes])
            last.append([node for node in level if node in self.finally_nodes])
        return [level for level in (*levels, *last) if level]

    def dependencies(self, node: str) -> list[str]:
        """Return the ids of the nodes directly before this one."""
        return list(self._graph.predecessors(node))

    def dependents(self, node: str) -> list[str]:
        """Return the ids of the nodes directly after this one."""
        return list(self._graph.successors(node))

    def ancestors(self, node: str) -> set[str]:
        """Return the ids of all nodes before this one."""
        return set(_networkx().ancestors(self._graph, node))

    def descendants(self, node: str) -> set[str]:
        """Return the ids of all nodes after this one."""
        return set(_networkx().descendants(self._graph, node))

    def cycles(self) -> list[list[str]]:
        """Return one cycle of each strongly connected part, as `[a, b, c]` for a → b → c → a."""
        try:
            self._order()
        except CycleError:
            return cycles(self._graph, self._position)
        return []

    def can_read(self, node: str, other: str) -> bool:
        """Return whether `node` may read the output of `other`: an ancestor by depends_on edges.

        For a node of `finally` all others are ancestors. A compensation reads what its node does,
        and that one.
        """
        if other in self.compensations:
            return False
        if node in self.compensations:
            node = self.undone_by(node)
            return node == other or self.can_read(node, other)
        return bool(self._visible[node] >> self._position[other] & 1)

    def visible_count(self, node: str) -> int:
        """Return how many ancestors `node` has along depends_on edges."""
        is_compensation = node in self.compensations
        return self._visible[self.undone_by(node)].bit_count() + is_compensation

    def comes_after(self, node: str, other: str) -> bool:
        """Return whether `other` is an ancestor of `node` along edges of any type.

        A member of a group comes before what its group does, a compensation before nodes of
        `finally`.
        """
        if other in self.compensations:
            return node in self.finally_nodes
        if node in self.compensations:
            node = self.undone_by(node)
            return node == other or self.comes_after(node, other)
        if other in self.groups:
            other = self.seen_from(node, other)
        return bool(self._before[node] >> self._position[other] & 1)

    @cached_property
    def _position(self) -> dict[str, int]:
        return {node: position for position, node in enumerate(self.nodes)}

    @cached_property
    def _visible(self) -> dict[str, int]:
        return self._ancestors_along({EdgeType.DEPENDS_ON})

    @cached_property
    def _before(self) -> dict[str, int]:
        return self._ancestors_along(set(EdgeType))

    def _ancestors_along(self, types: Container[EdgeType]) -> dict[str, int]:
        """Return ancestors as bit sets: 5,000 nodes take 3 MB, not 25,000,000 ids."""
        sources: dict[str, list[str]] = {node: [] for node in self.nodes}
        for dag_edge in self.edges:
            if dag_edge.edge.type in types:
                sources[dag_edge.target].append(dag_edge.source)
        everything = 0
        for node, position in self._position.items():
            if node not in self.finally_nodes and node not in self.groups:
                everything |= 1 << position  # a member is seen through its group
        ancestors: dict[str, int] = {}
        for node in self._order():
            bits = everything if node in self.finally_nodes else 0
            if node in self.groups:
                bits |= ancestors[self.groups[node]]
            for source in sources[node]:
                bits |= ancestors[source] | 1 << self._position[source]
            ancestors[node] = bits
        return ancestors

    # Validation

    @cached_property
    def shape_problems(self) -> list[Problem]:
        """What is wrong with the graph itself: unknown ends, duplicates, cycles, isolated nodes."""
        return [*self._structure, *problems_of_shape(self)]


def _networkx() -> Any:
    import networkx as nx  # noqa: PLC0415 - see the module's docstring

    return nx
