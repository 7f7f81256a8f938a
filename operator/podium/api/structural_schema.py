"""JSON Schemas of models in the form that Kubernetes takes: structural schemas, for the CRDs."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from podium.api.descriptions import DescribedSchema, one_line, resolve

__all__ = ["AS_IT_IS", "structural"]

AS_IT_IS = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
"""Of an object of any fields."""
_MEMBER = "#/$defs/Node"
"""Members of groups are nodes: a structural schema cannot recurse, so it holds one level of them,
and keeps what is below as it is; the operator and `podium` check all of it."""
_KEPT = (
    "type",
    "description",
    "format",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minimum",
    "maximum",
    "required",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
)


def structural(model: type[BaseModel]) -> dict[str, Any]:
    """Return a model's JSON Schema in the form that Kubernetes takes.

    References are inlined, `X or null` becomes X, what structural schemas lack is left out.
    """
    schema = model.model_json_schema(
        by_alias=True, mode="validation", schema_generator=DescribedSchema
    )
    made = _structural(schema, schema.get("$defs", {}))
    _defaults_as_words(made, schema, schema.get("$defs", {}))
    return made


def _structural(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int = 0
) -> dict[str, Any]:
    if schema.get("$ref") == _MEMBER:
        depth += 1
        if depth > 2:
            return dict(AS_IT_IS)
    schema = resolve(schema, definitions)
    made: dict[str, Any] = {key: schema[key] for key in _KEPT if key in schema}
    for exclusive, inclusive in (
        ("exclusiveMinimum", "minimum"),
        ("exclusiveMaximum", "maximum"),
    ):
        if exclusive in schema:
            made[inclusive] = schema[exclusive]
            made[exclusive] = True
    if depth > 1:  # its fields are described above, and the whole must stay small
        made.pop("description", None)
    elif "description" in made:
        made["description"] = one_line(made["description"])
    if "properties" in schema:
        made["properties"] = {
            name: _structural(part, definitions, depth)
            for name, part in schema["properties"].items()
        }
    elif isinstance(values := schema.get("additionalProperties"), Mapping):
        made["additionalProperties"] = _structural(values, definitions, depth)
    if "items" in schema:
        made["items"] = _structural(schema["items"], definitions, depth)
    if made.get("x-kubernetes-preserve-unknown-fields") and made.get("type") == "object":
        made["x-kubernetes-map-type"] = "atomic"
    if made.get("type") in ("integer", "number") and "format" not in made:
        made["format"] = "int64" if made["type"] == "integer" else "double"
    return made


def _defaults_as_words(
    made: dict[str, Any], schema: Mapping[str, Any], definitions: Mapping[str, Any]
) -> None:
    """Add defaults worth knowing to the descriptions."""
    schema = resolve(schema, definitions)
    for name, part in schema.get("properties", {}).items():
        target = made["properties"][name]
        default = resolve(part, definitions).get("default")
        described = target.get("description", "")
        is_told = not described or "efault" in described
        if default not in (None, "", [], {}, 0, False) and not is_told:
            target["description"] = f"{described} Default: {default}."
        resolved = resolve(part, definitions)
        if "properties" in resolved:
            _defaults_as_words(target, resolved, definitions)
        elif "items" in resolved and "properties" in target.get("items", {}):
            _defaults_as_words(target["items"], resolved["items"], definitions)
        elif isinstance(values := resolved.get("additionalProperties"), Mapping) and (
            "properties" in target.get("additionalProperties", {})
        ):
            _defaults_as_words(target["additionalProperties"], values, definitions)
