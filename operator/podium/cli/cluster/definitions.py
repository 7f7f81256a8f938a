"""The definition that a run of a cluster is pinned to, read with the rights of the caller."""

from typing import Any

from podium.api.formats import current_definition
from podium.api.workflow import WorkflowSpec
from podium.cli.cluster.connection import Cluster
from podium.cli.cluster.runs import ClusterRun
from podium.cli.output import CliError
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import dig
from podium.engine import former_definition

__all__ = ["definition_of"]


async def definition_of(
    cluster: Cluster, run: ClusterRun, version: int | None = None
) -> WorkflowSpec:
    """Return the definition of a run, or the one that a context version was made under.

    Raises `CliError`, `ApiError`.
    """
    status = run.status
    former = None if version is None else former_definition(status, version)
    revision, written_as = status.workflow_revision, status.format_version
    if former is not None:
        revision, written_as = former.revision, former.format_version
    stored: Any
    if revision is not None:
        try:
            stored = dig(await cluster.client.get_revision(cluster.namespace, revision), "data")
        except ApiError as error:
            if error.status != 404:
                raise
            raise CliError(
                f"the ControllerRevision {revision} with the definition of run {run.name} is gone"
            ) from None
        stored = dig(stored, "spec")
    else:
        stored = dig(run.document, "spec", "workflowSpec")
    if stored is None:
        raise CliError(f"run {run.name} has not begun: {run.phase}")
    try:
        return WorkflowSpec.model_validate(current_definition(stored, written_as))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = " ".join(str(error).split())
        raise CliError(f"the definition of run {run.name} cannot be read: {what:.200}") from None
