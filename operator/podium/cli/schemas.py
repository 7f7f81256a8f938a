"""JSON Schemas of definition files, for editors: `python -m podium.cli.schemas write|check`.

They are made of the models, so they say what `podium validate` says, as far as a schema can: the
graph, expressions and closed lists of Pod fields are left to it. Draft 7, which every editor
knows. A null is accepted where `podium` takes it for a field left out.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from podium import executors
from podium.api import names
from podium.api.descriptions import DescribedSchema, one_line
from podium.api.generated import write_or_check
from podium.api.resources import Workflow, WorkflowRun
from podium.api.workflow import NodeType

__all__ = ["NAMES", "files", "main", "schema"]

DRAFT = "http://json-schema.org/draft-07/schema#"
MAX_BYTES = 400_000
NAMES = ("podium", "workflow", "workflowrun")
"""What there is a schema of; `podium` takes every document that may be in a definition file."""

_TITLES = {
    "podium": "A Podium definition file",
    "workflow": "A Podium Workflow",
    "workflowrun": "A Podium WorkflowRun",
}
_SEED = "Seed"
"""Prefix of the definitions of the format with `workflow:` at the top, in snake_case."""
_OBJECT_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_Schema = dict[str, Any]


def schema(name: str) -> _Schema:
    """Return the schema of one of `NAMES`."""
    definitions = _definitions()
    match name:
        case "workflow":
            top: _Schema = {"$ref": "#/definitions/Workflow"}
        case "workflowrun":
            top = {"$ref": "#/definitions/WorkflowRun"}
        case _:
            top = _any_document()
    head = {"$schema": DRAFT, "title": _TITLES[name]}
    return {**head, **top, "definitions": dict(_used(top, definitions))}


def files(root: Path) -> dict[Path, str]:
    """Return every generated file with its text."""
    return {
        root / "docs" / "schema" / f"{name}.json": json.dumps(
            schema(name), indent=2, ensure_ascii=False
        )
        + "\n"
        for name in NAMES
    }


def _any_document() -> _Schema:
    """Return the schema of one document of a file: ours by its kind, others as they are."""
    kinds = [Workflow.KIND, WorkflowRun.KIND]

    def of(kind: str, version: str = names.API_VERSION) -> _Schema:
        return {
            "required": ["apiVersion", "kind"],
            "properties": {"apiVersion": {"const": version}, "kind": {"const": kind}},
        }

    ours = {
        "required": ["apiVersion"],
        "properties": {"apiVersion": {"pattern": rf"^{re.escape(names.GROUP)}(/|$)"}},
    }
    seed = {
        "required": ["workflow"],
        "not": {"anyOf": [{"required": ["apiVersion"]}, {"required": ["kind"]}]},
    }
    listed = {"properties": {"items": {"type": "array", "items": {"$ref": "#"}}}}
    return {
        "type": "object",
        "properties": {
            "apiVersion": {
                "type": "string",
                "minLength": 1,
                "description": f"{names.API_VERSION} for Podium's own kinds.",
                "examples": [names.API_VERSION],
            },
            "kind": {
                "type": "string",
                "minLength": 1,
                "description": "Workflow: a graph of nodes. WorkflowRun: one execution of it.",
                "examples": kinds,
            },
        },
        "allOf": [{"if": of(kind), "then": {"$ref": f"#/definitions/{kind}"}} for kind in kinds]
        + [
            {"if": of("List", "v1"), "then": listed},
            {
                "if": ours,
                "then": {
                    "properties": {
                        "apiVersion": {"const": names.API_VERSION},
                        "kind": {"enum": kinds},
                    }
                },
            },
            {
                "if": seed,
                "then": {"$ref": f"#/definitions/{_SEED}"},
                "else": {"required": ["apiVersion", "kind"]},
            },
        ],
    }


@cache
def _definitions() -> dict[str, _Schema]:
    """Return the definitions of all models, by name."""
    configs = _configs()
    models: list[type[BaseModel]] = [Workflow, WorkflowRun, *dict.fromkeys(configs.values())]
    _, made = models_json_schema(
        [(model, "validation") for model in models],
        schema_generator=DescribedSchema,
        ref_template="#/definitions/{model}",
    )
    raw = made["$defs"]
    nullable = _optional_only(raw)
    found = {}
    for name, definition in raw.items():
        if "enum" in definition:
            continue
        own = name in {model.__name__ for model in configs.values()}
        found[name] = _cleaned(definition, raw, nulls=not own)
        if name in nullable:
            found[name]["type"] = ["object", "null"]
    for kind in (Workflow.KIND, WorkflowRun.KIND):
        _finish_kind(found[kind], found)
    _finish_run(found["WorkflowRunSpec"])
    _finish_env(found["EnvVar"])
    _finish_node(found["Node"], configs)
    return found | _seed(found)


def _configs() -> dict[str, type[BaseModel]]:
    """Return the model of the config by the name of the executor."""
    found = {name: executors.get(name) for name in executors.names()}
    return {name: each.config for name, each in found.items() if each is not None}


def _optional_only(raw: Mapping[str, Any]) -> set[str]:
    """Return the models that are used only as optional fields: null leaves them out."""
    optional: set[str] = set()
    others = {Workflow.KIND, WorkflowRun.KIND}
    for definition in raw.values():
        needed = definition.get("required", ())
        for name, field in definition.get("properties", {}).items():
            direct = _references(field, deep=False)
            (others if name in needed else optional).update(direct)
            others.update(_references(field) - direct)
    return optional - others


def _references(part: Any, *, deep: bool = True) -> set[str]:
    """Return the definitions that a schema refers to; not deep: only those it may be itself."""
    found = set()
    if isinstance(part, Mapping):
        if isinstance(reference := part.get("$ref"), str):
            found.add(reference.rpartition("/")[2])
        for key, value in part.items():
            if deep or key in ("anyOf", "allOf"):
                found |= _references(value, deep=deep)
    elif isinstance(part, list):
        for each in part:
            found |= _references(each, deep=deep)
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


def _cleaned(
    part: Mapping[str, Any], raw: Mapping[str, Any], *, nulls: bool, optional: bool = False
) -> _Schema:
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
    made: _Schema = {key: part[key] for key in _KEPT if key in part}
    if "description" in made:
        made["description"] = one_line(made["description"])
    if part.get("default") not in (None, [], {}, ""):
        made["default"] = part["default"]
    if part.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    if "items" in part:
        made["items"] = _cleaned(part["items"], raw, nulls=nulls)
    extra = part.get("additionalProperties")
    if isinstance(extra, Mapping):
        made["additionalProperties"] = _cleaned(extra, raw, nulls=nulls, optional=nulls)
    elif extra is False:
        made["additionalProperties"] = False
    if "properties" in part:
        needed = part.get("required", ())
        made["properties"] = {
            name: _cleaned(field, raw, nulls=nulls, optional=nulls and name not in needed)
            for name, field in part["properties"].items()
        }
    if optional and "type" in made and "enum" not in made:
        types = made["type"] if isinstance(made["type"], list) else [made["type"]]
        made["type"] = [*types, "null"]
    return made


def _finish_kind(kind: _Schema, found: Mapping[str, _Schema]) -> None:
    fields = kind["properties"]
    fields["apiVersion"]["description"] = f"{names.API_VERSION}."
    fields["kind"]["description"] = kind["description"]
    fields["status"] = {"description": "Written by the operator; what a file says is ignored."}
    kind["required"] = ["apiVersion", "kind", "metadata", "spec"]
    metadata = found["ObjectMeta"]
    metadata["type"] = "object"
    metadata["description"] = "Name, namespace, labels and annotations, as of every object."
    metadata["properties"]["name"].update({"pattern": _OBJECT_NAME, "maxLength": 253})
    metadata["anyOf"] = [{"required": ["name"]}, {"required": ["generateName"]}]


def _finish_run(spec: _Schema) -> None:
    spec["oneOf"] = [{"required": ["workflowRef"]}, {"required": ["workflowSpec"]}]


def _finish_env(variable: _Schema) -> None:
    variable["not"] = {
        "required": ["value", "valueFrom"],
        "properties": {"value": {"type": "string"}, "valueFrom": {"type": "object"}},
    }


def _finish_node(node: _Schema, configs: Mapping[str, type[BaseModel]]) -> None:
    """Report which ids there are, and what the config of each executor holds."""
    node["properties"]["id"]["pattern"] = names.ID_PATTERN
    executor = node["properties"]["executor"]
    node["properties"]["executor"] = {
        "description": executor["description"],
        "type": "string",
        "enum": list(configs),
    }
    runs = [NodeType.PHASE.value, NodeType.CUSTOM.value]
    node["allOf"] = [
        {
            "if": {
                "required": ["executor"],
                "properties": {"executor": {"const": executor}},
            },
            "then": {
                "required": ["config"],
                "properties": {"config": {"$ref": f"#/definitions/{model.__name__}"}},
            },
        }
        for executor, model in configs.items()
    ]
    node["allOf"].append(
        {"if": {"properties": {"type": {"enum": runs}}}, "then": {"required": ["executor"]}}
    )


def _seed(found: Mapping[str, _Schema]) -> dict[str, _Schema]:
    """Return the definitions of the seed's format: the same fields in snake_case."""
    reference = "#/definitions/WorkflowSpec"
    made = {
        _SEED + name: _snake(definition) for name, definition in _used({"$ref": reference}, found)
    }
    workflow = made[_SEED + "WorkflowSpec"]
    workflow["properties"]["name"] = {"type": ["string", "null"], "description": "Name for people."}
    workflow["properties"]["id"]["type"] = "string"
    workflow["required"] = ["id", *workflow["required"]]
    for model in set(_configs().values()):
        # Their fields are named as in the other format, or as here.
        env = made[_SEED + model.__name__]["properties"].get("env", {})
        env["items"] = {"type": "object", "required": ["name"]}
    made[_SEED] = {
        "type": "object",
        "description": "A Workflow in the format with workflow: at the top and snake_case fields.",
        "required": ["workflow"],
        "properties": {"workflow": {"$ref": f"#/definitions/{_SEED}WorkflowSpec"}},
        "additionalProperties": False,
    }
    return made


