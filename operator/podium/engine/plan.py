"""Plan: a definition compiled for the engine, as plain maps; made once per revision.

Nothing in it changes after it is built, so runs of one revision share it.
"""

from collections.abc import Generator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from podium import executors, expressions, kinds
from podium.api.names import compensation_path
from podium.api.problems import InvalidError, Path, Problem, errors
from podium.api.workflow import (
    EdgeType,
    InputContract,
    Node,
    RetryPolicy,
    WorkflowSpec,
)
from podium.dag import WorkflowDAG, nearest_ancestors
from podium.engine.definition import definition_digest, fixed_context, with_defaults
from podium.engine.identity import NodeIdentity, digest_of, node_identity
from podium.engine.large_outputs import LargeReads, large_reads
from podium.engine.plan_parts import PlanEdge, PlanNode, PlanNodes

__all__ = ["DEFAULT_START_TIMEOUT", "Plan", "PlanEdge", "PlanNode"]

DEFAULT_MAX_PARALLEL = 10
DEFAULT_START_TIMEOUT = 600.0
"""Seconds from a Pod's creation to its running program, where the node does not say."""


class Plan:
    """All that the engine knows of a definition. `nodes` keeps the definition's order."""

    def __init__(self, spec: WorkflowSpec, dag: WorkflowDAG, workflow_id: str, revision: str):
        self.spec = spec
        self.dag = dag
        self.workflow_id = workflow_id
        self.revision = revision
        self.edges: list[PlanEdge] = []
        self.nodes = PlanNodes()
        self.data_sources: dict[str, tuple[str, ...]] = {}
        """Direct ancestors along depends_on edges: what a node sees flows along these."""
        self.outputs: dict[str, expressions.Expression] = {}
        """What a run hands over."""
        self.finally_nodes = frozenset(dag.finally_nodes)
        """Nodes that run once all others have ended."""
        self.max_parallel = spec.max_parallel or DEFAULT_MAX_PARALLEL
        self.members: Mapping[str, list[str]] = dag.members
        """The direct members of each group."""
        self.compensations: dict[str, str] = {}
        """Compensations, with the nodes that they undo: they run when a run is rolled back."""
        self.for_each: dict[str, expressions.Expression] = {}
        """What gives the items of each map."""
        self.required: Mapping[str, list[str]] | None = None
        """Context keys that a run must provide, once they were asked for."""
        self._nearest: tuple[tuple[bool, tuple[str, ...]], list[str]] = ((False, ()), [])
        """The last answer of `nearest`, and the direct ancestors that it was for; for a node of
        `finally` or another one."""

    def _fill(self) -> Generator[None, None, None]:
        """Compile nodes and edges, piece by piece."""
        incoming: dict[str, list[int]] = {node: [] for node in self.dag.nodes}
        outgoing: dict[str, list[int]] = {node: [] for node in self.dag.nodes}
        for dag_edge in self.dag.edges:
            self.edges.append(
                PlanEdge(
                    index=dag_edge.index,
                    source=dag_edge.source,
                    target=dag_edge.target,
                    type=dag_edge.edge.type,
                    condition=_expression(dag_edge.edge.condition),
                    allow_failure=dag_edge.edge.allow_failure,
                    mapping=dag_edge.edge.data_mapping,
                    route=dag_edge.edge.route,
                )
            )
            outgoing[dag_edge.source].append(dag_edge.index)
            incoming[dag_edge.target].append(dag_edge.index)
            yield
        self.outputs = {
            # A server sorts them: the first that cannot be evaluated is the same everywhere.
            name: expressions.parse(source)
            for name, source in sorted(self.spec.outputs.items())
        }
        for node in self.dag.nodes.values():
            edges = incoming[node.id]
            planned = self._node(len(self.nodes), node, edges, outgoing[node.id])
            self.nodes[node.id] = planned
            if isinstance(planned.kind, kinds.ForEach):
                self.for_each[node.id] = expressions.parse(node.for_each or "")
                self.nodes.add_map(planned)
            sources = tuple(
                self.edges[index].source
                for index in edges
                if self.edges[index].type is EdgeType.DEPENDS_ON
            )
            if not sources and node.id in self.dag.groups:  # it begins its group
                sources = self.data_sources[self.dag.groups[node.id]]
            self.data_sources[node.id] = sources
            if node.compensation is not None:
                self._add_compensation(self.nodes[node.id])
            yield

    def _add_compensation(self, of: PlanNode) -> None:
        """Add what undoes a node: it sees what that saw, and the node's own output."""
        name = compensation_path(of.id)
        definition = self.dag.compensations.get(name)
        if definition is None:  # its node's kind has none
            return
        contract = of.definition.input_contract
        if contract is not None:
            limited = InputContract.model_construct(context=contract.context)
            definition = definition.model_copy(update={"input_contract": limited})
        self.nodes[name] = replace(
            self._node(len(self.nodes), definition, [], []), wanted=of.wanted
        )
        self.data_sources[name] = (of.id,)
        self.compensations[name] = of.id

    @classmethod
    def build(
        cls,
        spec: WorkflowSpec,
        *,
        workflow_id: str,
        revision: str = "",
        base: Path = ("spec",),
        is_pinned: bool = False,
        dag: WorkflowDAG | None = None,
    ) -> "Plan":
        """Compile a definition. Raises `InvalidError` with all its problems if it has errors.

        Their paths begin with `base`. One that a run is pinned to was checked when the run began,
        perhaps by an earlier version that refused less: only its graph is checked again. `dag` is
        its graph where the caller has it: what was checked is not checked again.
        """
        dag = WorkflowDAG(spec) if dag is None else dag
        problems = dag.shape_problems if is_pinned else dag.problems(base)
        if errors(problems):
            raise InvalidError(problems)
        plan = cls(spec, dag, workflow_id, revision)
        try:
            for _ in plan._fill():
                pass
        except expressions.ExpressionError as error:  # of a pinned one
            raise InvalidError([Problem(base, str(error))]) from None
        return plan

    @classmethod
    def in_slices(
        cls,
        spec: WorkflowSpec,
        *,
        workflow_id: str,
        revision: str = "",
        base: Path = ("spec",),
        dag: WorkflowDAG | None = None,
    ) -> Generator[None, None, "Plan"]:
        """Compile a definition that was checked elsewhere, piece by piece.

        The caller can do other work in between. Raises `InvalidError`.
        """
        if dag is None:
            dag = yield from WorkflowDAG.in_slices(spec)
        plan = cls(spec, dag, workflow_id, revision)
        try:
            yield from plan._fill()
        except expressions.ExpressionError as error:
            raise InvalidError([Problem(base, str(error))]) from None
        return plan

    @cached_property
    def digest(self) -> str:
        """The hash of the whole definition."""
        return definition_digest(self.spec)

    @cached_property
    def fixed_context(self) -> Mapping[str, Any]:
        """Context that nothing can set.

        Constants, and under closed `inputs` the keys of globalContext that are not declared there.
        """
        return fixed_context(self.spec)

    @cached_property
    def keeps_artifacts(self) -> frozenset[str]:
        """Nodes that declare artifacts, and those before one that declares some and not which."""
        declaring = [node for node in self.nodes.values() if node.definition.artifacts is not None]
        kept = {node.id for node in declaring}
        for node in declaring:
            artifacts = node.definition.artifacts
            if artifacts is not None and artifacts.in_ is None:
                kept.update(self.delivered(node.id))
        return frozenset(kept | self.large_outputs)

    @cached_property
    def large_outputs(self) -> frozenset[str]:
        """Nodes whose outputs may rest in the store."""
        return frozenset(node.id for node in self.nodes.values() if node.definition.large_output)

    @cached_property
    def given_large(self) -> frozenset[str]:
        """Nodes whose inputs may have parts in the store."""
        large = self.large_outputs
        found = {name for name, node in self.nodes.items() if not large.isdisjoint(node.wanted)}
        for edge in self.edges:
            if edge.source in large and (edge.mapping or edge.type is EdgeType.DEPENDS_ON):
                found.add(edge.target)
        undoing = (name for name, node in self.compensations.items() if node in large | found)
        return frozenset(found.union(undoing))

    @cached_property
    def read_of_outputs(self) -> Mapping[str, LargeReads]:
        """What the graph reads of the outputs that may rest in the store."""
        return large_reads(self)

    def delivered(self, node: str) -> list[str]:
        """Return the ancestors whose outputs a node is handed: the nearest, and those it names."""
        visible = self.nearest(node)
        near = set(visible)
        return visible + [
            name
            for name in self.nodes[node].wanted
            if name not in near and name in self.nodes and self.dag.can_read(node, name)
        ]

    @cached_property
    def identities(self) -> Mapping[str, NodeIdentity]:
        """What each node does and reads; only a re-run compares it with another definition's."""
        made = {}
        for node in self.nodes.values():
            if node.id in self.compensations:
                continue  # what a node does is the same, however it is undone
            edges = [self.dag.edges[index] for index in node.incoming]
            incoming = [(edge.edge, self.dag.nodes[edge.source]) for edge in edges]
            identity = node_identity(node.definition, incoming, node.wanted, self.spec)
            if node.id in self.large_outputs:  # it has to run again to hand more of it over
                reads = [sorted(paths, key=str) for paths in self.read_of_outputs[node.id]]
                identity = identity._replace(digest=digest_of([identity.digest, reads]))
            made[node.id] = identity
        return made

    def _node(self, index: int, node: Node, incoming: list[int], outgoing: list[int]) -> PlanNode:
        node = with_defaults(node, self.spec)
        contract = node.input_contract
        wanted: list[str] = []
        if contract is not None:
            wanted += contract.include
            wanted += [field.split(".")[0] for field in contract.required_fields]
            schema = contract.schema_ or {}
            for names in (schema.get("required"), schema.get("properties")):
                if isinstance(names, list | Mapping):
                    wanted += [str(name) for name in names]
        return PlanNode(
            id=node.id,
            index=index,
            definition=node,
            kind=kinds.of(node),
            incoming=tuple(incoming),
            outgoing=tuple(outgoing),
            conditional=sum(self.edges[edge].condition is not None for edge in incoming),
            rule=node.trigger_rule,
            condition=_expression(node.condition),
            retry=node.retry_policy or RetryPolicy(),
            timeout=node.timeout_seconds,
            start_timeout=node.start_timeout_seconds or DEFAULT_START_TIMEOUT,
            start_timeout_own=node.start_timeout_seconds is not None,
            required_fields=tuple(contract.required_fields) if contract else (),
            wanted=tuple(dict.fromkeys(self.dag.resolve(node.id, name) for name in wanted)),
            executor=self.spec.executors.get(node.executor or ""),
            group=self.dag.groups.get(node.id, ""),
            limited_by=tuple(
                group
                for group in self.dag.around(node.id)
                if self.dag.nodes[group].max_parallel is not None
            ),
        )

    def node(self, name: str) -> PlanNode | None:
        """Return a node or an item; None: there is none."""
        try:
            return self.nodes[name]
        except KeyError:
            return None

    def nearest(self, node: str) -> list[str]:
        """Return the ancestors whose outputs a node is handed without naming them, nearest first.

        Nodes after the same ones start together, and share one search.
        """
        is_last = node in self.finally_nodes
        key = is_last, self.data_sources[node]
        if self._nearest[0] != key:
            beyond = self._ends if is_last else ()
            found = nearest_ancestors(self.data_sources, node, beyond=beyond)
            self._nearest = key, found
        return list(self._nearest[1])

    @cached_property
    def _ends(self) -> tuple[str, ...]:
        """Nodes whose outputs go to no other one: for `finally`, all is before them."""
        sources = {
            source
            for node, each in self.data_sources.items()
            if node not in self.compensations
            for source in each
        }
        known = sources | self.finally_nodes | self.compensations.keys()
        return tuple(
            node for node in self.nodes if node not in known and node not in self.dag.groups
        )

    @cached_property
    def approvals(self) -> frozenset[str]:
        """Nodes that wait for a person."""
        # Of each kind once: to ask of a protocol takes microseconds, and there are 5,000 nodes.
        known = {node.kind for node in self.nodes.values()}
        asking = {kind for kind in known if isinstance(kind, kinds.Answerable)}
        return frozenset(node.id for node in self.nodes.values() if node.kind in asking)

    def follows(self, node: str) -> bool:
        """Return whether something comes before a node, or before a group that it is in."""
        return any(self.nodes[each].incoming for each in (node, *self.dag.around(node)))

    def certain_nodes(self) -> set[str]:
        """Return the nodes that no condition or route, of theirs or before them, keeps away.

        A compensation is of them as its node is: what it lacks must not be found when it is needed.
        """
        doubtful = [node.id for node in self.nodes.values() if node.condition is not None]
        doubtful += [
            edge.target
            for edge in self.edges
            if edge.condition is not None or edge.route is not None
        ]
        seen = set(doubtful)
        for name in doubtful:
            targets = {self.edges[index].target for index in self.nodes[name].outgoing}
            targets = targets.union(self.members.get(name, ())) - seen
            seen.update(targets)
            doubtful += targets
        seen.update(name for name, node in self.compensations.items() if node in seen)
        return set(self.nodes) - seen

    def uses_personas(self) -> list[str]:
        """Return the ids of the nodes that ask personas."""
        return [
            node.id
            for node in self.nodes.values()
            if node.definition.executor in executors.PERSONA_EXECUTORS
        ]


def _expression(source: str | None) -> expressions.Expression | None:
    return None if source is None else expressions.parse(source)
