"""What an executor is, and the workload that it makes of a node."""

import re
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, Protocol

from pydantic import AfterValidator, ValidationError

from podium.api.base import ApiModel, Text
from podium.api.messages import translate
from podium.api.pod_checks import check_env
from podium.api.problems import Problem
from podium.api.workflow import EnvVar, Node

__all__ = ["Executor", "Image", "Runtime", "Workload", "config_problems"]


_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_IMAGE = (
    rf"(?:(?:{_LABEL}(?:\.{_LABEL})+|{_LABEL}(?=:)|localhost|\[[0-9a-fA-F:]+\])(?::[0-9]+)?/)?"
    rf"{_PART}(?:/{_PART})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
    r"(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?"
)
"""The grammar of references to images, as container runtimes have it."""


def _image(value: str) -> str:
    # A template has blanks of its own; what it makes is checked again when it is filled in.
    if "${{" not in value and not re.fullmatch(_IMAGE, value):
        raise ValueError(
            "must be the reference of an image, such as docker.io/library/busybox:1.37: a name in"
            " lower-case letters, perhaps with a registry before it, a tag or a digest after it"
        )
    return value


Image = Annotated[Text, AfterValidator(_image)]
"""A container image."""


class Runtime(StrEnum):
    """What a workload needs around it."""

    SCRIPT = "script"
    """An interpreter: on a laptop a process in the workflow's directory."""
    CONTAINER = "container"
    """An image: on a laptop docker or podman."""
    RUNNER = "runner"
    """Podium's own runner: on a laptop a process of this installation."""
    EXECUTOR = "executor"
    """The template of an Executor: on a laptop docker or podman, or its local command."""
    WORKFLOW = "workflow"
    """Another Workflow: a run of its own, and nothing to start here."""


class Workload(NamedTuple):
    """What to start for one execution, the templates of its config filled in."""

    runtime: Runtime
    image: str | None = None
    """None: Podium's own."""
    command: tuple[str, ...] = ()
    """Empty: the image's own entry point. For RUNNER: arguments of `podium runner`."""
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    script: str | None = None
    """Source of a script; never expanded."""
    interpreter: tuple[str, ...] = ()
    """Command that gets a script's file as its last argument."""
    uses_recorded: bool = False
    """Whether it takes recorded answers (personas)."""
    template: Mapping[str, Any] | None = None
    """Of EXECUTOR: the template of its Pod."""
    local: tuple[str, ...] | None = None
    """Of EXECUTOR: what runs it on a laptop without containers; None: nothing."""


class Executor(Protocol):
    """One way to run a node."""

    runtime: Runtime
    """What its workloads need around them."""
    config: type[ApiModel]
    """The model of a node's config."""

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
        made = model.model_validate(config, by_alias=True, by_name=False)
    except ValidationError as error:
        return [
            replace(problem, path=("config", *problem.path)) for problem in translate(error, model)
        ]
    # Where further keys are data, as in a persona's config, `env` is a key like others.
    if "env" not in model.model_fields:
        return []
    return check_env(getattr(made, "env", ()), ("config", "env"))
