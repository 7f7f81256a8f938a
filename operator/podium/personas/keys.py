"""Keys of models: whether one can be sent, and cutting it out of what its server sends back."""

import re
from functools import lru_cache
from typing import Any

__all__ = ["without_key", "wrong_key"]

SHORTEST_KEY = 8
MASK = "***"


def without_key(value: Any, key: str | None) -> Any:
    """Return what a model wrote, without the key: it would be shown as an output, or in a file.

    Escapes of JSON, as in the text of an object, do not hide it. A key that is as short as an
    endpoint without keys is given, such as `none`, is a word.
    """
    if key is None or len(key) < SHORTEST_KEY:
        return value
    if isinstance(value, str):
        return _written(key).sub(MASK, value)
    if isinstance(value, dict):
        return {without_key(name, key): without_key(each, key) for name, each in value.items()}
    if isinstance(value, list):
        return [without_key(each, key) for each in value]
    return value


@lru_cache(maxsize=32)
def _written(key: str) -> re.Pattern[str]:
    """Return how a key may be written, in words and in JSON, also in JSON that is a string."""
    escaped = (
        rf"(?:{re.escape(each)}|\\{{1,3}}(?:(?i:u00{ord(each):02x})|{re.escape(each)}))"
        for each in key
    )
    return re.compile("".join(escaped))


def wrong_key(key: str | None) -> str:
    """Return why a key cannot be sent, without quoting it; empty: it can be."""
    if key is None or (key.isascii() and key.isprintable() and key == key.strip()):
        return ""
    what = "begins or ends with a space or a line break" if key != key.strip() else ""
    what = what or "has a character that is not printable ASCII"
    return f"the key of apiKeySecret {what}: store the key alone, as with printf %s or echo -n"
