"""What shells complete of each verb: `python -m podium.cli.completion_spec write|check`.

The verbs are loaded here, so that no shell has to load them at each press of the tab key.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import click

from podium.api.generated import write_or_check
from podium.cli import completion, main

__all__ = ["files", "run", "spec"]

_BY_METAVAR = {"RUN": "run", "NODE": "node", "N,M": "node", "FILE": "file"}
_BY_NAME = {
    "file": "file",
    "files": "file",
    "file_or_run": "file or run",
    "node": "node",
    "nodes": "node",
    "directory": "directory",
}


def spec() -> dict[str, list[dict[str, Any]]]:
    """Return the parameters of each verb."""
    context = click.Context(main)
    found = {}
    for verb in main.list_commands(context):
        command = main.get_command(context, verb)
        assert command is not None  # noqa: S101 - it was listed
        found[verb] = [_parameter(verb, each) for each in command.params]
    return found


def _parameter(verb: str, parameter: click.Parameter) -> dict[str, Any]:
    made: dict[str, Any] = {"name": parameter.name}
    if isinstance(parameter, click.Option):
        made["options"] = [*parameter.opts, *parameter.secondary_opts]
        made["help"] = parameter.help or ""
        made["flag"] = parameter.is_flag
    else:
        made["nargs"] = parameter.nargs
    if isinstance(parameter.type, click.Choice):
        made["choices"] = list(parameter.type.choices)
    elif values := _values(verb, parameter):
        made["values"] = values
    return made


def _values(verb: str, parameter: click.Parameter) -> str:
    """Return what values a parameter takes, in the words of `completion.complete_from`."""
    kind = parameter.type
    if isinstance(kind, click.Path):
        return "file" if kind.file_okay else "directory"
    if verb == "explain":
        return "field" if isinstance(parameter, click.Argument) else ""
    metavar = re.sub(r"[\[\].]", "", parameter.metavar or "")
    if metavar in _BY_METAVAR:
        return _BY_METAVAR[metavar]
    return _BY_NAME.get(parameter.name or "", "") if metavar.isupper() or not metavar else ""


def files() -> dict[Path, str]:
    """Return the generated file with its text."""
    return {completion.SPEC: json.dumps(spec(), indent=1, ensure_ascii=False) + "\n"}


def run(arguments: list[str]) -> int:
    """Write the generated file, or check that it is what the verbs say."""
    root = Path(__file__).parents[3]
    module = "podium.cli.completion_spec"
    return write_or_check(module, arguments, root, files(), limit=100_000)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
