"""script: the text of a program and the interpreter that runs it."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from podium.api.base import ApiModel, Name
from podium.api.problems import Problem
from podium.api.workflow import EnvVar, Node
from podium.executors.base import Image, Runtime, Workload, config_problems

__all__ = ["Script", "ScriptConfig"]


class ScriptConfig(ApiModel):
    """Config of the executor script."""

    script: str = Field(min_length=1)
    """The program's text. `${{ }}` in it is refused: hand values over by env."""
    interpreter: Name = "bash"
    """bash, python3, sh, or another program that takes -c TEXT."""
    image: Image | None = None
    """Image on the cluster; default: Podium's own, which has bash and python3."""
    env: list[EnvVar] = Field(default_factory=list, max_length=200)
    """Environment variables."""


class Script:
    """Runs a script."""

    runtime = Runtime.SCRIPT
    config: type[ApiModel] = ScriptConfig

    def validate(self, node: Node) -> list[Problem]:
        """Check the config of a script."""
        problems = config_problems(ScriptConfig, node.config)
        if "${{" in str(node.config.get("script", "")):
            problems.append(
                Problem(
                    ("config", "script"),
                    "${{ }} is not filled in inside a script, where it would be an injection:"
                    " put it in env and read the variable",
                )
            )
        return problems

    def expandable(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return everything but the script's text."""
        return {key: value for key, value in config.items() if key != "script"}

    def workload(self, node: Node, config: Mapping[str, Any]) -> Workload:  # noqa: ARG002
        """Make the workload of a script."""
        script = ScriptConfig.model_validate(config)
        return Workload(
            Runtime.SCRIPT,
            image=script.image,
            env=tuple(script.env),
            script=script.script,
            interpreter=script.interpreter,
        )
