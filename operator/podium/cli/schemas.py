"""JSON Schemas of definition files, for editors: `python -m podium.cli.schemas write|check`.

They are made of the models, so they say what `podium validate` says, as far as a schema can: the
graph, expressions and closed lists of Pod fields are left to it. Draft 7, which every editor
knows. A null is accepted where `podium` takes it for a field left out.
"""

import json
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from podium import executors
from podium.api import names
from podium.api.approvals import ApprovalConfig, Approvers
from podium.api.descriptions import DescribedSchema
from podium.api.generated import write_or_check
from podium.api.resources import (
    ArtifactStore,
    ClusterExecutor,
    ContractSchema,
    Executor,
    ModelConfig,
    Persona,
    Workflow,
    WorkflowRun,
)
from podium.api.workflow import NodeType
from podium.cli.schema_parts import SEED, JsonSchema, cleaned, optional_only, snake_case, used

__all__ = ["NAMES", "files", "main", "schema"]

DRAFT = "http://json-schema.org/draft-07/schema#"
MAX_BYTES = 400_000
NAMES = (
    *("podium", "workflow", "workflowrun", "executor", "clusterexecutor", "artifactstore"),
    *("contractschema", "persona", "modelconfig"),
)
"""What there is a schema of; `podium` takes every document that may be in a definition file."""

_TITLES = {
    "podium": "A Podium definition file",
    "workflow": "A Podium Workflow",
    "workflowrun": "A Podium WorkflowRun",
    "executor": "A Podium Executor",
    "clusterexecutor": "A Podium ClusterExecutor",
    "artifactstore": "A Podium ArtifactStore",
    "contractschema": "A Podium ContractSchema",
    "persona": "A Podium Persona",
    "modelconfig": "A Podium ModelConfig",
}
_KINDS = {
    kind.KIND.lower(): kind
    for kind in (
        *(Workflow, WorkflowRun, Executor, ClusterExecutor, ArtifactStore, ContractSchema),
        *(Persona, ModelConfig),
    )
}
_OBJECT_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"


def schema(name: str) -> JsonSchema:
    """Return the schema of one of `NAMES`."""
    definitions = _definitions()
    top: JsonSchema = _any_document()
    if name in _KINDS:
        top = {"$ref": f"#/definitions/{_KINDS[name].KIND}"}
    head = {"$schema": DRAFT, "title": _TITLES[name]}
    return {**head, **top, "definitions": dict(used(top, definitions))}


def files(root: Path) -> dict[Path, str]:
    """Return every generated file with its text."""
    return {
        root / "docs" / "schema" / f"{name}.json": json.dumps(
            schema(name), indent=2, ensure_ascii=False
        )
        + "\n"
        for name in NAMES
    }


def _any_document() -> JsonSchema:
    """Return the schema of one document of a file: ours by its kind, others as they are."""
    kinds = [kind.KIND for kind in _KINDS.values()]

    def of(kind: str, version: str = names.API_VERSION) -> JsonSchema:
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
                "description": "Workflow: a graph of nodes. WorkflowRun: one execution of it."
                " Executor, ClusterExecutor: a way to run nodes. ArtifactStore: where artifacts"
                " are kept. ContractSchema: a schema that contracts name. Persona: an LLM role."
                " ModelConfig: the endpoint and model that answers.",
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
                "then": {"$ref": f"#/definitions/{SEED}"},
                "else": {"required": ["apiVersion", "kind"]},
            },
        ],
    }


@cache
def _definitions() -> dict[str, JsonSchema]:
    """Return the definitions of all models, by name."""
    configs = _configs()
    models: list[type[BaseModel]] = [
        *(*_KINDS.values(), *dict.fromkeys(configs.values())),
        ApprovalConfig,
    ]
    _, made = models_json_schema(
        [(model, "validation") for model in models],
        schema_generator=DescribedSchema,
        ref_template="#/definitions/{model}",
    )
    raw = made["$defs"]
    nullable = optional_only(raw)
    found = {}
    for name, definition in raw.items():
        if "enum" in definition:
            continue
        own = name in {model.__name__ for model in models[len(_KINDS) :]} | {Approvers.__name__}
        found[name] = cleaned(definition, raw, nulls=not own)
        if name in nullable:
            found[name]["type"] = ["object", "null"]
    for kind in _KINDS.values():
        _finish_kind(found[kind.KIND], found)
    _finish_run(found["WorkflowRunSpec"])
    _finish_env(found["EnvVar"])
    _finish_node(found["Node"], configs)
    return found | _seed(found)


