"""Parts of a schema as a comparison sees them: places in a document, its references followed."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from podium.contracts.json_schema import Schema, compiled_pattern
from podium.contracts.keywords import DRAFT_7, draft_of
from podium.contracts.references import References
from podium.errors import PodiumError

__all__ = ["EVERY_TYPE", "Budget", "Document", "Part", "TooLargeError", "types_of", "whole"]

EVERY_TYPE = frozenset({"null", "boolean", "integer", "decimal", "string", "array", "object"})
"""`decimal` is a number that is not an integer: `number` is both."""
PATTERN_SECONDS = 0.2
_ANNOTATIONS = frozenset(
    {
        *("$id", "$schema", "$comment", "$anchor", "$dynamicAnchor", "$vocabulary", "$defs"),
        *("definitions", "title", "description", "default", "examples", "deprecated", "readOnly"),
        *("writeOnly", "format", "contentEncoding", "contentMediaType", "contentSchema"),
    }
)


class TooLargeError(PodiumError):
    """To compare the schemas takes more steps than are allowed."""


class Budget:
    """Steps that a comparison may take, and references that its checks may follow."""

    def __init__(self, steps: int, references: int) -> None:
        self._steps = steps
        self.references = [references]

    def take(self, steps: int = 1) -> None:
        """Count steps. Raises `TooLargeError`."""
        self._steps -= steps
        if self._steps < 0 or self.references[0] < 0:
            raise TooLargeError


class Document:
    """A whole schema, which references in it are relative to."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self.is_draft_7 = draft_of(root) == DRAFT_7
        self.references = References(root)

    @cached_property
    def checker(self) -> Schema:
        """What checks values."""
        return Schema(self.root)


class Part(NamedTuple):
    """A schema inside a document. Inside a schema, a Part may stand for one of another document."""

    schema: Any
    """A mapping, or a boolean."""
    document: Document

    @property
    def key(self) -> int:
        """Identity of the schema, as long as its document is there."""
        return id(self.schema)

    def inside(self, schema: Any) -> "Part":
        """Return a schema that stands inside this one."""
        return schema if isinstance(schema, Part) else Part(schema, self.document)

    def get(self, keyword: str) -> Any:
        """Return the value of a keyword; None: it is not there."""
        return self.schema.get(keyword) if isinstance(self.schema, Mapping) else None

    def target(self) -> "Part | None":
        """Return what `$ref` leads to; None: there is none."""
        reference = self.get("$ref")
        if not isinstance(reference, str):
            return None
        found = self.document.references.resolve(self.schema, reference)
        return Part(True if found is None else found, self.document)

    @property
    def is_reference(self) -> bool:
        """Whether it is its reference and nothing else, as draft-07 has it."""
        return self.document.is_draft_7 and isinstance(self.get("$ref"), str)

    @property
    def says_nothing(self) -> bool:
        """Whether every value meets it."""
        if isinstance(self.schema, Mapping):
            return _ANNOTATIONS.issuperset(self.schema)
        return self.schema is True

    def mapping(self, keyword: str) -> Mapping[str, Any]:
        """Return a keyword whose value is a mapping; empty: it is not there."""
        found = self.get(keyword)
        return found if isinstance(found, Mapping) else {}

    def array_items(self) -> tuple[Sequence[Any], Any]:
        """Return the schemas of the first elements of an array, and that of the rest or None."""
        items = self.get("items")
        if isinstance(items, list):
            return items, self.get("additionalItems")
        first = self.get("prefixItems")
        return first if isinstance(first, list) else (), items

    def fits(self, value: Any, budget: Budget) -> bool:
        """Return whether a value meets the schema."""
        budget.take()
        return not self.document.checker.breaches_by(self.schema, value, budget.references)

    def members(self, name: str) -> Iterator["Part"]:
        """Return the schemas that the value of a key of an object must meet."""
        is_known = False
        properties = self.mapping("properties")
        if name in properties:
            is_known = True
            yield self.inside(properties[name])
        for pattern, schema in self.mapping("patternProperties").items():
            if compiled_pattern(pattern).search(name, timeout=PATTERN_SECONDS):
                is_known = True
                yield self.inside(schema)
        rest = self.get("additionalProperties")
        if not is_known and rest is not None:
            yield self.inside(rest)


def whole(schema: Mapping[str, Any]) -> Part:
    """Return a whole schema."""
    return Part(schema, Document(schema))


def types_of(part: Part) -> frozenset[str]:
    """Return the types that a schema's own `type` allows."""
    wanted = part.get("type")
    if wanted is None:
        return EVERY_TYPE
    names = set([wanted] if isinstance(wanted, str) else wanted)
    if "number" in names:
        names |= {"integer", "decimal"}
    return EVERY_TYPE & names
