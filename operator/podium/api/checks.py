"""What the types of the models cannot say: one of two, closed lists, names.

Applied to files, and to objects of a cluster, whose API server knows only the CRD. They need no
graph: `podium.dag` checks that.
"""

import re
from collections.abc import Iterator

import orjson

from podium.api import names
from podium.api.artifact_stores import check_artifact_store
from podium.api.contract_schemas import SchemaReference, check_contract_schema
from podium.api.executor_checks import check_executor
from podium.api.field_checks import check_annotations, check_labels, no_object_name, one_of
from podium.api.personas import check_model_config, check_persona
from podium.api.pod_checks import check_pod, check_resources
from podium.api.problems import Path, Problem
from podium.api.resources import (
    ArtifactStore,
    ClusterExecutor,
    ContractSchema,
    Executor,
    ModelConfig,
    ObjectMeta,
    Persona,
    Workflow,
    WorkflowRun,
)
from podium.api.run import WorkflowRunSpec
from podium.api.volume_claims import check_volume_claims
from podium.api.workflow import MAX_DEFINITION_BYTES, WorkflowSpec

__all__ = [
    "check_artifact_store_resource",
    "check_contract_schema_resource",
    "check_executor_resource",
    "check_metadata",
    "check_model_config_resource",
    "check_persona_resource",
    "check_run",
    "check_run_spec",
    "check_size",
    "check_spec",
    "check_workflow",
]


def check_workflow(workflow: Workflow) -> list[Problem]:
    """Return the problems of a Workflow, except those of its graph."""
    return [
        *check_metadata(workflow.metadata, suggestion=workflow.spec.id or workflow.spec.title),
        *check_spec(workflow.spec),
        *check_size(workflow.spec),
    ]


def check_run(run: WorkflowRun) -> list[Problem]:
    """Return the problems of a WorkflowRun, except those of an inline graph."""
    return [*check_metadata(run.metadata), *check_run_spec(run.spec)]


def check_executor_resource(executor: Executor | ClusterExecutor) -> list[Problem]:
    """Return the problems of an Executor, except those of its schema and its expressions."""
    message = "nodes refer to an Executor by its name: write name instead"
    return [*_check_named(executor.metadata, message), *check_executor(executor.spec)]


def check_artifact_store_resource(store: ArtifactStore) -> list[Problem]:
    """Return the problems of an ArtifactStore."""
    message = "Workflows refer to an ArtifactStore by its name: write name instead"
    return [*_check_named(store.metadata, message), *check_artifact_store(store.spec)]


def check_contract_schema_resource(schema: ContractSchema) -> list[Problem]:
    """Return the problems of a ContractSchema, except those of its schemas."""
    message = "contracts refer to a ContractSchema by its name: write name instead"
    return [*_check_named(schema.metadata, message), *check_contract_schema(schema.spec)]


def check_persona_resource(persona: Persona) -> list[Problem]:
    """Return the problems of a Persona, except those of its schema."""
    message = "nodes refer to a Persona by its name: write name instead"
    return [*_check_named(persona.metadata, message), *check_persona(persona.spec)]


def check_model_config_resource(model: ModelConfig) -> list[Problem]:
    """Return the problems of a ModelConfig."""
    message = "Personas refer to a ModelConfig by its name: write name instead"
    return [*_check_named(model.metadata, message), *check_model_config(model.spec)]


def _check_named(metadata: ObjectMeta, message: str) -> list[Problem]:
    """Check the metadata of what others refer to by its name."""
    found = check_metadata(metadata)
    if metadata.generate_name and not metadata.name:
        found.append(Problem(("metadata", "generateName"), message))
    return found


def check_metadata(metadata: ObjectMeta, *, suggestion: str | None = None) -> list[Problem]:
    """Check the name, and the keys and values of labels and annotations."""
    found: list[Problem] = []
    here: Path = ("metadata",)
    if metadata.name:
        if not names.is_object_name(metadata.name):
            found.append(Problem((*here, "name"), no_object_name(metadata.name)))
    elif metadata.generate_name:
        if not names.is_object_name(metadata.generate_name + "x"):
            message = no_object_name(metadata.generate_name, generated=True)
            found.append(Problem((*here, "generateName"), message))
    else:
        would = names.object_name(suggestion or "my-workflow")
        found.append(Problem((*here, "name"), f"is missing: write a name, such as {would}"))
    found += check_labels((*here, "labels"), metadata.labels)
    found += check_annotations((*here, "annotations"), metadata.annotations)
    return found


