"""Options that several verbs share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from podium.local.store import find_state_dir

__all__ = [
    "cluster_options",
    "context_options",
    "document_option",
    "env_options",
    "executor_files_option",
    "result_option",
    "secrets_option",
    "state_dir_option",
]

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
    callback=lambda _context, _parameter, value: value or find_state_dir(),
    help="Where runs are kept; default: $PODIUM_STATE_DIR, else .podium here or above.",
)
cluster_options = _together(
    click.option("--cluster", is_flag=True, help="Of a run on the cluster, by way of kubectl."),
    click.option("-n", "--namespace", help="Namespace of the run; default: of the kubeconfig."),
    click.option("--kube-context", metavar="NAME", help="Context of the kubeconfig."),
)
executor_files_option = click.option(
    "-f",
    "--file",
    "more",
    multiple=True,
    metavar="FILE",
    help="File or directory of Executors that nodes name; may be repeated.",
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
env_options = _together(
    click.option(
        "--env",
        multiple=True,
        metavar="NAME[=VALUE]",
        help="Pass a variable of yours to the programs, or set one for them.",
    ),
    click.option(
        "--env-file",
        "env_files",
        multiple=True,
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help="File of variables to pass, one a line, as docker reads it; --env comes after.",
    ),
)
context_options = _together(
    click.option(
        "-c",
        "--context",
        "values",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set a context key; the value is YAML 1.2: true, 3, [a, b], or @FILE. a.b=1 nests.",
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
