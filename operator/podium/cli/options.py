"""Options that several verbs share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from podium.api.names import is_object_name, is_path
from podium.api.run import EarlierRun, WorkflowRunSpec
from podium.cli.output import CliError
from podium.local.child_names import newest_run
from podium.local.store import find_state_dir

__all__ = [
    "LATEST",
    "context_options",
    "env_options",
    "executor_files_option",
    "keep_answers_option",
    "log_options",
    "names_in",
    "optional_run_argument",
    "part_of",
    "part_options",
    "personas_option",
    "place_options",
    "require_one_log",
    "rerun_options",
    "rerun_targets",
    "resolve_latest",
    "result_option",
    "run_argument",
    "runs_argument",
    "secrets_option",
    "state_dir_option",
    "together",
]

LATEST = "@latest"
"""The newest run, wherever a run is named."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


def together(*decorators: Callable[[Any], Any]) -> Callable[[_Command], _Command]:
    """Make one decorator of several; the first is shown first."""

    def decorate(command: Any) -> Any:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def resolve_latest(name: str, state_dir: Path) -> str:
    """Return the name of a run: `@latest` is the newest root run.

    Raises `CliError`.
    """
    if name != LATEST:
        return name
    if (newest := newest_run(state_dir)) is None:
        raise CliError(f"there are no runs in {state_dir}")
    return newest


def _resolved(
    context: click.Context, _parameter: click.Parameter, value: str | tuple[str, ...] | None
) -> str | tuple[str, ...] | None:
    state_dir: Path = context.params["state_dir"]
    if isinstance(value, tuple):
        return tuple(resolve_latest(each, state_dir) for each in value)
    return value if value is None else resolve_latest(value, state_dir)


run_argument = click.argument("name", metavar="RUN", callback=_resolved)
runs_argument = click.argument(
    "names", metavar="RUN...", nargs=-1, required=True, callback=_resolved
)
optional_run_argument = click.argument("name", metavar="[RUN]", required=False, callback=_resolved)
state_dir_option = click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    is_eager=True,  # `@latest` is found there
    callback=lambda _context, _parameter, value: value or find_state_dir(),
    help="Where runs are kept; default: $PODIUM_STATE_DIR, else .podium here or above.",
)
place_options = together(
    click.option(
        "-n", "--namespace", metavar="NAME", help="Namespace; default: that of the context."
    ),
    click.option("--kube-context", metavar="NAME", help="Context of the kubeconfig."),
)
executor_files_option = click.option(
    "-f",
    "--file",
    "more",
    multiple=True,
    metavar="FILE",
    help="File or directory of Executors, ContractSchemas, Personas, ModelConfigs and Workflows"
    " that nodes name; may be repeated.",
)
personas_option = click.option(
    "--personas",
    multiple=True,
    metavar="FILE",
    help="File or directory of Personas and ModelConfigs; the same as -f, may be repeated.",
)
result_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["json"]),
    help="Print the WorkflowRun at the end; progress goes to standard error.",
)
keep_answers_option = click.option(
    "--keep-answers",
    metavar="DIRECTORY",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep what models answer there, and give it again where the same is asked.",
)
secrets_option = click.option(
    "--secrets",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File of secrets: SECRET: {KEY: value}. Default: the environment, by key.",
)
env_options = together(
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
log_options = together(
    click.option(
        "-f", "--follow", is_flag=True, help="Follow the log until the run, or the node, has ended."
    ),
    click.option(
        "--tail", type=click.IntRange(0), metavar="N", help="Only the last N lines of each."
    ),
    click.option("--timestamps", is_flag=True, help="Prefix each line with its time."),
    click.option("--execution", metavar="ID", help="Logs of this execution, such as build-2."),
    click.option("-p", "--previous", is_flag=True, help="Logs of the execution before the newest."),
)
rerun_options = together(
    click.option("--node", "nodes", multiple=True, metavar="N[,M]", help="Nodes to run again."),
    click.option(
        "--failed", is_flag=True, help="All nodes that failed, or did not run because of a failure."
    ),
    click.option(
        "--no-cascade", is_flag=True, help="Leave downstream nodes as they are, marked stale."
    ),
    click.option("--fork", is_flag=True, help="Leave the run as it is: make a new one from it."),
)
part_options = together(
    click.option("--only", multiple=True, metavar="N[,M]", help="Run these nodes and no others."),
    click.option(
        "--until", multiple=True, metavar="N[,M]", help="Run these nodes and all upstream nodes."
    ),
    click.option(
        "--from-run",
        metavar="RUN",
        help="Copy what this run completed, where the definition is the same; @latest: the newest.",
    ),
    click.option(
        "--from-node", metavar="NODE", help="Start at this node: run it and all downstream nodes."
    ),
)
context_options = together(
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


def part_of(
    spec: WorkflowRunSpec,
    only: tuple[str, ...],
    until: tuple[str, ...],
    from_run: str | None,
    from_node: str | None,
) -> dict[str, Any]:
    """Return the part of a graph that a run runs: as the command line says, else as the file does.

    Raises `CliError`.
    """
    if only and until:
        raise CliError("give --only or --until, not both")
    part: dict[str, Any] = {"only": spec.only, "until": spec.until, "from_": spec.from_}
    if only or until:
        part |= {"only": names_in(only), "until": names_in(until)}
    if from_run is not None and not is_object_name(from_run):
        raise CliError(f"--from-run: {from_run!r:.80} is not the name of a run")
    if from_node is not None and not is_path(from_node):
        raise CliError(f"--from-node: {from_node!r:.80} is not the id of a node")
    if from_run is not None or from_node is not None:
        part["from_"] = EarlierRun(run=from_run, node=from_node)
    return part


def names_in(values: tuple[str, ...]) -> list[str]:
    """Return the names that an option holds which may be repeated, or hold several by commas."""
    names = (name.strip() for value in values for name in value.split(","))
    return list(dict.fromkeys(name for name in names if name))


def rerun_targets(
    nodes: tuple[str, ...], *, failed: bool, no_cascade: bool, latest: bool
) -> list[str]:
    """Return the nodes that `rerun_options` name. Raises `CliError` for a wrong choice."""
    named = names_in(nodes)
    if not named and not latest and not failed:
        raise CliError(
            "name what to run again: --failed, --node N, or --latest for what changed in the"
            " definition"
        )
    if no_cascade and (latest or failed):
        raise CliError("--no-cascade goes with --node alone: leave it out, or name the nodes")
    return named


def require_one_log(*, follow: bool, execution: str | None, previous: bool) -> None:
    """Raise `CliError` for `log_options` that do not go together."""
    if previous and (follow or execution is not None):
        raise CliError("--previous is one execution that has ended: leave out -f and --execution")
