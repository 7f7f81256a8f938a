"""What values a schema promises: its cases, each a list of schemas that all hold.

References and `allOf` are followed, `anyOf` and `oneOf` split a promise into cases. What a case
leaves out of a schema only makes it wider: `Case.is_exact` then is false.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from podium.contracts.schema_parts import (
    EVERY_TYPE,
    Budget,
    Document,
    Part,
    types_of,
    whole,
)

__all__ = ["Case", "cases_of", "limits_of", "parts_in"]

MAX_CASES = 32
MAX_NESTED = 32
MAX_VALUES = 1000
_NOT_LOOKED_AT = frozenset(
    {
        *("not", "if", "dependentRequired", "dependentSchemas", "dependencies", "$dynamicRef"),
        *("unevaluatedProperties", "unevaluatedItems", "contains", "propertyNames"),
    }
)


@dataclass(frozen=True, eq=False)
class Case:
    """Schemas that all hold for a value."""

    facts: tuple[Part, ...]
    is_exact: bool
    """Whether they say all that is promised."""

    def with_type(self, name: str) -> "Case":
        """Return the case for the values of one type."""
        return Case((*self.facts, _OF_TYPE[name]), self.is_exact)

    @cached_property
    def says_nothing(self) -> bool:
        """Whether any value is allowed."""
        return all(fact.says_nothing for fact in self.facts)

    @cached_property
    def types(self) -> frozenset[str]:
        """Types that a value may have."""
        found = EVERY_TYPE
        for fact in self.facts:
            found &= types_of(fact)
        return found

    @property
    def is_typed(self) -> bool:
        """Whether anything is said of the type."""
        return any(fact.get("type") is not None for fact in self.facts)

    def values(self, budget: Budget) -> list[Any] | None:
        """Return all values, where they are few."""
        for fact in self.facts:
            if isinstance(fact.schema, Mapping) and "const" in fact.schema:
                several = [fact.schema["const"]]
            else:
                several = fact.get("enum")
            if isinstance(several, list) and len(several) <= MAX_VALUES:
                facts = self.facts
                return [v for v in several if all(each.fits(v, budget) for each in facts)]
        if self.types <= {"null", "boolean"}:
            known: dict[str, list[Any]] = {"null": [None], "boolean": [True, False]}
            return [v for name in sorted(self.types) for v in known[name]]
        return None

    @cached_property
    def required(self) -> frozenset[str]:
        """Keys that an object always has."""
        return frozenset(name for fact in self.facts for name in fact.get("required") or ())

    @cached_property
    def declared(self) -> tuple[str, ...]:
        """Keys that an object may have by name."""
        found = [name for fact in self.facts for name in fact.mapping("properties")]
        return tuple(dict.fromkeys(found))

    def members(self, name: str) -> tuple[Part, ...]:
        """Return the schemas of the value of a key."""
        return tuple(each for fact in self.facts for each in fact.members(name))

    def is_declared(self, name: str) -> bool:
        """Return whether anything but `additionalProperties` being open speaks of a key."""
        return name in self.declared or any(not each.says_nothing for each in self.members(name))

    def others(self) -> tuple[Part, ...]:
        """Return the schemas of values whose keys have no name, where some are expected."""
        found = [
            fact.inside(fact.get("additionalProperties"))
            for fact in self.facts
            if fact.get("additionalProperties") is not None
        ]
        is_map = any(not each.says_nothing for each in found)
        return tuple(found) if is_map else (Part(False, _NOTHING),)

    def patterns(self) -> Iterator[tuple[str, Part]]:
        """Return `patternProperties`."""
        for fact in self.facts:
            for pattern, schema in fact.mapping("patternProperties").items():
                yield pattern, fact.inside(schema)

    @cached_property
    def first_elements(self) -> int:
        """How many elements of an array have a schema of their own."""
        return max((len(fact.array_items()[0]) for fact in self.facts), default=0)

    def element(self, position: int) -> tuple[Part, ...]:
        """Return the schemas of an element of an array."""
        found = []
        for fact in self.facts:
            first, rest = fact.array_items()
            if position < len(first):
                found.append(fact.inside(first[position]))
            elif rest is not None:
                found.append(fact.inside(rest))
        return tuple(found)

    def most(self, keyword: str) -> int | None:
        """Return the smallest upper bound that a keyword such as maxItems sets."""
        return min(self._numbers(keyword), default=None)

    def least(self, keyword: str) -> int | None:
        """Return the largest lower bound that a keyword such as minItems sets."""
        found = self._numbers(keyword)
        if keyword == "minProperties" and self.required:
            found.append(len(self.required))
        return max(found, default=None)

    def _numbers(self, keyword: str) -> list[int]:
        found = [fact.get(keyword) for fact in self.facts]
        return [each for each in found if each is not None]

    def limit(self, *, upper: bool) -> tuple[Fraction, bool] | None:
        """Return the bound of a number, and whether it is itself left out."""
        found = [each for fact in self.facts for each in limits_of(fact, upper=upper)]
        if self.types.isdisjoint({"decimal"}):
            found = [(_next(value, out=out, upper=upper), False) for value, out in found]
        if not found:
            return None
        # The larger in the order of bounds: leaving a value out goes farther than taking it in.
        return min(found, key=lambda b: (b[0], not b[1])) if upper else max(found)

    def steps(self) -> list[Fraction]:
        """Return what a number is a multiple of."""
        found = [fact.get("multipleOf") for fact in self.facts]
        steps = [Fraction(str(each)) for each in found if isinstance(each, int | float)]
        return [*steps, Fraction(1)] if "decimal" not in self.types else steps


_NOTHING = Document({})
_OF_TYPE = {name: whole({"type": "number" if name == "decimal" else name}) for name in EVERY_TYPE}


def limits_of(part: Part, *, upper: bool) -> Iterator[tuple[Fraction, bool]]:
    """Return the bounds of numbers that a schema sets."""
    word = "aximum" if upper else "inimum"
    for keyword, out in ((f"m{word}", False), (f"exclusiveM{word}", True)):
        value = part.get(keyword)
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield Fraction(str(value)), out


def _next(value: Fraction, *, out: bool, upper: bool) -> Fraction:
    """Return the outermost integer that a bound takes in."""
    if upper:
        return Fraction(math.ceil(value) - 1 if out else math.floor(value))
    return Fraction(math.floor(value) + 1 if out else math.ceil(value))


def parts_in(part: Part, keyword: str) -> list[Part]:
    """Return the schemas in a list such as `allOf`."""
    several = part.get(keyword)
    return [part.inside(each) for each in several] if isinstance(several, list) else []


def cases_of(parts: Sequence[Part], budget: Budget, nested: int = 0) -> list[Case]:
    """Return the cases of schemas that all hold; none: no value meets them.

    Raises `TooLargeError`.
    """
    facts: list[Part] = []
    choices: list[list[Part]] = []
    seen: set[int] = set()
    is_exact = True
    waiting = list(reversed(parts))
    while waiting:
        part = waiting.pop()
        budget.take()
        if part.schema is False:
            return []
        if part.schema is True or part.key in seen:
            continue
        seen.add(part.key)
        if (target := part.target()) is not None:
            waiting.append(target)
        if part.is_reference:
            continue
        facts.append(part)
        waiting += reversed(parts_in(part, "allOf"))
        choices += [found for word in ("anyOf", "oneOf") if (found := parts_in(part, word))]
        is_exact = is_exact and _NOT_LOOKED_AT.isdisjoint(part.schema)
    cases = [Case(tuple(facts), is_exact)]
    for choice in choices:
        branches: list[Case] = []
        if nested < MAX_NESTED:
            branches = [case for each in choice for case in cases_of([each], budget, nested + 1)]
            if not branches:
                return []
        if not branches or len(cases) * len(branches) > MAX_CASES:
            cases = [Case(case.facts, is_exact=False) for case in cases]
            continue
        budget.take(len(cases) * len(branches))
        cases = [
            Case((*case.facts, *branch.facts), case.is_exact and branch.is_exact)
            for case in cases
            for branch in branches
        ]
    return [case for case in cases if case.types]
