"""What a team asks of its members, and whom it asks: models or recorded answers, one path."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

__all__ = ["Ask", "Provider", "Reply", "Role"]


class Role(StrEnum):
    """What a persona is asked for."""

    DRAFT = "draft"
    """Its own work."""
    CRITIQUE = "critique"
    """What is wrong with the drafts."""
    REVISE = "revise"
    """Its draft again, better."""
    MERGE = "merge"
    """One answer of all drafts."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One thing that is asked of a persona."""

    node: str
    persona: str
    role: Role
    round: int = 0
    """0: before the first round of critique."""
    is_answer: bool = False
    """Whether the reply is the node's output, which its contract holds for."""
    drafts: Mapping[str, Any] = field(default_factory=dict)
    """Those of the members, by name."""
    critique: Any = None
    """Of the one who is asked."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a persona answered."""

    output: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)


class Provider(Protocol):
    """Who answers."""

    async def ask(self, asked: Ask) -> Reply:
        """Answer. Raises `PersonaError`."""
        ...

    def share(self, sharers: int) -> None:
        """Learn how many will ask side by side."""
        ...
