"""`podium explain`: what the fields of definition files mean."""

import textwrap
from collections.abc import Iterator

import click

from podium.api import names
from podium.cli import fields

__all__ = ["explain"]

_WIDTH = 80


@click.command()
@click.argument("path", metavar="[FIELD]", default="")
@click.option("--recursive", "-R", is_flag=True, help="Show all fields inside, without prose.")
def explain(path: str, *, recursive: bool) -> None:
    """Explain a field of definition files: its type, default and meaning.

    FIELD is a path such as workflow.spec.nodes.retryPolicy or executor.script.env; without one
    the kinds are listed.
    """
    if not path:
        click.echo("KINDS:")
        for name, text in fields.KINDS.items():
            click.echo(f"  {name:<12} {text}")
        click.echo("\nFor one of them, or a field: podium explain workflow.spec.nodes")
        return
    kind, found = fields.find(path)
    click.echo("\n".join(_page(kind, found, recursive=recursive)))


def _page(kind: str, found: fields.Field, *, recursive: bool) -> Iterator[str]:
    if kind == "executor":
        yield "KIND:     executor"
    else:
        yield f"KIND:     {'Workflow' if kind == 'workflow' else 'WorkflowRun'}"
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
