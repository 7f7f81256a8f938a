"""Defaults of a schema: filled in where `properties` stand, behind `$ref` and `allOf` too.

A schema comes from a user: references may go round in circles and multiply, so what is looked at
is counted. Validation (`podium.contracts.schema_check`) refuses a schema whose defaults have no
end, and one with a default where none is filled in.
"""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["Defaults", "is_closed", "properties_of", "with_defaults"]

MAX_VALUES = 200_000
MAX_DEPTH = 100


def with_defaults(schema: Mapping[str, Any], instance: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy in which missing properties have the `default` of the schema."""
    made = Defaults(schema).fill(schema, instance)
    return dict(made)


def properties_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties that a schema declares, those behind `$ref` and `allOf` too."""
    found: dict[str, Any] = {}
    for part in Defaults(schema).applied(schema):
        properties = part.get("properties")
        if isinstance(properties, Mapping):
            found = {**properties, **found}
    return found


def is_closed(schema: Mapping[str, Any]) -> bool:
    """Return whether a schema allows no properties but those that it declares."""
    return schema.get("additionalProperties") is False and "patternProperties" not in schema


class Defaults:
    """Fills in the defaults of one schema."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        from podium.contracts.references import References  # noqa: PLC0415 - few have defaults

        self._references = References(root)
        self._left = MAX_VALUES
        self._open: frozenset[int] = frozenset()
        """The schemas of the objects that are being filled in."""
        self.has_end = True
        """Whether all defaults were filled in; else they go round in circles."""

    def fill(self, schema: Any, value: Any, depth: int = 0) -> Any:
        """Return a value with the defaults of a part of the schema."""
        if not isinstance(schema, Mapping) or not isinstance(value, Mapping | list):
            return value
        if depth > MAX_DEPTH or self._left <= 0:
            self.has_end = False
            return value
        applied = list(self.applied(schema))
        self._left -= len(applied) + len(value)
        if isinstance(value, list):
            for part in applied:
                items = part.get("items")
                if isinstance(items, Mapping):
                    value = [self.fill(items, each, depth + 1) for each in value]
            return value
        return self._fill_mapping(applied, value, depth)

    def _fill_mapping(
        self, applied: list[Mapping[str, Any]], value: Mapping[str, Any], depth: int
    ) -> dict[str, Any]:
        made = dict(value)
        before = self._open
        self._open = before | {id(part) for part in applied}
        completed = set()
        for each in applied:
            properties = each.get("properties")
            for name, part in properties.items() if isinstance(properties, Mapping) else ():
                if name not in made and isinstance(part, Mapping):
                    if self._set_default(made, name, part):
                        continue
                    if self._complete(made, name, part, depth):
                        completed.add(name)
        for name, held in made.items():
            if isinstance(held, Mapping | list) and name not in completed:
                for part in self._schemas_of(name, applied):
                    made[name] = self.fill(part, made[name], depth + 1)
        self._open = before
        return made

    def _set_default(self, made: dict[str, Any], name: str, schema: Mapping[str, Any]) -> bool:
        for part in self.applied(schema):
            self._left -= 1
            if "default" in part:
                made[name] = part["default"]
                return True
        return False

    def _complete(
        self, made: dict[str, Any], name: str, schema: Mapping[str, Any], depth: int
    ) -> bool:
        """Set a missing object that its own defaults make complete."""
        applied = list(self.applied(schema))
        if all(part.get("type") != "object" for part in applied):
            return False
        if any(id(part) in self._open for part in applied):  # a tree goes as deep as it is given
            return False
        whole = self.fill(schema, {}, depth + 1)
        required = [key for part in applied for key in part.get("required") or ()]
        if not whole or not all(key in whole for key in required):
            return False
        made[name] = whole
        return True

    def _schemas_of(self, name: str, applied: list[Mapping[str, Any]]) -> Iterator[Any]:
        """Return the schemas of one property."""
        for part in applied:
            properties = part.get("properties")
            if isinstance(properties, Mapping) and name in properties:
                yield properties[name]
            elif "patternProperties" not in part:
                yield part.get("additionalProperties")

    def applied(self, schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Return a schema with what it refers to and what it consists of, each once."""
        seen: set[int] = set()
        waiting: list[Any] = [schema]
        while waiting:
            part = waiting.pop()
            if not isinstance(part, Mapping) or id(part) in seen:
                continue
            seen.add(id(part))
            yield part
            several = part.get("allOf")
            waiting += reversed(several) if isinstance(several, list) else ()
            if isinstance(part.get("$ref"), str):
                waiting.append(self._references.resolve(part, part["$ref"]))
