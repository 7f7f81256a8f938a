"""What nodes need of this machine, looked for before anything starts."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from podium import executors
from podium.api.executors import ExecutorSpec
from podium.api.problems import InvalidError, Problem
from podium.engine import Plan, PlanNode
from podium.executors import Runtime, Workload
from podium.executors.persona_document import PersonaVariable, live_personas, missing_models
from podium.local import containers
from podium.local.artifacts import no_secret
from podium.local.commands import find_program, missing_program
from podium.local.environment import ConfigError, inherited, value_of

__all__ = ["check", "missing_value"]


def check(
    plan: Plan,
    workdir: Path,
    secrets: Mapping[str, Mapping[str, str]],
    passed: Mapping[str, str],
    nodes: Collection[str] | None = None,
    *,
    is_recorded: bool = False,
) -> None:
    """Raise `InvalidError` naming all that is missing, `UserError` if containers cannot run.

    Nodes that a condition or route may keep from starting are passed over, as is what a node
    before may install. `nodes`: only these are to run. `is_recorded`: whether answers of
    personas are.
    """
    containers.check(plan)
    path = {**inherited(), **passed}["PATH"]
    certain = plan.certain_nodes()

    @cache  # most nodes need the same ones
    def is_there(program: str, path: str) -> bool:
        return find_program(program, path, workdir) is not None

    running = [n for n in plan.nodes if n in certain and (nodes is None or n in nodes)]
    problems = [
        problem
        for node in running
        for problem in _problems(
            plan.nodes[node], plan.follows(node), workdir, secrets, path, is_there
        )
    ]
    if not is_recorded:
        problems += _of_personas(plan, running, secrets)
    if problems:
        raise InvalidError(problems)


def _of_personas(
    plan: Plan, nodes: Iterable[str], secrets: Mapping[str, Mapping[str, str]]
) -> Iterator[Problem]:
    """Find keys and messages that are not here, each at the first node that needs it."""
    asking = set(plan.uses_personas())
    said: set[str] = set()
    for name in (each for each in nodes if each in asking):
        node = plan.nodes[name].definition
        if next(missing_models(node, plan.spec), None) is not None:
            continue  # `check_start` tells of it
        for wanted in live_personas(node, node.config, plan.spec).variables:
            try:
                value_of(wanted.variable, secrets)
            except ConfigError:
                words = missing_value(wanted)
                if words not in said:
                    yield Problem(("nodes", name), words)
                said.add(words)


def missing_value(wanted: PersonaVariable) -> str:
    """Return what a persona's variable has no value of, by the field that names it."""
    source = wanted.variable.value_from
    if source is not None and source.secret_key_ref is not None:
        selector = source.secret_key_ref
        return (
            f"{wanted.field}: no value for key {selector.key} of the secret {selector.name}: set"
            f" {selector.key} in podium's environment, or write it in the file of --secrets"
        )
    config_map = source.config_map_key_ref if source is not None else None
    named = "" if config_map is None else f" {config_map.name} with the key {config_map.key}"
    return (
        f"{wanted.field}: there is no ConfigMap{named}: write it in the same file, or name its file"
        " with --personas"
    )


def _problems(
    planned: PlanNode,
    is_follower: bool,
    workdir: Path,
    secrets: Mapping[str, Mapping[str, str]],
    path: str,
    is_there: Callable[[str, str], bool],
) -> Iterator[Problem]:
    node = planned.definition
    executor = executors.get(node.executor or "")
    if planned.executor is not None:
        workload = _of_custom(planned.executor)
    elif executor is not None:
        workload = executor.workload(node, node.config)
    else:
        return
    for artifact in (node.artifacts and node.artifacts.in_) or ():
        if artifact.secret and artifact.secret not in secrets:
            why = f"artifacts.in: {artifact.name}: {no_secret(artifact.secret)}"
            yield Problem(("nodes", node.id), why)
    for output in node.artifacts.out if node.artifacts is not None else ():
        if output.to is not None and output.to.secret and output.to.secret not in secrets:
            why = f"artifacts.out: {output.name}: {no_secret(output.to.secret)}"
            yield Problem(("nodes", node.id), why)
    variables = (*workload.env, *(node.pod.env if node.pod is not None else ()))
    for variable in variables:
        try:
            value = value_of(variable, secrets)
        except ConfigError as error:
            yield Problem(("nodes", node.id), str(error))
        else:
            if variable.name == "PATH" and value is not None:
                path = value
    is_process = workload.runtime is Runtime.SCRIPT
    if workload.interpreter and planned.executor is not None:
        is_process = not containers.runs_in_container(planned.executor.template)
    if is_process and "${{" not in path:
        for program in _programs(workload.interpreter):
            may_be_made = "/" in program and is_follower
            if not may_be_made and not is_there(program, path):
                yield Problem(("nodes", node.id), missing_program(node, program, workdir))


def _of_custom(executor: ExecutorSpec) -> Workload:
    """Return what is known of an executor's workload before its templates are filled in."""
    return Workload(
        Runtime.EXECUTOR,
        env=tuple(executors.custom.variables(executor.template)),
        interpreter=() if executor.local is None else (executor.local.command[0],),
    )


def _programs(command: tuple[str, ...]) -> list[str]:
    """Return the programs that a script's command needs; what is filled in later is not known."""
    programs = list(command[:1])
    if programs[0].rpartition("/")[2] == "env" and len(command) == 2:
        programs += [word for word in command[1:] if not word.startswith("-") and "=" not in word]
    return [program for program in programs if "${{" not in program]
