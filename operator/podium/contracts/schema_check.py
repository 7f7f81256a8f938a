"""What is wrong with a schema: found before a run, each with its place and what would be right."""

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import regex
from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, best_match

from podium.contracts.breach import SchemaProblem
from podium.contracts.defaults import Defaults
from podium.contracts.json_schema import Schema, compiled_pattern, short
from podium.contracts.keywords import (
    DRAFT_7,
    DRAFT_2020,
    KEYWORDS,
    Part,
    draft_of,
    is_known_draft,
    parts,
)
from podium.contracts.references import References

__all__ = ["schema_problems"]

MAX_DEPTH = 64
MAX_REFERENCES = 2_000
"""References that the checks of all defaults of a schema may follow together."""
_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_META: dict[str, Any] = {DRAFT_2020: Draft202012Validator, DRAFT_7: Draft7Validator}
_INSTEAD = {
    "dependencies": "write dependentRequired or dependentSchemas",
    "additionalItems": "write items beside prefixItems",
    "nullable": 'write type: [string, "null"] or the like',
    "example": "write examples, a list",
}
"""What to write in 2020-12 for keywords of other drafts and of OpenAPI."""


def schema_problems(schema: Mapping[str, Any], *, has_defaults: bool) -> list[SchemaProblem]:
    """Return everything wrong with a schema of an object."""
    found = list(_draft(schema))
    if found:
        return found
    draft = draft_of(schema)
    try:
        _META[draft].check_schema(schema, format_checker=FormatChecker(formats=()))
    except SchemaError as error:
        best = best_match([*error.context]) or error if error.context else error
        misplaced = _misplaced(Part((), schema, is_filled=False), draft)
        return [each for each in misplaced if not each.is_warning] or [_invalid(best)]
    except RecursionError:
        return [SchemaProblem((), "is nested too deep")]
    every = list(parts(schema, MAX_DEPTH))
    deepest = max(every, key=lambda part: len(part.path))
    if _depth(schema) > 2 * MAX_DEPTH or len(deepest.path) >= 2 * MAX_DEPTH:
        return [SchemaProblem((), f"is nested deeper than {MAX_DEPTH} levels")]
    found += _object(schema)
    for part in every:
        found += _misplaced(part, draft)
        found += _patterns(part)
        found += _choices(part)
    found += _references(schema, every)
    if not any(not problem.is_warning for problem in found):
        found += _defaults(schema, every, has_defaults=has_defaults)
    return found


def _invalid(error: SchemaError) -> SchemaProblem:
    place, value = tuple(error.absolute_path), error.instance
    shown = short(_json(value))
    wanted: Any = error.validator_value
    if error.validator == "type":
        if wanted == "string" and isinstance(value, bool | int | float):  # YAML reads some words so
            return SchemaProblem(place, f"{shown} is not of type string", lacks_quotes=True)
        return SchemaProblem(place, f"{shown} {_of_another_type(value, wanted, place)}")
    if error.validator == "enum" and place[-1:] == ("type",):
        wrong = [each for each in _listed(value) if each not in _TYPES]
        name = str(wrong[0] if wrong else value)
        message = f"{name!r:.40} is not a type: it is one of {', '.join(_TYPES)}"
        meant = difflib.get_close_matches(name, _TYPES, 1, 0.5)
        return SchemaProblem(place, message + (f"; did you mean {meant[0]!r}?" if meant else ""))
    return SchemaProblem(place, short(error.message))


def _of_another_type(value: Any, wanted: Any, place: tuple[Any, ...]) -> str:
    """Return what a value of a schema is not, and what would be right."""
    if wanted == ["object", "boolean"]:
        name = value if isinstance(value, str) and value in _TYPES else "string"
        return f"is not a schema: write {{type: {name}}} or the like"
    if wanted == "array" and place[-1:] == ("required",) and isinstance(value, bool):
        return "is not a list: name this property in `required` of the schema around it"
    if wanted == "array" and isinstance(value, str | int | float):
        return f"is not a list: write [{value}]" if len(str(value)) < 60 else "is not a list"
    return f"is not of type {' or '.join(_listed(wanted))}"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _draft(schema: Mapping[str, Any]) -> Iterator[SchemaProblem]:
    for part in parts(schema, MAX_DEPTH):
        uri = part.schema.get("$schema")
        if uri is None or (not part.path and is_known_draft(uri)):
            continue
        if part.path:
            if not is_known_draft(uri) or draft_of(part.schema) != draft_of(schema):
                message = "is for the whole schema: write it at the top, or leave it out"
                yield SchemaProblem((*part.path, "$schema"), message)
            continue
        yield SchemaProblem(
            ("$schema",),
            f"{uri!r:.80} is not a supported draft: leave $schema out for 2020-12, or write"
            " http://json-schema.org/draft-07/schema# for draft-07",
        )


def _object(schema: Mapping[str, Any]) -> Iterator[SchemaProblem]:
    kind = schema.get("type", "object")
    if "object" not in ([kind] if isinstance(kind, str) else kind):
        message = f"must be object, not {kind!r:.60}: what is checked is an object"
        yield SchemaProblem(("type",), message)


