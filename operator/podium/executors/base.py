"""What an executor is, and the workload that it makes of a node."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from podium.api.problems import Problem
from podium.api.workflow import EnvVar, Node

__all__ = ["Executor", "Runtime", "Workload"]


class Runtime(StrEnum):
    """What a workload needs around it."""

    SCRIPT = "script"
    """An interpreter: on a laptop a process in the workflow's folder."""
    CONTAINER = "container"
    """An image: on a laptop docker or podman."""
    RUNNER = "runner"
    """Podium's own runner: on a laptop a process of this installation."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What to start for one execution, the templates of its config filled in."""

    runtime: Runtime
    image: str | None = None
    """None: Podium's own."""
    command: tuple[str, ...] = ()
    """Empty: the image's own entry point. For RUNNER: arguments of `podium runner`."""
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    script: str | None = None
    """Text of a script; never expanded."""
    interpreter: str | None = None
    uses_recorded: bool = False
    """Whether it takes recorded answers (personas)."""


class Executor(Protocol):
    """One way to run a node."""

    name: str

    def validate(self, node: Node) -> list[Problem]:
        """Check a node's config; paths begin at the node, such as `config.script`."""
        ...

    def expandable(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the part of a config in which `${{ }}` is filled in (a script's text is not)."""
        ...

    def workload(self, node: Node, config: Mapping[str, Any]) -> Workload:
        """Make the workload of a config whose templates are filled in."""
        ...
