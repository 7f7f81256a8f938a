"""Keywords of JSON Schema: which a draft knows, and where schemas stand inside a schema."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["DRAFT_7", "DRAFT_2020", "KEYWORDS", "Part", "draft_of", "is_known_draft", "parts"]

DRAFT_2020 = "2020-12"
DRAFT_7 = "draft-07"
_URIS = {
    "json-schema.org/draft/2020-12/schema": DRAFT_2020,
    "json-schema.org/draft-07/schema": DRAFT_7,
}
_BOTH = frozenset(
    [
        "$id",
        "$schema",
        "$ref",
        "$comment",
        "$defs",
        "definitions",
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
        "type",
        "enum",
        "const",
        "multipleOf",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "maxLength",
        "minLength",
        "pattern",
        "items",
        "maxItems",
        "minItems",
        "uniqueItems",
        "contains",
        "maxProperties",
        "minProperties",
        "required",
        "properties",
        "patternProperties",
        "additionalProperties",
        "propertyNames",
        "if",
        "then",
        "else",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "format",
        "contentEncoding",
        "contentMediaType",
    ]
)
KEYWORDS: dict[str, frozenset[str]] = {
    DRAFT_2020: _BOTH
    | frozenset(
        [
            "$anchor",
            "$dynamicRef",
            "$dynamicAnchor",
            "$vocabulary",
            "prefixItems",
            "minContains",
            "maxContains",
            "dependentRequired",
            "dependentSchemas",
            "unevaluatedItems",
            "unevaluatedProperties",
            "contentSchema",
        ]
    ),
    DRAFT_7: _BOTH | {"dependencies", "additionalItems"},
}
"""What each draft knows."""

_ONE = frozenset(
    [
        "items",
        "contains",
        "additionalProperties",
        "additionalItems",
        "propertyNames",
        "if",
        "then",
        "else",
        "not",
        "unevaluatedItems",
        "unevaluatedProperties",
        "contentSchema",
    ]
)
"""Keywords that hold a schema (`items` of draft-07 also a list of them)."""
_SEVERAL = frozenset({"allOf", "anyOf", "oneOf", "prefixItems", "items"})
_NAMED = frozenset(
    {
        "properties",
        "patternProperties",
        "$defs",
        "definitions",
        "dependentSchemas",
        "dependencies",
    }
)
_FILLED = frozenset(
    {"allOf", "properties", "additionalProperties", "items", "$defs", "definitions"}
)
"""Keywords below which defaults are filled in (`podium.contracts.defaults`)."""


@dataclass(frozen=True, slots=True)
class Part:
    """A schema inside a schema."""

    path: tuple[str | int, ...]
    schema: Mapping[str, Any]
    is_filled: bool
    """Whether a default that stands here is filled in."""


def draft_of(schema: Mapping[str, Any]) -> str:
    """Return the draft that a schema is written in: what `$schema` says, else 2020-12."""
    return _URIS.get(_bare(schema.get("$schema")), DRAFT_2020)


def is_known_draft(uri: object) -> bool:
    """Return whether `$schema` names a draft that is honoured."""
    return _bare(uri) in _URIS


def _bare(uri: object) -> str:
    text = uri.removesuffix("#") if isinstance(uri, str) else ""
    return text.removeprefix("https://").removeprefix("http://")


def parts(schema: Mapping[str, Any], most_depth: int) -> Iterator[Part]:
    """Return a schema and all schemas inside it, down to `most_depth` levels."""
    waiting = [Part((), schema, is_filled=False)]
    while waiting:
        part = waiting.pop()
        yield part
        if len(part.path) < 2 * most_depth:
            waiting += reversed(list(_inside(part)))


def _inside(part: Part) -> Iterator[Part]:
    at_top = not part.path
    for keyword, value in part.schema.items():
        filled = (part.is_filled or at_top) and keyword in _FILLED
        here = (*part.path, keyword)
        if keyword in _ONE and isinstance(value, Mapping):
            yield Part(here, value, filled)
        elif keyword in _SEVERAL and isinstance(value, list):
            filled = filled and keyword != "items"
            for position, each in enumerate(value):
                if isinstance(each, Mapping):
                    yield Part((*here, position), each, filled)
        elif keyword in _NAMED and isinstance(value, Mapping):
            for name, each in value.items():
                if isinstance(each, Mapping):
                    yield Part((*here, name), each, filled)
