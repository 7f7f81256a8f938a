"""How a node of each kind becomes a program: its config, checked, and the workload made of it.

Both shells start from the same `Workload`; neither knows one executor from another.
"""

from podium.executors.base import Executor, Runtime, Workload
from podium.executors.container import Container
from podium.executors.personas import Personas
from podium.executors.script import Script

__all__ = ["PERSONA_EXECUTORS", "Executor", "Runtime", "Workload", "get", "names"]

PERSONA_EXECUTORS = frozenset({"persona", "persona_team", "team"})
"""One executor under three names: a team of one is a persona."""

_EXECUTORS: dict[str, Executor] = {
    "script": Script(),
    "container": Container(),
    **{name: Personas() for name in sorted(PERSONA_EXECUTORS)},
}


def get(name: str) -> Executor | None:
    """Return an executor by its name, None if there is none of it."""
    return _EXECUTORS.get(name)


def names() -> list[str]:
    """Return the names of all executors."""
    return list(_EXECUTORS)
