"""Strings with `${{ EXPRESSION }}` in them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from podium.expressions.errors import ExpressionSyntaxError, LimitExceededError
from podium.expressions.fuel import charge
from podium.expressions.functions import write
from podium.expressions.limits import MAX_CHARACTERS, MAX_EXPRESSIONS, MAX_TEXT
from podium.expressions.parser import Expression, parse
from podium.expressions.references import Reference

__all__ = ["Template", "has_template", "parse_template"]


class Template(NamedTuple):
    """A string with `${{ EXPRESSION }}` in it. `$${{` stands for `${{` itself."""

    source: str
    parts: tuple[str | Expression, ...]

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """Its expressions, in their order."""
        return tuple(part for part in self.parts if isinstance(part, Expression))

    @property
    def references(self) -> tuple[Reference, ...]:
        """All paths that its expressions read, each once."""
        found = [reference for part in self.expressions for reference in part.references]
        return tuple(dict.fromkeys(found))

    def render(self, scope: Mapping[str, Any]) -> str:
        """Fill in the expressions: strings as they are, everything else as compact JSON."""
        pieces = []
        size = 0
        for part in self.parts:
            piece = part if isinstance(part, str) else write(part.evaluate(scope), charge)
            size += len(piece)
            if size > MAX_TEXT + len(self.source):
                raise LimitExceededError(f"the string has more than {MAX_TEXT} characters")
            pieces.append(piece)
        return "".join(pieces)


def has_template(text: str) -> bool:
    """Return whether a string holds `${{`."""
    return "${{" in text


def parse_template(text: str) -> Template:
    """Parse a string with `${{ }}`. Raises `ExpressionSyntaxError`, its offset being in the text.

    Only the expressions are kept for the next time: a string may be a script of megabytes.
    """
    parts: list[str | Expression] = []
    count = 0
    plain = ""
    position = 0
    while (start := text.find("${{", position)) >= 0:
        if start > position and text[start - 1] == "$":
            plain += text[position : start - 1] + "${{"
            position = start + 3
            continue
        plain += text[position:start]
        end = _template_end(text, start + 3)
        if end is None:
            raise ExpressionSyntaxError(
                f"${{{{ has no }}}} within {MAX_CHARACTERS} characters: "
                "write $${{ for the characters ${{",
                start,
            )
        if plain:
            parts.append(plain)
            plain = ""
        count += 1
        if count > MAX_EXPRESSIONS:
            raise ExpressionSyntaxError(f"a string takes {MAX_EXPRESSIONS} expressions", start)
        parts.append(_parse_within(text[start + 3 : end], start + 3))
        position = end + 2
    plain += text[position:]
    if plain:
        parts.append(plain)
    return Template(text, tuple(parts))


def _parse_within(source: str, start: int) -> Expression:
    """Parse an expression of a string; offsets of errors count from the text's beginning."""
    before = len(source) - len(source.lstrip())
    try:
        return parse(source.strip())
    except ExpressionSyntaxError as error:
        offset = start if error.offset is None else start + before + error.offset
        raise ExpressionSyntaxError(error.message, offset) from None


def _template_end(text: str, position: int) -> int | None:
    """Find the }} that closes a template, passing over strings and braces of the expression."""
    depth = 0
    quote = ""
    last = min(len(text), position + MAX_CHARACTERS + 2)
    while position < last:
        character = text[position]
        if quote:
            if character == "\\":
                position += 1
            elif character == quote:
                quote = ""
        elif character in "'\"":
            quote = character
        elif character == "{":
            depth += 1
        elif character == "}":
            if depth == 0:
                return position if text[position : position + 2] == "}}" else None
            depth -= 1
        position += 1
    return None
