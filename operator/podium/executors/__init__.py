"""How a node of each kind becomes a program: its config, checked, and the workload made of it.

Both shells start from the same `Workload`; neither knows one executor from another.
"""

from collections.abc import Mapping
from typing import Any

from podium.api.child_runs import CHILD_EXECUTOR
from podium.api.workflow import Node
from podium.executors import custom
from podium.executors.base import Executor, Runtime, Workload
from podium.executors.child_workflow import ChildWorkflow
from podium.executors.container import Container
from podium.executors.personas import Personas
from podium.executors.script import Script

__all__ = [
    "PERSONA_EXECUTORS",
    "Executor",
    "Runtime",
    "Workload",
    "custom",
    "get",
    "names",
    "workload",
]

PERSONA_EXECUTORS = frozenset({"persona", "persona_team", "team"})
"""One executor under three names: a team of one is a persona."""

_EXECUTORS: dict[str, Executor] = {
    "script": Script(),
    "container": Container(),
    **{name: Personas() for name in sorted(PERSONA_EXECUTORS)},
    CHILD_EXECUTOR: ChildWorkflow(),
}


def get(name: str) -> Executor | None:
    """Return a built-in executor by its name, None if there is none of it."""
    return _EXECUTORS.get(name)


def names() -> list[str]:
    """Return the names of the built-in executors."""
    return list(_EXECUTORS)


def workload(node: Node, config: Mapping[str, Any], template: Mapping[str, Any] | None) -> Workload:
    """Make the workload of a config whose templates are filled in.

    `template` is that of an Executor, filled in; None: the executor is built in. Raises
    `ValueError`: the config is wrong.
    """
    if template is not None:
        return custom.workload(template)
    executor = get(node.executor or "")
    if executor is None:
        raise ValueError(f"unknown executor {node.executor!r:.80}")
    return executor.workload(node, config)
