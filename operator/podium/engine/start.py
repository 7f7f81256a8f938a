"""Before anything starts: whether the run's context is complete, and its first status."""

from collections.abc import Iterator, Mapping
from typing import Any

from podium import contracts, executors, expressions
from podium.api.problems import Path, Problem
from podium.api.run import NodeState, NodeStatus, RunPhase, WorkflowRunSpec, WorkflowRunStatus
from podium.engine.plan import Plan, PlanNode

__all__ = ["check_context", "check_start", "initial_context", "initial_status", "required_keys"]


def initial_context(plan: Plan, spec: WorkflowRunSpec) -> dict[str, Any]:
    """Return context version 0: defaults of `inputs`, globalContext, the run's own context."""
    context: dict[str, Any] = {**plan.spec.global_context, **spec.context}
    if plan.spec.inputs is not None:
        context = contracts.with_defaults(plan.spec.inputs, context)
    return context


def initial_status(plan: Plan, now: float) -> WorkflowRunStatus:
    """Return the status of a run that has not begun: every node stands there, Pending."""
    # Not validated: it is ours, and the limits are those of what users write.
    return WorkflowRunStatus.model_construct(
        phase=RunPhase.PENDING,
        progress=f"0/{len(plan.nodes)}",
        workflow_revision=plan.revision or None,
        nodes={
            node: NodeState(status=NodeStatus.PENDING, created_at=now, updated_at=now)
            for node in plan.nodes
        },
    )


def check_start(plan: Plan, spec: WorkflowRunSpec, base: Path = ("spec",)) -> list[Problem]:
    """Return everything that keeps a run from starting, with what to do about it.

    Nobody should pay for two phases before the third finds a key missing.
    """
    problems = check_context(plan, initial_context(plan, spec), (*base, "context"))
    personas = plan.uses_personas()
    if personas and spec.recorded_answers is None:
        problems.append(
            Problem(
                (*base, "recordedAnswers"),
                f"nodes {_some(personas)} ask personas, and this version has no model endpoints:"
                " give recorded answers (on a laptop --recorded FILE, on a cluster"
                " spec.recordedAnswers.configMapKeyRef)",
            )
        )
    return problems


def check_context(
    plan: Plan, context: Mapping[str, Any], base: Path = ("spec", "context")
) -> list[Problem]:
    """Check a context against `inputs`, or against what nodes name where there are none.

    `inputs` speaks of what a run is given: what globalContext has beside is not its business, even
    where further keys are forbidden.
    """
    if plan.spec.inputs is not None:
        schema = contracts.compile_schema(plan.spec.inputs)
        declared = plan.spec.inputs.get("properties")
        context = {
            key: value
            for key, value in context.items()
            if key not in plan.spec.global_context
            or (isinstance(declared, Mapping) and key in declared)
        }
        return [
            Problem((*base, breach.path) if breach.path else base, breach.message)
            for breach in schema.breaches(context)
        ]
    missing = {key: users for key, users in required_keys(plan).items() if key not in context}
    if not missing:
        return []
    uses = "; ".join(f"{key} (named by {_some(users)})" for key, users in missing.items())
    give = " ".join(f"-c {key}=…" for key in missing)
    return [Problem(base, f"missing context keys: {uses}; add them to spec.context, or {give}")]


def required_keys(plan: Plan) -> dict[str, list[str]]:
    """Return the context keys that only the run's context can provide, with who names them.

    Keys inside `default()` and `exists()` may be absent; on an edge any name may be an output
    field of its source.
    """
    found: dict[str, list[str]] = {}
    for node in plan.nodes.values():
        for key in dict.fromkeys(_keys_of(plan, node)):
            if key not in plan.nodes:
                found.setdefault(key, []).append(node.id)
    return found


def _keys_of(plan: Plan, node: PlanNode) -> Iterator[str]:
    mapped = {name for edge in node.incoming for name in plan.edges[edge].mapping.values()}
    for field in node.required_fields:
        first = field.split(".")[0]
        if first not in mapped:
            yield first
    if node.condition is not None:
        yield from _certain(node.condition.references)
    executor = executors.get(node.definition.executor or "")
    if executor is not None:
        for text in strings(executor.expandable(node.definition.config)):
            if expressions.has_template(text):
                yield from _certain(expressions.parse_template(text).references)


def _certain(references: tuple[expressions.Reference, ...]) -> list[str]:
    named = [
        (str(reference.path[1]), reference.optional)
        for reference in references
        if len(reference.path) > 1 and reference.path[0] == "context"
    ]
    guarded = {name for name, optional in named if optional}
    return [name for name, _ in named if name not in guarded]


def strings(value: object) -> Iterator[str]:
    """Return all strings in a JSON value, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)


def _some(names: list[str], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
