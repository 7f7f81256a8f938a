"""Rules for objects: the few forms in which a closed list is written, and their check in code.

The same rules become CEL for the API server (`pod_policy`), so each form is one that both can say.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from podium.api.problems import Path, Problem

__all__ = [
    "USER",
    "Allowance",
    "Allowances",
    "Anything",
    "Each",
    "Empty",
    "Fields",
    "Holds",
    "NoPrefix",
    "OneOf",
    "Prefix",
    "Rule",
    "UserId",
    "Within",
    "Words",
    "check",
    "describe",
]

USER = 65_532
"""User and group of every Pod, unless the platform gives each namespace its own."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """A value of the chart that widens a rule: its name in `Allowances`."""

    name: str


@dataclass(frozen=True, slots=True)
class Allowances:
    """What the values of the chart allow beyond the list."""

    any_user: bool = False
    """User ids other than 65532, though never 0 (OpenShift gives each namespace its own)."""
    runtime_classes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    """Keys of the platform's domains that `podDefaults` sets."""
    annotations: tuple[str, ...] = ()
    artifact_images: tuple[str, ...] = ()
    """Image of the containers that carry artifacts; none: there are no such containers."""


@dataclass(frozen=True, slots=True)
class Anything:
    """Any value."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of these values."""

    values: tuple[str | int | bool, ...] | Allowance


@dataclass(frozen=True, slots=True)
class Within:
    """A whole number from one to another."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class UserId:
    """The id of a user or group that is not root."""


@dataclass(frozen=True, slots=True)
class NoPrefix:
    """A string that does not begin so."""

    prefix: str


@dataclass(frozen=True, slots=True)
class Prefix:
    """A string that begins so, and does not lead out of it again."""

    prefix: str


@dataclass(frozen=True, slots=True)
class Words:
    """A list of exactly these strings."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Empty:
    """An empty list."""


@dataclass(frozen=True, slots=True)
class Holds:
    """A list that holds this value."""

    value: str


@dataclass(frozen=True, slots=True)
class Each:
    """A list whose every item follows a rule."""

    variable: str
    """Name of an item in CEL."""
    rule: "Rule"
    allowed: str = ""
    """Items that the chart's values allow beyond the rule: name of a snippet of CEL there."""


@dataclass(frozen=True, slots=True)
class Fields:
    """An object that has these fields and no others."""

    fields: Mapping[str, "Rule"]
    required: tuple[str, ...] = field(default=())
    some: bool = False
    """Whether there must be at least one: the server drops what its feature gates switch off."""
    allowed: tuple[str, Allowance] | None = None
    """A field that is on the list only where the chart's values say so."""


Rule = (
    Anything | OneOf | Within | UserId | NoPrefix | Prefix | Words | Empty | Holds | Each | Fields
)


def check(rule: Rule, value: Any, path: Path, allowances: Allowances) -> Iterator[Problem]:
    """Yield what breaks the rule; what is not on a list is refused, whatever it is."""
    match rule:
        case Fields():
            if isinstance(value, dict):
                yield from _check_fields(rule, value, path, allowances)
            else:
                yield Problem(path, "is not an object")
        case Each():
            if not isinstance(value, list):
                yield Problem(path, "is not a list")
                return
            for position, item in enumerate(value):
                yield from check(rule.rule, item, (*path, position), allowances)
        case _:
            if not _holds(rule, value, allowances):
                yield Problem(path, f"must be {describe(rule)}, not {value!r:.80}")


def _check_fields(
    rule: Fields, value: Mapping[str, Any], path: Path, allowances: Allowances
) -> Iterator[Problem]:
    known = rule.fields
    if rule.allowed is not None and not getattr(allowances, rule.allowed[1].name):
        known = {name: inner for name, inner in known.items() if name != rule.allowed[0]}
    if rule.some and not value:
        yield Problem(path, f"is empty: must be {describe(rule)}")
    for name in rule.required:
        if value.get(name) is None:
            yield Problem((*path, name), f"is missing: must be {describe(rule.fields[name])}")
    for name, inner in value.items():
        if inner is None:  # as if it were not there, to the API server too
            continue
        if name not in known:
            where = f" of the fields that are allowed here ({', '.join(known)})" if known else ""
            yield Problem((*path, name), f"is none{where}")
        else:
            yield from check(known[name], inner, (*path, name), allowances)


def _holds(rule: Rule, value: Any, allowances: Allowances) -> bool:
    match rule:
        case OneOf(values):
            given = getattr(allowances, values.name) if isinstance(values, Allowance) else values
            # 1 is not true here, as it is not in CEL.
            return any(type(value) is type(each) and value == each for each in given)
        case Within(least, most):
            return type(value) is int and least <= value <= most
        case UserId():
            return type(value) is int and (value == USER or (allowances.any_user and value > 0))
        case NoPrefix(prefix):
            return isinstance(value, str) and not value.startswith(prefix)
        case Prefix(prefix):
            return isinstance(value, str) and value.startswith(prefix) and ".." not in value
        case Words(words):
            return bool(value == list(words))
        case Empty():
            return isinstance(value, list) and not value
        case Holds(wanted):
            return isinstance(value, list) and wanted in value
        case _:
            return True


def describe(rule: Rule) -> str:
    """Describe a rule, to follow "must be"."""
    match rule:
        case OneOf(Allowance(name)):
            of = "the chart's value artifacts" if name == "artifact_images" else "podDefaults"
            return f"the one of {of}"
        case OneOf(values) if not isinstance(values, Allowance):
            words = [str(each).lower() if isinstance(each, bool) else str(each) for each in values]
            return " or ".join(words)
        case Within(least, most):
            return f"a number from {least} to {most}"
        case UserId():
            return f"{USER}, or with arbitraryUserIDs any but 0"
        case NoPrefix():
            return f"a name that does not begin with {rule.prefix}"
        case Prefix():
            return f"a string that begins with {rule.prefix}"
        case Words():
            return f"[{', '.join(rule.words)}]"
        case Empty():
            return "empty"
        case Holds():
            return f"a list with {rule.value}"
        case Each():
            return f"a list, each of it {describe(rule.rule)}"
        case Fields():
            return f"an object of only {_describe_fields(rule)}"
    return "set"


def _describe_fields(rule: Fields) -> str:
    words = []
    for name, inner in rule.fields.items():
        about = [] if isinstance(inner, Anything) else [describe(inner)]
        about = ["required", *about] if name in rule.required else about
        words.append(f"{name} ({': '.join(about)})" if about else name)
    return ", ".join(words)
