"""YAML and JSON texts as plain data, with the line and the wording of every value.

A file must mean on a laptop what it means to kubectl, so plain scalars are read as
sigs.k8s.io/yaml reads them (YAML 1.1 booleans, `1e3` a number, `12:30:45` and dates texts), not
as PyYAML's constructor does. From PyYAML comes the parser alone, as events: it makes no objects.
Values are built here, iteratively, so that a text of any kind ends in `InvalidError` at worst:
depth, number of values and what aliases repeat are bounded, duplicate keys and keys that are no
text are refused.
"""

import base64
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from podium.api.problems import InvalidError, Path, Problem

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_REPEATED",
    "MAX_VALUES",
    "Mark",
    "Marked",
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
class Mark:
    """Where a value stands in its text, and where what is in it stands."""

    line: int
    text: str | None = None
    """A plain scalar as it was written: `1.0`, `yes`."""
    keys: dict[str, "tuple[int, Mark]"] | None = None
    items: "list[Mark] | None" = None

    def find(self, path: Path) -> "tuple[int, Mark | None]":
        """Return the line of a path, or of its nearest parent, and its mark where it is there."""
        line, mark = self.line, self
        for part in path:
            if isinstance(part, str) and mark.keys is not None and part in mark.keys:
                line, mark = mark.keys[part]
            elif isinstance(part, int) and mark.items is not None and part < len(mark.items):
                mark = mark.items[part]
                line = mark.line
            else:
                return line, None
        return line, mark


@dataclass(slots=True)
class Marked:
    """One document of a text."""

    data: Any
    mark: Mark


