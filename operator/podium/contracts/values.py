"""JSON values: read strictly, made canonical, so that laptop, status and archive agree.

The rules are those of semantics.md 7: integral floats become integers, integers fit in 64 bits,
NaN and infinities and duplicate keys are refused, the digest is over the canonical form.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

import orjson
import rfc8785

from podium.errors import PodiumError

__all__ = [
    "OutputNotJSONError",
    "ValueNotJSONError",
    "canonical",
    "decoded",
    "digest",
    "get_path",
    "merged",
    "normalise",
    "parse_output",
    "parse_value",
]

MAX_DEPTH = 100
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


class ValueNotJSONError(PodiumError, ValueError):
    """A value is none that Podium keeps; the message names its path."""


class OutputNotJSONError(PodiumError, ValueError):
    """An output is not a JSON object; the message says what it is instead."""


def parse_output(raw: bytes | str) -> dict[str, Any]:
    """Read an output: a JSON object; nothing at all is `{}`.

    Raises `OutputNotJSONError`.
    """
    text = decoded(raw)
    if not text.strip():
        return {}
    value = parse_value(text, "one JSON object")
    if not isinstance(value, dict):
        raise OutputNotJSONError(f"is {_kind(value)}; write one JSON object, such as {{}}")
    return value


def decoded(raw: bytes | str) -> str:
    """Return UTF-8 as a string. Raises `OutputNotJSONError`."""
    try:
        return raw.decode("utf-8") if isinstance(raw, bytes) else raw
    except UnicodeDecodeError as error:
        raise OutputNotJSONError(f"is not UTF-8 text: byte {error.start} is wrong") from None


def parse_value(text: str, wanted: str = "one JSON value") -> Any:
    """Read a JSON value as Podium keeps it; `wanted` is what should be there.

    Raises `OutputNotJSONError`.
    """
    if text.startswith("\ufeff"):
        raise OutputNotJSONError("begins with a byte order mark: write UTF-8 without one")
    try:
        return _normalise(_DECODER.decode(text), "", 0, in_place=True)
    except json.JSONDecodeError as error:
        raise OutputNotJSONError(
            f"is not JSON: {error.msg.removesuffix(' at')} at line {error.lineno},"
            f" column {error.colno}; write {wanted}"
        ) from None
    except ValueNotJSONError as error:
        raise OutputNotJSONError(str(error)) from None
    except RecursionError:
        raise OutputNotJSONError(f"is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:  # a number of more digits than Python reads
        raise OutputNotJSONError(f"has a number that is too large: {error}") from None


def normalise(value: Any, path: str = "") -> Any:
    """Return a value as Podium keeps it. Raises `ValueNotJSONError`, naming the path."""
    return _normalise(value, path, 0, in_place=False)


def _normalise(value: Any, path: str, depth: int, *, in_place: bool) -> Any:
    """`in_place`: dicts and lists are the caller's own; a copy of a large value costs as much."""
    if depth > MAX_DEPTH:
        raise ValueNotJSONError(f"is nested deeper than {MAX_DEPTH} levels")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                raise ValueNotJSONError(
                    f"{_at(path)}is a string with an unpaired surrogate"
                ) from None
        return value
    if isinstance(value, int):
        if not _LOWEST <= value <= _HIGHEST:
            raise ValueNotJSONError(f"{_at(path)}is a whole number of more than 64 bits")
        return value
    if isinstance(value, float):
        return _float(value, path)
    if type(value) is dict or isinstance(value, Mapping):  # the former is quick to answer
        made: Any = value if in_place else {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueNotJSONError(f"{_at(path)}has a key that is not a string: {key!r:.80}")
            _normalise(key, path, depth, in_place=in_place)
            here = f"{path}.{key}" if path else key
            made[key] = _normalise(item, here, depth + 1, in_place=in_place)
        return made
    if isinstance(value, list | tuple):
        items: Any = value if in_place else [None] * len(value)
        for i, item in enumerate(value):
            items[i] = _normalise(item, f"{path}[{i}]", depth + 1, in_place=in_place)
        return items
    raise ValueNotJSONError(f"{_at(path)}is not a JSON value but {type(value).__name__}")


def _float(value: float, path: str) -> int | float:
    """1.0 is 1 wherever it comes from; beyond 64 bits a float stays one."""
    if not math.isfinite(value):
        raise ValueNotJSONError(f"{_at(path)}is {value}, which JSON does not have")
    if value.is_integer() and _LOWEST <= value <= _HIGHEST and int(value) <= _HIGHEST:
        return int(value)
    return value


def canonical(value: Any) -> bytes:
    """Return the canonical form: RFC 8785 where it applies.

    Whole numbers beyond 2^53, which RFC 8785 leaves out and Podium keeps, are written in full,
    with keys in the same order.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.IntegerDomainError, rfc8785.FloatDomainError):
        ordered = _by_utf16(value)
        return orjson.dumps(ordered)


def digest(value: Any) -> str:
    """Return `sha256:` and the hash (hex) of the canonical form."""
    return "sha256:" + hashlib.sha256(canonical(value)).hexdigest()


def get_path(data: Any, path: str) -> Any:
    """Return the value at a dotted path; digits are positions in a list.

    Raises `KeyError` if there is none.
    """
    for part in path.split("."):
        if isinstance(data, Mapping):
            data = data[part]
        elif isinstance(data, list) and part.isascii() and part.isdigit() and len(part) < 10:
            if int(part) >= len(data):
                raise KeyError(path)
            data = data[int(part)]
        else:
            raise KeyError(path)
    return data


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the keys of `over`, object by object; lists, null and the rest replace."""
    made = {**base, **over}
    for key in base.keys() & over.keys():  # few: the loop is the slow part where there are many
        below, value = base[key], over[key]
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            made[key] = merged(below, value)
    return made


def _by_utf16(value: Any) -> Any:
    if isinstance(value, Mapping):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return {key: _by_utf16(value[key]) for key in keys}
    if isinstance(value, list):
        return [_by_utf16(item) for item in value]
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueNotJSONError(f"has the key {key!r:.80} twice")
        made[key] = value
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueNotJSONError(f"holds {name}, which JSON does not have")


_DECODER = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
"""Made once: `json.loads` makes one for each value that it reads so."""


def _at(path: str) -> str:
    return f"{path}: " if path else ""


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    return "a string" if isinstance(value, str) else "a list"
