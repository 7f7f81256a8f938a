"""`podium submit`."""

from collections.abc import Mapping
from typing import Any

import click

from podium.api.names import API_VERSION, GROUP, VERSION
from podium.api.resources import (
    ClusterExecutor,
    ContractSchema,
    Executor,
    ModelConfig,
    Persona,
    Workflow,
)
from podium.api.run import WorkflowReference, WorkflowRunSpec
from podium.api.source.files import Document
from podium.cli.checked_file import CheckedFile, sound_file
from podium.cli.cluster.connection import Cluster, on_cluster
from podium.cli.cluster.get import watch_run
from podium.cli.cluster.runs import name_of
from podium.cli.options import (
    LATEST,
    context_options,
    executor_files_option,
    part_of,
    part_options,
)
from podium.cli.output import CliError, ExitCode
from podium.cli.run_end import run_code
from podium.cli.selection import select_run
from podium.cli.session import text_of
from podium.cli.values import context_of
from podium.cluster.kube import paths
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import dig, text

__all__ = ["submit"]

APPLY_PATCH = "application/apply-patch+yaml"
MANAGER = "podium"
_KINDS = {
    Workflow.KIND: "workflows",
    Executor.KIND: "executors",
    ContractSchema.KIND: "contractschemas",
    Persona.KIND: "personas",
    ModelConfig.KIND: "modelconfigs",
}


@click.command()
@click.argument("file", required=False)
@executor_files_option
@click.option("--from", "workflow", metavar="WORKFLOW", help="A Workflow that the cluster has.")
@context_options
@click.option("--name", metavar="WORKFLOW", help="The WorkflowRun or Workflow of several.")
@click.option(
    "--run-name", metavar="NAME", help="Name of the run; default: derived from the workflow's."
)
@click.option(
    "--max-parallel",
    type=click.IntRange(1, 10_000),
    help="Maximum number of nodes that run at the same time.",
)
@part_options
@click.option("--fail-fast", is_flag=True, help="Cancel everything else after the first failure.")
@click.option("-w", "--watch", is_flag=True, help="Print changes until the run has ended.")
@click.option("-o", "--output", type=click.Choice(["json", "yaml", "name"]), help="Print the run.")
@on_cluster()
async def submit(
    cluster: Cluster,
    file: str | None,
    more: tuple[str, ...],
    workflow: str | None,
    values: tuple[str, ...],
    strings: tuple[str, ...],
    context_file: str | None,
    name: str | None,
    run_name: str | None,
    max_parallel: int | None,
    only: tuple[str, ...],
    until: tuple[str, ...],
    from_run: str | None,
    from_node: str | None,
    fail_fast: bool,
    watch: bool,
    output: str | None,
) -> int:
    """Start a run on a cluster: of a file, whose Workflows are applied, or of a Workflow there."""
    if (file is None) == (workflow is None):
        raise CliError("name a file, or a Workflow that the cluster has with --from")
    if watch and output is not None:
        raise CliError("-w prints changes as lines: leave out -o")
    below: Mapping[str, Any] = {}
    if file is not None:
        checked = sound_file(file, more)
        selection = select_run(checked, name)
        await _apply(cluster, checked, quiet=output is not None)
        named, prefix, spec = selection.name, selection.prefix, selection.spec
        below = selection.workflow.global_context
    else:
        given = (workflow or "").removeprefix("workflow/")
        await _require_workflow(cluster, given)
        named, prefix = "", f"{given}-"
        spec = WorkflowRunSpec(workflow_ref=WorkflowReference(name=given))
    spec.context = context_of(spec.context, context_file, values, strings, below=below)
    spec.max_parallel = max_parallel or spec.max_parallel
    spec.fail_fast = fail_fast or spec.fail_fast
    if from_run == LATEST:
        from_run = await name_of(cluster, from_run)
    spec = spec.model_copy(update=part_of(spec, only, until, from_run, from_node))
    named = run_name or named
    metadata = {"name": named} if named else {"generateName": prefix}
    body = {
        "apiVersion": API_VERSION,
        "kind": "WorkflowRun",
        "metadata": metadata,
        "spec": spec.model_dump(mode="json", by_alias=True, exclude_defaults=True),
    }
    path = paths.own(cluster.namespace, "workflowruns")
    made = await cluster.client.call("POST", path, body)
    created = text(dig(made, "metadata", "name"))
    if output in ("json", "yaml"):
        click.echo(text_of(made, output), nl=False)
    elif output == "name":
        click.echo(f"workflowrun.podium.dev/{created}")
    else:
        click.echo(f"run {created} created")
    if watch:
        return run_code((await watch_run(cluster, created)).status)
    return ExitCode.OK


async def _require_workflow(cluster: Cluster, name: str) -> None:
    try:
        await cluster.client.get_workflow(cluster.namespace, name)
    except ApiError as error:
        if error.status != 404:
            raise
        where = f"namespace {cluster.namespace}"
        raise CliError(f"--from: there is no Workflow {name!r:.80} in {where}") from None


async def _apply(cluster: Cluster, file: CheckedFile, *, quiet: bool) -> None:
    """Apply what a file has for its runs, as kubectl does on the server's side."""
    for document, resource in (
        *(*file.contract_schemas, *file.executors, *file.model_configs, *file.personas),
        *file.workflows,
    ):
        if isinstance(resource, ClusterExecutor):
            path = f"/apis/{GROUP}/{VERSION}/clusterexecutors/{resource.metadata.name}"
        else:
            plural = _KINDS[resource.KIND]
            path = paths.own(cluster.namespace, plural, resource.metadata.name)
        body = _body(document, resource)
        await cluster.client.call(
            "PATCH", f"{path}?fieldManager={MANAGER}&force=true", body, content=APPLY_PATCH
        )
        if not quiet:
            click.echo(f"{resource.KIND.lower()} {resource.metadata.name} applied")


def _body(
    document: Document,
    resource: Workflow | Executor | ClusterExecutor | ContractSchema | Persona | ModelConfig,
) -> dict[str, Any]:
    """Return a resource as the server takes it, whatever format its file has."""
    if isinstance(resource, Workflow):
        spec = resource.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    else:
        spec = document.raw["spec"]
    given = document.raw.get("metadata")
    kept = ("name", "labels", "annotations")
    metadata = {k: v for k, v in given.items() if k in kept} if isinstance(given, dict) else {}
    metadata["name"] = resource.metadata.name
    return {
        "apiVersion": API_VERSION,
        "kind": resource.KIND,
        "metadata": metadata,
        "spec": spec,
    }
