"""`podium`: the command line. Each verb is loaded when it is used, so that the start is quick."""

import atexit
import gc
import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import click

import podium
from podium.cli.output import CliError, ExitCode, exit_on_error

__all__ = ["main"]

# Podium uses no plugins of pydantic, which would look for some in every installed package.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

# Python would look through all objects for garbage once more at its end: a tenth of a short run.
atexit.register(gc.freeze)

_SUBMIT = ("podium.cli.cluster.submit:submit", "Start a run on a cluster.")
_COMMANDS = {
    "init": ("podium.cli.commands.init:init", "Write a first workflow that runs at once."),
    "run": ("podium.cli.commands.run:run", "Run a workflow on this machine."),
    "resume": ("podium.cli.commands.resume:resume", "Resume an interrupted run."),
    "rerun": (
        "podium.cli.commands.rerun:rerun",
        "Run nodes of a run again, by default with all downstream nodes.",
    ),
    "restore": ("podium.cli.commands.restore:restore", "Take a run back to a context version."),
    "cancel": ("podium.cli.commands.cancel:cancel", "Cancel a run, also from another shell."),
    "terminate": (
        "podium.cli.commands.cancel:terminate",
        "Cancel a run without its rollback and finally nodes.",
    ),
    "approve": ("podium.cli.commands.approve:approve", "Approve what a run waits for."),
    "reject": ("podium.cli.commands.approve:reject", "Reject what a run waits for."),
    "get": ("podium.cli.commands.get:get", "List runs, or show a run or one of its nodes."),
    "list": ("podium.cli.commands.get:get", "List runs; the same as get."),
    "watch": ("podium.cli.commands.get:watch", "Show a run and what changes, until it ends."),
    "wait": ("podium.cli.commands.get:wait", "Wait until a run has ended."),
    "logs": ("podium.cli.commands.logs:logs", "Print the logs of a run's nodes."),
    "artifacts": (
        "podium.cli.commands.artifacts:artifacts",
        "List, copy or remove the artifacts of a run.",
    ),
    "context": (
        "podium.cli.commands.context:context",
        "Print the context of a run, at any version.",
    ),
    "delete": ("podium.cli.commands.delete:delete", "Delete runs."),
    "prune": ("podium.cli.commands.prune:prune", "Delete old runs by age, number or phase."),
    "validate": ("podium.cli.commands.validate:validate", "Check definition files."),
    "contract": (
        "podium.cli.commands.contract:contract",
        "Check versions of ContractSchemas, or test contracts along edges.",
    ),
    "eval": (
        "podium.cli.commands.eval:evaluation",
        "Compare answers of personas with what is expected.",
    ),
    "convert": (
        "podium.cli.commands.definitions:convert",
        "Print a definition as a Workflow resource.",
    ),
    "graph": ("podium.cli.commands.definitions:graph", "Draw the graph of a file or a run."),
    "explain": (
        "podium.cli.commands.explain:explain",
        "Explain a field of definition files.",
    ),
    "executors": (
        "podium.cli.commands.executors:executors",
        "List the executors that nodes may name.",
    ),
    "schema": (
        "podium.cli.commands.schema:schema",
        "Print the JSON Schema of definition files.",
    ),
    "completion": (
        "podium.cli.commands.completion:completion",
        "Print a script for completion in bash, zsh or fish.",
    ),
    "operator": ("podium.cli.operator:operator", "Run the operator of a cluster."),
    "sweep": (
        "podium.cli.operator:sweep",
        "Remove artifacts that no run of a cluster needs any more.",
    ),
    "keep-logs": (
        "podium.cli.operator:keep_logs",
        "Keep logs of a cluster's nodes in the artifact store.",
    ),
    "uninstall": (
        "podium.cli.operator:uninstall",
        "Remove Podium's finalizers after the operator was deleted.",
    ),
    "submit": _SUBMIT,
    "version": ("podium.cli:version", "Print the version."),
}
_ON_CLUSTER = {
    "submit": _SUBMIT,
    "list": ("podium.cli.cluster.get:get", "List runs; the same as get."),
    "get": ("podium.cli.cluster.get:get", "List runs, or show a run or one of its nodes."),
    "watch": ("podium.cli.cluster.get:watch", "Show a run and what changes, until it ends."),
    "wait": ("podium.cli.cluster.get:wait", "Wait until a run has ended."),
    "logs": ("podium.cli.cluster.logs:logs", "Print the logs of a run's nodes."),
    "rerun": (
        "podium.cli.cluster.requests:rerun",
        "Run nodes of a run again, by default with all downstream nodes.",
    ),
    "approve": ("podium.cli.cluster.approve:approve", "Approve what a run waits for."),
    "reject": ("podium.cli.cluster.approve:reject", "Reject what a run waits for."),
    "context": (
        "podium.cli.cluster.context:context",
        "Print the context of a run, at any version.",
    ),
    "cancel": ("podium.cli.cluster.requests:cancel", "Cancel a run."),
    "terminate": (
        "podium.cli.cluster.requests:terminate",
        "Cancel a run without its rollback and finally nodes.",
    ),
    "suspend": ("podium.cli.cluster.requests:suspend", "Start nothing new of a run."),
    "resume": ("podium.cli.cluster.requests:resume", "Resume a suspended run."),
    "contract": (
        "podium.cli.cluster.contract:contract",
        "Check versions of ContractSchemas beside those of the cluster.",
    ),
    "artifacts": (
        "podium.cli.cluster.artifacts:artifacts",
        "List, copy or remove the artifacts of a run.",
    ),
    "delete": ("podium.cli.cluster.requests:delete", "Delete runs."),
}
"""Verbs on runs of a cluster: with --cluster, as `kubectl podium`, or by PODIUM_TARGET=cluster."""


