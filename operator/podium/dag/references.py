"""Names in expressions and contracts: whether what they mean can be there (semantics.md 2)."""

from collections.abc import Iterable

from podium import contracts, expressions, kinds
from podium.api.problems import Path, Problem, Severity
from podium.api.workflow import Node, WorkflowSpec
from podium.dag.graph import DagEdge, Graph
from podium.kinds import DeclaredOutput

__all__ = ["ReferenceChecks"]


class ReferenceChecks:
    """The names that a definition knows, and what is wrong with those it uses."""

    def __init__(
        self, dag: Graph, spec: WorkflowSpec, found: list[Problem], *, sound: bool
    ) -> None:
        self.dag = dag
        self.sound = sound
        self.found = found
        self.outputs: dict[str, DeclaredOutput] = {}
        self.mapped: dict[str, set[str]] = {}
        for dag_edge in dag.edges:
            names = self.mapped.setdefault(dag_edge.target, set())
            names.update(dag_edge.edge.data_mapping.values())
        inputs = spec.inputs or {}
        self.declared_context = {
            **dict.fromkeys(contracts.properties_of(inputs), "inputs"),
            **dict.fromkeys(spec.global_context, "globalContext"),
            **dict.fromkeys(spec.constants, "constants"),
        }
        self.context_closed = contracts.is_closed(inputs)

    def _error(self, path: Path, message: str) -> None:
        self.found.append(Problem(path, message))

    def _warning(self, path: Path, message: str) -> None:
        self.found.append(Problem(path, message, Severity.WARNING))

    def check(
        self,
        path: Path,
        references: Iterable[expressions.Reference],
        *,
        node: str | None = None,
        edge: DagEdge | None = None,
        is_of_run: bool = False,
    ) -> None:
        """Check what an expression reads, of a node, of an edge, or of the run, which sees all."""
        for reference in references:
            root, *names = (str(part) for part in reference.path)
            if root in ("item", "index"):
                self._item(path, root, node)
            elif root == "config":
                self._error(path, "'config' is known only in the template of an Executor")
            elif root == "nodes":
                self._status_name(path, reference, node=node, edge=edge)
            elif root == "node" and is_of_run:
                self._error(path, "'node' is known only in fields of a node")
            elif root in expressions.ROOT_FIELDS:
                viewer = edge.target if edge is not None else node
                is_last = viewer in self.dag.finally_nodes or viewer in self.dag.compensations
                self._root_field(path, reference, is_last=is_last)
            elif names and edge is not None:
                self._edge_name(path, edge, names[0], tuple(names[1:]))
            elif names and node is not None:
                self._node_name(path, node, names[0], tuple(names[1:]))
            elif names and is_of_run:
                self._run_name(path, names[0], tuple(names[1:]))

    def _item(self, path: Path, root: str, node: str | None) -> None:
        """Check where `item` or `index` is read: a map knows them in what is of its items."""
        if node is None or self.dag.nodes[node].for_each is None:
            self._error(
                path, f"{root!r} is known only in the condition and config of a node with forEach"
            )
            return
        field = path[len(self.dag.node_paths[node])]
        if field == "forEach":
            self._error(path, f"{root!r} is what forEach makes: it is not known there")
        elif field == "resources" or (field == "pod" and path[-1] in ("claimName", "name")):
            self._error(
                path, f"{root!r} cannot be read here: all items have the same resources and volumes"
            )

    def _root_field(self, path: Path, reference: expressions.Reference, *, is_last: bool) -> None:
        """Check `run.NAME`, `workflow.NAME`, `node.NAME`: the fields are closed."""
        root, *names = (str(part) for part in reference.path)
        fields = expressions.ROOT_FIELDS[root]
        if root == "run" and names and names[0] in expressions.ENDING_FIELDS:
            if is_last:
                return
            what = "nodes of finally and compensations, which run once all others have ended"
            self._error(path, f"run.{names[0]} is known only in {what}")
            return
        known = ", ".join(f"{root}.{field}" for field in fields)
        if not names:
            what = (
                "has a computed field, which cannot be checked"
                if reference.computed
                else "is not a value"
            )
            self._error(path, f"{root} {what}: name one of {known}")
        elif names[0] not in fields:
            hint = self.dag.hints.did_you_mean(names[0], fields)
            self._error(path, f"{root} has no field {names[0]!r:.80}: known are {known}{hint}")
        elif names[0] != "metadata" and (len(names) > 1 or reference.computed):
            self._error(
                path, f"{root}.{names[0]} is a string and has no fields: leave out the rest"
            )

    def _status_name(
        self,
        path: Path,
        reference: expressions.Reference,
        *,
        node: str | None,
        edge: DagEdge | None,
    ) -> None:
        """Check `nodes.NAME.FIELD`: an ancestor, along edges of any type, and a field of it."""
        names = [str(part) for part in reference.path[1:]]
        known = ", ".join(expressions.NODE_FIELDS)
        if not names:
            self._error(path, "nodes is not a value: name a node and a field, as in nodes.a.status")
            return
        name = self._meant(names[0], node=node, edge=edge)
        if name not in self.dag.nodes and name not in self.dag.compensations:
            hint = self.dag.hints.did_you_mean(name, self.dag.nodes)
            self._error(path, f"nodes.{name:.80}: unknown node {name!r:.80}{hint}")
        elif edge is not None:
            if name != edge.source and self.sound and not self.dag.comes_after(edge.source, name):
                self._error(
                    path,
                    f"nodes.{name} is not an ancestor of {edge.source!r}: an edge's condition sees"
                    " its source and what is before it",
                )
        elif node is not None and name == node:
            self._error(path, f"nodes.{name} is the node itself: a node sees what is before it")
        elif node is not None and self.sound and not self.dag.comes_after(node, name):
            remedy = f"add an edge from {name!r} to {node!r} or to a node before it"
            if name in self.dag.finally_nodes or name in self.dag.compensations:
                remedy = "it runs once all others have ended"
            elif self.dag.comes_after(name, self.dag.undone_by(node)):
                remedy = "it comes after, and a node sees what is before it"
            self._error(path, f"nodes.{name} is not an ancestor of {node!r}: {remedy}")
        if len(names) == 1:
            what = " has no computed fields" if reference.computed else " is not a value"
            self._error(path, f"nodes.{name:.80}{what}: name one of its fields, {known}")
        elif names[1] not in expressions.NODE_FIELDS:
            hint = self.dag.hints.did_you_mean(names[1], expressions.NODE_FIELDS)
            self._error(
                path, f"nodes.{name:.80} has no field {names[1]!r:.80}: known are {known}{hint}"
            )
        elif len(names) > 2 or reference.computed:
            self._error(path, f"nodes.{name:.80}.{names[1]} is a plain value: leave out the rest")

    def _meant(self, name: str, *, node: str | None = None, edge: DagEdge | None = None) -> str:
        """Return the node that a name means: in a group, a member of it comes first."""
        return self.dag.resolve(edge.source if edge is not None else node, name)

    def _node_name(self, path: Path, node: str, name: str, rest: tuple[str, ...]) -> None:
        """Check `context.NAME` on a node: a node id, then a context key."""
        if "." not in name and (found := self._meant(name, node=node)) in self.dag.nodes:
            if name in self.declared_context:
                self._two_meanings(
                    path, name, "a node id", f"a key of {self.declared_context[name]}"
                )
            elif self.ancestor(path, node, name):
                self.output_field(path, found, rest)
        else:
            self._context_key(path, name)

    def _run_name(self, path: Path, name: str, rest: tuple[str, ...]) -> None:
        """Check `context.NAME` of the run: any node's id, then a context key."""
        if "." in name or name not in self.dag.nodes:
            self._context_key(path, name)
        elif name in self.declared_context:
            self._two_meanings(path, name, "a node id", f"a key of {self.declared_context[name]}")
        else:
            self.output_field(path, name, rest)

    def _edge_name(self, path: Path, edge: DagEdge, name: str, rest: tuple[str, ...]) -> None:
        """Check `context.NAME` on an edge: an output field, then a node id, then a context key."""
        declared = self._declared(edge.source)
        found = self._meant(name, edge=edge)
        is_node = "." not in name and found in self.dag.nodes
        meanings = []
        if name in declared.fields:
            meanings.append(f"an output field of {edge.source!r}")
        if is_node:
            meanings.append("a node id")
        if name in self.declared_context:
            meanings.append(f"a key of {self.declared_context[name]}")
        if len(meanings) > 1:
            self._two_meanings(path, name, *meanings[:2])
        elif is_node:
            if found != edge.source and self.sound and not self.dag.can_read(edge.source, found):
                self._error(
                    path,
                    f"names node {name!r}, which is not an ancestor of {edge.source!r} along"
                    " depends_on edges: an edge's condition sees its source and what is before it",
                )
            else:
                self.output_field(path, found, rest)
        elif name not in declared.fields and declared.is_closed:
            self._context_key(path, name)

    def _two_meanings(self, path: Path, name: str, one: str, other: str) -> None:
        self._error(path, f"context.{name} has two meanings, {one} and {other}: rename one of them")

    def _context_key(self, path: Path, name: str) -> None:
        if name in self.declared_context or not self.context_closed:
            return
        hint = self.dag.hints.did_you_mean(name, [*self.declared_context, *self.dag.nodes])
        self._error(
            path, f"names {name!r}, which is neither a node nor a key of inputs (closed){hint}"
        )

    def ancestor(self, path: Path, node: str, name: str) -> bool:
        """Return whether a node can read the output of another; add a problem if it cannot.

        `name` is the other's id, as the node knows it.
        """
        name = self._meant(name, node=node)
        if name not in self.dag.nodes:
            hint = self.dag.hints.did_you_mean(name, self.dag.nodes)
            self._error(path, f"unknown node {name!r}{hint}")
            return False
        if name == node:
            self._error(path, f"names node {name!r} itself: a node sees what is before it")
            return False
        if self.sound and not self.dag.can_read(node, name):
            node = self.dag.undone_by(node)
            remedy = f"add {name!r} to dependsOn of {node!r} or of a node before it"
            if name in self.dag.groups:
                remedy = "a member is seen through its group, as context.GROUP.MEMBER"
            elif name in self.dag.finally_nodes:
                remedy = "it runs once all others have ended"
            elif self.dag.can_read(name, node):
                remedy = "it comes after, and a node sees what is before it"
            self._error(
                path,
                f"names node {name!r}, which is not an ancestor of {node!r} along depends_on edges:"
                f" {remedy}",
            )
            return False
        return True

    def required_field(self, path: Path, node: Node, field_path: str) -> None:
        """Check an entry of `requiredFields`."""
        first, *rest = steps = field_path.split(".")
        if "" in steps:
            self._error(path, f"{field_path!r:.80} is not a path: write keys with dots, as in a.b")
            return
        if first in self.mapped.get(node.id, ()) or (
            node.for_each is not None and first in ("item", "index")
        ):
            return
        if (found := self._meant(first, node=node.id)) in self.dag.nodes:
            if self.ancestor(path, node.id, first):
                self.output_field(path, found, tuple(rest))
        else:
            self._context_key(path, first)

    def delivered_key(self, path: Path, node: str, name: str) -> None:
        """Check an entry of `inputContract.context`: a key of the context, no path below it."""
        if self._meant(name, node=node) in self.dag.nodes and name not in self.declared_context:
            self._error(path, f"{name!r:.80} is a node: its output is delivered, name context keys")
        elif "." in name and name not in self.declared_context:
            key = name.split(".", maxsplit=1)[0]
            self._error(path, f"{name!r:.80} is a path: name the whole key, {key!r:.80}")
        else:
            self._context_key(path, name)

    def output_field(self, path: Path, node: str, rest: tuple[str, ...]) -> None:
        """Check that a node can produce a field; what its schema leaves open is a warning."""
        if not rest:
            return
        declared = self._declared(node)
        if (member := f"{node}.{rest[0]}") in self.dag.groups:
            self.output_field(path, member, rest[1:])
            return
        if rest[0] in declared.fields or not (declared.fields or declared.is_closed):
            return
        own = self.dag.nodes[node]
        where = "outputs" if own.outputs and own.output_contract is None else "outputContract"
        if node in self.dag.members:
            where = "nodes"
        message = f"names field {rest[0]!r}, which {node!r} does not declare in its {where}"
        hint = self.dag.hints.did_you_mean(rest[0], declared.fields)
        if declared.is_closed:
            whys = {"outputs": " (values from files alone)", "nodes": " (its members)"}
            why = whys.get(where, " (closed schema)")
            self._error(path, message + why + hint)
        else:
            self._warning(path, message + hint)

    def _declared(self, node: str) -> DeclaredOutput:
        if node not in self.outputs:
            definition = self.dag.nodes[node]
            self.outputs[node] = kinds.of(definition).output_fields(definition)
        return self.outputs[node]
