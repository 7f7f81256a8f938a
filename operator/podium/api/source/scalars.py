"""Scalars of YAML and JSON, as kubectl reads them."""

import base64
import math
import re
from typing import Any

import yaml

from podium.errors import PodiumError

__all__ = [
    "TAG",
    "RefusedError",
    "finite_number",
    "integer",
    "resolve_plain",
    "scalar",
    "unknown_tag",
    "whole_characters",
]


class RefusedError(PodiumError):
    """A source is not one that Podium reads; becomes an `InvalidError`."""

    def __init__(self, line: int | None, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


_NAMED: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(
        ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True
    ),
    **dict.fromkeys(
        ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False
    ),
}
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def resolve_plain(text: str) -> Any:
    """Return what a plain YAML scalar means to kubectl. Raises `ValueError` on NaN and the like."""
    if text in _NAMED:
        return _NAMED[text]
    if text[0] not in "0123456789+-.":
        return text
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(
            f"{text} is not a JSON number: leave it out, or quote it to make it a string"
        )
    plain = text if text[0] == "." else text.replace("_", "")
    if text[0] != "." and (whole := _INTEGER.fullmatch(plain)):
        sign, *digits = whole.groups()
        for base, written in zip((16, 2, 8, 10), digits, strict=True):
            if written is not None:
                return integer(sign, written, base, text)
    if _FLOAT.fullmatch(plain):
        return finite_number(float(plain), text)
    return text


def integer(sign: str, digits: str, base: int, text: str) -> int:
    """Return a whole number of 64 bits. Raises `ValueError`, quoting `text`."""
    value = int(sign + digits, base) if len(digits) <= 100 else 2**64
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{text:.40} is a whole number of more than 64 bits: quote it")
    return value


def finite_number(value: float, text: str) -> int | float:
    """1.0 is 1, here as on the API server."""
    if not math.isfinite(value):
        raise ValueError(f"{text:.40} is too large a number: quote it to make it a string")
    return int(value) if value.is_integer() and -(2**63) <= value < 2**63 else value


TAG = "tag:yaml.org,2002:"


def scalar(event: yaml.ScalarEvent, line: int) -> Any:
    """Return the value of a YAML scalar by its tag and its style. Raises `RefusedError`."""
    tag, value = event.tag, str(event.value)
    if tag in (None, "!") and (event.style or tag == "!"):
        return whole_characters(value, line)
    try:
        if tag is None:
            return resolve_plain(value)
        kind = tag.removeprefix(TAG)
        if kind in ("str", "timestamp"):
            return whole_characters(value, line)
        if kind == "binary":
            return _binary(value)
        if kind in ("int", "float", "bool", "null"):
            made = resolve_plain(value)
            if isinstance(made, _TYPES[kind]) and (kind == "bool" or not isinstance(made, bool)):
                return made
            raise ValueError(f"{value!r:.40} is not of type {kind}")
    except ValueError as error:
        raise RefusedError(line, str(error)) from None
    raise unknown_tag(tag, line)


def _binary(value: str) -> str:
    try:
        return base64.b64decode(value, validate=False).decode("utf-8")
    except ValueError:
        raise ValueError("!!binary holds no UTF-8 text in base64: write the text itself") from None


_TYPES: dict[str, type | tuple[type, ...]] = {
    "int": int,
    "float": (int, float),
    "bool": bool,
    "null": type(None),
}


def unknown_tag(tag: str, line: int) -> RefusedError:
    """Return the error for a tag that is not plain data."""
    shown = "!!" + tag.removeprefix(TAG) if tag.startswith(TAG) else tag
    return RefusedError(
        line, f"YAML tag {shown!r:.60}: a definition holds plain data, remove the tag"
    )


def whole_characters(value: str, line: int) -> str:
    """Refuse the halves of characters that escapes can name."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RefusedError(
            line, "a string contains an unpaired surrogate (a lone \\u escape)"
        ) from None
    return value
