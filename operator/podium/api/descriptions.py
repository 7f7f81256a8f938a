"""The models as JSON Schema with their descriptions: for the CRDs, editors and `podium explain`."""

import ast
import inspect
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

__all__ = ["DescribedSchema", "docstrings", "one_line", "resolve"]


class DescribedSchema(GenerateJsonSchema):
    """Describes each field by its docstring.

    pydantic could (`use_attribute_docstrings`), but would read the source of every model whenever
    podium starts.
    """

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Return the schema of a model, its fields described."""
        made = super().model_schema(schema)
        model = schema["cls"]
        for name, text in docstrings(model).items():
            field = made["properties"].get(model.model_fields[name].alias)
            if field is None:  # a field that also has another name outside: see PersonasConfig
                field = made["properties"].get(name)
            if field is not None:  # one that users do not write is not in the schema
                field["description"] = text
        return made


def docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return what is written below each field of a model."""
    (body,) = ast.parse(inspect.getsource(model)).body
    found = {}
    for field, below in pairwise(body.body if isinstance(body, ast.ClassDef) else ()):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = inspect.cleandoc(text)
    return found


def resolve(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Follow a reference and drop `or null`; the description nearest to the field wins."""
    made = dict(schema)
    while "$ref" in made or "anyOf" in made or "allOf" in made:
        if "$ref" in made:
            found = definitions[made.pop("$ref").rpartition("/")[2]]
        else:
            options = made.pop("anyOf", None) or made.pop("allOf")
            wanted = [option for option in options if option.get("type") != "null"]
            if len(wanted) != 1:
                raise ValueError(f"no structural schema has a choice: {schema}")
            found = wanted[0]
        made = {**found, **made}
    return made


def one_line(text: str) -> str:
    """Join the lines of a docstring."""
    return " ".join(text.split())
