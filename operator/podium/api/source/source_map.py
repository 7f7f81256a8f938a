"""YAML and JSON as plain data, with the line and the wording of every value.

A file must mean on a laptop what it means to kubectl, so plain scalars are read as
sigs.k8s.io/yaml reads them (YAML 1.1 booleans, `1e3` a number, `12:30:45` and dates strings), not
as PyYAML's constructor does. From PyYAML comes the parser alone, as events: it makes no objects.
Values are built here, iteratively, so that a string of any kind ends in `InvalidError` at worst:
depth, number of values and what aliases repeat are bounded, duplicate keys and keys that are not
strings are refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from podium.api.problems import InvalidError, Path, Problem
from podium.api.source.events import (
    ALIAS,
    CLOSE,
    END,
    OPEN_LIST,
    OPEN_MAP,
    Event,
    NotJSONError,
    json_events,
    yaml_events,
)
from podium.api.source.scalars import RefusedError, resolve_plain

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_REPEATED",
    "MAX_VALUES",
    "ParsedDocument",
    "SourceMap",
    "decode",
    "read",
    "resolve_plain",
]

MAX_BYTES = 5_000_000
"""Size of a file."""
MAX_DEPTH = 100
"""Levels of nesting, as in outputs."""
MAX_VALUES = 500_000
"""Values in a file, keys not counted."""
MAX_REPEATED = 100_000
"""Values, and eight times as many characters, that aliases may repeat in a file."""

_CHARACTERS_PER_VALUE = 8


@dataclass(slots=True)
class SourceMap:
    """Position of a value in its text, and of what is in it."""

    line: int
    text: str | None = None
    """A plain scalar as it was written: `1.0`, `yes`."""
    keys: dict[str, "tuple[int, SourceMap]"] | None = None
    items: "list[SourceMap] | None" = None

    def find(self, path: Path) -> "tuple[int, SourceMap | None]":
        """Return the line of a path, or of its nearest parent, and its map where it is there."""
        line, here = self.line, self
        for part in path:
            if isinstance(part, str) and here.keys is not None and part in here.keys:
                line, here = here.keys[part]
            elif isinstance(part, int) and here.items is not None and part < len(here.items):
                here = here.items[part]
                line = here.line
            else:
                return line, None
        return line, here


@dataclass(slots=True)
class ParsedDocument:
    """One document of a string."""

    data: Any
    source_map: SourceMap


def decode(raw: bytes, name: str) -> str:
    """Return a file's text. Raises `InvalidError` on what is not UTF-8."""
    if len(raw) > MAX_BYTES:
        raise _invalid(name, None, too_large(len(raw)))
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise _invalid(name, None, "is UTF-16 text: save it as UTF-8")
    if b"\0" in raw:
        raise _invalid(name, None, "is a binary file: a definition is UTF-8 text")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8 text (byte 0x{raw[error.start]:02x}): save it as UTF-8"
        raise _invalid(name, line, message) from None


def too_large(size: int) -> str:
    """Report that a file is too large to be read at all."""
    return (
        f"has {size:,} bytes: a file may have {MAX_BYTES:,} at most, and a definition"
        " 900,000; keep data in files that scripts read"
    )


def read(text: str, name: str) -> list[ParsedDocument]:
    """Read all documents of a string. Raises `InvalidError`."""
    if len(text) > MAX_BYTES:
        raise _invalid(name, None, too_large(len(text)))
    text = text.removeprefix("\ufeff")
    if found := _FORBIDDEN.search(text):
        character = found.group()
        what = (
            "the unpaired surrogate"
            if "\ud800" <= character <= "\udfff"
            else "the control character"
        )
        line = text.count("\n", 0, found.start()) + 1
        raise _invalid(name, line, f"holds {what} U+{ord(character):04X}: remove it")
    try:
        if text.lstrip()[:1] in ("{", "["):
            try:
                return _Builder().build(json_events(text))
            except NotJSONError as error:
                if name.endswith(".json") or _MEANT_AS_JSON.match(text):
                    raise RefusedError(error.line, error.message) from None
        return _Builder().build(yaml_events(text))
    except RefusedError as refused:
        raise _invalid(name, refused.line, refused.message) from None


def _invalid(name: str, line: int | None, message: str) -> InvalidError:
    return InvalidError([Problem((), message, line=line, file=name)])


_MEANT_AS_JSON = re.compile(r'\s*\{\s*"[^"]*"\s*:')
"""Otherwise what begins with { and is not JSON is YAML's flow style: `{kind: Workflow, …}`."""

_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


# Building


@dataclass(slots=True)
class _Value:
    data: Any
    source_map: SourceMap
    count: int = 1
    """Values in it, itself included."""
    size: int = 0
    """Characters in it, keys included."""
    height: int = 0
    merge: bool = False
    """Whether it is the plain scalar `<<`."""


class _Open:
    __slots__ = ("anchor", "key", "key_line", "merges", "value")

    def __init__(self, value: _Value, anchor: str | None) -> None:
        self.value = value
        self.anchor = anchor
        self.key: str | None = None
        self.key_line = 0
        self.merges: list[_Value] | None = None


