"""Keywords that limit a value by itself, as `maximum` and `enum` do: what a promise must say."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from podium.contracts.findings import Finding, type_words
from podium.contracts.json_schema import shown
from podium.contracts.promises import Case, limits_of
from podium.contracts.schema_parts import EVERY_TYPE, Part, whole

__all__ = ["LIMITS", "Limit"]


def _enum(case: Case, needed: Part, keyword: str) -> Iterator[Finding]:
    value = needed.schema[keyword]
    several = value if keyword == "enum" and isinstance(value, list) else [value]
    known = {_type_of(each) for each in several}
    may = ", ".join(map(shown, several[:10]))
    yield Finding(
        (),
        f"may be any {type_words(case.types)}, and one of {may} is needed: write enum or const in"
        " the promise",
        is_open=bool(known & case.types),
    )


def _limit(case: Case, needed: Part, keyword: str) -> Iterator[Finding]:
    upper = keyword.lower().endswith("maximum")
    have = case.limit(upper=upper)
    want = Case((*case.facts, whole({keyword: needed.schema[keyword]})), is_exact=True)
    both = want.limit(upper=upper)
    if have == both:
        return
    value, _ = next(limits_of(whole({keyword: needed.schema[keyword]}), upper=upper))
    side = "more" if upper else "less"
    if have is None:
        message = f"has no {keyword} in the promise, and {_number(value)} is needed"
        yield Finding((), message, is_open=True)
    else:
        promised = f"{'up to' if upper else 'from'} {_number(have[0])}"
        message = f"may be {side}: {promised} is promised, and {keyword} {_number(value)}"
        yield Finding((), f"{message} is needed")


def _multiple(case: Case, needed: Part, keyword: str) -> Iterator[Finding]:
    wanted = Fraction(str(needed.schema[keyword]))
    steps = case.steps()
    if any((step / wanted).denominator == 1 for step in steps):
        return
    message = f"is not always a multiple of {shown(needed.schema[keyword])}, which is needed"
    said = any(fact.get("multipleOf") is not None for fact in case.facts)
    yield Finding((), message, is_open=not said)


def _size(case: Case, needed: Part, keyword: str) -> Iterator[Finding]:
    wanted, upper = needed.schema[keyword], keyword.startswith("max")
    have = case.most(keyword) if upper else case.least(keyword)
    if not upper and wanted <= 0:
        return
    if have is None:
        message = f"has no {keyword} in the promise, and {wanted} is needed"
        yield Finding((), message, is_open=True)
    elif (have > wanted) if upper else (have < wanted):
        yield Finding((), f"has {keyword} {have} in the promise, and {wanted} is needed")


def _pattern(case: Case, needed: Part, keyword: str) -> Iterator[Finding]:
    pattern = needed.schema[keyword]
    if any(fact.get("pattern") == pattern for fact in case.facts):
        return
    message = f"must match the pattern {pattern!r:.100}, and the promise does not say so"
    yield Finding((), message, is_open=True)


def _unique(case: Case, needed: Part, keyword: str) -> Iterator[Finding]:
    most = case.most("maxItems")
    if not needed.schema[keyword] or (most is not None and most < 2):
        return
    if not any(fact.get(keyword) for fact in case.facts):
        message = "may have equal items, and unique ones are needed: write uniqueItems"
        yield Finding((), message, is_open=True)


def _type_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "integer" if value == int(value) else "decimal"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _number(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else str(float(value))


class Limit(NamedTuple):
    """How a keyword is checked, and for values of which types."""

    check: Callable[[Case, Part, str], Iterator[Finding]]
    types: frozenset[str]


_NUMBERS = ("integer", "decimal")
LIMITS = {
    keyword: Limit(check, frozenset(types))
    for check, types, *keywords in (
        (_enum, EVERY_TYPE, "enum", "const"),
        (_limit, _NUMBERS, "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        (_multiple, _NUMBERS, "multipleOf"),
        (_size, ("string",), "minLength", "maxLength"),
        (_size, ("array",), "minItems", "maxItems"),
        (_size, ("object",), "minProperties", "maxProperties"),
        (_pattern, ("string",), "pattern"),
        (_unique, ("array",), "uniqueItems"),
    )
    for keyword in keywords
}
