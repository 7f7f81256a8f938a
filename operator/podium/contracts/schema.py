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

__all__ = ["compile_schema", "forget", "schema_problems"]


KEPT_BYTES = 16 * 1024
"""A larger schema is compiled each time: what is kept of one may take ten times its size."""


def compile_schema(schema: Mapping[str, Any]) -> "Schema":
    """Return a schema ready for use; the same one is compiled once, unless it is large.

    Breaches come in the order of its keywords, which an API server hands back sorted.
    """
    text = orjson.dumps(schema, option=orjson.OPT_SORT_KEYS)
    return _compiled(text) if len(text) <= KEPT_BYTES else _compile(text)


@lru_cache(maxsize=512)
def _compiled(text: bytes) -> "Schema":
    return _compile(text)


def _compile(text: bytes) -> "Schema":
    from podium.contracts.json_schema import Schema  # noqa: PLC0415 - see the module's docstring

    return Schema(orjson.loads(text))


def forget() -> None:
    """Forget all schemas that were compiled."""
    _compiled.cache_clear()


def schema_problems(
    schema: Mapping[str, Any], *, has_defaults: bool = False
) -> list[SchemaProblem]:
    """Return everything wrong with a schema of an object: draft, keywords, patterns, references.

    `has_defaults`: its defaults are filled in, so one that stands where none is filled in is wrong.
    """
    from podium.contracts import schema_check  # noqa: PLC0415 - see the module's docstring

    return schema_check.schema_problems(schema, has_defaults=has_defaults)
