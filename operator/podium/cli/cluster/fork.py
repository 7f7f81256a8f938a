"""`podium --cluster rerun --fork`."""

from podium.api.names import API_VERSION
from podium.api.run import WorkflowRunSpec
from podium.cli.cluster.connection import Cluster
from podium.cli.cluster.definitions import definition_of
from podium.cli.cluster.runs import read_run
from podium.cli.forks import fork_of, forked_context
from podium.cli.output import CliError
from podium.cli.values import context_of
from podium.cluster.kube import paths
from podium.cluster.kube.views import dig, text

__all__ = ["fork_run"]


async def fork_run(
    cluster: Cluster,
    name: str,
    node: str | None,
    options: tuple[str | None, tuple[str, ...], tuple[str, ...]],
) -> str:
    """Make a run that begins from another one; return its name. Raises `CliError`, `ApiError`.

    `options` are those that edit the context.
    """
    run = await read_run(cluster, name)
    definition = await definition_of(cluster, run)
    try:
        spec = WorkflowRunSpec.model_validate(run.document["spec"])
    except ValueError as error:
        what = " ".join(str(error).split())
        raise CliError(f"the spec of run {name} cannot be read: {what:.200}") from None
    before = forked_context(definition, spec.context, run.status)
    context_file, values, strings = options
    context = context_of(before, context_file, values, strings, below=definition.global_context)
    body = {
        "apiVersion": API_VERSION,
        "kind": "WorkflowRun",
        "metadata": {"generateName": f"{name[:200]}-"},
        "spec": fork_of(spec, name, node, context).model_dump(
            mode="json", by_alias=True, exclude_defaults=True
        ),
    }
    path = paths.own(cluster.namespace, "workflowruns")
    return text(dig(await cluster.client.call("POST", path, body), "metadata", "name"))
