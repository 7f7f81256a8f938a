"""script: a program's source and the interpreter that runs it."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from podium.api.base import ApiModel
from podium.api.messages import not_a_string
from podium.api.problems import Path, Problem
from podium.api.workflow import EnvVar, Node
from podium.executors.base import Image, Runtime, Workload, config_problems

__all__ = ["Script", "ScriptConfig"]


_SHELLS = {"bash": ("-eo", "pipefail"), "sh": ("-e",)}
"""Options with which a shell runs: a command that fails in the middle is a failure."""


def _interpreter(value: object) -> object:
    words = value if isinstance(value, list) else [value]
    if value is not None and not (
        0 < len(words) <= 100 and all(isinstance(word, str) and len(word) <= 1024 for word in words)
    ):
        raise ValueError("must be a program, python3, or one with its arguments, [python3, -u]")
    return value


def _unquoted(interpreter: object) -> Iterator[Problem]:
    """Find numbers and booleans where a string is meant: YAML reads `y` and `3.10` as such."""
    words = interpreter if isinstance(interpreter, list) else [interpreter]
    for place, word in enumerate(words[:100]):
        if isinstance(word, bool | int | float):
            path: Path = ("config", "interpreter")
            path = (*path, place) if words is interpreter else path
            again = partial(not_a_string, word)
            yield Problem(path, again(), reworded=again)


Interpreter = Annotated[str | list[str], BeforeValidator(_interpreter)]
"""A program, or a list of a program and its arguments."""


class ScriptConfig(ApiModel):
    """Config of the executor script."""

    script: str = Field(min_length=1)
    """The program's source. `${{ }}` in it is refused: pass values by env."""
    interpreter: Interpreter | None = None
    """The program that gets the script as a file: python3, or [python3, -u], which runs as written.

    bash runs with -eo pipefail, sh with -e. Default: the script's `#!` line, else bash.
    """
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
        problems = [*_unquoted(node.config.get("interpreter"))]
        config = {**node.config, "interpreter": None} if problems else node.config
        problems += config_problems(ScriptConfig, config)
        if "${{" in str(node.config.get("script", "")):
            problems.append(
                Problem(
                    ("config", "script"),
                    "${{ }} is not filled in inside a script, where it would be an injection:"
                    " put it in env and read the variable",
                )
            )
        if not problems and isinstance(problem := _command(node.config), Problem):
            problems.append(problem)
        return problems

    def expandable(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return everything but the script's text."""
        return {key: value for key, value in config.items() if key != "script"}

    def workload(self, node: Node, config: Mapping[str, Any]) -> Workload:  # noqa: ARG002
        """Make the workload of a script."""
        script = ScriptConfig.model_validate(config)
        command = _command(config)
        if isinstance(command, Problem):
            raise ValueError(str(command))  # noqa: TRY004 - a fault of the config
        return Workload(
            Runtime.SCRIPT,
            image=script.image,
            env=tuple(script.env),
            script=script.script,
            interpreter=command,
        )


def _command(config: Mapping[str, Any]) -> tuple[str, ...] | Problem:
    """Return what runs a script; its file comes last."""
    interpreter = config.get("interpreter")
    if isinstance(interpreter, list):
        if not interpreter[0]:
            return Problem(("config", "interpreter"), "must begin with a program, as [python3, -u]")
        return tuple(interpreter)
    if interpreter is None:
        first_line = str(config["script"]).split("\n", 1)[0]
        if first_line.startswith("#!"):
            return _shebang(first_line)
        interpreter = "bash"
    if "${{" not in interpreter and (words := interpreter.split()) != [interpreter]:
        example = f": write a list, [{', '.join(words)}]" if words else ": write bash or python3"
        message = f"{interpreter!r} is not the name of one program{example}"
        return Problem(("config", "interpreter"), message)
    return (interpreter, *_SHELLS.get(interpreter.rpartition("/")[2], ()))


def _shebang(line: str) -> tuple[str, ...] | Problem:
    """Read a `#!` line as Linux does: a program and at most one argument."""
    words = line[2:].strip().split(maxsplit=1)
    if not words:
        return Problem(("config", "script"), "its #! line names no program: write #!/bin/sh")
    return tuple(words)
