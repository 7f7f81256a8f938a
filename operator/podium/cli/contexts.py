"""Contexts of runs, at a version or compared, of this machine and of a cluster."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import click
import orjson

from podium.api.problems import format_path
from podium.api.run import WorkflowRunStatus
from podium.api.workflow import WorkflowSpec
from podium.cli.output import CliError, escape_control
from podium.cli.session import text_of
from podium.engine import VersionGoneError, context_at, context_of, fixed_context

__all__ = ["context_options", "record_of", "show_contexts", "wanted_versions"]

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Path = tuple[str | int, ...]
_ABSENT = object()

_version = click.option(
    "--version", type=click.IntRange(0), help="Which version; default: the latest."
)
_diff = click.option(
    "--diff",
    type=(click.IntRange(0), click.IntRange(0)),
    metavar="A B",
    help="Print what differs between two versions.",
)
_output = click.option(
    "-o", "--output", type=click.Choice(["json", "yaml"]), help="Default: yaml; of --diff: lines."
)


def context_options(command: _Command) -> _Command:
    """Add the options that say which versions, and how to print them."""
    return _version(_diff(_output(command)))


def wanted_versions(version: int | None, diff: tuple[int, int] | None) -> tuple[int | None, ...]:
    """Return the versions that the options name; None: the latest. Raises `CliError`."""
    if diff is not None and version is not None:
        raise CliError("--diff names both versions: leave out --version")
    return (version,) if diff is None else diff


def record_of(
    status: WorkflowRunStatus,
    definition: WorkflowSpec,
    given: Mapping[str, Any],
    version: int | None,
) -> dict[str, Any]:
    """Return `{version, context, outputs}` of a version, made under `definition`.

    `given` is the run's own context. Raises `CliError` where the version is not kept.
    """
    initial, constants = context_of(definition, given), fixed_context(definition)
    try:
        return context_at(status, initial, version, constants=constants)
    except VersionGoneError as error:
        raise CliError(str(error)) from None


def show_contexts(found: Sequence[Mapping[str, Any]], output: str | None) -> None:
    """Print a context, or what differs between two."""
    if len(found) == 1:
        click.echo(text_of(found[0], output or "yaml"), nl=False)
        return
    before, after = found
    differences = [
        each
        for part in ("context", "outputs")
        for each in _differences((part,), before[part], after[part])
    ]
    if output is not None:
        click.echo(text_of([_entry(*each) for each in differences], output), nl=False)
        return
    for path, old, new in differences:
        for sign, value in (("-", old), ("+", new)):
            if value is not _ABSENT:
                click.echo(escape_control(f"{sign} {format_path(path)}: {_json(value)}"))
    if not differences:
        click.echo(f"versions {before['version']} and {after['version']} are the same")


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
