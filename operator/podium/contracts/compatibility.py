"""Versions of a schema: whether each is compatible with the one before it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from podium.contracts.keywords import DRAFT_7, draft_of

__all__ = ["Compatibility", "Verdict", "Version", "judge_versions", "with_required"]

MAX_SHOWN = 5


class Compatibility(StrEnum):
    """What a new version of a schema must keep to."""

    BACKWARD = "Backward"
    """Whoever needs the new version takes what was made for the old one."""
    FORWARD = "Forward"
    """Whoever needs the old version takes what is made for the new one."""
    FULL = "Full"
    """Both."""
    NONE = "None"
    """Nothing."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a schema."""

    name: str
    schema: Mapping[str, Any]
    required_fields: Sequence[str] = ()

    @property
    def whole(self) -> dict[str, Any]:
        """The schema, with its required fields as a part of it."""
        return with_required(self.schema, self.required_fields)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one version."""

    version: str
    compared_with: str = ""
    """The version before it that is compatible; empty: it is the first."""
    problems: list[str] = field(default_factory=list)

    @property
    def is_compatible(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.problems


def judge_versions(versions: Iterable[Version], rule: Compatibility) -> Iterator[Verdict]:
    """Give a verdict on each version, in their order.

    A version that is not compatible counts for nothing: the next one is compared with the one
    before it.
    """
    before: Version | None = None
    for version in versions:
        if before is None:
            before = version
            yield Verdict(version.name)
            continue
        verdict = Verdict(version.name, before.name, list(_problems(before, version, rule)))
        if verdict.is_compatible:
            before = version
        yield verdict


def _problems(old: Version, new: Version, rule: Compatibility) -> Iterator[str]:
    from podium.contracts.subsumption import compare  # noqa: PLC0415 - it loads the judge of values

    if rule in (Compatibility.BACKWARD, Compatibility.FULL):
        for found in compare(old.whole, new.whole)[:MAX_SHOWN]:
            yield f"what was made for {old.name!r:.60} may not do for {new.name!r:.60}: {found}"
    if rule in (Compatibility.FORWARD, Compatibility.FULL):
        for found in compare(new.whole, old.whole)[:MAX_SHOWN]:
            yield f"what is made for {new.name!r:.60} may not do for {old.name!r:.60}: {found}"


def with_required(schema: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """Return a schema that also demands fields, by their dotted paths."""
    if not paths:
        return dict(schema)
    demanded: dict[str, Any] = {}
    for path in paths:
        here = demanded
        for position, step in enumerate(path.split(".")):
            if position:
                here["type"] = "object"
            required = here.setdefault("required", [])
            if step not in required:
                required.append(step)
            here = here.setdefault("properties", {}).setdefault(step, {})
    made = dict(schema)
    several = list(made.get("allOf") or [])
    if draft_of(schema) == DRAFT_7 and "$ref" in made:  # nothing counts beside it there
        several.append({"$ref": made.pop("$ref")})
    return {**made, "allOf": [*several, demanded]}
