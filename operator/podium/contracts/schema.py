"""Schemas for those who use them.

What does the work (`podium.contracts.json_schema`) takes longer to load than most workflows take
to check, so it is loaded with the first schema.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from podium.contracts.breach import SchemaProblem

if TYPE_CHECKING:
    from podium.contracts.json_schema import Schema

__all__ = ["compile_schema", "schema_problems", "with_defaults"]


def compile_schema(schema: Mapping[str, Any]) -> "Schema":
    """Return a schema ready for use; the same schema is compiled once.

    Breaches come in the order of its keywords, which an API server hands back sorted.
    """
    return _compiled(orjson.dumps(schema, option=orjson.OPT_SORT_KEYS))


@lru_cache(maxsize=512)
def _compiled(text: bytes) -> "Schema":
    from podium.contracts.json_schema import Schema  # noqa: PLC0415 - see the module's docstring

    return Schema(orjson.loads(text))


def schema_problems(schema: Mapping[str, Any]) -> list[SchemaProblem]:
    """Return everything wrong with a schema: keywords, patterns, references."""
    from podium.contracts import json_schema  # noqa: PLC0415 - see the module's docstring

    return json_schema.schema_problems(schema)


def with_defaults(schema: Mapping[str, Any], instance: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy in which missing properties have the `default` of the schema."""
    made = dict(instance)
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return made
    for name, part in properties.items():
        if not isinstance(part, Mapping):
            continue
        if name not in made and "default" in part:
            made[name] = part["default"]
        if isinstance(made.get(name), Mapping):
            made[name] = with_defaults(part, made[name])
    return made
