"""Asking for JSON: by its schema where the server can, else as JSON, else in words alone.

The schema stands in the prompt each time; what is asked for here makes the answer likelier to meet
it, and nothing relies on that.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["FORMATS", "form_of", "response_format"]

FORMATS = ("json_schema", "json_object", "prompt")
"""Ways to ask, best first."""
MAX_DEPTH = 20
_STRICT = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "enum", "const"}
    | {"title", "description"}
)
"""Keywords that strict mode knows on every server that has one."""


def response_format(form: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a request that asks for JSON in one of the ways."""
    if form == "prompt":
        return {}
    if form == "json_object":
        return {"response_format": {"type": "json_object"}}
    named = {"name": "answer", "schema": schema, "strict": _is_strict(schema)}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def form_of(request: Mapping[str, Any]) -> str:
    """Return the way in which a request asks."""
    asked = request.get("response_format")
    return str(asked["type"]) if isinstance(asked, Mapping) else "prompt"


def _is_strict(schema: Any, depth: int = 0) -> bool:
    """Return whether strict mode takes it: objects are closed, all their properties required."""
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH or not _STRICT.issuperset(schema):
        return False
    if depth == 0 and schema.get("type") != "object":
        return False
    properties = schema.get("properties") or {}
    if schema.get("type") == "object":
        is_whole = set(schema.get("required") or ()) == set(properties)
        if not is_whole or schema.get("additionalProperties") is not False:
            return False
    inner = [*properties.values(), *([schema["items"]] if "items" in schema else [])]
    if schema.get("type") == "array" and "items" not in schema:
        return False
    if not schema.keys() & {"type", "enum", "const"}:
        return False
    return all(_is_strict(each, depth + 1) for each in inner)
