"""Before anything starts: whether the run's context is complete, and its first status."""

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from podium import contracts, expressions
from podium.api.formats import FORMAT_VERSION
from podium.api.problems import Path, Problem
from podium.api.run import NodeState, NodeStatus, RunPhase, WorkflowRunSpec, WorkflowRunStatus
from podium.api.workflow import WorkflowSpec
from podium.engine.definition import fixed_context
from podium.engine.plan import Plan, PlanNode
from podium.engine.selection import (
    check_selection,
    of_selected,
    selected_nodes,
    unneeded_state,
    unselected_state,
)
from podium.executors.persona_document import BOTH_WAYS, missing_models

__all__ = [
    "check_context",
    "check_inputs",
    "check_start",
    "context_of",
    "find_required_keys",
    "initial_context",
    "initial_status",
    "initial_status_in_slices",
    "required_keys",
]


NOTHING_COPIED: Mapping[str, NodeState] = MappingProxyType({})


def initial_context(plan: Plan, spec: WorkflowRunSpec) -> dict[str, Any]:
    """Return context version 0 (semantics.md 2).

    The defaults of `inputs`, globalContext and the run's own context, merged object by object, the
    later winning; what nothing can set comes last.
    """
    return context_of(plan.spec, spec.context)


def context_of(definition: WorkflowSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return context version 0 of a run that sets `given`."""
    context = contracts.merged(definition.global_context, given)
    if definition.inputs is not None:
        context = contracts.with_defaults(definition.inputs, context)
    return {**context, **fixed_context(definition)}


def initial_status(
    plan: Plan,
    now: float,
    spec: WorkflowRunSpec | None = None,
    copied: Mapping[str, NodeState] = NOTHING_COPIED,
) -> WorkflowRunStatus:
    """Return the status of a run that has not begun.

    Every node is in it, as it is `copied` from an earlier run (`engine.copying`), else Pending, or
    Skipped where the run does not select it.
    """
    status = _status_without_nodes(plan)
    for _ in _add_nodes(status, plan, now, spec, copied):
        pass
    return status


def initial_status_in_slices(
    plan: Plan,
    now: float,
    spec: WorkflowRunSpec | None = None,
    copied: Mapping[str, NodeState] = NOTHING_COPIED,
) -> Generator[None, None, WorkflowRunStatus]:
    """Make that status node by node; the caller can do other work in between."""
    status = _status_without_nodes(plan)
    yield from _add_nodes(status, plan, now, spec, copied)
    return status


def _status_without_nodes(plan: Plan) -> WorkflowRunStatus:
    # Not validated: it is ours, and the limits are those of what users write.
    return WorkflowRunStatus.model_construct(
        phase=RunPhase.PENDING,
        format_version=FORMAT_VERSION,
        progress=f"0/{len(plan.dag.nodes)}",
        workflow=plan.workflow_id,
        workflow_revision=plan.revision or None,
        nodes={},
    )


def _add_nodes(
    status: WorkflowRunStatus,
    plan: Plan,
    now: float,
    spec: WorkflowRunSpec | None,
    copied: Mapping[str, NodeState],
) -> Generator[None, None, None]:
    selected = None if spec is None else selected_nodes(plan, spec)
    for node in plan.nodes:
        if node in plan.compensations:
            state = unneeded_state(now)
        elif node in copied:
            state = copied[node]
        elif selected is None or node in selected:
            state = NodeState(status=NodeStatus.PENDING, created_at=now, updated_at=now)
        else:
            state = unselected_state(now)
        status.nodes[node] = state
        yield
    if copied:
        from podium.engine.copying import artifacts_of  # noqa: PLC0415 - few runs copy something

        status.nodes.update((item, copied[item]) for item in copied if item not in plan.nodes)
        done = sum(
            state.status is NodeStatus.COMPLETED
            for node, state in copied.items()
            if node in plan.nodes
        )
        left_out = sum(state.status is NodeStatus.SKIPPED for state in status.nodes.values())
        status.progress = f"{done}/{len(plan.nodes) - left_out}"
        status.artifacts_of = artifacts_of(copied.values())


def check_start(
    plan: Plan,
    spec: WorkflowRunSpec,
    base: Path = ("spec",),
    *,
    only_declared: bool = False,
    context_problems: Iterable[Problem] | None = None,
    copied: Collection[str] = (),
) -> list[Problem]:
    """Return everything that keeps a run from starting, with what to do about it.

    A user should not pay for two phases before the third finds a key missing. `only_declared`: of
    the keys that the definition gives a value, a run may set only those that `inputs` declares.
    `context_problems` are what is wrong with the context, where that was checked elsewhere;
    `copied` are nodes that do not run, as an earlier run's results stand for them.
    """
    selected = selected_nodes(plan, spec)
    if context_problems is None:
        context = initial_context(plan, spec)
        context_problems = check_context(
            plan,
            context,
            (*base, "context"),
            given=spec.context,
            only_declared=only_declared,
            selected=selected,
        )
    problems = [*check_selection(plan, spec, selected, base), *context_problems]
    personas = of_selected(plan.uses_personas(), selected)
    personas = [node for node in personas if node not in copied]
    if spec.recorded_answers is None:
        missing = {
            node: missing_models(plan.nodes[node].definition, plan.spec) for node in personas
        }
        models = {node: [model for _, model in found] for node, found in missing.items()}
        asking = [node for node in personas if models[node]]
        if asking:
            ways = BOTH_WAYS.format(model=models[asking[0]][0])
            message = f"nodes {_some(asking)} ask personas: {ways}"
            problems.append(Problem((*base, "recordedAnswers"), message))
    return problems


def check_context(
    plan: Plan,
    context: Mapping[str, Any],
    base: Path = ("spec", "context"),
    *,
    given: Iterable[str] = (),
    only_declared: bool = False,
    selected: Collection[str] | None = None,
) -> list[Problem]:
    """Check a context against `inputs`, or against what nodes name where there are none.

    `given` are the keys that the run or a re-run set. `inputs` speaks of these: what globalContext
    has in addition may stand, even where further keys are forbidden, but only as it stands there.
    `selected` are the nodes that run; None: all.
    """
    given = frozenset(given)
    problems = check_inputs(plan.spec, context, base, given=given, only_declared=only_declared)
    if plan.spec.inputs is not None:
        return problems
    return [*problems, *_missing(plan, context, base, selected)]


def check_inputs(
    definition: WorkflowSpec,
    context: Mapping[str, Any],
    base: Path = ("spec", "context"),
    *,
    given: frozenset[str],
    only_declared: bool = False,
) -> list[Problem]:
    """Check a context against the constants and the `inputs` of a definition, not its nodes."""
    constants = definition.constants
    problems = [
        Problem((*base, key), "is a constant of the workflow, which a run cannot set: leave it out")
        for key in constants
        if key in given
    ]
    if only_declared:
        problems += _undeclared(definition, given, base)
    if definition.inputs is None:
        return problems
    declared = definition.inputs.get("properties")
    named = declared if isinstance(declared, Mapping) else {}
    own = definition.global_context
    checked = {
        key: value
        for key, value in context.items()
        if key not in constants and (key not in own or key in named or key in given)
    }
    problems += [
        Problem((*base, breach.path) if breach.path else base, breach.message)
        for breach in contracts.compile_schema(definition.inputs).breaches(checked)
    ]
    return problems


def _undeclared(definition: WorkflowSpec, given: frozenset[str], base: Path) -> Iterator[Problem]:
    declared = (definition.inputs or {}).get("properties")
    for key in definition.global_context:
        if key in given and not (isinstance(declared, Mapping) and key in declared):
            yield Problem(
                (*base, key),
                "has its value from the workflow's globalContext, and this cluster runs workflows"
                " as they were approved (allowInlineWorkflows: false): leave it out, or have the"
                " workflow declare it in inputs",
            )


def _missing(
    plan: Plan, context: Mapping[str, Any], base: Path, selected: Collection[str] | None
) -> list[Problem]:
    missing = {
        key: users
        for key, all_users in required_keys(plan).items()
        if key not in context and (users := of_selected(all_users, selected))
    }
    if not missing:
        return []
    uses = "; ".join(f"{key} (named by {_some(users)})" for key, users in missing.items())
    give = " ".join(f"-c {key}=…" for key in missing)
    return [Problem(base, f"missing context keys: {uses}; add them to spec.context, or {give}")]


def required_keys(plan: Plan) -> Mapping[str, list[str]]:
    """Return the context keys that only the run's context can provide, with who names them.

    Keys inside `default()` and `exists()` may be absent; on an edge any name may be an output
    field of its source.
    """
    if plan.required is None:
        for _ in find_required_keys(plan):
            pass
    assert plan.required is not None  # noqa: S101 - for the type checker
    return plan.required


def find_required_keys(plan: Plan) -> Generator[None, None, None]:
    """Find the required keys, piece by piece."""
    found: dict[str, list[str]] = {}
    for node in plan.nodes.values():
        for key in dict.fromkeys(_keys_of(plan, node)):
            if plan.dag.resolve(node.id, key) not in plan.nodes:
                found.setdefault(key, []).append(node.id)
        yield
    for expression in plan.outputs.values():
        for key in dict.fromkeys(_certain(expression.references)):
            if key not in plan.nodes:
                found.setdefault(key, []).append("outputs")
    plan.required = found


def _keys_of(plan: Plan, node: PlanNode) -> Iterator[str]:
    mapped = {name for edge in node.incoming for name in plan.edges[edge].mapping.values()}
    for field in node.required_fields:
        first = field.split(".")[0]
        is_of_item = bool(node.definition.for_each) and first in ("item", "index")
        if first not in mapped and not is_of_item:
            yield first
    if node.condition is not None:
        yield from _certain(node.condition.references)
    for source in node.kind.expressions(node.definition):
        parse = expressions.parse_template if source.is_template else expressions.parse
        yield from _certain(parse(source.text).references)


def _certain(references: tuple[expressions.Reference, ...]) -> list[str]:
    named = [
        (str(reference.path[1]), reference.optional)
        for reference in references
        if len(reference.path) > 1 and reference.path[0] == "context"
    ]
    guarded = {name for name, optional in named if optional}
    return [name for name, _ in named if name not in guarded]


def _some(names: list[str], limit: int = 5) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
