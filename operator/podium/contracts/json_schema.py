"""JSON Schema, drafts 2020-12 and 7, by `jsonschema`; no remote references, bounded in time.

Schemas come from users and run in the operator: a pattern has a time-out (the `regex` library has
one, `re` has none), a reference leads nowhere but into its own document, recursion ends in a
breach. `format` is an annotation, as the draft's default has it.
"""

import json
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from fractions import Fraction
from typing import Any
from urllib.parse import quote

import orjson
import regex
from jsonschema import Draft7Validator, Draft202012Validator, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import NoSuchResource, Unresolvable

from podium.bounded_cache import bounded_cache
from podium.contracts.breach import Breach
from podium.contracts.keywords import DRAFT_7, DRAFT_2020, draft_of
from podium.errors import PodiumError

__all__ = ["Schema", "compiled_pattern", "dotted", "short", "shown"]

PATTERN_SECONDS = 0.2
MAX_BREACHES = 20
MAX_REFERENCES = 20_000
"""References that one check follows."""
SHOWN = 256
KEPT_PATTERN_BYTES = 8 * 1024 * 1024


class Schema:
    """A schema that is ready to check values."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        of_draft = _VALIDATORS[draft_of(schema)]
        self._validator = of_draft(_without_draft(schema), registry=_registry())

    def breaches(self, instance: Any, *, limit: int = MAX_BREACHES) -> list[Breach]:
        """Return where a value does not meet the schema, `limit` breaches at most."""
        return _breaches(self._validator, instance, limit, [MAX_REFERENCES])

    def breaches_of_part(
        self, path: tuple[str | int, ...], instance: Any, references_left: list[int]
    ) -> list[Breach]:
        """Return where a value does not meet the schema that stands inside this one at a path.

        `references_left` is what several checks may follow together, counted down.
        """
        # By reference: what stands below an `$id` has references relative to it.
        steps = "".join("/" + quote(_escaped(str(step)), safe="~") for step in path)
        part = self._validator.evolve(schema={"$ref": f"#{steps}"}) if path else self._validator
        return _breaches(part, instance, 1, references_left)

    def breaches_by(
        self, part: Mapping[str, Any] | bool, instance: Any, references_left: list[int]
    ) -> list[Breach]:
        """Return where a value does not meet a schema that is a part of this one, as an object."""
        return _breaches(self._validator.evolve(schema=part), instance, 1, references_left)


def _breaches(
    validator: Any, instance: Any, limit: int, references_left: list[int]
) -> list[Breach]:
    found: list[Breach] = []
    counting = _references_left.set(references_left)
    try:
        for error in validator.iter_errors(instance):
            found.append(_breach(error))
            if len(found) >= limit:
                break
    except RecursionError:
        found.append(Breach("", "the schema's references are circular"))
    except _TooExpensiveError:
        found.append(Breach("", "the schema follows too many references"))
    except (Unresolvable, NoSuchResource) as error:
        found.append(Breach("", f"the schema refers to something that does not exist: {error}"))
    finally:
        _references_left.reset(counting)
    return sorted(found, key=lambda breach: breach.path)


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")


class _TooExpensiveError(PodiumError):
    """References multiplied: a small schema would take hours."""


_references_left: ContextVar[list[int]] = ContextVar("references_left")


def _counted(follow: Any) -> Any:
    """Count the references that are followed: without them, work is in proportion to the sizes."""

    def counted(validator: Any, reference: Any, instance: Any, schema: Any) -> Any:
        left = _references_left.get()
        left[0] -= 1
        if left[0] < 0:
            raise _TooExpensiveError
        return follow(validator, reference, instance, schema)

    return counted


def _multiple_of(
    _validator: Any, step: Any, instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    """Compare as the decimals that were written: 0.07 is a multiple of 0.01."""
    if not isinstance(instance, int | float) or isinstance(instance, bool):
        return
    if (Fraction(str(instance)) / Fraction(str(step))).denominator != 1:
        yield ValidationError(f"{shown(instance)} is not a multiple of {shown(step)}")


# Checking


def _pattern(
    _validator: Any, pattern: str, instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(instance, str):
        return
    try:
        if not compiled_pattern(pattern).search(instance, timeout=PATTERN_SECONDS):
            yield ValidationError(f"{shown(instance)} does not match the pattern {pattern!r:.100}")
    except TimeoutError:
        yield ValidationError(f"the pattern {pattern!r:.100} takes too long")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(instance, Mapping):
        return
    for pattern, part in patterns.items():
        for key, value in instance.items():
            try:
                if not compiled_pattern(pattern).search(key, timeout=PATTERN_SECONDS):
                    continue
            except TimeoutError:
                yield ValidationError(f"the pattern {pattern!r:.100} takes too long")
                return
            yield from validator.descend(value, part, path=key, schema_path=pattern)


def _additional_properties(
    validator: Any, rule: Any, instance: Any, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    if not isinstance(instance, Mapping):
        return
    known = schema.get("properties", {})
    patterns = [compiled_pattern(pattern) for pattern in schema.get("patternProperties", {})]
    extra = []
    for key in instance:
        try:
            if key not in known and not any(
                p.search(key, timeout=PATTERN_SECONDS) for p in patterns
            ):
                extra.append(key)
        except TimeoutError:
            yield ValidationError("a pattern of patternProperties takes too long")
            return
    if rule is False and extra:
        names = ", ".join(repr(key) for key in extra[:5])
        allowed = ", ".join(sorted(known)[:20]) or "none"
        yield ValidationError(f"has keys that are not allowed: {names:.150}; allowed are {allowed}")
    elif isinstance(rule, Mapping):
        for key in extra:
            yield from validator.descend(instance[key], rule, path=key)


def _unique_items(
    _validator: Any, rule: Any, instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    """Compare by canonical text: a comparison of each with each is quadratic."""
    if rule and isinstance(instance, list):
        texts = {orjson.dumps(item, option=orjson.OPT_SORT_KEYS) for item in instance}
        if len(texts) != len(instance):
            yield ValidationError("has items that are not unique")


_OURS = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
    "multipleOf": _multiple_of,
}


def _validator_of(base: Any) -> Any:
    references = {
        keyword: _counted(base.VALIDATORS[keyword])
        for keyword in ("$ref", "$dynamicRef")
        if keyword in base.VALIDATORS
    }
    made: Any = extend(base, {**_OURS, **references})  # type: ignore[no-untyped-call]
    evolve = made.evolve

    def stay(self: Any, **changes: Any) -> Any:
        """Go on in a part of the schema, as what this is: `$schema` would choose the library's."""
        if "schema" in changes:
            changes["schema"] = _without_draft(changes["schema"])
        return evolve(self, **changes)

    made.evolve = stay
    return made


