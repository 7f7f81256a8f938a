"""What nodes need of this machine, looked for before anything starts."""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from pathlib import Path

from podium import executors
from podium.api.problems import InvalidError, Problem
from podium.api.workflow import Node
from podium.engine import Plan
from podium.executors import Runtime
from podium.local import containers
from podium.local.commands import find_program, missing_program
from podium.local.environment import ConfigError, inherited, value_of

__all__ = ["check"]


def check(
    plan: Plan,
    workdir: Path,
    secrets: Mapping[str, Mapping[str, str]],
    passed: Mapping[str, str],
    nodes: Collection[str] | None = None,
) -> None:
    """Raise `InvalidError` naming all that is missing, `UserError` if containers cannot run.

    Nodes that a condition or route may keep from starting are passed over, as is what a node
    before may install. `nodes`: only these are to run.
    """
    containers.check(plan)
    path = {**inherited(), **passed}["PATH"]
    certain = plan.certain_nodes()
    followers = {edge.target for edge in plan.dag.edges}

    @cache  # most nodes need the same ones
    def is_there(program: str, path: str) -> bool:
        return find_program(program, path, workdir) is not None

    problems = [
        problem
        for node in plan.nodes
        if node in certain and (nodes is None or node in nodes)
        for problem in _problems(
            plan.nodes[node].definition, node in followers, workdir, secrets, path, is_there
        )
    ]
    if problems:
        raise InvalidError(problems)


def _problems(
    node: Node,
    is_follower: bool,
    workdir: Path,
    secrets: Mapping[str, Mapping[str, str]],
    path: str,
    is_there: Callable[[str, str], bool],
) -> Iterator[Problem]:
    executor = executors.get(node.executor or "")
    if executor is None:
        return
    workload = executor.workload(node, node.config)
    variables = (*workload.env, *(node.pod.env if node.pod is not None else ()))
    for variable in variables:
        try:
            value = value_of(variable, secrets)
        except ConfigError as error:
            yield Problem(("nodes", node.id), str(error))
        else:
            if variable.name == "PATH" and value is not None:
                path = value
    if workload.runtime is Runtime.SCRIPT and "${{" not in path:
        for program in _programs(workload.interpreter):
            may_be_made = "/" in program and is_follower
            if not may_be_made and not is_there(program, path):
                yield Problem(("nodes", node.id), missing_program(node, program, workdir))


def _programs(command: tuple[str, ...]) -> list[str]:
    """Return the programs that a script's command needs; what is filled in later is not known."""
    programs = list(command[:1])
    if programs[0].rpartition("/")[2] == "env" and len(command) == 2:
        programs += [word for word in command[1:] if not word.startswith("-") and "=" not in word]
    return [program for program in programs if "${{" not in program]