@contextmanager
def _own_code_for_closed_pipe() -> Iterator[None]:
    """End with the code of a closed pipe, where click would end with 1."""
    try:
        yield
    except BrokenPipeError:
        raise click.exceptions.Exit(ExitCode.PIPE_CLOSED) from None


class _Group(click.Group):
    """Loads commands when they are asked for, and ends with the exit codes of `ExitCode`."""

    def __init__(
        self, *args: Any, verbs: Mapping[str, tuple[str, str]], shown: str, **more: Any
    ) -> None:
        super().__init__(*args, **more)
        self._verbs = verbs
        self._shown = shown

    def main(self, args: Sequence[str] | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        """Run the command line; ends the process with its exit code."""
        given = list(sys.argv[1:] if args is None else args)
        extra |= {"prog_name": extra.pop("shown", self._shown), "standalone_mode": False}
        with exit_on_error():
            if asked := os.environ.get("_PODIUM_COMPLETE"):
                from podium.cli.completion import respond  # noqa: PLC0415 - only for a shell

                sys.exit(respond(asked, {name: text for name, (_, text) in _COMMANDS.items()}))
            _require_unicode(given)
            code = super().main(given, **extra)
            sys.exit(code if isinstance(code, int) else ExitCode.OK)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the arguments, which may print the help."""
        with _own_code_for_closed_pipe():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _own_code_for_closed_pipe():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of their use."""
        del ctx
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command. Raises `CliError` if a package that it needs is not installed."""
        del ctx
        if cmd_name not in self._verbs:
            return None
        module, _, name = self._verbs[cmd_name][0].partition(":")
        gc.disable()  # what is loaded stays: none of it is garbage, now or later
        try:
            command: click.Command = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            if (error.name or "podium").partition(".")[0] == "podium":
                raise
            raise CliError(
                f"{cmd_name} needs the package {error.name}, which is not installed:"
                " pip install 'podium[operator]'"
            ) from None
        finally:
            gc.freeze()
            gc.enable()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one gets a hint."""
        name = args[0]
        if name not in self._verbs and not name.startswith("-"):
            import difflib  # noqa: PLC0415 - only on the way to an error

            close = difflib.get_close_matches(name.lower(), self._verbs, n=1)
            hint = f". Did you mean {close[0]}?" if close else ""
            ctx.fail(f"there is no command {name!r:.60}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without loading them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._verbs.items()])


def _require_unicode(arguments: Sequence[str]) -> None:
    """Raise `CliError` for what could be neither stored nor shown: bytes that are not UTF-8."""
    foreign = [each for each in arguments if not each.isascii()]
    if not foreign:
        return
    from podium.local.files import is_unicode  # noqa: PLC0415 - nearly always nothing to check

    for each in foreign:
        if not is_unicode(each):
            raise CliError(
                f"the argument {os.fsencode(each)!r:.80} is not UTF-8: write it as UTF-8"
            )


class _Podium(_Group):
    """The verbs of this machine, and the way to those of a cluster."""

    def main(self, args: Sequence[str] | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        """Run the command line, on a cluster if it says so; ends the process with its exit code."""
        given = list(sys.argv[1:] if args is None else args)
        end = given.index("--") if "--" in given else len(given)
        own = [each for each in given[:end] if each != "--cluster"]
        verb = next((each for each in own if not each.startswith("-")), "")
        of_runs = verb in _ON_CLUSTER and verb != "contract"  # it reads files, unless asked
        by_default = os.environ.get("PODIUM_TARGET") == "cluster" and of_runs
        if len(own) < end or by_default:
            _on_cluster.main([*own, *given[end:]], **extra)
        super().main(given, **extra)


_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_version = click.version_option(package_name="podium", message="podium %(version)s")


@click.group(cls=_Podium, verbs=_COMMANDS, shown="podium", context_settings=_CONTEXT)
@_version
def main() -> None:
    """Run DAG workflows: on this machine, and on Kubernetes with the same files.

    Try: podium init, podium run workflow.yaml, podium explain workflow.spec.nodes

    podium --cluster VERB, or kubectl podium VERB, is for runs of a cluster.
    """


@click.group(cls=_Group, verbs=_ON_CLUSTER, shown="podium --cluster", context_settings=_CONTEXT)
@_version
def _on_cluster() -> None:
    """See to runs of a cluster, which the kubeconfig names.

    Try: submit workflow.yaml -w, get, get @latest, logs @latest -f
    """


def kubectl() -> NoReturn:
    """Run `kubectl podium`."""
    _on_cluster.main(shown="kubectl podium")


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(f"podium {podium.version()}")
