"""A CustomResourceDefinition as an object, made of a model and the schema of its fields."""

import inspect
from typing import Any

from podium.api import names
from podium.api.descriptions import one_line
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

__all__ = ["crd_of"]


def crd_of(
    model: type[
        Workflow
        | WorkflowRun
        | WorkflowRunNodes
        | Executor
        | ClusterExecutor
        | ArtifactStore
        | ContractSchema
        | Persona
        | ModelConfig
    ],
    *,
    short: str,
    scope: str = "Namespaced",
    fields: dict[str, Any],
    columns: list[tuple[str, str, str, str]],
    selectable: list[str] | None = None,
) -> dict[str, Any]:
    """Return the definition of a resource with these fields, columns and selectable fields."""
    kind = model.KIND
    plural = kind.lower().removesuffix("s") + "s"
    version: dict[str, Any] = {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        **({"subresources": {"status": {}}} if "status" in fields else {}),
        "additionalPrinterColumns": [
            {
                "name": name,
                "type": kind_,
                "jsonPath": path,
                "description": text,
                **({"priority": 1} if name == names.ARTIFACTS_OF else {}),  # with -o wide alone
            }
            for name, kind_, path, text in [
                *columns,
                ("Age", "date", ".metadata.creationTimestamp", "Time since its creation"),
            ]
        ],
    }
    if selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in selectable]
    version["schema"] = {
        "openAPIV3Schema": {
            "type": "object",
            "description": one_line(inspect.getdoc(model) or ""),
            **({"required": ["spec"]} if "spec" in fields else {}),
            "properties": {
                "apiVersion": {"type": "string", "description": f"{names.API_VERSION}."},
                "kind": {"type": "string", "description": f"{kind}."},
                "metadata": {"type": "object"},
                **fields,
            },
        }
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{names.GROUP}",
            "labels": {"app.kubernetes.io/name": "podium", "app.kubernetes.io/part-of": "podium"},
        },
        "spec": {
            "group": names.GROUP,
            "scope": scope,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["podium"],
            },
            "versions": [version],
        },
    }
