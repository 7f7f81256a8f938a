"""`rerun --fork`: a new run that begins from another one, on a laptop and on a cluster."""

from collections.abc import Mapping, Sequence
from typing import Any

from podium.api.run import EarlierRun, WorkflowRunSpec, WorkflowRunStatus
from podium.api.workflow import WorkflowSpec
from podium.cli.output import CliError
from podium.engine import context_at, context_of

__all__ = ["fork_of", "forked_context", "require_fork"]


def require_fork(nodes: Sequence[str], *, no_cascade: bool, latest: bool) -> str | None:
    """Return the node at which a fork begins; None: what did not complete runs.

    Raises `CliError` for options that do not go with it.
    """
    if no_cascade or latest:
        raise CliError(
            "--fork runs the definition as it is now, and all that comes after what runs: leave"
            f" out {'--no-cascade' if no_cascade else '--latest'}"
        )
    if len(nodes) > 1:
        raise CliError(f"--fork begins at one node, not at {len(nodes)}: name the first --node")
    return nodes[0] if nodes else None


def forked_context(
    definition: WorkflowSpec, given: Mapping[str, Any], status: WorkflowRunStatus
) -> dict[str, Any]:
    """Return what a fork sets of the context: as the run did, with its edits since."""
    initial = context_of(definition, given)
    now: dict[str, Any] = context_at(status, initial, constants=definition.constants)["context"]
    edited = {k: v for k, v in now.items() if k not in initial or initial[k] != v}
    return {**given, **edited}


def fork_of(
    spec: WorkflowRunSpec, name: str, node: str | None, context: Mapping[str, Any]
) -> WorkflowRunSpec:
    """Return the spec of a fork of the run of this name."""
    begin = EarlierRun(run=name, node=node)
    asked = {"suspend": False, "cancel": False, "terminate": False}
    return spec.model_copy(update={**asked, "from_": begin, "context": dict(context)})
