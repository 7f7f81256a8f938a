"""What is found wrong with a schema, or with a value by its schema."""

from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Breach", "SchemaProblem"]


class SchemaProblem(NamedTuple):
    """Something wrong with a schema itself."""

    path: tuple[str | int, ...]
    """Place in the schema."""
    message: str
    is_warning: bool = False
    lacks_quotes: bool = False
    """Whether a string is wanted where the source may well hold one without quotes: `yes`."""

    @property
    def report(self) -> str:
        """The message as users read it: a schema with a warning is valid."""
        return self.message if self.is_warning else f"not a valid JSON Schema: {self.message}"


@dataclass(frozen=True, slots=True)
class Breach:
    """A place where a value does not meet its schema."""

    path: str
    """Dotted path in the value; empty: the value itself."""
    message: str
    place: tuple[str | int, ...] = field(default=(), compare=False)
    """The path by its steps."""

    def __str__(self) -> str:
        """Return `path: message`."""
        return f"{self.path}: {self.message}" if self.path else self.message
