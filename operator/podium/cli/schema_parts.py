"""Parts of the JSON Schemas for editors: what pydantic makes of the models, as editors like it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from podium.api.descriptions import one_line
from podium.api.resources import Workflow, WorkflowRun

__all__ = ["SEED", "JsonSchema", "cleaned", "optional_only", "snake_case", "snake_name", "used"]

SEED = "Seed"
"""Prefix of the definitions of the format with `workflow:` at the top, in snake_case."""
JsonSchema = dict[str, Any]


def optional_only(raw: Mapping[str, Any]) -> set[str]:
    """Return the models that are used only as optional fields: null leaves them out."""
    optional: set[str] = set()
    others = {Workflow.KIND, WorkflowRun.KIND}
    for definition in raw.values():
        needed = definition.get("required", ())
        for name, field in definition.get("properties", {}).items():
            direct = references(field, deep=False)
            (others if name in needed else optional).update(direct)
            others.update(references(field) - direct)
    return optional - others


def references(part: Any, *, deep: bool = True) -> set[str]:
    """Return the definitions that a schema refers to; not deep: only those it may be itself."""
    found = set()
    if isinstance(part, Mapping):
        if isinstance(reference := part.get("$ref"), str):
            found.add(reference.rpartition("/")[2])
        for key, value in part.items():
            if deep or key in ("anyOf", "allOf"):
                found |= references(value, deep=deep)
    elif isinstance(part, list):
        for each in part:
            found |= references(each, deep=deep)
    return found


_KEPT = (
    "type",
    "description",
    "const",
    "enum",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "required",
    "$ref",
)


def cleaned(
    part: Mapping[str, Any], raw: Mapping[str, Any], *, nulls: bool, optional: bool = False
) -> JsonSchema:
    """Return a part of pydantic's schema as an editor likes it.

    No titles, no choice between a type and null, enums where they are used. With `nulls` each
    optional field may be null: a resource then is as if it were left out, a config is not.
    """
    part = dict(part)
    types = []
    for option in part.pop("anyOf", ()):
        if option.get("type") == "null":
            optional = True
        else:
            part = {**option, **part}
            types += [option["type"]] if "type" in option else []
    if len(types) > 1:  # no two options of ours are of one type
        part["type"] = types
    referred = raw.get(str(part.get("$ref", "")).rpartition("/")[2], {})
    if "enum" in referred:
        del part["$ref"]
        part = {**referred, **part}
    made: JsonSchema = {key: part[key] for key in _KEPT if key in part}
    if "description" in made:
        made["description"] = one_line(made["description"])
    if part.get("default") not in (None, [], {}, ""):
        made["default"] = part["default"]
    if part.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    if "items" in part:
        made["items"] = cleaned(part["items"], raw, nulls=nulls)
    extra = part.get("additionalProperties")
    if isinstance(extra, Mapping):
        made["additionalProperties"] = cleaned(extra, raw, nulls=nulls, optional=nulls)
    elif extra is False:
        made["additionalProperties"] = False
    if "properties" in part:
        needed = part.get("required", ())
        made["properties"] = {
            name: cleaned(field, raw, nulls=nulls, optional=nulls and name not in needed)
            for name, field in part["properties"].items()
        }
    if optional and "type" in made and "enum" not in made:
        types = made["type"] if isinstance(made["type"], list) else [made["type"]]
        made["type"] = [*types, "null"]
    return made


def used(top: Any, definitions: Mapping[str, JsonSchema]) -> Iterator[tuple[str, JsonSchema]]:
    """Return the definitions that a schema needs, by name."""
    waiting, seen = sorted(references(top)), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen and name != "#":
            seen.add(name)
            waiting += sorted(references(definitions[name]))
    yield from ((name, definitions[name]) for name in definitions if name in seen)


def snake_case(part: Any) -> Any:
    """Return a schema with its fields, and those it demands, in snake_case."""
    if isinstance(part, list):
        return [snake_case(each) for each in part]
    if not isinstance(part, Mapping):
        return part
    made: dict[str, Any] = {}
    for key, value in part.items():
        match key, value:
            case "properties", Mapping():
                made[key] = {snake_name(name): snake_case(field) for name, field in value.items()}
            case "required", list():
                made[key] = [snake_name(name) for name in value]
            case "$ref", str():
                made[key] = value.replace("#/definitions/", f"#/definitions/{SEED}")
            case _:
                made[key] = snake_case(value)
    return made


def snake_name(name: str) -> str:
    """Return the name of a field in the format that has `workflow:` at the top."""
    return re.sub("(?<![A-Z])([A-Z])", r"_\1", name).lower()
