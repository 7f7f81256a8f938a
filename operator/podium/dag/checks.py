"""What can be wrong beyond the shape of the graph: conditions, contracts, configs."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from podium import contracts, executors, expressions
from podium.api.problems import Path, Problem, Severity
from podium.api.workflow import EdgeType, Node, WorkflowSpec
from podium.dag.graph import DagEdge, Graph

__all__ = ["DefinitionChecks"]


@dataclass
class _Declared:
    """Which output fields a node declares."""

    fields: frozenset[str]
    closed: bool
    """Whether nothing else can be in the output."""


class DefinitionChecks:
    """One check of a definition whose graph is there; `sound`: the graph has no error."""

    def __init__(self, dag: Graph, spec: WorkflowSpec, *, sound: bool) -> None:
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
            **dict.fromkeys(spec.constants, "constants"),
        }
        self.context_closed = _is_closed(inputs)

    def run(self) -> list[Problem]:
        """Return all that is wrong, errors and warnings."""
        if self.spec.inputs is not None:
            self._schema(("inputs",), self.spec.inputs)
        for node in self.dag.nodes.values():
            self._node(self.dag.node_paths[node.id], node)
        for dag_edge in self.dag.edges:
            self._edge(dag_edge)
        for dag_edge in self.dag.refused:
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