def check_run_spec(spec: WorkflowRunSpec, base: Path = ("spec",)) -> list[Problem]:
    """Check what is asked of a run."""
    found: list[Problem] = []
    if spec.workflow_ref is None and spec.workflow_spec is None:
        found.append(
            Problem(
                base,
                "names no workflow: write workflowRef: {name: …} for a Workflow of this"
                " namespace, or workflowSpec with the graph itself",
            )
        )
    elif spec.workflow_ref is not None and spec.workflow_spec is not None:
        found.append(
            Problem(base, "has both workflowRef and workflowSpec: exactly one, remove the other")
        )
    if spec.workflow_ref is not None:
        name = spec.workflow_ref.name
        if not (names.is_object_name(name) or names.is_id(name)):
            message = f"{name!r:.80} is neither the name nor the spec.id of a Workflow"
            found.append(Problem((*base, "workflowRef", "name"), message))
    if spec.workflow_spec is not None:
        found += check_spec(spec.workflow_spec, (*base, "workflowSpec"))
        found += check_size(spec.workflow_spec, (*base, "workflowSpec"))
        if spec.workflow_spec.retention is not None:
            message = (
                "belongs to a Workflow, of which there are several runs: write"
                " ttlSecondsAfterFinished in the spec of this run"
            )
            found.append(Problem((*base, "workflowSpec", "retention"), message))
    if spec.only and spec.until:
        message = "has both only and until: exactly one, remove the other"
        found.append(Problem((*base, "until"), message))
    if spec.from_ is not None and spec.from_.run is None and spec.from_.node is None:
        message = "names neither run nor node: write the run whose results are copied, or the node"
        found.append(Problem((*base, "from"), f"{message} to begin at"))
    if spec.from_ is not None and spec.from_.run and not names.is_object_name(spec.from_.run):
        found.append(Problem((*base, "from", "run"), no_object_name(spec.from_.run)))
    if spec.recorded_answers is not None:
        recorded = spec.recorded_answers
        sources = {"configMapKeyRef": recorded.config_map_key_ref, "file": recorded.file}
        found += one_of((*base, "recordedAnswers"), sources)
    return found


def check_spec(spec: WorkflowSpec, base: Path = ("spec",)) -> list[Problem]:
    """Check a definition, except its graph."""
    found: list[Problem] = []
    if "executors" in spec.model_fields_set:
        # An Executor may bring a Pod of any shape: whoever writes a Workflow may not.
        message = "unknown field: an Executor is a resource of its own, of kind Executor"
        found.append(Problem((*base, "executors"), message))
    if "pinned_store" in spec.model_fields_set:
        message = "unknown field: write artifacts: {store: NAME}, the name of an ArtifactStore"
        found.append(Problem((*base, "pinnedStore"), message))
    if "pinned_schemas" in spec.model_fields_set:
        message = "unknown field: write schemaRef: {name: …, version: …} in a contract"
        found.append(Problem((*base, "pinnedSchemas"), message))
    if spec.model_fields_set & {"pinned_personas", "pinned_models"}:
        message = "unknown field: write config: {personas: [NAME]} on a node, of kind Persona"
        found.append(Problem((*base, "pinnedPersonas"), message))
    store = spec.artifacts.store if spec.artifacts is not None else None
    if store is not None and not names.is_object_name(store):
        found.append(Problem((*base, "artifacts", "store"), no_object_name(store)))
    if spec.id is not None and not (names.is_id(spec.id) or names.is_object_name(spec.id)):
        found.append(
            Problem(
                (*base, "id"),
                f"{spec.id!r:.80} is not a workflow id: use {names.ID_PATTERN}, such as"
                f" {re.sub('[^A-Za-z0-9_-]+', '_', spec.id).strip('_-')[:63] or 'my_workflow'}",
            )
        )
    found += _passwords((*base, "inputs"), spec.inputs)
    found += check_volume_claims((*base, "volumeClaims"), spec.volume_claims)
    claims = {claim.name for claim in spec.volume_claims}
    if spec.defaults.resources is not None:
        found += check_resources((*base, "defaults", "resources"), spec.defaults.resources)
    if spec.defaults.pod is not None:
        found += check_pod((*base, "defaults", "pod"), spec.defaults.pod, claims)
    for place, node in spec.placed_nodes():
        here = (*base, *place)
        for name, contract in (
            ("inputContract", node.input_contract),
            ("outputContract", node.output_contract),
        ):
            if contract is not None and contract.schema_ref is not None:
                has_both = contract.schema_ is not None
                found += _schema_reference((*here, name), contract.schema_ref, has_both=has_both)
        if node.resources is not None:
            found += check_resources((*here, "resources"), node.resources)
        if node.pod is not None:
            found += check_pod((*here, "pod"), node.pod, claims)
    return found


def _schema_reference(
    here: Path, reference: SchemaReference, *, has_both: bool
) -> Iterator[Problem]:
    if has_both:
        yield Problem(here, "has both schema and schemaRef: exactly one, remove the other")
    if not names.is_object_name(reference.name):
        yield Problem((*here, "schemaRef", "name"), no_object_name(reference.name))


def check_size(spec: WorkflowSpec, base: Path = ("spec",)) -> list[Problem]:
    """Check that the definition, as JSON, fits in an object."""
    raw = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    size = len(orjson.dumps(raw))
    if size <= MAX_DEFINITION_BYTES:
        return []
    return [
        Problem(
            base,
            f"the definition has {size:,} bytes as JSON, and {MAX_DEFINITION_BYTES:,} is the"
            " limit: keep long scripts and data in images, volumes or ConfigMaps",
        )
    ]


def _passwords(base: Path, schema: object) -> Iterator[Problem]:
    """Refuse inputs that are secrets: a context is stored in status, archive and audit logs."""
    waiting: list[tuple[Path, object]] = [(base, schema)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            if value.get("format") == "password":
                yield Problem(
                    (*path, "format"),
                    "inputs are not secret (they are stored in status and logs), so none may be of"
                    " format password: hand secrets to a node by reference, as env with"
                    " valueFrom: {secretKeyRef: {name: …, key: …}}",
                )
            waiting += [
                ((*path, key), item)
                for key, item in reversed(value.items())
                if key not in ("default", "const", "enum", "examples")
            ]
        elif isinstance(value, list):
            waiting += [((*path, index), item) for index, item in enumerate(value)]
