"""Where the references inside a schema lead.

A schema with an `$id` is a resource of its own, as both drafts have it: references and anchors in
it are relative to that id. Nothing outside the document is ever looked for.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from podium.contracts.keywords import DRAFT_7, draft_of, parts

__all__ = ["References"]

MAX_DEPTH = 100


class References:
    """The references of one schema."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def resolve(self, part: Mapping[str, Any], reference: str) -> Any:
        """Return what a reference in a part of the schema leads to; None if there is nothing."""
        bases, places = self._table
        base = bases.get(id(part), bases[id(self._root)])
        address, fragment = base, reference[1:]
        if not reference.startswith("#"):
            address, fragment = urldefrag(urljoin(base, reference))
        if fragment and not fragment.startswith("/"):
            return places.get(f"{address}#{fragment}")
        found: Any = places.get(address)
        for step in _steps(fragment):
            if isinstance(found, Mapping) and step in found:
                found = found[step]
            elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
                found = found[int(step)]
            else:
                return None
        return found

    def leads_to_schema(self, part: Mapping[str, Any], reference: str) -> bool:
        """Return whether a reference leads to something that stands where a schema may."""
        found = self.resolve(part, reference)
        return isinstance(found, bool) or (found is not None and id(found) in self._table[0])

    def is_inside(self, part: Mapping[str, Any], reference: str) -> bool:
        """Return whether a reference is into this document, wherever it leads there."""
        if reference.startswith("#"):
            return True
        bases, places = self._table
        base = bases.get(id(part), bases[id(self._root)])
        return urldefrag(urljoin(base, reference))[0] in places

    @cached_property
    def _table(self) -> tuple[dict[int, str], dict[str, Any]]:
        """Addresses by the identity of a schema, and schemas by address or `address#anchor`."""
        is_draft_7 = draft_of(self._root) == DRAFT_7
        bases: dict[int, str] = {}
        by_path: dict[tuple[str | int, ...], str] = {}
        places: dict[str, Any] = {"": self._root}
        for part in parts(self._root, MAX_DEPTH):
            path, schema = part.path, part.schema
            base = by_path.get(path[:-1], by_path.get(path[:-2], ""))
            own = schema.get("$id")
            if isinstance(own, str) and not (is_draft_7 and "$ref" in schema):
                address, fragment = urldefrag(urljoin(base, own))
                if fragment and is_draft_7:  # its word for an anchor
                    places.setdefault(f"{address}#{fragment}", schema)
                else:
                    base = address
                    places.setdefault(base, schema)
            for keyword in () if is_draft_7 else ("$anchor", "$dynamicAnchor"):
                if isinstance(name := schema.get(keyword), str):
                    places.setdefault(f"{base}#{name}", schema)
            by_path[path] = base
            bases.setdefault(id(schema), base)
        return bases, places


def _steps(fragment: str) -> list[str]:
    """Return the steps of `/a/b`."""
    steps = fragment.split("/")[1:]
    return [unquote(step).replace("~1", "/").replace("~0", "~") for step in steps]
