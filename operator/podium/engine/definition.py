"""What follows from a definition alone: its digest, its fixed context, its nodes with defaults."""

from collections.abc import Mapping
from typing import Any

from podium import kinds
from podium.api.workflow import Node, NodeType, PodOverrides, Resources, RetryPolicy, WorkflowSpec
from podium.engine.identity import digest_of

__all__ = ["definition_digest", "fixed_context", "with_defaults"]


def fixed_context(definition: WorkflowSpec) -> Mapping[str, Any]:
    """Return the context that nothing can set (`Plan.fixed_context`)."""
    inputs = definition.inputs or {}
    is_closed = inputs.get("additionalProperties") is False
    if not is_closed or inputs.get("patternProperties"):
        return definition.constants
    declared = inputs.get("properties")
    declared = declared if isinstance(declared, Mapping) else {}
    own = definition.global_context
    return {key: own[key] for key in own if key not in declared} | definition.constants


def definition_digest(spec: WorkflowSpec | Mapping[str, Any]) -> str:
    """Return the sha256 (hex) of a definition in canonical form, or of one as it is stored."""
    return digest_of(_dump(spec) if isinstance(spec, WorkflowSpec) else spec)


def with_defaults(node: Node, spec: WorkflowSpec) -> Node:
    """Return a node with the defaults of its definition where it says nothing itself."""
    if node.type is NodeType.PARALLEL_GROUP:  # defaults are those of programs
        return node
    defaults = spec.defaults
    changes: dict[str, RetryPolicy | float | Resources | PodOverrides] = {}
    for name in ("retry_policy", "timeout_seconds", "start_timeout_seconds", "resources", "pod"):
        value = getattr(defaults, name)
        if name == "timeout_seconds" and not kinds.of(node).runs_program:
            continue  # it is about programs
        if name not in ("retry_policy", "timeout_seconds") and not kinds.runs_program(node):
            continue
        if value is not None and getattr(node, name) is None:
            changes[name] = value
    return node.model_copy(update=changes) if changes else node


def _dump(model: WorkflowSpec) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_defaults=True)