def _configs() -> dict[str, type[BaseModel]]:
    """Return the model of the config by the name of the executor."""
    found = {name: executors.get(name) for name in executors.names()}
    return {name: each.config for name, each in found.items() if each is not None}


def _finish_kind(kind: JsonSchema, found: Mapping[str, JsonSchema]) -> None:
    fields = kind["properties"]
    fields["apiVersion"]["description"] = f"{names.API_VERSION}."
    fields["kind"]["description"] = kind["description"]
    if "status" in fields:
        fields["status"] = {"description": "Written by the operator; what a file says is ignored."}
    kind["required"] = ["apiVersion", "kind", "metadata", "spec"]
    metadata = found["ObjectMeta"]
    metadata["type"] = "object"
    metadata["description"] = "Name, namespace, labels and annotations, as of every object."
    metadata["properties"]["name"].update({"pattern": _OBJECT_NAME, "maxLength": 253})
    metadata["anyOf"] = [{"required": ["name"]}, {"required": ["generateName"]}]


def _finish_run(spec: JsonSchema) -> None:
    spec["oneOf"] = [{"required": ["workflowRef"]}, {"required": ["workflowSpec"]}]


def _finish_env(variable: JsonSchema) -> None:
    variable["not"] = {
        "required": ["value", "valueFrom"],
        "properties": {"value": {"type": "string"}, "valueFrom": {"type": "object"}},
    }


def _finish_node(node: JsonSchema, configs: Mapping[str, type[BaseModel]]) -> None:
    """Report which ids there are, and what the config of each executor holds."""
    node["properties"]["id"]["pattern"] = names.ID_PATTERN
    executor = node["properties"]["executor"]
    node["properties"]["executor"] = {
        "description": executor["description"],
        "type": "string",
        # Any other name is that of an Executor; editors offer these.
        "anyOf": [{"enum": list(configs)}, {"pattern": _OBJECT_NAME}],
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
    approval = {"const": NodeType.APPROVAL.value}
    node["allOf"].append(
        {
            "if": {"required": ["type"], "properties": {"type": approval}},
            "then": {"properties": {"config": {"$ref": "#/definitions/ApprovalConfig"}}},
        }
    )
    group = {"required": ["type"], "properties": {"type": {"const": NodeType.PARALLEL_GROUP.value}}}
    node["allOf"].append({"if": group, "then": {"required": ["nodes"]}})
    node["allOf"].append(
        {"if": {"properties": {"type": {"enum": runs}}}, "then": {"required": ["executor"]}}
    )


def _seed(found: Mapping[str, JsonSchema]) -> dict[str, JsonSchema]:
    """Return the definitions of the seed's format: the same fields in snake_case."""
    reference = "#/definitions/WorkflowSpec"
    made = {
        SEED + name: snake_case(definition) for name, definition in used({"$ref": reference}, found)
    }
    workflow = made[SEED + "WorkflowSpec"]
    workflow["properties"]["name"] = {"type": ["string", "null"], "description": "Name for people."}
    workflow["properties"]["id"]["type"] = "string"
    workflow["required"] = ["id", *workflow["required"]]
    for model in set(_configs().values()):
        # Their fields are named as in the other format, or as here.
        env = made[SEED + model.__name__]["properties"].get("env", {})
        env["items"] = {"type": "object", "required": ["name"]}
    for model in (ApprovalConfig, Approvers):  # their fields are named as here
        made[SEED + model.__name__] = found[model.__name__]
    made[SEED] = {
        "type": "object",
        "description": "A Workflow in the format with workflow: at the top and snake_case fields.",
        "required": ["workflow"],
        "properties": {"workflow": {"$ref": f"#/definitions/{SEED}WorkflowSpec"}},
        "additionalProperties": False,
    }
    return made


def main(arguments: list[str]) -> int:
    """Write the generated files, or check that they are what the models say."""
    root = Path(__file__).parents[3]
    return write_or_check("podium.cli.schemas", arguments, root, files(root), limit=MAX_BYTES)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
