"""Options that several verbs share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = [
    "DEFAULT_STATE_DIR",
    "context_options",
    "document_option",
    "result_option",
    "secrets_option",
    "state_dir_option",
]

DEFAULT_STATE_DIR = Path(".podium")

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _together(*decorators: Callable[[Any], Any]) -> Callable[[_Command], _Command]:
    def decorate(command: Any) -> Any:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


state_dir_option = click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_STATE_DIR,
    show_default=True,
    help="Where runs are kept.",
)
result_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["json"]),
    help="Print the WorkflowRun at the end; progress goes to standard error.",
)
document_option = click.option(
    "-o", "--output", type=click.Choice(["json", "yaml"]), help="Print the whole resource."
)
secrets_option = click.option(
    "--secrets",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File of secrets: SECRET: {KEY: value}. Default: the environment, by key.",
)
context_options = _together(
    click.option(
        "-c",
        "--context",
        "values",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set a context key; the value is YAML 1.2: true, 3, [a, b]. a.b=1 nests.",
    ),
    click.option(
        "--context-string",
        "strings",
        multiple=True,
        metavar="KEY=STRING",
        help="Set a context key to a string, whatever it looks like.",
    ),
    click.option(
        "--context-file", metavar="FILE", help="YAML or JSON file of context keys; -c comes after."
    ),
)
