"""What can be wrong beyond the shape of the graph: conditions, contracts, configs."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from podium import contracts, executors, expressions, kinds
from podium.api.compensation import bare_node
from podium.api.names import ID_PATTERN, is_id
from podium.api.problems import Path, Problem, Severity
from podium.api.reasons import RETRYABLE, NodeReason
from podium.api.workflow import EdgeType, Node, RetryPolicy, TriggerRule, WorkflowSpec
from podium.dag.artifacts import artifact_problems
from podium.dag.contracts import schema_references
from podium.dag.graph import DagEdge, Graph
from podium.dag.large_outputs import LargeOutputChecks
from podium.dag.outputs import output_problems
from podium.dag.persona_limits import item_limit_problems
from podium.dag.references import ReferenceChecks

__all__ = ["DefinitionChecks"]

_REASONS = frozenset(reason.value for reason in NodeReason)


class DefinitionChecks:
    """One check of a definition whose graph is there; `sound`: the graph has no error."""

    def __init__(self, dag: Graph, spec: WorkflowSpec, *, sound: bool) -> None:
        self.dag = dag
        self.spec = spec
        self.sound = sound
        self.found: list[Problem] = []
        self._unsound_executors: set[str] = set()
        self._large_outputs = LargeOutputChecks(dag, sound=sound)
        self.references = ReferenceChecks(dag, spec, self.found, sound=sound)

    def run(self) -> list[Problem]:
        """Return all that is wrong, errors and warnings."""
        if self.spec.inputs is not None:
            self._schema(("inputs",), self.spec.inputs, has_defaults=True)
        self._retry_on(("defaults",), self.spec.defaults.retry_policy)
        self._constants()
        self._volume_claims()
        self._outputs()
        self._executors()
        self._schema_references()
        for node in self.dag.nodes.values():
            self._node(self.dag.node_paths[node.id], node)
        for name in self.dag.compensations:
            self._compensation(self.dag.node_paths[name], self.dag.undone_by(name))
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

    def _schema(self, path: Path, schema: Mapping[str, Any], *, has_defaults: bool = False) -> None:
        for problem in contracts.schema_problems(schema, has_defaults=has_defaults):
            severity = Severity.WARNING if problem.is_warning else Severity.ERROR
            message = problem.report
            again = partial(_in_quotes, message) if problem.lacks_quotes else None
            where = (*path, *problem.path)
            self.found.append(Problem(where, message, severity, reworded=again))

    def _constants(self) -> None:
        """Find constants that a run, or globalContext, could seem to set."""
        declared = contracts.properties_of(self.spec.inputs or {})
        for key in self.spec.constants:
            for where, keys in (("inputs", declared), ("globalContext", self.spec.global_context)):
                if key in keys:
                    message = f"{key!r:.80} is a key of {where} too: a constant has one value only"
                    self._error(("constants", key), f"{message}, remove one of them")

    def _outputs(self) -> None:
        """Check what a run hands over."""
        for name, source in sorted(self.spec.outputs.items()):  # as a server does
            if not is_id(name):
                message = f"{name!r:.80} is not a name: use {ID_PATTERN}, as of a node"
                self._error(("outputs", name), message)
            self._condition(("outputs", name), source, is_of_run=True)

    def _volume_claims(self) -> None:
        """Find claims that no node mounts: nothing is made of them."""
        pods = [self.spec.defaults.pod, *(node.pod for node in self.dag.nodes.values())]
        mounted = {mount.name for pod in pods if pod is not None for mount in pod.volume_mounts}
        for position, claim in enumerate(self.spec.volume_claims):
            if claim.name not in mounted:
                self._warning(
                    ("volumeClaims", position),
                    f"no node mounts {claim.name!r:.80}, so it is not made: add it to"
                    " pod.volumeMounts of a node, or remove it",
                )

    def _executors(self) -> None:
        """Check each executor that is a resource once, where it is named first."""
        for name, executor in self.spec.executors.items():
            nodes = (*self.dag.nodes.values(), *self.dag.compensations.values())
            users = (node.id for node in nodes if node.executor == name)
            path = (*self.dag.node_paths[next(users)], "executor")
            for problem in executors.custom.definition_problems(executor):
                message = f"the Executor {name!r:.80} is not valid: {problem}"
                self.found.append(Problem(path, message, problem.severity))
                if problem.severity is Severity.ERROR:
                    self._unsound_executors.add(name)

    def _schema_references(self) -> None:
        """Find schemas that contracts name and that the definition does not have."""
        self.found += self.dag.contract_problems
        said = {problem.path for problem in self.dag.contract_problems}
        for path, reference, _ in schema_references(self.spec):
            is_said = (*path, "name") in said or (*path, "version") in said
            if reference.key not in self.spec.pinned_schemas and not is_said:
                message = f"there is no ContractSchema {reference.name!r:.80} here"
                self._error((*path, "name"), message)

    def _executor(self, path: Path, node: Node) -> None:
        """Check an executor that is not built in, and the config that is meant for it."""
        name = node.executor
        if name is None or executors.get(name) is not None or not kinds.of(node).runs_program:
            return
        executor = self.spec.executors.get(name)
        if executor is not None:
            if name not in self._unsound_executors:
                for problem in executors.custom.config_problems(name, executor, node):
                    self.found.append(replace(problem, path=(*path, *problem.path)))
        elif self.dag.other_executors.get(name, True):
            known = [*executors.names(), *self.spec.executors, *self.dag.other_executors]
            known = list(dict.fromkeys(each for each in known if each != name))
            hint = self.dag.hints.did_you_mean(name, known)
            listed = ", ".join(known[:30])
            self._error(
                (*path, "executor"), f"unknown executor {name!r:.80}: known are {listed}{hint}"
            )

    def _hides(self, path: Path, node: Node) -> None:
        """Find a member whose id would hide what expressions in its group know by that name."""
        group = self.dag.groups.get(node.id)
        if group is None:
            return
        own = node.id.rpartition(".")[2]
        hidden = self.dag.resolve(group, own)
        if own in self.references.declared_context:
            what = f"of a key of {self.references.declared_context[own]}"
        elif self.sound and hidden in self.dag.nodes and self.dag.comes_after(group, hidden):
            what = f"of a node before the group {group!r}"
        else:
            return
        message = f"{own!r} is the name {what}, which its group could not read: rename one of them"
        self._error((*path, "id"), message)

    def _node(self, path: Path, node: Node) -> None:
        self._kind(path, node)
        self._hides(path, node)
        self._executor(path, node)
        self._retry_on(path, node.retry_policy)
        if node.trigger_rule is TriggerRule.NONE_FAILED:
            message = (
                "NoneFailed means more than in 0.1.0: the node also starts where all sources were"
                " skipped; for what it meant write NoneFailedMinOneSuccess, or leave it out"
            )
            self.found.append(Problem((*path, "triggerRule"), message, Severity.NOTE))
        if node.condition is not None:
            self._condition((*path, "condition"), node.condition, node=node.id)
        gives = node.output_contract
        # What schemaRef names was checked when it was pinned.
        if gives is not None and gives.schema_ is not None and gives.schema_ref is None:
            self._schema((*path, "outputContract", "schema"), gives.schema_)
        for problem in artifact_problems(self.dag, node, sound=self.sound):
            self.found.append(replace(problem, path=(*path, *problem.path)))
        more = (*self._large_outputs.problems(node), *item_limit_problems(self.spec, node))
        for problem in (*output_problems(node), *more):
            self.found.append(replace(problem, path=(*path, *problem.path)))
        contract = node.input_contract
        if contract is None:
            return
        here = (*path, "inputContract")
        reference, named = contract.schema_ref, frozenset[str]()
        if reference is None and contract.schema_ is not None:
            self._schema((*here, "schema"), contract.schema_)
        elif reference is not None and reference.key in self.spec.pinned_schemas:
            named = frozenset(self.spec.pinned_schemas[reference.key].required_fields)
        for position, name in enumerate(contract.required_fields):
            where = ("schemaRef",) if name in named else ("requiredFields", position)
            self.references.required_field((*here, *where), node, name)
        for position, name in enumerate(contract.include):
            self.references.ancestor((*here, "include", position), node.id, name)
        for position, name in enumerate(contract.context or ()):
            self.references.delivered_key((*here, "context", position), node.id, name)

    def _compensation(self, path: Path, node: str) -> None:
        """Check what a compensation says itself: the rest is its node's."""
        own = bare_node(self.dag.nodes[node])
        self._kind(path, own)
        self._executor(path, own)
        self._retry_on(path, own.retry_policy)

    def _retry_on(self, path: Path, policy: RetryPolicy | None) -> None:
        """Find reasons that are misspelt, and those that no retry could change.

        A program may give a reason of its own, and the kubelet one that is not known here: a word
        that resembles no known reason is a warning.
        """
        if policy is None or not policy.retry_on:
            return
        for position, reason in enumerate(policy.retry_on):
            where = (*path, "retryPolicy", "retryOn", position)
            if reason in RETRYABLE or "${{" in reason:  # the latter is found elsewhere
                continue
            if reason in _REASONS:
                self._warning(where, f"{reason!r} is never tried again")
            elif hint := self.dag.hints.did_you_mean(reason, RETRYABLE):
                self._error(where, f"unknown reason {reason!r}{hint}")
            else:
                self._warning(
                    where,
                    f"unknown reason {reason!r}, which only a program of yours can give; known are"
                    f" {', '.join(RETRYABLE)}",
                )

    def _kind(self, path: Path, node: Node) -> None:
        kind = kinds.of(node)
        if not isinstance(kind, kinds.ForEach):
            self._no_map(path, node)
        for problem in kind.check(node):
            self.found.append(replace(problem, path=(*path, *problem.path)))
        for source in kind.expressions(node):
            where = (*path, *source.path)
            if not source.is_template:
                self._condition(where, source.text, node=node.id)
                continue
            try:
                template = expressions.parse_template(source.text)
            except expressions.ExpressionError as error:
                self._error(where, str(error))
                continue
            self.references.check(where, template.references, node=node.id)

    def _no_map(self, path: Path, node: Node) -> None:
        """Find what only a map has, on a node that is none."""
        if node.for_each is not None:
            remedy = "conditionals and approvals run once: leave it out"
            if node.nodes:
                remedy = "write the group as a Workflow, and run that with executor: workflow"
            self._error((*path, "forEach"), f"is for nodes with an executor; {remedy}")
        elif node.allowed_failures is not None:
            self._error(
                (*path, "allowedFailures"), "is about items: set forEach too, or leave it out"
            )

    def _condition(
        self,
        path: Path,
        source: str,
        *,
        node: str | None = None,
        edge: DagEdge | None = None,
        is_of_run: bool = False,
    ) -> None:
        try:
            expression = expressions.parse(source)
        except expressions.ExpressionError as error:
            self._error(path, str(error))
            return
        self.references.check(
            path, expression.references, node=node, edge=edge, is_of_run=is_of_run
        )

    def _edge(self, dag_edge: DagEdge) -> None:
        edge, path = dag_edge.edge, dag_edge.path
        if edge.condition is not None:
            self._condition((*path, "condition"), edge.condition, edge=dag_edge)
        if edge.route is not None:
            self._route((*path, "route"), edge.from_, edge.route)
        if edge.data_mapping and edge.type is EdgeType.TRIGGERS:
            self._error(
                (*path, "dataMapping"),
                "an edge of type triggers brings no data: use produces_for or depends_on",
            )
        taken: dict[str, str] = {}
        for output_path, name in edge.data_mapping.items():
            here = (*path, "dataMapping", output_path)
            if (other := taken.setdefault(name, output_path)) != output_path:
                self._error(here, f"{other!r} is mapped to {name!r} already: choose another name")
            self.references.output_field(here, edge.from_, tuple(output_path.split(".")))
            if not name or "." in name:
                self._error(here, f"{name!r} is not an input name: use one word without dots")

    def _route(self, path: Path, source: str, route: str) -> None:
        node = self.dag.nodes[source]
        routes = kinds.of(node).output_fields(node).routes
        if routes is None:
            self._error(
                path,
                f"{source!r} is not of type conditional, so its edges have no route: use condition",
            )
        elif route not in routes:
            hint = self.dag.hints.did_you_mean(route, routes)
            known = ", ".join(sorted(routes)[:20]) or "none"
            self._error(path, f"{route!r} is not a value of {source!r}: values are {known}{hint}")


def _in_quotes(message: str, written: str | None) -> str:
    return f'{message}: write "{written}" in quotes' if written else message
