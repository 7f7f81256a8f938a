"""WorkflowDAG: the graph of a definition, and everything that can be said of it before a run.

Built once per definition, on networkx; the engine keeps what it needs of it as plain maps
(`podium.engine.plan`). All problems of a definition are reported in one go, each with its path.

networkx is loaded when one of its algorithms is asked for: that takes longer than all checks of
most definitions, which need only an order of the nodes.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any

from podium import contracts, executors, expressions
from podium.api.names import ID_PATTERN, is_id
from podium.api.problems import Path, Problem, Severity
from podium.api.workflow import MAX_EDGES, Edge, EdgeType, Node, WorkflowSpec

__all__ = ["NEAREST", "DagEdge", "WorkflowDAG", "nearest_ancestors"]

NEAREST = 200
"""How many ancestors' outputs are delivered without being named: a chain of thousands of nodes
would otherwise hand the whole run to each node (semantics.md 2)."""
_HINT_COMPARISONS = 50_000
"""Names that hints may be sought among, in all: half a second. A graph of thousands of nodes whose
edges all name unknown ones would take minutes, and the operator with it."""
_HINT_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
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


@dataclass
class _Declared:
    """Which output fields a node declares."""

    fields: frozenset[str]
    closed: bool
    """Whether nothing else can be in the output."""


class WorkflowDAG:
    """A directed graph of workflow nodes, acyclic once `problems` finds no error.

    `nodes` maps ids to nodes in the order of the definition, `edges` holds the edges of `edges`
    and of `dependsOn`, in this order.
    """

    def __init__(self, spec: WorkflowSpec | None = None) -> None:
        self.spec = spec
        self.nodes: dict[str, Node] = {}
        self.edges: list[DagEdge] = []
        self._node_paths: dict[str, Path] = {}
        self._structure: list[Problem] = []
        self._edge_keys: dict[tuple[str, str, str], Path] = {}
        self._nodes_given = 0
        self._refused: list[DagEdge] = []
        self._hints_left = _HINT_COMPARISONS
        if spec is None:
            return
        for position, node in enumerate(spec.nodes):
            self.add_node(node, path=("nodes", position))
        for position, edge in enumerate(spec.edges):
            self.add_edge(edge, path=("edges", position))
        for position, node in enumerate(spec.nodes):
            for place, source in enumerate(node.depends_on):
                path = ("nodes", position, "dependsOn", place)
                edge = Edge(from_=source, to=node.id)
                if self._node_paths[node.id] == path[:2]:
                    self.add_edge(edge, path=path)
                else:  # A second node of one id: as edges of the first they would tell of cycles.
                    self._are_known(edge, path)

    # Building

    def add_node(self, node: Node, *, path: Path | None = None) -> None:
        """Add a node. A second one of the same id is a problem, and the first one stays."""
        path = ("nodes", self._nodes_given) if path is None else path
        self._nodes_given += 1
        if not is_id(node.id):
            self._structure.append(Problem((*path, "id"), _bad_id(node.id)))
        if node.id in self.nodes:
            first = self._node_paths[node.id]
            self._structure.append(
                Problem(
                    (*path, "id"),
                    f"duplicate node id {node.id!r}: the node at position {first[-1]} has it too;"
                    " give each node an id of its own",
                )
            )
            return
        self.nodes[node.id] = node
        self._node_paths[node.id] = path
        self._forget()

    def add_edge(self, edge: Edge, *, path: Path | None = None) -> None:
        """Add an edge between nodes that are there. What is wrong with it is a problem."""
        path = ("edges", len(self.edges) + len(self._refused)) if path is None else path
        sound = self._are_known(edge, path)
        if edge.from_ == edge.to and sound:
            self._structure.append(
                Problem(path, f"node {edge.to!r} depends on itself: remove this edge")
            )
            sound = False
        key = (edge.from_, edge.to, edge.type.value)
        if sound and key in self._edge_keys:
            self._structure.append(
                Problem(
                    path,
                    f"duplicate edge {edge.from_} → {edge.to} ({edge.type.value}): it stands"
                    " already in edges or dependsOn; remove one",
                )
            )
            sound = False
        if sound:
            self._edge_keys[key] = path
            self.edges.append(DagEdge(len(self.edges), edge, path))
            self._forget()
        else:
            self._refused.append(DagEdge(-1, edge, path))

    def _are_known(self, edge: Edge, path: Path) -> bool:
        """Tell whether both ends are nodes; those that are none are problems."""
        unknown = [
            (n, end) for n, end in (("from", edge.from_), ("to", edge.to)) if end not in self.nodes
        ]
        for name, end in unknown:
            place = path if "dependsOn" in path else (*path, name)
            message = f"unknown node {end!r}" + self.did_you_mean(end, self.nodes)
            self._structure.append(Problem(place, message))
        return not unknown

    def did_you_mean(self, name: str, known: Iterable[str]) -> str:
        """Say which name was probably meant, as long as the comparisons for that are few."""
        import difflib  # noqa: PLC0415 - only on the way to an error

        names = list(known)
        self._hints_left -= len(names)
        if self._hints_left < 0 or len(name) > _HINT_CHARACTERS:
            return ""
        close = difflib.get_close_matches(name, names, n=1)
        return f"; did you mean {close[0]!r}?" if close else ""

    # Questions about the graph

    def _forget(self) -> None:
        """Drop what was derived before the graph grew."""
        for derived in ("_graph", "_position", "_visible"):
            self.__dict__.pop(derived, None)

    @cached_property
    def _graph(self) -> Any:
        """The graph for networkx: a `DiGraph`."""
        graph = _networkx().DiGraph()
        graph.add_nodes_from(self.nodes)
        graph.add_edges_from((edge.source, edge.target) for edge in self.edges)
        return graph

    def _order(self) -> list[str]:
        """Return the nodes, each after those before it. Raises `CycleError`."""
        sources: dict[str, list[str]] = {node: [] for node in self.nodes}
        for edge in self.edges:
            sources[edge.target].append(edge.source)
        return list(TopologicalSorter(sources).static_order())

    def entry_points(self) -> list[str]:
        """Return the ids of the nodes without incoming edges."""
        targets = {edge.target for edge in self.edges}
        return [node for node in self.nodes if node not in targets]

    def levels(self) -> list[list[str]]:
        """Return the nodes by their longest distance from an entry point.

        For people and pictures: a node starts when its join allows, not when its level does.
        Raises `networkx.NetworkXUnfeasible` on a graph with a cycle.
        """
        order = {node: position for position, node in enumerate(self.nodes)}
        generations = _networkx().topological_generations(self._graph)
        return [sorted(level, key=order.__getitem__) for level in generations]

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
        """Return one cycle of each knot of the graph, as `[a, b, c]` for a → b → c → a."""
        try:
            self._order()
        except CycleError:
            return self._knots()
        return []

    def _knots(self) -> list[list[str]]:
        nx = _networkx()
        order = {node: position for position, node in enumerate(self.nodes)}
        found = []
        for knot in nx.strongly_connected_components(self._graph):
            if len(knot) > 1:
                start = min(knot, key=order.__getitem__)
                edges = nx.find_cycle(self._graph.subgraph(knot), start)
                cycle = [source for source, _ in edges]
                turn = cycle.index(min(cycle, key=order.__getitem__))
                found.append(cycle[turn:] + cycle[:turn])
        return sorted(found, key=lambda cycle: order[cycle[0]])

    def sees(self, node: str, other: str) -> bool:
        """Tell whether `other` is an ancestor of `node` along depends_on edges."""
        return bool(self._visible[node] >> self._position[other] & 1)

    @cached_property
    def _position(self) -> dict[str, int]:
        return {node: position for position, node in enumerate(self.nodes)}

    @cached_property
    def _visible(self) -> dict[str, int]:
        """Ancestors along depends_on, as bit sets: 5,000 nodes take 3 MB, not 25,000,000 ids."""
        sources: dict[str, list[str]] = {node: [] for node in self.nodes}
        for dag_edge in self.edges:
            if dag_edge.edge.type is EdgeType.DEPENDS_ON:
                sources[dag_edge.target].append(dag_edge.source)
        visible: dict[str, int] = {}
        for node in self._order():
            bits = 0
            for source in sources[node]:
                bits |= visible[source] | 1 << self._position[source]
            visible[node] = bits
        return visible

    # Validation

    def validate(self) -> list[str]:
        """Return the problems as text; empty if the graph is sound."""
        return [str(problem) for problem in self.problems()]

    def problems(self, base: Path = ("spec",)) -> list[Problem]:
        """Return all that is wrong with the definition, errors and warnings.

        Paths begin with `base`. What needs a sound graph (ancestors) is left out while the graph
        is not.
        """
        found = list(self._structure)
        found += self._graph_problems()
        sound = not any(problem.severity is Severity.ERROR for problem in found)
        if self.spec is not None:
            found += _Checks(self, self.spec, sound=sound).run()
        return [
            Problem((*base, *problem.path), problem.message, problem.severity) for problem in found
        ]

    def _graph_problems(self) -> Iterator[Problem]:
        if len(self.edges) > MAX_EDGES:
            yield Problem(
                ("edges",),
                f"the graph has {len(self.edges):,} edges, those of dependsOn included, and"
                f" {MAX_EDGES:,} is the limit: let one node gather what many others depend on",
            )
        for cycle in self.cycles():
            shown = cycle if len(cycle) <= 20 else [*cycle[:10], "…", *cycle[-9:]]
            way = " → ".join([*shown, cycle[0]])
            yield Problem(
                self._node_paths[cycle[0]],
                f"cycle: {way}; a workflow has none: remove one of these edges",
            )
        if self.edges:
            joined = {end for edge in self.edges for end in (edge.source, edge.target)}
            for node in self.nodes:
                if node not in joined:
                    yield Problem(
                        self._node_paths[node],
                        f"node {node!r} is isolated: no edge leads to it or from it",
                        Severity.WARNING,
                    )


class _Checks:
    """What can be wrong beyond the shape of the graph: conditions, contracts, configs."""

    def __init__(self, dag: WorkflowDAG, spec: WorkflowSpec, *, sound: bool) -> None:
        self.dag = dag
        self.spec = spec
        self.sound = sound
        self.found: list[Problem] = []
        self.outputs: dict[str, _Declared] = {}
        self.mapped: dict[str, set[str]] = {}
        for dag_edge in dag.edges:
            names = self.mapped.setdefault(dag_edge.target, set())
            names.update(dag_edge.edge.data_mapping.values())
        inputs = spec.inputs or {}
        properties = inputs.get("properties")
        self.declared_context = {
            **dict.fromkeys(properties if isinstance(properties, Mapping) else {}, "inputs"),
            **dict.fromkeys(spec.global_context, "globalContext"),
        }
        self.context_closed = _is_closed(inputs)

    def run(self) -> list[Problem]:
        if self.spec.inputs is not None:
            self._schema(("inputs",), self.spec.inputs)
        for node in self.dag.nodes.values():
            self._node(self.dag._node_paths[node.id], node)  # noqa: SLF001
        for dag_edge in self.dag.edges:
            self._edge(dag_edge)
        for dag_edge in self.dag._refused:  # noqa: SLF001
            if dag_edge.edge.condition is not None:
                self._condition((*dag_edge.path, "condition"), dag_edge.edge.condition)
        return self.found

    def _error(self, path: Path, message: str) -> None:
        self.found.append(Problem(path, message))

    def _warning(self, path: Path, message: str) -> None:
        self.found.append(Problem(path, message, Severity.WARNING))

    def _schema(self, path: Path, schema: Mapping[str, Any]) -> None:
        for problem in contracts.schema_problems(schema):
            place = f" (at {problem.path})" if problem.path else ""
            self._error(path, f"no valid JSON Schema: {problem.message}{place}")

    def _node(self, path: Path, node: Node) -> None:
        self._executor(path, node)
        if node.condition is not None:
            self._condition((*path, "condition"), node.condition, node=node.id)
        if node.output_contract is not None and node.output_contract.schema_ is not None:
            self._schema((*path, "outputContract", "schema"), node.output_contract.schema_)
        contract = node.input_contract
        if contract is None:
            return
        here = (*path, "inputContract")
        if contract.schema_ is not None:
            self._schema((*here, "schema"), contract.schema_)
        for position, name in enumerate(contract.required_fields):
            self._required_field((*here, "requiredFields", position), node, name)
        for position, name in enumerate(contract.include):
            self._ancestor((*here, "include", position), node.id, name)

    def _executor(self, path: Path, node: Node) -> None:
        if node.executor is None:
            known = ", ".join(executors.names())
            self._error((*path, "executor"), f"is missing: name one of {known}")
            return
        executor = executors.get(node.executor)
        if executor is None:
            known = ", ".join(executors.names())
            self._error(
                (*path, "executor"), f"unknown executor {node.executor!r}: known are {known}"
            )
            return
        for problem in executor.validate(node):
            self.found.append(Problem((*path, *problem.path), problem.message, problem.severity))
        for place, text in _strings(executor.expandable(node.config)):
            if not expressions.has_template(text):
                continue
            where = (*path, "config", *place)
            try:
                template = expressions.parse_template(text)
            except expressions.ExpressionError as error:
                self._error(where, str(error))
                continue
            self._references(where, template.references, node=node.id)

    def _condition(
        self, path: Path, source: str, *, node: str | None = None, edge: DagEdge | None = None
    ) -> None:
        try:
            expression = expressions.parse(source)
        except expressions.ExpressionError as error:
            self._error(path, str(error))
            return
        self._references(path, expression.references, node=node, edge=edge)

    def _references(
        self,
        path: Path,
        references: Iterable[expressions.Reference],
        *,
        node: str | None = None,
        edge: DagEdge | None = None,
    ) -> None:
        for reference in references:
            if reference.path[0] in ("item", "index"):
                self._error(path, f"{reference.path[0]!r} is known only inside a map over a list")
            if len(reference.path) < 2 or reference.path[0] != "context":
                continue
            name = str(reference.path[1])
            rest = tuple(str(part) for part in reference.path[2:])
            if edge is not None:
                self._edge_name(path, edge, name, rest)
            elif node is not None:
                self._node_name(path, node, name, rest)

    def _node_name(self, path: Path, node: str, name: str, rest: tuple[str, ...]) -> None:
        """Check `context.NAME` on a node: a node id, then a context key."""
        if name in self.dag.nodes:
            if name in self.declared_context:
                self._two_meanings(
                    path, name, "a node id", f"a key of {self.declared_context[name]}"
                )
            elif self._ancestor(path, node, name):
                self._output_field(path, name, rest)
        else:
            self._context_key(path, name)

    def _edge_name(self, path: Path, edge: DagEdge, name: str, rest: tuple[str, ...]) -> None:
        """Check `context.NAME` on an edge: an output field, then a node id, then a context key."""
        declared = self._declared(edge.source)
        meanings = []
        if name in declared.fields:
            meanings.append(f"an output field of {edge.source!r}")
        if name in self.dag.nodes:
            meanings.append("a node id")
        if name in self.declared_context:
            meanings.append(f"a key of {self.declared_context[name]}")
        if len(meanings) > 1:
            self._two_meanings(path, name, *meanings[:2])
        elif name in self.dag.nodes:
            if name != edge.source and self.sound and not self.dag.sees(edge.source, name):
                self._error(
                    path,
                    f"names node {name!r}, which is no ancestor of {edge.source!r} along"
                    " depends_on edges: an edge's condition sees its source and what is before it",
                )
            else:
                self._output_field(path, name, rest)
        elif name not in declared.fields and declared.closed:
            self._context_key(path, name)

    def _two_meanings(self, path: Path, name: str, one: str, other: str) -> None:
        self._error(path, f"context.{name} has two meanings, {one} and {other}: rename one of them")

    def _context_key(self, path: Path, name: str) -> None:
        if name in self.declared_context or not self.context_closed:
            return
        hint = self.dag.did_you_mean(name, [*self.declared_context, *self.dag.nodes])
        self._error(
            path, f"names {name!r}, which is neither a node nor a key of inputs (closed){hint}"
        )

    def _ancestor(self, path: Path, node: str, name: str) -> bool:
        if name not in self.dag.nodes:
            hint = self.dag.did_you_mean(name, self.dag.nodes)
            self._error(path, f"unknown node {name!r}{hint}")
            return False
        if name == node:
            self._error(path, f"names node {name!r} itself: a node sees what is before it")
            return False
        if self.sound and not self.dag.sees(node, name):
            remedy = f"add {name!r} to dependsOn of {node!r} or of a node before it"
            if self.dag.sees(name, node):
                remedy = "it comes after, and a node sees what is before it"
            self._error(
                path,
                f"names node {name!r}, which is no ancestor of {node!r} along depends_on edges:"
                f" {remedy}",
            )
            return False
        return True

    def _required_field(self, path: Path, node: Node, field_path: str) -> None:
        first, *rest = field_path.split(".")
        if first in self.mapped.get(node.id, ()):
            return
        if first in self.dag.nodes:
            if self._ancestor(path, node.id, first):
                self._output_field(path, first, tuple(rest))
        else:
            self._context_key(path, first)

    def _output_field(self, path: Path, node: str, rest: tuple[str, ...]) -> None:
        """Check that a node can produce a field; what its schema leaves open is a warning."""
        if not rest:
            return
        declared = self._declared(node)
        if rest[0] in declared.fields or not (declared.fields or declared.closed):
            return
        message = f"names field {rest[0]!r}, which {node!r} does not declare in its outputContract"
        hint = self.dag.did_you_mean(rest[0], declared.fields)
        if declared.closed:
            self._error(path, message + " (closed schema)" + hint)
        else:
            self._warning(path, message + hint)

    def _declared(self, node: str) -> _Declared:
        if node not in self.outputs:
            self.outputs[node] = _declared(self.dag.nodes[node])
        return self.outputs[node]

    def _edge(self, dag_edge: DagEdge) -> None:
        edge, path = dag_edge.edge, dag_edge.path
        if edge.condition is not None:
            self._condition((*path, "condition"), edge.condition, edge=dag_edge)
        if edge.data_mapping and edge.type is EdgeType.TRIGGERS:
            self._error(
                (*path, "dataMapping"),
                "an edge of type triggers brings no data: use produces_for or depends_on",
            )
        taken: dict[str, str] = {}
        for output_path, name in edge.data_mapping.items():
            here = (*path, "dataMapping", output_path)
            if (other := taken.setdefault(name, output_path)) != output_path:
                self._error(here, f"{other!r} is mapped to {name!r} already: take another name")
            self._output_field(here, edge.from_, tuple(output_path.split(".")))
            if not name or "." in name:
                self._error(here, f"{name!r} is no input name: use one word without dots")


def _networkx() -> Any:
    import networkx as nx  # noqa: PLC0415 - see the module's docstring

    return nx


def nearest_ancestors(
    sources: Mapping[str, tuple[str, ...]], node: str, most: int = NEAREST
) -> list[str]:
    """Return up to `most` ancestors along `sources` (direct ones by node), the nearest first."""
    found = list(dict.fromkeys(sources[node]))
    seen = set(found)
    for ancestor in found:  # grows meanwhile
        if len(found) >= most:
            break
        for source in sources[ancestor]:
            if source not in seen:
                seen.add(source)
                found.append(source)
    return found[:most]


def _declared(node: Node) -> _Declared:
    contract = node.output_contract
    if contract is None:
        return _Declared(frozenset(), closed=False)
    schema = contract.schema_ or {}
    properties = schema.get("properties")
    names = set(properties) if isinstance(properties, Mapping) else set()
    return _Declared(
        frozenset(names | {name.split(".")[0] for name in contract.produces}),
        closed=_is_closed(schema),
    )


def _is_closed(schema: Mapping[str, Any]) -> bool:
    return schema.get("additionalProperties") is False and "patternProperties" not in schema


def _strings(value: object, path: Path = ()) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _strings(item, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from _strings(item, (*path, position))


def _bad_id(identifier: str) -> str:
    return (
        f"{identifier!r:.80} is no node id: use {ID_PATTERN}, that is a letter or _ first, then"
        " letters, digits, _ and -, 63 characters at most"
    )
