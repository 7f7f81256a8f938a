"""Members of groups: a graph inside a node, whose nodes have paths as ids (`group.member`).

A definition nests them; a graph holds them all in one map, and knows the group of each.
"""

from collections.abc import Container, Iterable, Iterator
from typing import TYPE_CHECKING

from podium.api.names import COMPENSATION, MAX_PATH, compensated_path
from podium.api.problems import Path, Problem
from podium.api.workflow import (
    MAX_GROUP_DEPTH,
    ArtifactInput,
    Edge,
    Node,
    NodeType,
    WorkflowSpec,
)

if TYPE_CHECKING:
    from podium.dag.graph import DagEdge

__all__ = ["Members", "dotted_edge", "placed_edges", "placed_nodes"]

_INDEX = "[99999]"
"""What the path of an item has after that of its map."""


def placed_nodes(spec: WorkflowSpec) -> Iterator[tuple[Path, Node, str]]:
    """Return all nodes with their places and their groups, each group before its members.

    The id of a member is its path.
    """
    for name, nodes in (("nodes", spec.nodes), ("finally", spec.finally_)):
        yield from _nodes((name,), nodes, "")


def _nodes(path: Path, nodes: list[Node], group: str) -> Iterator[tuple[Path, Node, str]]:
    for position, node in enumerate(nodes):
        here = (*path, position)
        own = node.model_copy(update={"id": f"{group}.{node.id}"}) if group else node
        yield here, own, group
        if _has_members(node) and own.id.count(".") < MAX_GROUP_DEPTH:
            yield from _nodes((*here, "nodes"), node.nodes, own.id)


def placed_edges(spec: WorkflowSpec) -> Iterator[tuple[Path, Edge, str]]:
    """Return the edges of all `edges` with their places and their groups, as they are written."""
    for position, edge in enumerate(spec.edges):
        yield ("edges", position), edge, ""
    for where, node, _ in placed_nodes(spec):
        if _has_members(node) and node.id.count(".") < MAX_GROUP_DEPTH:
            for position, edge in enumerate(node.edges):
                yield (*where, "edges", position), edge, node.id


def _has_members(node: Node) -> bool:
    return node.type is NodeType.PARALLEL_GROUP


def dotted_edge(edge: Edge, group: str) -> Edge:
    """Return an edge of a group with the paths of its ends."""
    return edge.model_copy(update={"from_": f"{group}.{edge.from_}", "to": f"{group}.{edge.to}"})


class Members:
    """Which node is a member of which group; part of a graph."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.node_paths: dict[str, Path] = {}
        """Position of each node in the definition."""
        self.groups: dict[str, str] = {}
        """The group of each member."""
        self.members: dict[str, list[str]] = {}
        """The direct members of each group that has some."""
        self.compensations: dict[str, Node] = {}
        """Compensations of nodes as nodes, by their paths: no edge leads to or from one."""

    def around(self, node: str) -> Iterator[str]:
        """Return the groups that a node is in, the nearest first."""
        while (group := self.groups.get(node)) is not None:
            yield group
            node = group

    def within(self, group: str) -> Iterator[str]:
        """Return everything in a group, each nested group before its members."""
        for member in self.members.get(group, ()):
            yield member
            yield from self.within(member)

    def resolve(self, viewer: str | None, name: str) -> str:
        """Return the node that a name means where `viewer` is: a sibling, or one farther out."""
        viewer = None if viewer is None else self.undone_by(viewer)
        if viewer is not None and viewer in self.groups:
            for group in self.around(viewer):
                if (found := f"{group}.{name}") in self.nodes:
                    return found
        return name

    def undone_by(self, node: str) -> str:
        """Return the node that a compensation is of, any other node itself."""
        return (compensated_path(node) or node) if node in self.compensations else node

    def resolve_artifacts(self) -> None:
        """Have the artifacts that members need name their nodes by paths."""
        for member in self.groups:
            artifacts = self.nodes[member].artifacts
            if artifacts is not None and artifacts.in_:
                needed = [self._with_path(member, each) for each in artifacts.in_]
                artifacts = artifacts.model_copy(update={"in_": needed})
                self.nodes[member] = self.nodes[member].model_copy(update={"artifacts": artifacts})

    def _with_path(self, member: str, artifact: ArtifactInput) -> ArtifactInput:
        node, dot, name = artifact.from_.rpartition(".")
        return artifact.model_copy(update={"from_": f"{self.resolve(member, node)}{dot}{name}"})

    def name_of(self, node: str, viewer: str | None) -> str:
        """Return the name by which a node is known where it can be read: a member's is its own."""
        return node.rpartition(".")[2] if viewer is not None and node in self.groups else node

    def seen_from(self, viewer: str, node: str) -> str:
        """Return what of a node is in the graph of `viewer` or in one around it.

        The node itself, or the outermost of its groups that `viewer` is not in.
        """
        around = {viewer, *self.around(viewer)}
        seen = node
        for group in self.around(node):
            if group in around:
                break
            seen = group
        return seen

    def nested_levels(
        self, order: Iterable[str], edges: Iterable["DagEdge"], last: Container[str]
    ) -> list[list[str]]:
        """Return the nodes by levels; what follows a group comes after all of its members."""
        sources: dict[str, list[str]] = {}
        for edge in edges:
            sources.setdefault(edge.target, []).append(edge.source)
        graphs: dict[str, list[str]] = {}
        for node in order:
            graphs.setdefault(self.groups.get(node, ""), []).append(node)
        levels: dict[str, int] = {}
        ends: dict[str, int] = {}

        def place(graph: str, first: int) -> int:
            end = first - 1
            for node in graphs.get(graph, ()):
                before = [ends[source] + 1 for source in sources.get(node, ())]
                levels[node] = max([first, *before])
                ends[node] = place(node, levels[node] + 1) if node in graphs else levels[node]
                end = max(end, ends[node])
            return end

        count = place("", 0) + 1
        found: list[list[str]] = [[] for _ in range(2 * count)]
        for node in self.nodes:
            found[levels[node] + (count if node in last else 0)].append(node)
        return [level for level in found if level]

    def nesting_problems(self) -> Iterator[Problem]:
        """Find groups that are nested too deep, and members whose paths are too long."""
        for node, definition in self.nodes.items():
            if _has_members(definition) and node.count(".") >= MAX_GROUP_DEPTH:
                message = f"groups may be nested {MAX_GROUP_DEPTH} deep: this one is deeper"
                yield Problem((*self.node_paths[node], "nodes"), message)
            elif len(node) > (most := _longest(definition)) and node in self.groups:
                message = (
                    f"the ids of its groups and its own have {len(node)} characters together, and"
                    f" {most} is the limit: shorten them"
                )
                yield Problem((*self.node_paths[node], "id"), message)
            elif node in self.groups and node.endswith(f".{COMPENSATION}"):
                message = f"a member cannot have the id {COMPENSATION!r}: rename it"
                yield Problem((*self.node_paths[node], "id"), message)
        for node in self.compensations:
            if len(node) > MAX_PATH:
                message = (
                    f"its path has {len(node)} characters, and {MAX_PATH} is the limit: shorten the"
                    " ids of its node and of the groups around it"
                )
                yield Problem(self.node_paths[node], message)


def _longest(node: Node) -> int:
    """Return how many characters the path of a node may have."""
    return MAX_PATH - (len(_INDEX) if node.for_each is not None else 0)
