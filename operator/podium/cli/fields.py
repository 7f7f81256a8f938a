"""The fields of the kinds and of the executors' configs as a tree: what `podium explain` shows."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from podium import executors
from podium.api import names
from podium.api.descriptions import DescribedSchema, one_line, resolve
from podium.api.resources import (
    ArtifactStore,
    ContractSchema,
    ModelConfig,
    Persona,
    Workflow,
    WorkflowRun,
)
from podium.api.shape import closest
from podium.cli.output import CliError

__all__ = ["KINDS", "Field", "candidates", "find", "kind_of"]

KINDS = {
    "workflow": "A graph of nodes that runs can execute.",
    "workflowrun": "One execution of a Workflow.",
    "executor": "What runs a node: the fields of its config, by executor.",
    "artifactstore": "A place where artifacts are kept, which Workflows name.",
    "contractschema": "A schema in versions, which contracts name.",
    "persona": "An LLM role, which nodes name.",
    "modelconfig": "An endpoint and a model, which answer for personas.",
}
"""What a path may begin with."""

_ALSO = {
    "workflows": "workflow",
    "wfl": "workflow",
    "workflowruns": "workflowrun",
    "wfr": "workflowrun",
    "executors": "executor",
    "artifactstores": "artifactstore",
    "pas": "artifactstore",
    "contractschemas": "contractschema",
    "pcs": "contractschema",
    "personas": "persona",
    "ppe": "persona",
    "modelconfigs": "modelconfig",
    "pmc": "modelconfig",
}


_Kind = Workflow | WorkflowRun | ArtifactStore | ContractSchema | Persona | ModelConfig
_KINDS = (Workflow, WorkflowRun, ArtifactStore, ContractSchema, Persona, ModelConfig)
_MODELS: Mapping[str, type[_Kind]] = {model.KIND.lower(): model for model in _KINDS}


@dataclass(frozen=True)
class Field:
    """A field, and the fields inside it."""

    name: str
    type: str
    """`string`, `[]Object`, `map[string]string`."""
    description: str = ""
    required: bool = False
    default: str = ""
    """As it would be written; empty where there is none."""
    allowed: tuple[str, ...] = ()
    """The only values, where they are few."""
    limits: str = ""
    """Bounds of a number, a string or a list."""
    fields: Mapping[str, "Field"] = field(default_factory=dict)


def find(path: str) -> tuple[str, Field]:
    """Return the kind that a path begins with, and the field that it leads to.

    Positions in lists, as in `workflow.spec.nodes[2].pod`, are left out. Raises `CliError` with
    what was probably meant.
    """
    first, *rest = re.sub(r"\[\d*\]", "", path).split(".")
    kind = _kind(first)
    here = tree(kind)
    done = kind
    for part in rest:
        if not here.fields:
            raise CliError(_no_fields(done, here))
        if part not in here.fields:
            raise CliError(_unknown(part, done, here))
        around, here = here, here.fields[part]
        if here.type == around.type and not here.fields:  # members of a group are nodes
            here = replace(here, fields=around.fields)
        done = f"{done}.{part}"
    return kind, here


def kind_of(kind: str) -> str:
    """Return how a resource of `KINDS` is written."""
    return _MODELS[kind].KIND


def candidates(beginning: str) -> list[tuple[str, str]]:
    """Return the paths that a beginning may become, with their descriptions."""
    before, dot, word = beginning.rpartition(".")
    if not dot:
        found = [(name, text) for name, text in KINDS.items() if name.startswith(word)]
    else:
        found = list(_inside(before, word))
    if len(found) == 1:  # with its fields beside it a shell leaves room for the dot
        found += _inside(found[0][0], "")
    return found


def _inside(path: str, word: str) -> Iterator[tuple[str, str]]:
    try:
        _, here = find(path)
    except CliError:
        return
    for name, inner in here.fields.items():
        if name.startswith(word):
            yield f"{path}.{name}", inner.description


def _kind(word: str) -> str:
    name = word.lower()
    name = _ALSO.get(name, name)
    if name in KINDS:
        return name
    if word in tree("workflow").fields:
        raise CliError(f"{word!r:.60} is not a kind: begin with one, such as workflow.{word}")
    close = closest(name, KINDS)
    hint = f"; did you mean {close}?" if close else f": begin with {', '.join(KINDS)}"
    raise CliError(f"there is no kind {word!r:.60}{hint}")


def _unknown(part: str, path: str, here: Field) -> str:
    close = closest(part, here.fields)
    if close:
        return f"{path} has no field {part!r:.60}; did you mean {path}.{close}?"
    return f"{path} has no field {part!r:.60}; it has {', '.join(here.fields)}"


def _no_fields(path: str, here: Field) -> str:
    if here.name == "config":
        known = " or ".join(f"executor.{name}" for name in executors.names())
        return f"the fields of {path} depend on the node's executor: see {known}"
    return f"{path} is of type {here.type} and has no known fields"


@cache
def tree(kind: str) -> Field:
    """Return the fields of one of `KINDS`."""
    if kind == "executor":
        made = {
            name: _field(name, executor.config.model_json_schema(schema_generator=DescribedSchema))
            for name in executors.names()
            if (executor := executors.get(name)) is not None
        }
        return Field(kind, "Object", KINDS[kind], fields=made)
    model = _MODELS[kind]
    schema = model.model_json_schema(schema_generator=DescribedSchema)
    for name, text in (("apiVersion", names.API_VERSION), ("kind", model.KIND)):
        schema["properties"][name]["description"] = f"{text}."
    schema["required"].append("metadata")  # a resource has a name
    return _field(kind, schema)


def _field(name: str, schema: Mapping[str, Any], *, required: bool = False) -> Field:
    definitions = schema.get("$defs", {})
    open_: list[Mapping[str, Any]] = []
    """What is around, as far as something may be in itself: a node in a group."""

    def made(name: str, part: Mapping[str, Any], *, required: bool) -> Field:
        type_ = _type(part, definitions)
        part = _resolve(part, definitions)
        inner = _innermost(part, definitions)
        within = inner.get("properties", {})
        is_repeated = any(within is each for each in open_)
        open_.append(within)
        inside = {
            each: made(each, below, required=each in inner.get("required", ()))
            for each, below in ({} if is_repeated else within).items()
        }
        open_.pop()
        return Field(
            name,
            type_,
            one_line(part.get("description", inner.get("description", ""))),
            required,
            _default(part),
            tuple(map(str, inner.get("enum", ()))),
            _limits(part),
            inside,
        )

    return made(name, schema, required=required)


def _innermost(part: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a list or a map holds; the part itself where it is neither."""
    while True:
        values = part.get("items", part.get("additionalProperties"))
        if "properties" in part or not isinstance(values, Mapping):
            return part
        part = _resolve(values, definitions)