class _Refused(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, line: int | None, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def decode(raw: bytes, name: str) -> str:
    """Return a file's text. Raises `InvalidError` on what is no UTF-8."""
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
        message = f"is no UTF-8 text (byte 0x{raw[error.start]:02x}): save it as UTF-8"
        raise _invalid(name, line, message) from None


def too_large(size: int) -> str:
    """Say that a file is too large to be read at all."""
    return (
        f"has {size:,} bytes: a file may have {MAX_BYTES:,} at most, and a definition"
        " 900,000; keep data in files that scripts read"
    )


def read(text: str, name: str) -> list[Marked]:
    """Read all documents of a text. Raises `InvalidError`."""
    if len(text) > MAX_BYTES:
        raise _invalid(name, None, too_large(len(text)))
    text = text.removeprefix("\ufeff")
    if found := _FORBIDDEN.search(text):
        character = found.group()
        what = "half a character" if "\ud800" <= character <= "\udfff" else "the control character"
        line = text.count("\n", 0, found.start()) + 1
        raise _invalid(name, line, f"holds {what} U+{ord(character):04X}: remove it")
    try:
        if text.lstrip()[:1] in ("{", "["):
            try:
                return _Builder().build(_json_events(text))
            except _NotJSONError as error:
                if name.endswith(".json") or _MEANT_AS_JSON.match(text):
                    raise _Refused(error.line, error.message) from None
        return _Builder().build(_yaml_events(text))
    except _Refused as refused:
        raise _invalid(name, refused.line, refused.message) from None


def _invalid(name: str, line: int | None, message: str) -> InvalidError:
    return InvalidError([Problem((), message, line=line, file=name)])


_MEANT_AS_JSON = re.compile(r'\s*\{\s*"[^"]*"\s*:')
"""Otherwise what begins with { and is no JSON is YAML's flow style: `{kind: Workflow, …}`."""

_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


# Scalars

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
        raise ValueError(f"{text} is no JSON number: leave it out, or quote it to mean the text")
    plain = text if text[0] == "." else text.replace("_", "")
    if text[0] != "." and (whole := _INTEGER.fullmatch(plain)):
        sign, *digits = whole.groups()
        for base, written in zip((16, 2, 8, 10), digits, strict=True):
            if written is not None:
                return _integer(sign, written, base, text)
    if _FLOAT.fullmatch(plain):
        return _number(float(plain), text)
    return text


def _integer(sign: str, digits: str, base: int, text: str) -> int:
    value = int(sign + digits, base) if len(digits) <= 100 else 2**64
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{text:.40} is a whole number of more than 64 bits: quote it")
    return value


def _number(value: float, text: str) -> int | float:
    """1.0 is 1, here as on the API server."""
    if not math.isfinite(value):
        raise ValueError(f"{text:.40} is too large a number: quote it to mean the text")
    return int(value) if value.is_integer() and -(2**63) <= value < 2**63 else value


_TAG = "tag:yaml.org,2002:"


def _scalar(event: yaml.ScalarEvent, line: int) -> Any:
    tag, value = event.tag, str(event.value)
    if tag in (None, "!") and (event.style or tag == "!"):
        return _whole(value, line)
    try:
        if tag is None:
            return resolve_plain(value)
        kind = tag.removeprefix(_TAG)
        if kind in ("str", "timestamp"):
            return _whole(value, line)
        if kind == "binary":
            return _binary(value)
        if kind in ("int", "float", "bool", "null"):
            made = resolve_plain(value)
            if isinstance(made, _TYPES[kind]) and (kind == "bool" or not isinstance(made, bool)):
                return made
            raise ValueError(f"{value!r:.40} is no {kind}")
    except ValueError as error:
        raise _Refused(line, str(error)) from None
    raise _unknown_tag(tag, line)


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


def _unknown_tag(tag: str, line: int) -> _Refused:
    shown = "!!" + tag.removeprefix(_TAG) if tag.startswith(_TAG) else tag
    return _Refused(line, f"YAML tag {shown!r:.60}: a definition holds plain data, remove the tag")


# Events: what both languages become

_OPEN_MAP, _OPEN_LIST, _CLOSE, _SCALAR, _ALIAS, _END = range(6)
_Event = tuple[int, int, Any, str | None, str | None]
"""Kind, line, value of a scalar (or name of an alias), wording of a plain scalar, anchor."""


def _yaml_events(text: str) -> Iterator[_Event]:
    try:
        # CSafeLoader where PyYAML was built with libyaml: ten times as fast.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        while loader.check_event():
            event = loader.get_event()
            line = event.start_mark.line + 1
            if isinstance(event, yaml.ScalarEvent):
                plain = event.value if not event.style and event.tag is None else None
                yield _SCALAR, line, _scalar(event, line), plain, event.anchor
            elif isinstance(event, yaml.MappingStartEvent):
                if event.tag not in (None, "!", _TAG + "map"):
                    raise _unknown_tag(event.tag, line)
                yield _OPEN_MAP, line, None, None, event.anchor
            elif isinstance(event, yaml.SequenceStartEvent):
                if event.tag not in (None, "!", _TAG + "seq"):
                    raise _unknown_tag(event.tag, line)
                yield _OPEN_LIST, line, None, None, event.anchor
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                yield _CLOSE, line, None, None, None
            elif isinstance(event, yaml.AliasEvent):
                yield _ALIAS, line, event.anchor, None, None
            elif isinstance(event, yaml.DocumentEndEvent):
                yield _END, line, None, None, None
    except yaml.MarkedYAMLError as error:
        raise _Refused(*_syntax(error, text)) from None
    # What PyYAML's own parser lets through: characters beyond Unicode, endless versions.
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise _Refused(None, f"is no valid YAML: {error}".splitlines()[0]) from None


def _syntax(error: yaml.MarkedYAMLError, text: str) -> tuple[int | None, str]:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or error.context or "unknown error"
    hint = ""
    # A tab inside a line is a character like others, so only what begins it is looked at.
    before = "" if mark is None else text[: mark.index + 1].rpartition("\n")[2]
    if before.isspace() and before.endswith("\t"):
        problem, hint = "a tab where indentation is expected", ": indent with spaces"
    elif "mapping values are not allowed" in problem:
        hint = ": quote a text that holds ': ', or check the indentation"
    elif "did not find expected key" in problem or "expected <block end>" in problem:
        hint = ": check the indentation"
    elif "cannot start any token" in problem:
        hint = ": quote the text"
    elif "undefined alias" in problem:
        hint = ": define it with &NAME before, or quote a text that begins with *"
    context = f" ({error.context})" if error.context and error.problem and not hint else ""
    return (None if mark is None else mark.line + 1), f"is no valid YAML: {problem}{context}{hint}"


class _NotJSONError(Exception):
    def __init__(self, text: str, position: int, message: str) -> None:
        super().__init__(message)
        self.line = text.count("\n", 0, position) + 1
        self.message = f"is no valid JSON: {message}"


_SPACE = re.compile(r"[ \t\n\r]*")
_LITERAL = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_STRING = json.JSONDecoder()
_LITERALS = {"true": True, "false": False, "null": None}


def _json_events(text: str) -> Iterator[_Event]:
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
                raise _NotJSONError(text, position, "it ends too early")
            return
        character = text[position]
        if character in "}]":
            if not open_ or open_[-1] != character or expect not in ("first", "first-key", "comma"):
                raise _NotJSONError(text, position, f"unexpected {character!r}")
            open_.pop()
            position += 1
            yield _CLOSE, line, None, None, None
        elif expect in ("colon", "comma"):
            if character != {"colon": ":", "comma": ","}[expect]:
                raise _NotJSONError(text, position, f"{expect} expected, found {character!r}")
            position += 1
            expect = "value" if expect == "colon" or open_[-1] == "]" else "key"
            continue
        elif character == '"':
            try:
                value, position = _STRING.raw_decode(text, position)
            except json.JSONDecodeError as error:
                message = error.msg.lower().removesuffix(" at").removesuffix(" starting")
                raise _NotJSONError(text, error.pos, message) from None
            yield _SCALAR, line, _whole(value, line), None, None
            if expect in ("key", "first-key"):
                expect = "colon"
                continue
        elif expect in ("key", "first-key"):
            raise _NotJSONError(text, position, f"a key in quotes expected, found {character!r}")
        elif character in "{[":
            open_.append("}" if character == "{" else "]")
            position += 1
            yield (_OPEN_MAP if character == "{" else _OPEN_LIST), line, None, None, None
            expect = "first-key" if character == "{" else "first"
            continue
        else:
            found = _LITERAL.match(text, position)
            if found is None:
                raise _NotJSONError(text, position, f"a value expected, found {character!r}")
            position = found.end()
            yield _SCALAR, line, _literal(found, line), found.group(), None
        if not open_:
            yield _END, line, None, None, None
        expect = "comma" if open_ else "value"


def _whole(value: str, line: int) -> str:
    """Refuse the halves of characters that escapes can name."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Refused(line, "a text holds half a character (a lone \\u escape)") from None
    return value


def _literal(found: re.Match[str], line: int) -> Any:
    word = found.group()
    if word in _LITERALS:
        return _LITERALS[word]
    try:
        if found.group(1) or found.group(2):
            return _number(float(word), word)
        return _integer("-" * word.startswith("-"), word.lstrip("-"), 10, word)
    except ValueError as error:
        raise _Refused(line, str(error)) from None


# Building


@dataclass(slots=True)
class _Value:
    data: Any
    mark: Mark
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

    def build(self, events: Iterator[_Event]) -> list[Marked]:
        documents: list[Marked] = []
        for kind, line, data, text, anchor in events:
            if kind == _END:
                self.anchors = {}
                continue
            if kind == _CLOSE:
                value = self._close()
            elif kind in (_OPEN_MAP, _OPEN_LIST):
                self._open(
                    _Value({}, Mark(line, keys={}))
                    if kind == _OPEN_MAP
                    else _Value([], Mark(line, items=[])),
                    anchor,
                    line,
                )
                continue
            elif kind == _ALIAS:
                value = self._alias(str(data), line)
            else:
                self._count(line)
                size = len(data) if isinstance(data, str) else 0
                value = _Value(data, Mark(line, text), size=size, merge=text == "<<")
                if anchor is not None:
                    self.anchors[anchor] = value
            if self.stack:
                self._add(value, line)
            elif len(documents) >= 1000:
                raise _Refused(line, "holds more than 1,000 documents: split the file")
            else:
                documents.append(Marked(value.data, value.mark))
        return documents

    def _count(self, line: int) -> None:
        self.values += 1
        if self.values > MAX_VALUES:
            raise _Refused(line, f"holds more than {MAX_VALUES:,} values")

    def _open(self, value: _Value, anchor: str | None, line: int) -> None:
        self._count(line)
        if len(self.stack) >= MAX_DEPTH:
            raise _Refused(line, f"is nested deeper than {MAX_DEPTH} levels")
        if self.stack and self.stack[-1].value.mark.keys is not None and not self._has_key():
            raise _Refused(line, "a key must be a text, not a list or a mapping")
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
                    value.mark.keys[key] = merged.mark.keys[key]  # type: ignore[index]
        if top.anchor is not None:
            self.anchors[top.anchor] = value
        return value

    def _alias(self, name: str, line: int) -> _Value:
        if name not in self.anchors:
            raise _Refused(
                line,
                f"alias *{name:.40} has no anchor: define it with &{name:.40} before, or quote a"
                " text that begins with *",
            )
        target = self.anchors[name]
        if target is None:
            raise _Refused(line, f"alias *{name:.40} stands inside its own anchor")
        self.repeated += target.count
        self.repeated_size += target.size
        if (
            self.repeated > MAX_REPEATED
            or self.repeated_size > MAX_REPEATED * _CHARACTERS_PER_VALUE
        ):
            raise _Refused(
                line,
                f"aliases repeat more than {MAX_REPEATED:,} values or"
                f" {MAX_REPEATED * _CHARACTERS_PER_VALUE:,} characters: write fewer aliases",
            )
        if len(self.stack) + target.height > MAX_DEPTH:
            raise _Refused(line, f"is nested deeper than {MAX_DEPTH} levels")
        mark = Mark(line, target.mark.text, target.mark.keys, target.mark.items)
        return _Value(_copy(target.data), mark, target.count, target.size, target.height)

    def _add(self, value: _Value, line: int) -> None:
        top = self.stack[-1]
        into = top.value
        into.height = max(into.height, value.height + 1)
        into.count += value.count
        into.size += value.size
        if into.mark.items is not None:
            into.data.append(value.data)
            into.mark.items.append(value.mark)
            return
        if top.key is None:
            self._key(top, value, line)
            return
        key, top.key = top.key, None
        if key == "<<" and top.merges is not None and top.key_line < 0:
            self._merge(top, value, line)
            return
        into.data[key] = value.data
        into.mark.keys[key] = (top.key_line, value.mark)  # type: ignore[index]

    def _key(self, top: _Open, value: _Value, line: int) -> None:
        key = value.data
        if not isinstance(key, str):
            written = value.mark.text if value.mark.text is not None else str(key)
            raise _Refused(
                line, f'key {written or "(empty)":.40} is no text: write "{written:.40}" in quotes'
            )
        if value.merge:
            top.merges = top.merges or []
            top.key, top.key_line = key, -line
            return
        keys = top.value.mark.keys
        if keys is not None and key in keys:
            raise _Refused(
                line,
                f"duplicate key {key!r:.80}: it stands on line {keys[key][0]} already;"
                " remove one of them",
            )
        top.key, top.key_line = key, line

    def _merge(self, top: _Open, value: _Value, line: int) -> None:
        """`<<: *defaults`: the keys of another mapping, which explicit keys hide."""
        sources = [value]
        if isinstance(value.data, list):
            marks = value.mark.items or []
            sources = [_Value(*pair) for pair in zip(value.data, marks, strict=True)]
        if not all(isinstance(source.data, dict) for source in sources):
            raise _Refused(line, "<<: takes a mapping or a list of mappings")
        assert top.merges is not None  # noqa: S101 - for mypy
        top.merges += sources


def _copy(value: Any) -> Any:
    """Copy plain data: what two aliases name must not change together."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value
