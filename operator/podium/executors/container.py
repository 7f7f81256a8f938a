"""container: an image, run as it is."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from podium.api.base import ApiModel, LongText
from podium.api.problems import Problem
from podium.api.workflow import EnvVar, Node
from podium.executors.base import Image, Runtime, Workload, config_problems

__all__ = ["Container", "ContainerConfig"]


class ContainerConfig(ApiModel):
    """Config of the executor container."""

    image: Image
    """The image."""
    command: list[LongText] = Field(default_factory=list, max_length=1000)
    """Instead of the image's entry point."""
    args: list[LongText] = Field(default_factory=list, max_length=1000)
    """Arguments of the command or the entry point."""
    env: list[EnvVar] = Field(default_factory=list, max_length=200)
    """Environment variables."""


class Container:
    """Runs an image."""

    runtime = Runtime.CONTAINER
    config: type[ApiModel] = ContainerConfig

    def validate(self, node: Node) -> list[Problem]:
        """Check the config of a container."""
        return config_problems(ContainerConfig, node.config)

    def expandable(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the whole config."""
        return config

    def workload(self, node: Node, config: Mapping[str, Any]) -> Workload:  # noqa: ARG002
        """Make the workload of a container."""
        container = ContainerConfig.model_validate(config)
        return Workload(
            Runtime.CONTAINER,
            image=container.image,
            command=tuple(container.command),
            args=tuple(container.args),
            env=tuple(container.env),
        )
