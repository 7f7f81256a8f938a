"""podium context."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import orjson

from podium.api.problems import format_path
from podium.cli.options import state_dir_option
from podium.cli.output import CliError, escape_control
from podium.cli.session import OpenRun, open_run, text_of
from podium.engine import VersionGoneError, context_at, initial_context

__all__ = ["context"]

_Path = tuple[str | int, ...]
_ABSENT = object()


@click.command()
@click.argument("name", metavar="RUN")
@click.option("--version", type=click.IntRange(0), help="Which version; default: the latest.")
@click.option(
    "--diff",
    type=(click.IntRange(0), click.IntRange(0)),
    metavar="A B",
    help="Print what differs between two versions.",
)
@click.option(
    "-o", "--output", type=click.Choice(["json", "yaml"]), help="Default: yaml; of --diff: lines."
)
@state_dir_option
def context(
    name: str,
    version: int | None,
    diff: tuple[int, int] | None,
    output: str | None,
    state_dir: Path,
) -> None:
    """Print the context and outputs of a run, at the latest or an earlier version."""
    if diff is not None and version is not None:
        raise CliError("--diff names both versions: leave out --version")
    run = open_run(state_dir, name)
    if diff is None:
        click.echo(text_of(_at(run, version), output or "yaml"), nl=False)
        return
    before, after = (_at(run, each) for each in diff)
    found = [
        each
        for part in ("context", "outputs")
        for each in _differences((part,), before[part], after[part])
    ]
    if output is not None:
        click.echo(text_of([_entry(*each) for each in found], output), nl=False)
        return
    for path, old, new in found:
        for sign, value in (("-", old), ("+", new)):
            if value is not _ABSENT:
                click.echo(escape_control(f"{sign} {format_path(path)}: {_json(value)}"))
    if not found:
        click.echo(f"versions {diff[0]} and {diff[1]} are the same")


def _at(run: OpenRun, version: int | None) -> dict[str, Any]:
    plan = run.plan if version is None else run.plan_at(version)
    initial = initial_context(plan, run.record.spec)
    try:
        return context_at(run.status, initial, version, constants=plan.fixed_context)
    except VersionGoneError as error:
        raise CliError(str(error)) from None


def _differences(path: _Path, old: Any, new: Any) -> Iterator[tuple[_Path, Any, Any]]:
    """Return the places where two values differ, key by key; lists are compared as a whole."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            yield from _differences((*path, key), old.get(key, _ABSENT), new.get(key, _ABSENT))
    elif old != new or (isinstance(old, bool) != isinstance(new, bool)):
        yield path, old, new


def _entry(path: _Path, old: Any, new: Any) -> dict[str, Any]:
    values = {"before": old, "after": new}
    return {"path": format_path(path), **{k: v for k, v in values.items() if v is not _ABSENT}}


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
