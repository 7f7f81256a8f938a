"""`podium explain`: what the fields of definition files mean."""

import textwrap
from collections.abc import Iterator
from dataclasses import replace

import click

from podium.api import names
from podium.cli import fields
from podium.cli.executor_list import Listed, executor_field
from podium.cli.options import executor_files_option
from podium.cli.output import CliError, escape_control

__all__ = ["explain"]

_WIDTH = 80


@click.command()
@click.argument("path", metavar="[FIELD]", default="")
@click.argument("executor", metavar="[EXECUTOR]", default="")
@click.option("--recursive", "-R", is_flag=True, help="Show all fields inside, without prose.")
@executor_files_option
def explain(path: str, executor: str, more: tuple[str, ...], *, recursive: bool) -> None:
    """Explain a field of definition files: its type, default and meaning.

    FIELD is a path such as workflow.spec.nodes.retryPolicy or executor.script.env; without one
    the kinds are listed. `executor NAME` shows what the config of a node may hold that names it;
    -f names files with further Executors.
    """
    if path in ("executor", "executors") and executor:
        name, _, rest = executor.partition(".")
        of, found = executor_field(name, rest, more)
        lines = _page("executor", found, recursive=recursive, of=of)
        click.echo("\n".join(map(escape_control, lines)))
        return
    if executor:
        raise CliError(f"{executor!r:.60}: FIELD is one path, such as workflow.spec.nodes")
    if not path:
        click.echo("KINDS:")
        for name, text in fields.KINDS.items():
            click.echo(f"  {name:<14} {text}")
        click.echo("\nFor one of them, or a field: podium explain workflow.spec.nodes")
        return
    kind, found = fields.find(path)
    click.echo("\n".join(_page(kind, found, recursive=recursive)))


def _page(
    kind: str, found: fields.Field, *, recursive: bool, of: Listed | None = None
) -> Iterator[str]:
    if of is not None:
        yield f"KIND:     {of.kind}"
        yield f"NAME:     {of.name}"
        if of.title:
            yield f"TITLE:    {of.title}"
        if of.spec is not None and found.name == of.name:
            found = replace(found, description=of.spec.description or found.description)
            kind = of.name
    elif kind == "executor":
        yield "KIND:     executor"
    else:
        yield f"KIND:     {fields.kind_of(kind)}"
        yield f"VERSION:  {names.API_VERSION}"
    if found.name != kind:
        yield ""
        yield f"FIELD: {_head(found)}"
    yield ""
    yield "DESCRIPTION:"
    yield from _prose(found.description, 4)
    yield from _facts(found, 4)
    if found.fields:
        yield ""
        yield "FIELDS:"
        for inner in found.fields.values():
            if recursive:
                yield from _names(inner, 2)
            else:
                yield f"  {_head(inner)}"
                yield from _prose(inner.description, 4)
                yield from _facts(inner, 4)


def _head(found: fields.Field) -> str:
    return f"{found.name} <{found.type}>{' -required-' if found.required else ''}"


def _facts(found: fields.Field, indent: int) -> Iterator[str]:
    if found.allowed:
        yield from _prose(f"One of: {', '.join(found.allowed)}", indent)
    if found.default:
        yield from _prose(f"Default: {found.default}", indent)
    if found.limits:
        yield from _prose(f"Limit: {found.limits}", indent)


def _prose(text: str, indent: int) -> list[str]:
    margin = " " * indent
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=margin,
        subsequent_indent=margin,
        break_on_hyphens=False,
    )


def _names(found: fields.Field, indent: int) -> Iterator[str]:
    yield f"{' ' * indent}{_head(found)}"
    for inner in found.fields.values():
        yield from _names(inner, indent + 2)
