"""`podium operator`, `podium sweep`, `podium keep-logs` and `podium uninstall`."""

import asyncio
import json
import logging
import sys
from pathlib import Path

import click

from podium.api.names import FINALIZER
from podium.artifacts.collection import Swept
from podium.artifacts.errors import ArtifactError
from podium.artifacts.pod import STORE_PATH
from podium.cli.output import CliError, ExitCode, warn
from podium.cluster import operator as cluster_operator
from podium.cluster.artifact_sweep import sweep_artifacts, sweep_namespace
from podium.cluster.feature_gates import GATES, parse_gates
from podium.cluster.kube.connection import connect
from podium.cluster.kube.errors import ApiError
from podium.cluster.log_keeper import keep_logs as keep_logs_in_store
from podium.cluster.settings import Settings, load_settings
from podium.cluster.uninstall import Released, release_pods, stop_operator
from podium.cluster.worker import reconcile_id

__all__ = ["keep_logs", "operator", "sweep", "uninstall"]


class _JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if identity := reconcile_id.get():
            line["reconcile"] = identity
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class _Lines(logging.Formatter):
    """A plain line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record, with the id of the reconciliation that is under way."""
        identity = reconcile_id.get()
        return super().format(record) + (f" [reconcile {identity}]" if identity else "")


_config = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Path of the operator's settings file.",
)


@click.command()
@_config
@click.option(
    "--feature-gates",
    metavar="NAME=BOOL[,...]",
    default="",
    help="Feature gates, over those of the settings file: "
    + "; ".join(
        f"{gate} ({each.stage}, {'on' if each.default else 'off'}): {each.what}"
        for gate, each in GATES.items()
    ),
)
def operator(config: Path | None, feature_gates: str) -> None:
    """Run the operator: watch WorkflowRuns and execute them."""
    settings = load_settings(config)
    try:
        settings.feature_gates |= parse_gates(feature_gates)
    except ValueError as error:
        raise CliError(f"--feature-gates: {error}") from None
    _log_as(settings)
    # kopf logs each object and request, which only debugging needs.
    for noisy in ("kopf", "aiohttp", "asyncio"):
        logging.getLogger(noisy).setLevel(
            logging.DEBUG if settings.log_level == "debug" else logging.WARNING
        )
    asyncio.run(cluster_operator.run(settings))


def _log_as(settings: Settings) -> None:
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        handler.setFormatter(_JsonLines())
    else:
        handler.setFormatter(_Lines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)


_credentials = click.option(
    "--credentials",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(STORE_PATH),
    show_default=True,
    help="Directory with the keys of the bucket, as the Secret has them, or of the volume.",
)


@click.command()
@_config
@_credentials
@click.option("--namespace", "-n", default="", help="Sweep this namespace only, from inside it.")
@click.option("--store", default="", help="Its ArtifactStore; default: the store of the chart.")
def sweep(config: Path | None, credentials: Path, namespace: str, store: str) -> None:
    """Remove artifacts that no run of the cluster needs any more.

    The chart's CronJobs do this (artifacts.sweep). Those of a run that was deleted go two days
    later.
    """
    if store and not namespace:
        raise CliError("--store is an ArtifactStore of a namespace: name that too, --namespace")
    try:
        settings = load_settings(config)
        done = asyncio.run(_sweep(settings, credentials, namespace, store))
    except ApiError as error:
        raise CliError(f"the cluster: {error}") from None
    except (ArtifactError, ValueError, OSError) as error:
        raise CliError(str(error)) from None
    for name, swept in done.items():
        click.echo(
            f"{name}: removed {swept.manifests} manifests and {swept.objects} objects of"
            f" {swept.size} bytes"
        )


async def _sweep(
    settings: Settings, credentials: Path, namespace: str, store: str
) -> dict[str, Swept]:
    async with connect() as client:
        if namespace:
            found = await sweep_namespace(client, settings, credentials, namespace, store)
            return {namespace: found}
        return await sweep_artifacts(client, settings, credentials)


@click.command("keep-logs")
@_config
@_credentials
@click.option("--namespace", "-n", default="", help="Only those of this namespace, from inside it.")
def keep_logs(config: Path | None, credentials: Path, namespace: str) -> None:
    """Keep logs of nodes in the artifact store, until it is stopped.

    The chart's Deployments do this (artifacts.logs).
    """
    try:
        settings = load_settings(config)
        _log_as(settings)
        asyncio.run(_keep_logs(settings, credentials, namespace))
    except ApiError as error:
        raise CliError(f"the cluster: {error}") from None
    except (ArtifactError, ValueError, OSError) as error:
        raise CliError(str(error)) from None


async def _keep_logs(settings: Settings, credentials: Path, namespace: str) -> None:
    async with connect() as client:
        await keep_logs_in_store(client, settings, credentials, namespace)


@click.command()
@_config
@click.option(
    "--force-finalizers",
    is_flag=True,
    required=True,
    help="Remove Podium's finalizer from all Pods: results not yet recorded may be lost.",
)
@click.option("--deployment", metavar="NAMESPACE/NAME", help="Stop this operator first.")
def uninstall(config: Path | None, force_finalizers: bool, deployment: str | None) -> None:
    """Remove Podium's finalizers from Pods after the operator was deleted.

    `helm uninstall` does this by itself. Runs, Jobs and Pods stay. Pods that the cluster refuses to
    change are named at the end, and the exit code is 1.
    """
    assert force_finalizers  # noqa: S101 - it is required, and the only thing to do so far
    namespace, _, name = (deployment or "").partition("/")
    if deployment and not (namespace and name):
        raise CliError(f"--deployment: write NAMESPACE/NAME, not {deployment!r}")
    try:
        done = asyncio.run(_uninstall(load_settings(config), namespace, name))
    except ApiError as error:
        raise CliError(f"the cluster: {error}") from None
    click.echo(f"Removed the finalizer from {done.count} {'Pod' if done.count == 1 else 'Pods'}")
    if done.refused:
        for each in done.refused:
            warn(each)
        raise CliError(
            f"the cluster refused {len(done.refused)}, named above: run this again once it does "
            f"not, or remove the finalizer {FINALIZER} by hand",
            ExitCode.FAILED,
        )


async def _uninstall(settings: Settings, namespace: str, name: str) -> Released:
    async with connect() as client:
        if name:
            await stop_operator(client, namespace, name)
        return await release_pods(client, settings)
