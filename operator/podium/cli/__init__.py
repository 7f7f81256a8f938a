"""`podium`: the command line. Each verb is loaded when it is used, so that the start is quick."""

import atexit
import gc
import importlib
import os
import sys
from collections.abc import Iterator
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
    "get": ("podium.cli.commands.get:get", "List runs, or show a run or one of its nodes."),
    "logs": ("podium.cli.commands.logs:logs", "Print what the programs of a run wrote."),
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
    "uninstall": (
        "podium.cli.operator:uninstall",
        "Remove Podium's finalizers after the operator was deleted.",
    ),
    "version": ("podium.cli:version", "Print the version."),
}


@contextmanager
def _own_code_for_closed_pipe() -> Iterator[None]:
    """End with the code of a closed pipe, where click would end with 1."""
    try:
        yield
    except BrokenPipeError:
        raise click.exceptions.Exit(ExitCode.PIPE_CLOSED) from None


class _Group(click.Group):
    """Loads commands when they are asked for, and ends with the exit codes of `ExitCode`."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run the command line; ends the process with its exit code."""
        extra |= {"prog_name": "podium", "standalone_mode": False}
        with exit_on_error():
            if asked := os.environ.get("_PODIUM_COMPLETE"):
                from podium.cli.completion import respond  # noqa: PLC0415 - only for a shell

                sys.exit(respond(asked, {name: text for name, (_, text) in _COMMANDS.items()}))
            code = super().main(*args, **extra)
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
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command. Raises `CliError` if a package that it needs is not installed."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
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
        if name not in _COMMANDS and not name.startswith("-"):
            import difflib  # noqa: PLC0415 - only on the way to an error

            close = difflib.get_close_matches(name.lower(), _COMMANDS, n=1)
            hint = f". Did you mean {close[0]}?" if close else ""
            ctx.fail(f"there is no command {name!r:.60}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without loading them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(
    cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="podium", message="podium %(version)s")
def main() -> None:
    """Run DAG workflows: on this machine, and on Kubernetes with the same files.

    Try: podium init, podium run workflow.yaml, podium explain workflow.spec.nodes
    """


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(f"podium {podium.version()}")
