"""What is said of a promise that does not meet what is needed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from podium.contracts.json_schema import dotted, shown
from podium.contracts.schema_parts import EVERY_TYPE, Part, types_of

__all__ = ["Finding", "type_words", "wanted_words"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a promise does not meet what is needed."""

    path: tuple[str | int, ...]
    """Place in the value; `[]` stands for any element, `*` for any key."""
    message: str
    is_open: bool = False
    """Whether it may hold all the same: the promise does not say, or it cannot be compared."""

    @property
    def where(self) -> str:
        """The place as one string; empty: the value itself."""
        return dotted(self.path).replace(".[]", "[]")

    def __str__(self) -> str:
        """Return `path: message`."""
        return f"{self.where}: {self.message}" if self.path else self.message


def wanted_words(needed: Part) -> str:
    """Return what is needed, in a few words."""
    several = needed.get("enum")
    if isinstance(several, list):
        return f": one of {', '.join(map(shown, several[:10]))} is needed"
    if isinstance(needed.schema, Mapping) and "const" in needed.schema:
        return f": {shown(needed.schema['const'])} is needed"
    types = types_of(needed)
    return f": {type_words(types)} is needed" if types != EVERY_TYPE else ""


def type_words(types: Iterable[str]) -> str:
    """Return names of types as a user writes them: `integer or string`."""
    names = {"number" if name == "decimal" else name for name in types}
    if "number" in names:
        names.discard("integer")
    return " or ".join(sorted(names)) or "nothing"
