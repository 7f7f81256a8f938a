"""What an executor is, and the workload that it makes of a node."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from pydantic import ValidationError

from podium.api.base import ApiModel
from podium.api.problems import Problem
from podium.api.workflow import EnvVar, Node

__all__ = ["Executor", "Runtime", "Workload", "config_problems"]


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

    runtime: Runtime
    """What its workloads need around them."""

    def validate(self, node: Node) -> list[Problem]:
        """Check a node's config; paths begin at the node, such as `config.script`."""
        ...

    def expandable(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the part of a config in which `${{ }}` is filled in (a script's text is not)."""
        ...

    def workload(self, node: Node, config: Mapping[str, Any]) -> Workload:
        """Make the workload of a config whose templates are filled in."""
        ...


def config_problems(model: type[ApiModel], config: Mapping[str, Any]) -> list[Problem]:
    """Check a config against its model, in words that name the field and what would be right."""
    try:
        model.model_validate(config)
    except ValidationError as error:
        return [_problem(model, detail) for detail in error.errors()]
    return []


def _problem(model: type[ApiModel], detail: Any) -> Problem:
    path = ("config", *detail["loc"])
    known = [field.alias or name for name, field in model.model_fields.items()]
    match detail["type"]:
        case "missing":
            return Problem(path, "is missing")
        case "extra_forbidden" if len(path) == 2:
            name = str(path[-1])
            return Problem(path, f"unknown field {name!r}{_meant(name, known)}")
        case "extra_forbidden":
            return Problem(path, "unknown field")
        case _:
            return Problem(path, f"{detail['msg']}, not {detail['input']!r:.80}")


def _meant(name: str, known: Iterable[str]) -> str:
    fields = list(known)
    close = difflib.get_close_matches(name, fields, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(fields)}"
