"""What no run needs any more is removed from a store: the chart's CronJobs ask for it.

One in the operator's namespace, where no node runs, has credentials for all parts of the chart's
bucket. A volume, and an ArtifactStore, is swept from inside its namespace.
"""

import asyncio
import logging
from collections import defaultdict
from pathlib import Path

from podium.api.problems import InvalidError
from podium.api.resources import ArtifactStore as Resource
from podium.api.source.files import parse
from podium.artifacts.backend import Backend
from podium.artifacts.collection import Swept, sweep
from podium.artifacts.pod import STORE_VARIABLE, load_store
from podium.artifacts.store import REFRESH_SECONDS, ArtifactStore
from podium.cluster.artifact_settings import ArtifactSettings
from podium.cluster.jobs.artifact_store import store_told
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError
from podium.cluster.settings import Settings

__all__ = ["sweep_artifacts", "sweep_namespace"]

log = logging.getLogger(__name__)

YOUNG_SECONDS = 2 * REFRESH_SECONDS
"""What is younger than this, and an upload, may belong to a manifest that is not written yet."""


async def sweep_artifacts(
    client: KubernetesClient, settings: Settings, credentials: Path
) -> dict[str, Swept]:
    """Remove from each namespace's part of the bucket what no run of it needs.

    Raises `ApiError`, and then nothing was removed; `ArtifactError`, `ValueError`.
    """
    artifacts = settings.artifacts
    if artifacts.s3 is None:
        raise ValueError("there is no bucket to sweep: set the chart's value artifacts.s3")
    runs = _Runs()
    for namespace in settings.namespaces or [""]:
        await runs.read(client, namespace)
    root = load_store({STORE_VARIABLE: store_told("", artifacts)}, credentials)
    done = {}
    for namespace in await asyncio.to_thread(Backend(root).directories):
        if not settings.namespaces or namespace in settings.namespaces:
            done[namespace] = await _sweep(namespace, artifacts, credentials, runs)
    return done


async def sweep_namespace(
    client: KubernetesClient, settings: Settings, credentials: Path, namespace: str, store: str
) -> Swept:
    """Remove what no run of a namespace needs from its ArtifactStore, or (empty) from the chart's.

    `credentials` is where the Secret of the store is mounted, or the volume that it is. Raises
    `ApiError`, and then nothing was removed; `ArtifactError`, `ValueError`.
    """
    artifacts = settings.artifacts
    if store:
        artifacts = await _artifacts_of(client, settings, namespace, store)
    if not artifacts.has_store:
        raise ValueError("the cluster has no store of its own: name an ArtifactStore by --store")
    runs = _Runs()
    await runs.read(client, namespace)
    return await _sweep(namespace, artifacts, credentials, runs)


class _Runs:
    """UIDs of the runs that there are, by namespace."""

    def __init__(self) -> None:
        self.living: dict[str, set[str]] = defaultdict(set)
        self.active: dict[str, set[str]] = defaultdict(set)

    async def read(self, client: KubernetesClient, namespace: str) -> None:
        """Take in those of one namespace or (empty) of all. Raises `ApiError`."""
        async for where, uid in client.run_uids(namespace):
            self.living[where].add(uid)
        try:
            async for where, uid in client.run_uids(namespace, only_active=True):
                self.active[where].add(uid)
        except ApiError as error:
            if error.status != 400:
                raise
            log.warning("this cluster cannot tell which runs have ended: none is taken for ended")
            for where, uids in self.living.items():
                self.active[where] |= uids


async def _artifacts_of(
    client: KubernetesClient, settings: Settings, namespace: str, store: str
) -> ArtifactSettings:
    body = await client.get_artifact_store(namespace, store)
    try:
        made = parse({**body, "metadata": {"name": store}})
    except InvalidError as error:
        raise ValueError(f"the ArtifactStore {store!r:.80} is not valid: {error}") from None
    if not isinstance(made, Resource):
        raise ValueError(f"{store!r:.80} is not an ArtifactStore")  # noqa: TRY004 - of the server
    return settings.artifacts.of(made.spec)


async def _sweep(
    namespace: str, artifacts: ArtifactSettings, credentials: Path, runs: _Runs
) -> Swept:
    place = load_store({STORE_VARIABLE: store_told(namespace, artifacts)}, credentials)
    older_than = YOUNG_SECONDS + artifacts.upload_seconds
    living, active = runs.living[namespace], runs.active[namespace]
    with ArtifactStore(place) as store:
        done = await asyncio.to_thread(sweep, store, living, older_than, active)
    log.info("%s: %s", namespace, done)
    return done