def _resolve(part: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow references; of a choice between types, which `_type` shows, leave the rest."""
    options = _options(part)
    if len(options) > 1:
        return {key: value for key, value in part.items() if key != "anyOf"}
    return resolve(part, definitions)


def _options(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for each in part.get("anyOf", ()) if each.get("type") != "null"]


def _type(part: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    options = _options(part)
    if len(options) > 1:
        return " or ".join(_type(option, definitions) for option in options)
    part = resolve(part, definitions)
    if "items" in part:
        return "[]" + _type(part["items"], definitions)
    if "properties" not in part and isinstance(part.get("additionalProperties"), Mapping):
        return "map[string]" + _type(part["additionalProperties"], definitions)
    if part.get("x-kubernetes-int-or-string"):
        return "integer or string"
    return {"object": "Object"}.get(kind := str(part.get("type", "any")), kind)


def _default(part: Mapping[str, Any]) -> str:
    default = part.get("default")
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default in (None, "", [], {}) else str(default)


def _limits(part: Mapping[str, Any]) -> str:
    if "minimum" in part or "exclusiveMinimum" in part:
        low = part.get("minimum", part.get("exclusiveMinimum"))
        most = f", at most {part['maximum']:,}" if "maximum" in part else ""
        return f"{'at least' if 'minimum' in part else 'more than'} {low}{most}"
    bounds: Iterable[tuple[str, str]] = (
        ("maxLength", "characters"),
        ("maxItems", "entries"),
        ("maxProperties", "entries"),
    )
    return next((f"at most {part[key]:,} {what}" for key, what in bounds if key in part), "")