def _without_draft(schema: Any) -> Any:
    if isinstance(schema, Mapping) and "$schema" in schema:
        return {key: value for key, value in schema.items() if key != "$schema"}
    return schema


_VALIDATORS: dict[str, Any] = {
    DRAFT_2020: _validator_of(Draft202012Validator),
    DRAFT_7: _validator_of(Draft7Validator),
}


def _pattern_cost(pattern: str) -> int:
    return 6000 + 200 * len(pattern)


@bounded_cache(_pattern_cost, KEPT_PATTERN_BYTES)
def compiled_pattern(pattern: str) -> Any:
    """Return a pattern ready for use, with a library that has a time-out."""
    # The library's own cache counts patterns, not bytes.
    compiled = regex.compile(pattern, cache_pattern=False)
    regex.purge()  # it notes their strings all the same
    return compiled


def _registry() -> Registry[Any]:
    def refuse(uri: str) -> Any:
        raise NoSuchResource(uri)

    return Registry(retrieve=refuse)  # type: ignore[call-arg]


def _breach(error: Any) -> Breach:
    path = dotted(error.absolute_path)
    match error.validator:
        case "required":
            missing = [k for k in error.validator_value if k not in error.instance]
            message = f"is missing {', '.join(map(repr, missing[:10]))}"
            if error.message:
                message = error.message.replace("is a required property", "is missing")
        case "type":
            wanted = error.validator_value
            words = " or ".join(wanted) if isinstance(wanted, list) else str(wanted)
            message = f"{shown(error.instance)} is not of type {words}"
        case "enum":
            allowed = ", ".join(shown(value) for value in error.validator_value[:10])
            message = f"{shown(error.instance)} is not one of {allowed}"
        case _:
            message = error.message
    return Breach(path, short(message), tuple(error.absolute_path))


def dotted(path: Any) -> str:
    """Return the steps of a path as one string: `a.b[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else str(part)
    return text


def shown(value: Any) -> str:
    """Return a value as JSON, cut where it is long."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 60 else text[:57] + "…"


def short(text: str) -> str:
    """Return a message, cut where it is too long to be shown."""
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
