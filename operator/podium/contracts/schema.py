"""Schemas for those who use them.

What does the work (`podium.contracts.json_schema`) takes longer to load than most workflows take
to check, so it is loaded with the first schema.
"""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from podium.bounded_cache import bounded_cache
from podium.contracts.breach import SchemaProblem

if TYPE_CHECKING:
    from podium.contracts.json_schema import Schema

__all__ = ["compile_schema", "forget", "schema_problems"]


KEPT_BYTES = 16 * 1024
"""A larger schema is compiled each time."""
ALL_KEPT_BYTES = 16 * 1024 * 1024
BYTES_PER_CHARACTER = 30
"""Of a schema that is compiled, at most: that of empty objects. The usual ones take a third."""


def compile_schema(schema: Mapping[str, Any]) -> "Schema":
    """Return a schema ready for use; the same one is compiled once, unless it is large.

    Breaches come in the order of its keywords, which an API server hands back sorted.
    """
    text = orjson.dumps(schema, option=orjson.OPT_SORT_KEYS)
    return _compiled(text) if len(text) <= KEPT_BYTES else _compiled.__wrapped__(text)


def _cost(text: bytes) -> int:
    return 2000 + BYTES_PER_CHARACTER * len(text)


@bounded_cache(_cost, ALL_KEPT_BYTES)
def _compiled(text: bytes) -> "Schema":
    from podium.contracts.json_schema import Schema  # noqa: PLC0415 - see the module's docstring

    return Schema(orjson.loads(text))


def forget() -> None:
    """Forget all schemas that were compiled, and their patterns."""
    _compiled.cache_clear()
    if "podium.contracts.json_schema" in sys.modules:
        from podium.contracts.json_schema import compiled_pattern  # noqa: PLC0415 - see above

        compiled_pattern.cache_clear()


def schema_problems(
    schema: Mapping[str, Any], *, has_defaults: bool = False
) -> list[SchemaProblem]:
    """Return everything wrong with a schema of an object: draft, keywords, patterns, references.

    `has_defaults`: its defaults are filled in, so one that stands where none is filled in is wrong.
    """
    from podium.contracts import schema_check  # noqa: PLC0415 - see the module's docstring

    return schema_check.schema_problems(schema, has_defaults=has_defaults)
