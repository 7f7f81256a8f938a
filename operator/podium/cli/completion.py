"""Shell completion that loads none of the verbs, so that it answers at once.

What verbs there are is known to `podium.cli`; their options stand in `completion.json`, which
`podium.cli.completion_spec` makes of them.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from podium.api.names import is_object_name, is_path
from podium.local.state_dir import find_state_dir

__all__ = ["SHELLS", "VARIABLE", "complete_from", "respond", "script"]

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_PODIUM_COMPLETE"
SPEC = Path(__file__).with_name("completion.json")
MAX_BYTES = 20_000_000
"""Of a run's files that are read for the names of its nodes."""

_Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def script(shell: str) -> str:
    """Return the script that makes a shell ask podium. `shell` is one of `SHELLS`."""
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has all of SHELLS
    # Not that of bash's own class, which starts a bash to ask for its version.
    return ShellComplete.source(kind(click.Group("podium"), {}, "podium", VARIABLE)) + "\n"


def respond(instruction: str, verbs: dict[str, str]) -> int:
    """Answer a shell that completes; `verbs` are all verbs with their help."""
    shell, _, what = instruction.partition("_")
    kind = get_completion_class(shell)
    if kind is None or what not in ("complete", "source"):
        return 1
    if what == "source":
        click.echo(script(shell), nl=False)
        return 0

    class Joined(kind):  # type: ignore[valid-type,misc]
        def get_completion_args(self) -> tuple[list[str], str]:
            """Join what bash takes apart: `--node=a` comes as three words."""
            arguments, word = super().get_completion_args()
            return [each for each in arguments if each != "="], "" if word == "=" else word

    if reply := Joined(_Verbs(verbs), {}, "podium", VARIABLE).complete():
        click.echo(reply)
    return 0


class _Verbs(click.Group):
    """The command line as `completion.json` describes it; nothing of it can be run."""

    def __init__(self, verbs: dict[str, str]) -> None:
        super().__init__(
            "podium",
            params=[click.Option(["--version"], is_flag=True, help="Show the version and exit.")],
            context_settings={"help_option_names": ["-h", "--help"]},
        )
        self._verbs = verbs
        self._spec: dict[str, list[dict[str, Any]]] = json.loads(SPEC.read_bytes())

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in self._verbs:
            return None
        parameters = [_parameter(each) for each in self._spec.get(cmd_name, ())]
        return click.Command(cmd_name, params=parameters, short_help=self._verbs[cmd_name])


def _parameter(each: dict[str, Any]) -> click.Parameter:
    choices = each.get("choices")
    type_ = click.Choice(choices) if choices else click.STRING
    complete = None if choices else complete_from(each.get("values", ""))
    if "options" in each:
        return click.Option(
            [*each["options"], each["name"]],
            help=each["help"],
            is_flag=each["flag"],
            multiple=not each["flag"],
            type=None if each["flag"] else type_,
            shell_complete=complete,
        )
    return click.Argument(
        [each["name"]], nargs=each["nargs"], required=False, type=type_, shell_complete=complete
    )


def complete_from(values: str) -> _Complete:
    """Return what completes values of a kind: run, node, file, directory, field or nothing."""
    return partial(_complete, values)


def _complete(
    values: str, context: click.Context, parameter: click.Parameter, word: str
) -> list[CompletionItem]:
    given = context.params
    state_dir = next(iter(given.get("state_dir") or ()), None)
    match values:
        case "file" | "directory":
            return [CompletionItem(word, type="file" if values == "file" else "dir")]
        case "run":
            taken = given.get(parameter.name or "") if parameter.nargs != 1 else ()
            return _items(set(_runs(state_dir)) - set(taken or ()), _runs(state_dir), word)
        case "file or run":
            # First: a shell that is offered names takes files only where no name begins so.
            runs = [CompletionItem(name) for name in _runs(state_dir) if name.startswith(word)]
            return [CompletionItem(word, type="file"), *runs]
        case "node":
            before, comma, last = word.rpartition(",")
            there = _nodes(state_dir, str(given.get("name") or ""))
            left = set(there) - set(before.split(","))
            return [
                CompletionItem(f"{before}{comma}{each.value}") for each in _items(left, there, last)
            ]
        case "field":
            from podium.cli.fields import candidates  # noqa: PLC0415 - loads the models

            return [CompletionItem(path, help=text) for path, text in candidates(word)]
        case _:
            return []


def _items(wanted: set[str], order: list[str], word: str) -> list[CompletionItem]:
    return [CompletionItem(each) for each in order if each in wanted and each.startswith(word)]


def _runs(state_dir: str | None) -> list[str]:
    """Return the names of runs, the newest first; whatever is broken is left out."""
    found = []
    with suppress(OSError):
        for entry in os.scandir(
            Path(state_dir) / "runs" if state_dir else find_state_dir() / "runs"
        ):
            with suppress(OSError):
                if is_object_name(entry.name) and entry.is_dir():
                    found.append((-entry.stat().st_mtime, entry.name))
    return [name for _, name in sorted(found)]


def _nodes(state_dir: str | None, run: str) -> list[str]:
    """Return the ids of a run's nodes, as its newest definition has them."""
    if not is_object_name(run):
        return []
    directory = (Path(state_dir) if state_dir else find_state_dir()) / "runs" / run
    ids: list[str] = []
    for file, marker in (("run.json", b""), ("log.jsonl", b'"workflow":')):
        with suppress(OSError):
            path = directory / file
            if not path.is_file() or path.stat().st_size > MAX_BYTES:
                continue
            text = path.read_bytes()
            for line in text.splitlines() if marker else [text]:
                ids = _ids(line) or ids if marker in line else ids
    return ids


def _ids(text: bytes) -> list[str]:
    """Return the ids of the nodes of a definition; whatever is not one is left out."""
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        workflow = json.loads(text)["workflow"]
        return list(_paths([*workflow["nodes"], *workflow.get("finally", ())]))
    return []


def _paths(nodes: list[dict[str, Any]], group: str = "") -> Iterator[str]:
    for node in nodes:
        identity = node["id"]
        if isinstance(identity, str) and is_path(path := group + identity):
            yield path
            yield from _paths(node.get("nodes", []), f"{path}.")