def _misplaced(part: Part, draft: str) -> Iterator[SchemaProblem]:
    """Find keywords that the draft does not know: they would say nothing."""
    known = KEYWORDS[draft]
    for keyword, value in part.schema.items():
        if keyword in known or keyword.startswith("x-"):
            continue
        here = (*part.path, keyword)
        other = DRAFT_7 if draft == DRAFT_2020 else DRAFT_2020
        if keyword in _INSTEAD and keyword in KEYWORDS[other]:
            also = "or say $schema: http://json-schema.org/draft-07/schema#"
            message = f"has no effect in {draft}: {_INSTEAD[keyword]}, {also}"
            yield SchemaProblem(here, message)
        elif keyword in _INSTEAD and keyword not in KEYWORDS[other]:
            message = f"has no effect in {draft}: {_INSTEAD[keyword]}"
            yield SchemaProblem(here, message, is_warning=True)
        elif keyword in KEYWORDS[other]:
            message = f"has no effect in {draft}: it is a keyword of {other}"
            yield SchemaProblem(here, message, is_warning=True)
        elif isinstance(value, Mapping):
            message = f"{keyword!r:.80} is not a keyword of JSON Schema: put it under properties"
            yield SchemaProblem(here, message)
        else:
            close = difflib.get_close_matches(keyword[:60], known, n=1, cutoff=0.8)
            hint = f"; did you mean {close[0]!r}?" if close else ", so it has no effect"
            message = f"{keyword!r:.80} is not a keyword of JSON Schema{hint}"
            yield SchemaProblem(here, message, is_warning=not close)


def _patterns(part: Part) -> Iterator[SchemaProblem]:
    named = part.schema.get("patternProperties")
    for pattern in [part.schema.get("pattern"), *(named if isinstance(named, Mapping) else ())]:
        if isinstance(pattern, str) and (message := _pattern_problem(pattern)):
            yield SchemaProblem(part.path, message)


def _pattern_problem(pattern: str) -> str | None:
    if len(pattern) > 1000:
        return "pattern is longer than 1,000 characters"
    try:
        compiled_pattern(pattern)
    except (regex.error, RecursionError, OverflowError) as error:
        return f"pattern {pattern!r:.100} is not a regular expression: {error}"
    return None


def _references(schema: Mapping[str, Any], every: list[Part]) -> Iterator[SchemaProblem]:
    """Find references that lead nowhere, or to what is not a schema, or out of this one."""
    references = References(schema)
    for part in every:
        for keyword in ("$ref", "$dynamicRef"):
            reference = part.schema.get(keyword)
            if not isinstance(reference, str) or references.leads_to_schema(part.schema, reference):
                continue
            if references.is_inside(part.schema, reference):
                message = f"reference {reference!r:.80} is not in this schema"
            else:
                message = (
                    f"reference {reference!r:.80} is not allowed: only references into the same"
                    " schema (#/…) are"
                )
            yield SchemaProblem((*part.path, keyword), message)


def _choices(part: Part) -> Iterator[SchemaProblem]:
    """Find values of enum and const that are not of the schema's own type: none can ever match."""
    wanted = part.schema.get("type")
    several = part.schema.get("enum")
    choices: list[tuple[tuple[str | int, ...], Any]] = (
        [(("enum", place), each) for place, each in enumerate(several)]
        if isinstance(several, list)
        else []
    )
    if "const" in part.schema:
        choices.append((("const",), part.schema["const"]))
    has_strings = any(isinstance(each, str) for _, each in choices)
    for place, value in choices:
        is_plain = isinstance(value, bool | int | float)
        if wanted is None and has_strings and isinstance(value, bool):
            message = f"is the boolean {_json(value)} among strings"
            yield SchemaProblem((*part.path, *place), message, is_warning=True, lacks_quotes=True)
        elif wanted is not None and not _is_of_type(value, wanted):
            words = " or ".join(wanted) if isinstance(wanted, list) else wanted
            lacks_quotes = is_plain and "string" in words
            yield SchemaProblem(
                (*part.path, *place),
                f"{short(_json(value))} is not of type {words}, so no value can be this one",
                is_warning=not lacks_quotes,
                lacks_quotes=lacks_quotes,
            )


def _is_of_type(value: Any, wanted: Any) -> bool:
    names = wanted if isinstance(wanted, list) else [wanted]
    return any(Draft202012Validator.TYPE_CHECKER.is_type(value, name) for name in names)


def _defaults(
    schema: Mapping[str, Any], every: list[Part], *, has_defaults: bool
) -> Iterator[SchemaProblem]:
    defaults = Defaults(schema)
    defaults.fill(schema, {})
    if not defaults.has_end:
        yield SchemaProblem((), "its defaults are circular: they fill in each other")
        return
    whole = Schema(schema)
    references_left = [MAX_REFERENCES]
    for part in every:
        if "default" not in part.schema:
            continue
        here = (*part.path, "default")
        if has_defaults and not part.is_filled:
            yield SchemaProblem(
                here,
                "would not be filled in here: write it at a property itself (also behind $ref or"
                " allOf)",
            )
            continue
        filled = defaults.fill(part.schema, part.schema["default"])
        for breach in whole.breaches_of_part(part.path, filled, references_left):
            value = part.schema["default"]
            place = breach.place
            for depth, step in enumerate(breach.place):
                is_inside = isinstance(value, Mapping | list) and (
                    step in value if isinstance(value, Mapping) else int(step) < len(value)
                )
                if not is_inside:  # it was filled in
                    place = breach.place[:depth]
                    break
                value = value[step]
            is_plain = isinstance(value, bool | int | float)
            lacks_quotes = is_plain and breach.message.endswith("is not of type string")
            message = f"breaks its own schema: {breach}"
            where = (*here, *place) if lacks_quotes else here
            yield SchemaProblem(where, message, lacks_quotes=lacks_quotes)
            if "takes too long" in breach.message or "references" in breach.message:
                return


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _depth(value: Any) -> int:
    """Count the levels of a value; what is looked at is bounded by the reader of files."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        each, depth = waiting.pop()
        deepest = max(deepest, depth)
        if isinstance(each, Mapping):
            waiting += [(item, depth + 1) for item in each.values()]
        elif isinstance(each, list):
            waiting += [(item, depth + 1) for item in each]
    return deepest