class _Builder:
    """Makes values of events."""

    def __init__(self) -> None:
        self.values = 0
        self.repeated = 0
        self.repeated_size = 0
        self.stack: list[_Open] = []
        self.anchors: dict[str, _Value | None] = {}

    def build(self, events: Iterator[Event]) -> list[ParsedDocument]:
        documents: list[ParsedDocument] = []
        for kind, line, data, text, anchor in events:
            if kind == END:
                self.anchors = {}
                continue
            if kind == CLOSE:
                value = self._close()
            elif kind in (OPEN_MAP, OPEN_LIST):
                self._open(
                    _Value({}, SourceMap(line, keys={}))
                    if kind == OPEN_MAP
                    else _Value([], SourceMap(line, items=[])),
                    anchor,
                    line,
                )
                continue
            elif kind == ALIAS:
                value = self._alias(str(data), line)
            else:
                self._count(line)
                size = len(data) if isinstance(data, str) else 0
                value = _Value(data, SourceMap(line, text), size=size, merge=text == "<<")
                if anchor is not None:
                    self.anchors[anchor] = value
            if self.stack:
                self._add(value, line)
            elif len(documents) >= 1000:
                raise RefusedError(line, "holds more than 1,000 documents: split the file")
            else:
                documents.append(ParsedDocument(value.data, value.source_map))
        return documents

    def _count(self, line: int) -> None:
        self.values += 1
        if self.values > MAX_VALUES:
            raise RefusedError(line, f"holds more than {MAX_VALUES:,} values")

    def _open(self, value: _Value, anchor: str | None, line: int) -> None:
        self._count(line)
        if len(self.stack) >= MAX_DEPTH:
            raise RefusedError(line, f"is nested deeper than {MAX_DEPTH} levels")
        if self.stack and self.stack[-1].value.source_map.keys is not None and not self._has_key():
            raise RefusedError(line, "a key must be a string, not a list or a mapping")
        if anchor is not None:
            self.anchors[anchor] = None
        self.stack.append(_Open(value, anchor))

    def _has_key(self) -> bool:
        return self.stack[-1].key is not None

    def _close(self) -> _Value:
        top = self.stack.pop()
        value = top.value
        for merged in top.merges or ():
            for key, item in merged.data.items():
                if key not in value.data:
                    value.data[key] = item
                    value.source_map.keys[key] = merged.source_map.keys[key]  # type: ignore[index]
        if top.anchor is not None:
            self.anchors[top.anchor] = value
        return value

    def _alias(self, name: str, line: int) -> _Value:
        if name not in self.anchors:
            raise RefusedError(
                line,
                f"alias *{name:.40} has no anchor: define it with &{name:.40} before, or quote a"
                " string that begins with *",
            )
        target = self.anchors[name]
        if target is None:
            raise RefusedError(line, f"alias *{name:.40} is inside its own anchor")
        self.repeated += target.count
        self.repeated_size += target.size
        if (
            self.repeated > MAX_REPEATED
            or self.repeated_size > MAX_REPEATED * _CHARACTERS_PER_VALUE
        ):
            raise RefusedError(
                line,
                f"aliases repeat more than {MAX_REPEATED:,} values or"
                f" {MAX_REPEATED * _CHARACTERS_PER_VALUE:,} characters: write fewer aliases",
            )
        if len(self.stack) + target.height > MAX_DEPTH:
            raise RefusedError(line, f"is nested deeper than {MAX_DEPTH} levels")
        origin = target.source_map
        here = SourceMap(line, origin.text, origin.keys, origin.items)
        return _Value(_copy(target.data), here, target.count, target.size, target.height)

    def _add(self, value: _Value, line: int) -> None:
        top = self.stack[-1]
        into = top.value
        into.height = max(into.height, value.height + 1)
        into.count += value.count
        into.size += value.size
        if into.source_map.items is not None:
            into.data.append(value.data)
            into.source_map.items.append(value.source_map)
            return
        if top.key is None:
            self._key(top, value, line)
            return
        key, top.key = top.key, None
        if key == "<<" and top.merges is not None and top.key_line < 0:
            self._merge(top, value, line)
            return
        into.data[key] = value.data
        into.source_map.keys[key] = (top.key_line, value.source_map)  # type: ignore[index]

    def _key(self, top: _Open, value: _Value, line: int) -> None:
        key = value.data
        if not isinstance(key, str):
            written = value.source_map.text if value.source_map.text is not None else str(key)
            raise RefusedError(
                line,
                f'key {written or "(empty)":.40} is not a string: write "{written:.40}" in quotes',
            )
        if value.merge:
            top.merges = top.merges or []
            top.key, top.key_line = key, -line
            return
        keys = top.value.source_map.keys
        if keys is not None and key in keys:
            raise RefusedError(
                line,
                f"duplicate key {key!r:.80}: it is on line {keys[key][0]} already;"
                " remove one of them",
            )
        top.key, top.key_line = key, line

    def _merge(self, top: _Open, value: _Value, line: int) -> None:
        """`<<: *defaults`: the keys of another mapping, which explicit keys hide."""
        sources = [value]
        if isinstance(value.data, list):
            marks = value.source_map.items or []
            sources = [_Value(*pair) for pair in zip(value.data, marks, strict=True)]
        if not all(isinstance(source.data, dict) for source in sources):
            raise RefusedError(line, "<<: takes a mapping or a list of mappings")
        assert top.merges is not None  # noqa: S101 - for mypy
        top.merges += sources


def _copy(value: Any) -> Any:
    """Copy plain data: what two aliases name must not change together."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value
