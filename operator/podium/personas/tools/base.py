"""What a tool is to a persona."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from podium.errors import PodiumError

__all__ = ["CUT", "RESULT_BYTES", "Tool", "ToolError", "ToolFacts", "cut", "words_of"]

RESULT_BYTES = 64 * 1024
"""Of what one call answers; the rest is cut."""
CUT = "\n… (cut: the result is longer)"


class ToolError(PodiumError):
    """A call of a tool failed; the message is for the model."""


@dataclass(frozen=True, slots=True)
class ToolFacts:
    """What a model is told of a tool."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON Schema of an object."""


class Tool(Protocol):
    """Something that a model may call."""

    facts: ToolFacts

    async def call(self, arguments: Mapping[str, Any]) -> str:
        """Do it; the arguments meet the schema. Raises `ToolError`."""
        ...


def cut(text: str) -> str:
    """Return a result, cut where it is too long."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= RESULT_BYTES:
        return raw.decode()
    return raw[:RESULT_BYTES].decode("utf-8", "ignore") + CUT


def words_of(error: BaseException) -> str:
    """Return an error in words, the first one of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error!s:.300}"
