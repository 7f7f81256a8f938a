"""JSON Schema, Draft 2020-12, by `jsonschema`; no remote references, bounded in time.

Schemas come from users and run in the operator: a pattern has a time-out (the `regex` library has
one, `re` has none), a reference leads nowhere but into its own document, recursion ends in a
breach. `format` is an annotation, as the draft's default has it.
"""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import orjson
import regex
from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.exceptions import SchemaError, best_match
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import NoSuchResource, Unresolvable

from podium.contracts.breach import Breach, SchemaProblem

__all__ = ["Schema", "schema_problems"]

PATTERN_SECONDS = 0.2
MAX_BREACHES = 20
MAX_DEPTH = 64
SHOWN = 256


class Schema:
    """A schema that is ready to check values."""

    def __init__(self, schema: Mapping[str, Any] | bool) -> None:
        self._validator = _Validator(schema, registry=_registry())

    def breaches(self, instance: Any, *, limit: int = MAX_BREACHES) -> list[Breach]:
        """Return where a value does not meet the schema, `limit` breaches at most."""
        found: list[Breach] = []
        try:
            for error in self._validator.iter_errors(instance):
                found.append(_breach(error))
                if len(found) >= limit:
                    break
        except RecursionError:
            found.append(Breach("", "the schema's references go round in circles"))
        except (Unresolvable, NoSuchResource) as error:
            found.append(Breach("", f"the schema refers to what is not there: {error}"))
        return sorted(found, key=lambda breach: breach.path)


def schema_problems(schema: Mapping[str, Any]) -> list[SchemaProblem]:
    """Return everything wrong with a schema: keywords, patterns, references."""
    try:
        Draft202012Validator.check_schema(schema, format_checker=FormatChecker(formats=()))
    except SchemaError as error:
        best = best_match([*error.context]) or error if error.context else error
        return [SchemaProblem(_dotted(best.path), _short(best.message))]
    except RecursionError:
        return [SchemaProblem("", "is nested too deep")]
    found: list[SchemaProblem] = []
    anchors = {"#"}
    references: list[tuple[str, str]] = []
    for path, part in _parts(schema, "", 0):
        if path.count(".") > MAX_DEPTH:
            return [SchemaProblem(path[:SHOWN], f"is nested deeper than {MAX_DEPTH}")]
        for keyword in ("$anchor", "$dynamicAnchor"):
            if isinstance(part.get(keyword), str):
                anchors.add(f"#{part[keyword]}")
        if isinstance(part.get("$id"), str):
            anchors.add(part["$id"])
        references += [
            (f"{path}.{keyword}".lstrip("."), part[keyword])
            for keyword in ("$ref", "$dynamicRef")
            if isinstance(part.get(keyword), str)
        ]
        found += [
            SchemaProblem(path, said)
            for pattern in [part.get("pattern"), *_keys(part.get("patternProperties"))]
            if isinstance(pattern, str) and (said := _pattern_problem(pattern))
        ]
    for path, reference in references:
        if reference in anchors or _points_inside(schema, reference):
            continue
        said = "is not in this schema" if reference.startswith("#") else "is not allowed: only"
        tail = "" if reference.startswith("#") else " references into the same schema (#/…) are"
        found.append(SchemaProblem(path, f"reference {reference!r:.80} {said}{tail}"))
    return found


# Checking


def _pattern(
    _validator: Any, pattern: str, instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(instance, str):
        return
    try:
        if not _regex(pattern).search(instance, timeout=PATTERN_SECONDS):
            yield ValidationError(f"{_shown(instance)} does not match the pattern {pattern!r:.100}")
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
                if not _regex(pattern).search(key, timeout=PATTERN_SECONDS):
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
    patterns = [_regex(pattern) for pattern in schema.get("patternProperties", {})]
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


_Validator: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    },
)


@lru_cache(maxsize=1024)
def _regex(pattern: str) -> Any:
    return regex.compile(pattern)


def _pattern_problem(pattern: str) -> str | None:
    if len(pattern) > 1000:
        return "pattern is longer than 1,000 characters"
    try:
        _regex(pattern)
    except (regex.error, RecursionError, OverflowError) as error:
        return f"pattern {pattern!r:.100} is not a regular expression: {error}"
    return None


def _registry() -> Registry[Any]:
    def refuse(uri: str) -> Any:
        raise NoSuchResource(uri)

    return Registry(retrieve=refuse)  # type: ignore[call-arg]


def _points_inside(schema: Mapping[str, Any], reference: str) -> bool:
    if not reference.startswith("#/"):
        return False
    part: Any = schema
    for step in reference[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~").replace("%25", "%")
        if isinstance(part, Mapping) and name in part:
            part = part[name]
        elif isinstance(part, list) and name.isdigit() and int(name) < len(part):
            part = part[int(name)]
        else:
            return False
    return True


def _parts(value: Any, path: str, depth: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Walk over all mappings of a schema."""
    if depth > MAX_DEPTH + 1:
        return
    if isinstance(value, Mapping):
        yield path, value
        for key, item in value.items():
            if key not in ("enum", "const", "default", "examples"):
                yield from _parts(item, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _parts(item, f"{path}[{position}]", depth + 1)


def _keys(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Mapping) else []


def _breach(error: Any) -> Breach:
    path = _dotted(error.absolute_path)
    match error.validator:
        case "required":
            missing = [k for k in error.validator_value if k not in error.instance]
            message = f"is missing {', '.join(map(repr, missing[:10]))}"
            if error.message:
                message = error.message.replace("is a required property", "is missing")
        case "type":
            wanted = error.validator_value
            words = " or ".join(wanted) if isinstance(wanted, list) else str(wanted)
            message = f"{_shown(error.instance)} is not of type {words}"
        case "enum":
            allowed = ", ".join(_shown(value) for value in error.validator_value[:10])
            message = f"{_shown(error.instance)} is not one of {allowed}"
        case _:
            message = error.message
    return Breach(path, _short(message))


def _dotted(path: Any) -> str:
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else str(part)
    return text


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 60 else text[:57] + "…"


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
