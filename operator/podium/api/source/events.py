"""YAML and JSON as one stream of events: what opens, closes and is between, on which line."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from podium.api.source.scalars import (
    TAG,
    RefusedError,
    finite_number,
    integer,
    scalar,
    unknown_tag,
    whole_characters,
)
from podium.errors import PodiumError

__all__ = [
    "ALIAS",
    "CLOSE",
    "END",
    "OPEN_LIST",
    "OPEN_MAP",
    "SCALAR",
    "Event",
    "NotJSONError",
    "json_events",
    "yaml_events",
]

OPEN_MAP, OPEN_LIST, CLOSE, SCALAR, ALIAS, END = range(6)
Event = tuple[int, int, Any, str | None, str | None]
"""Kind, line, value of a scalar (or name of an alias), wording of a plain scalar, anchor."""


def yaml_events(text: str) -> Iterator[Event]:
    """Read YAML documents. Raises `RefusedError`."""
    try:
        # CSafeLoader where PyYAML was built with libyaml: ten times as fast.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        while loader.check_event():
            event = loader.get_event()
            line = event.start_mark.line + 1
            if isinstance(event, yaml.ScalarEvent):
                plain = event.value if not event.style and event.tag is None else None
                yield SCALAR, line, scalar(event, line), plain, event.anchor
            elif isinstance(event, yaml.MappingStartEvent):
                if event.tag not in (None, "!", TAG + "map"):
                    raise unknown_tag(event.tag, line)
                yield OPEN_MAP, line, None, None, event.anchor
            elif isinstance(event, yaml.SequenceStartEvent):
                if event.tag not in (None, "!", TAG + "seq"):
                    raise unknown_tag(event.tag, line)
                yield OPEN_LIST, line, None, None, event.anchor
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                yield CLOSE, line, None, None, None
            elif isinstance(event, yaml.AliasEvent):
                yield ALIAS, line, event.anchor, None, None
            elif isinstance(event, yaml.DocumentEndEvent):
                yield END, line, None, None, None
    except yaml.MarkedYAMLError as error:
        raise RefusedError(*_syntax(error, text)) from None
    # What PyYAML's own parser lets through: characters beyond Unicode, endless versions.
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise RefusedError(None, f"is not valid YAML: {error}".splitlines()[0]) from None


def _syntax(error: yaml.MarkedYAMLError, text: str) -> tuple[int | None, str]:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or error.context or "unknown error"
    hint = ""
    # A tab inside a line is a character like others, so only what begins it is looked at.
    before = "" if mark is None else text[: mark.index + 1].rpartition("\n")[2]
    if before.isspace() and before.endswith("\t"):
        problem, hint = "a tab where indentation is expected", ": indent with spaces"
    elif "mapping values are not allowed" in problem:
        hint = ": quote a string that holds ': ', or check the indentation"
    elif "did not find expected key" in problem or "expected <block end>" in problem:
        hint = ": check the indentation"
    elif "cannot start any token" in problem:
        hint = ": quote the text"
    elif "undefined alias" in problem:
        hint = ": define it with &NAME before, or quote a string that begins with *"
    context = f" ({error.context})" if error.context and error.problem and not hint else ""
    return (None if mark is None else mark.line + 1), f"is not valid YAML: {problem}{context}{hint}"


class NotJSONError(PodiumError):
    """A source is not JSON."""

    def __init__(self, text: str, position: int, message: str) -> None:
        super().__init__(message)
        self.line = text.count("\n", 0, position) + 1
        self.message = f"is not valid JSON: {message}"


_SPACE = re.compile(r"[ \t\n\r]*")
_LITERAL = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_STRING = json.JSONDecoder()
_LITERALS = {"true": True, "false": False, "null": None}


def json_events(text: str) -> Iterator[Event]:
    """Read JSON values, one after the other, each a document of its own."""
    position, line, counted = 0, 1, 0
    open_: list[str] = []
    expect = "value"  # or: first (value or end), key, first-key, colon, comma
    while True:
        space = _SPACE.match(text, position)
        position = space.end() if space else position
        line, counted = line + text.count("\n", counted, position), position
        if position == len(text):
            if open_ or expect != "value":
                raise NotJSONError(text, position, "it ends too early")
            return
        character = text[position]
        if character in "}]":
            if not open_ or open_[-1] != character or expect not in ("first", "first-key", "comma"):
                raise NotJSONError(text, position, f"unexpected {character!r}")
            open_.pop()
            position += 1
            yield CLOSE, line, None, None, None
        elif expect in ("colon", "comma"):
            if character != {"colon": ":", "comma": ","}[expect]:
                raise NotJSONError(text, position, f"{expect} expected, found {character!r}")
            position += 1
            expect = "value" if expect == "colon" or open_[-1] == "]" else "key"
            continue
        elif character == '"':
            try:
                value, position = _STRING.raw_decode(text, position)
            except json.JSONDecodeError as error:
                message = error.msg.lower().removesuffix(" at").removesuffix(" starting")
                raise NotJSONError(text, error.pos, message) from None
            yield SCALAR, line, whole_characters(value, line), None, None
            if expect in ("key", "first-key"):
                expect = "colon"
                continue
        elif expect in ("key", "first-key"):
            raise NotJSONError(text, position, f"a key in quotes expected, found {character!r}")
        elif character in "{[":
            open_.append("}" if character == "{" else "]")
            position += 1
            yield (OPEN_MAP if character == "{" else OPEN_LIST), line, None, None, None
            expect = "first-key" if character == "{" else "first"
            continue
        else:
            found = _LITERAL.match(text, position)
            if found is None:
                raise NotJSONError(text, position, f"a value expected, found {character!r}")
            position = found.end()
            yield SCALAR, line, _literal(found, line), found.group(), None
        if not open_:
            yield END, line, None, None, None
        expect = "comma" if open_ else "value"


def _literal(found: re.Match[str], line: int) -> Any:
    word = found.group()
    if word in _LITERALS:
        return _LITERALS[word]
    try:
        if found.group(1) or found.group(2):
            return finite_number(float(word), word)
        return integer("-" * word.startswith("-"), word.lstrip("-"), 10, word)
    except ValueError as error:
        raise RefusedError(line, str(error)) from None
