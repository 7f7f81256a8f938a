"""Contracts of nodes: what they need of their input, and what they promise of their output."""

from pydantic import Field

from podium.api.base import ApiModel, Id, JsonObject, Text
from podium.api.contract_schemas import SchemaReference

__all__ = ["InputContract", "OutputContract"]

MAX_NAMED = 5000
"""Fields, nodes or keys that an input contract may name: as many as a workflow has nodes."""


class InputContract(ApiModel):
    """Requirements on a node's input, checked before it starts."""

    required_fields: list[Text] = Field(default_factory=list, max_length=MAX_NAMED)
    """Dotted paths that must be in the input: a context key, or NODE.field of an ancestor."""
    schema_: JsonObject | None = Field(default=None, alias="schema")
    """JSON Schema (2020-12, or draft-07 by $schema) that the whole input must meet."""
    schema_ref: SchemaReference | None = None
    """A version of a ContractSchema, in place of schema; its required fields are added."""
    include: list[Id] = Field(default_factory=list, max_length=MAX_NAMED)
    """Farther ancestors whose outputs are delivered even if they are not among the 200 nearest."""
    context: list[Text] | None = Field(default=None, max_length=MAX_NAMED)
    """Context keys that are delivered; default: all."""


class OutputContract(ApiModel):
    """Requirements on a node's output."""

    produces: list[Text] = Field(default_factory=list, max_length=200)
    """Keys that must be in the output."""
    schema_: JsonObject | None = Field(default=None, alias="schema")
    """JSON Schema (2020-12, or draft-07 by $schema) that the whole output must meet."""
    schema_ref: SchemaReference | None = None
    """A version of a ContractSchema, in place of schema; its required fields are added."""
    quality_threshold: float | None = Field(default=None, ge=0, le=1)
    """The lowest quality score that is accepted; a node that has it must report a score."""
    quality_field: Text = "quality_score"
    """Dotted path of the output's quality score, a number from 0 to 1."""
