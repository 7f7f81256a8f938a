"""The spec of a run as it began with it: it never changes, but for what may be asked of the run."""

from collections.abc import Mapping
from typing import Any

from podium.api.formats import current_definition
from podium.cluster.kube.views import dig, mapping, text
from podium.cluster.runs.shard_objects import has_node_states
from podium.engine import digest_of
from podium.judge.reader import Reader

__all__ = ["SPEC_CHANGED", "hash_of_spec", "in_current_format", "spec_hash", "unchanging"]

SPEC_CHANGED = (
    "spec.context or spec.workflowSpec is not what the run began with, and neither may change: make"
    " a new run, or run nodes again with an edited context"
)


def unchanging(body: Mapping[str, Any]) -> list[Any]:
    """Return what never changes of a run and has no schema."""
    spec = mapping(body.get("spec"))
    return [spec.get("context"), spec.get("workflowSpec")]


def spec_hash(body: Mapping[str, Any]) -> str:
    """Return the hash of what never changes of a run and has no schema: its context and graph."""
    return digest_of(unchanging(body))


async def hash_of_spec(reader: Reader, body: Mapping[str, Any]) -> str:
    """Return that hash, of a run of any size. Raises `OverBudgetError`, `JudgeError`."""
    asker = text(dig(body, "metadata", "namespace"))
    return await reader.digest(unchanging(body), asker=asker)


def in_current_format(body: dict[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run whose own graph is translated if an earlier version began it."""
    spec = body.get("spec")
    if not has_node_states(known) or not isinstance(spec, dict) or "workflowSpec" not in spec:
        return body
    workflow = current_definition(spec["workflowSpec"], known.get("formatVersion"))
    return {**body, "spec": {**spec, "workflowSpec": workflow}}