def _snake(part: Any) -> Any:
    """Return a schema with its fields, and those it demands, in snake_case."""
    if isinstance(part, list):
        return [_snake(each) for each in part]
    if not isinstance(part, Mapping):
        return part
    made: dict[str, Any] = {}
    for key, value in part.items():
        match key, value:
            case "properties", Mapping():
                made[key] = {_snake_name(name): _snake(field) for name, field in value.items()}
            case "required", list():
                made[key] = [_snake_name(name) for name in value]
            case "$ref", str():
                made[key] = value.replace("#/definitions/", f"#/definitions/{_SEED}")
            case _:
                made[key] = _snake(value)
    return made


def _snake_name(name: str) -> str:
    return re.sub("([A-Z])", r"_\1", name).lower()


def _used(top: Any, definitions: Mapping[str, _Schema]) -> Iterator[tuple[str, _Schema]]:
    """Return the definitions that a schema needs, by name."""
    waiting, seen = sorted(_references(top)), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen and name != "#":
            seen.add(name)
            waiting += sorted(_references(definitions[name]))
    yield from ((name, definitions[name]) for name in definitions if name in seen)


def main(arguments: list[str]) -> int:
    """Write the generated files, or check that they are what the models say."""
    root = Path(__file__).parents[3]
    return write_or_check("podium.cli.schemas", arguments, root, files(root), limit=MAX_BYTES)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
