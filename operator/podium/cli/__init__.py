"""`podium`: the command line. Each verb is loaded when it is used, so that the start is quick."""

import difflib
import importlib
import sys

import click

import podium
from podium.cli.output import ExitCode, guarded

__all__ = ["main"]

_COMMANDS = {
    "run": ("podium.cli.runs:run", "Run a workflow on this machine."),
    "resume": ("podium.cli.runs:resume", "Go on with a run that was interrupted."),
    "rerun": ("podium.cli.runs:rerun", "Run nodes of a run again, and what comes after them."),
    "restore": ("podium.cli.runs:restore", "Take a run back to a context version."),
    "get": ("podium.cli.runs:get", "List runs, or show one."),
    "logs": ("podium.cli.runs:logs", "Print what the programs of a run wrote."),
    "context": ("podium.cli.runs:context", "Print the context of a run, also as it once was."),
    "validate": ("podium.cli.definitions:validate", "Check definition files."),
    "convert": ("podium.cli.definitions:convert", "Print a definition as a Workflow resource."),
    "graph": ("podium.cli.definitions:graph", "Draw the graph of a file or a run."),
    "operator": ("podium.cli.operator:operator", "Run the operator of a cluster."),
    "version": ("podium.cli:version", "Print the version."),
}


class _Group(click.Group):
    """Loads commands when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of their use."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one gets a hint."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise click.UsageError(f"there is no command {args[0]!r}.{hint}", error.ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without loading them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(
    cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(podium.__version__, message="podium %(version)s")
def group() -> None:
    """Run DAG workflows: on this machine, and on Kubernetes with the same files."""


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(f"podium {podium.__version__}")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; ends the process with its exit code."""
    with guarded():
        code = group.main(arguments, prog_name="podium", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else ExitCode.OK)
