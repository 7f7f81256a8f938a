"""CustomResourceDefinitions, generated from the models: `python -m podium.api.crd write|check`.

They go to `crds/` for kubectl and, as templates that Helm upgrades and an uninstall keeps, to the
chart. No field has a default in the schema: the server would write each into every node of every
stored object. The defaults are in the descriptions, and the models apply them.

What is free-form is kept and owned as a whole (`x-kubernetes-map-type: atomic`), and so is each
node: field by field, managedFields would grow as large as the graph itself. Nodes are a map by id
all the same, so the server refuses two of one id.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from podium.api import names
from podium.api.artifact_stores import ArtifactStoreSpec
from podium.api.contract_schemas import ContractSchemaSpec
from podium.api.contract_status import ContractSchemaStatus
from podium.api.crd_object import crd_of
from podium.api.descriptions import docstrings, one_line
from podium.api.executors import ExecutorSpec
from podium.api.generated import write_or_check
from podium.api.personas import ModelConfigSpec, PersonaSpec
from podium.api.resources import (
    ArtifactStore,
    ClusterExecutor,
    ContractSchema,
    Executor,
    ModelConfig,
    Persona,
    Workflow,
    WorkflowRun,
    WorkflowRunNodes,
)
from podium.api.run import WorkflowRunSpec, WorkflowRunStatus, WorkflowStatus
from podium.api.structural_schema import AS_IT_IS, structural
from podium.api.workflow import WorkflowSpec

__all__ = ["MAX_CRD_BYTES", "crds", "files", "main"]

MAX_CRD_BYTES = 240_000
"""Server-side apply has no limit near this; kubectl's own annotation ends at 256 KiB of JSON, which
is shorter."""

_NOTE = "# Generated from operator/podium/api by `make crds`; edit the models there.\n"
_IMMUTABLE = "is fixed once the run is made: make a new run instead"
_MUTABLE = ("suspend", "cancel", "terminate", "ttlSecondsAfterFinished")


def crds() -> list[dict[str, Any]]:
    """Return the CRDs, as plain data."""
    return [
        _workflows(),
        _runs(),
        _run_nodes(),
        _executors(Executor),
        _executors(ClusterExecutor),
        _artifact_stores(),
        _contract_schemas(),
        _personas(),
        _model_configs(),
    ]


def files(root: Path) -> dict[Path, str]:
    """Return every generated file with its text."""
    made = {}
    for crd in crds():
        file = f"{names.GROUP}_{crd['spec']['names']['plural']}.yaml"
        made[root / "crds" / file] = _NOTE + _dump(crd)
        kept = {**crd, "metadata": {**crd["metadata"]}}
        kept["metadata"]["annotations"] = {
            **crd["metadata"].get("annotations", {}),
            "helm.sh/resource-policy": "keep",
        }
        made[root / "charts/podium/templates/crds" / file] = _NOTE + _for_helm(_dump(kept))
    return made


def _workflows() -> dict[str, Any]:
    spec = structural(WorkflowSpec)
    _graph(spec)
    return crd_of(
        Workflow,
        short="wfl",
        fields=_spec_and_status(Workflow, spec, structural(WorkflowStatus)),
        columns=[
            ("Version", "string", ".spec.version", "Version of the definition"),
            ("Nodes", "integer", ".status.nodes", "Number of nodes"),
            (
                "Valid",
                "string",
                '.status.conditions[?(@.type=="Valid")].status',
                "Whether runs of it can start",
            ),
            ("Runs", "integer", ".status.runs", "Number of runs"),
            ("Active", "integer", ".status.activeRuns", "Number of runs that have not ended"),
        ],
    )


def _runs() -> dict[str, Any]:
    spec = structural(WorkflowRunSpec)
    inline = spec["properties"]["workflowSpec"]
    _graph(inline)
    # It never changes, so no field manager has to own parts of it.
    inline["x-kubernetes-map-type"] = "atomic"
    fixed = [name for name in spec["properties"] if name not in _MUTABLE]
    spec["x-kubernetes-validations"] = [
        {
            "rule": "has(self.workflowRef) != has(self.workflowSpec)",
            "message": "must have exactly one of workflowRef and workflowSpec",
        },
        *(
            {
                "rule": f"has(self.{name}) == has(oldSelf.{name})",
                "message": f"{name} {_IMMUTABLE}",
                "fieldPath": f".{name}",
            }
            for name in fixed
        ),
    ]
    # Measured on 1.35: comparing an inline graph of 5,000 nodes adds 0.4 s to each write,
    # the status too. That is the price of a pinned definition; runs by reference pay nothing.
    for name in fixed:
        spec["properties"][name]["x-kubernetes-validations"] = [
            {"rule": "self == oldSelf", "message": f"{name} {_IMMUTABLE}"}
        ]
    status = structural(WorkflowRunStatus)
    for name in ("nodes", "removedNodes"):
        status["properties"][name]["x-kubernetes-map-type"] = "atomic"
    return crd_of(
        WorkflowRun,
        short="wfr",
        fields=_spec_and_status(WorkflowRun, spec, status),
        columns=[
            (
                "Workflow",
                "string",
                ".status.workflow",
                "The Workflow, or id of an own graph",
            ),
            ("Phase", "string", ".status.phase", "Phase of the run"),
            (
                "Reason",
                "string",
                ".status.reason",
                "Why, or what its nodes wait for",
            ),
            (
                "Progress",
                "string",
                ".status.progress",
                "Nodes that completed or failed, of all that were not skipped",
            ),
            ("Current", "string", ".status.current", "Running nodes"),
            ("Duration", "string", ".status.duration", "Time from start to end"),
            (
                names.ARTIFACTS_OF,
                "string",
                ".status.artifactsOf",
                "Runs whose artifacts it has",
            ),
        ],
        selectable=[".status.phase"],
    )


def _run_nodes() -> dict[str, Any]:
    nodes = structural(WorkflowRunNodes)["properties"]["nodes"]
    nodes["x-kubernetes-map-type"] = "atomic"
    run = '.metadata.ownerReferences[?(@.kind=="WorkflowRun")].name'
    return crd_of(
        WorkflowRunNodes,
        short="wfrn",
        fields={"nodes": nodes},
        columns=[("Run", "string", run, "The run whose node states it holds")],
    )


def _executors(model: type[Executor | ClusterExecutor]) -> dict[str, Any]:
    is_of_cluster = model is ClusterExecutor
    spec = structural(ExecutorSpec)
    spec["description"] = one_line(docstrings(model)["spec"])
    return crd_of(
        model,
        short="cpex" if is_of_cluster else "pex",
        scope="Cluster" if is_of_cluster else "Namespaced",
        fields={"spec": spec},
        columns=[("Title", "string", ".spec.title", "What it is for")],
    )


def _artifact_stores() -> dict[str, Any]:
    spec = structural(ArtifactStoreSpec)
    spec["description"] = one_line(docstrings(ArtifactStore)["spec"])
    return crd_of(
        ArtifactStore,
        short="pas",
        fields={"spec": spec},
        columns=[
            ("Bucket", "string", ".spec.s3.bucket", "Name of the bucket"),
            ("Claim", "string", ".spec.pvc.claimName", "Name of the PersistentVolumeClaim"),
        ],
    )


def _contract_schemas() -> dict[str, Any]:
    spec = structural(ContractSchemaSpec)
    versions = spec["properties"]["versions"]
    versions["x-kubernetes-list-type"] = "map"
    versions["x-kubernetes-list-map-keys"] = ["version"]
    versions["items"]["x-kubernetes-map-type"] = "atomic"
    condition = '.status.conditions[?(@.type=="{}")].status'
    return crd_of(
        ContractSchema,
        short="pcs",
        fields=_spec_and_status(ContractSchema, spec, structural(ContractSchemaStatus)),
        columns=[
            ("Direction", "string", ".spec.direction", "Which contracts may name it"),
            ("Compatibility", "string", ".spec.compatibility", "What a version must keep to"),
            ("Latest", "string", ".status.latest", "The newest version that is compatible"),
            ("Compatible", "string", condition.format("Compatible"), "Whether all versions are"),
        ],
    )


def _personas() -> dict[str, Any]:
    spec = structural(PersonaSpec)
    spec["description"] = one_line(docstrings(Persona)["spec"])
    return crd_of(
        Persona,
        short="ppe",
        fields={"spec": spec},
        columns=[("Model", "string", ".spec.modelConfig", "ModelConfig that answers for it")],
    )


def _model_configs() -> dict[str, Any]:
    spec = structural(ModelConfigSpec)
    spec["description"] = one_line(docstrings(ModelConfig)["spec"])
    return crd_of(
        ModelConfig,
        short="pmc",
        fields={"spec": spec},
        columns=[
            ("Provider", "string", ".spec.provider", "How its endpoint is talked to"),
            ("Model", "string", ".spec.model", "Name of the model"),
        ],
    )


def _graph(spec: dict[str, Any]) -> None:
    """Add what holds for a graph: unique ids, their pattern, no edge from a node to itself.

    More would cost more than the server allows, or be quadratic: `podium.dag` checks the rest.
    """
    for name in ("nodes", "finally"):
        nodes = spec["properties"][name]
        nodes["x-kubernetes-list-type"] = "map"
        nodes["x-kubernetes-list-map-keys"] = ["id"]
        nodes["items"]["x-kubernetes-map-type"] = "atomic"
        nodes["items"]["properties"]["id"]["pattern"] = names.ID_PATTERN
    # Few groups are in `finally`, and a schema of their members would be as large again.
    spec["properties"]["finally"]["items"]["properties"]["nodes"]["items"] = dict(AS_IT_IS)
    spec["properties"]["edges"]["items"]["x-kubernetes-validations"] = [
        {
            "rule": "self.from != self.to",
            "message": "an edge leads from a node to another one: remove this edge",
        }
    ]


def _spec_and_status(
    model: type[Workflow | WorkflowRun | ContractSchema],
    spec: dict[str, Any],
    status: dict[str, Any],
) -> dict[str, Any]:
    for part, owner in ((spec, "spec"), (status, "status")):
        part["description"] = one_line(docstrings(model)[owner])
    status["properties"]["conditions"].update(
        {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    )
    return {"spec": spec, "status": status}


class _Dumper(yaml.SafeDumper):
    """Indents lists, repeats no value by alias."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _dump(crd: Mapping[str, Any]) -> str:
    return yaml.dump(crd, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)


def _for_helm(text: str) -> str:
    """Keep Helm from reading `${{ EXPRESSION }}` in a description as its own."""
    return text.replace("{{", '{{ "{{" }}')


def main(arguments: list[str]) -> int:
    """Write the generated files, or check that they are what the models say."""
    root = Path(__file__).parents[3]
    return write_or_check("podium.api.crd", arguments, root, files(root), limit=MAX_CRD_BYTES)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
