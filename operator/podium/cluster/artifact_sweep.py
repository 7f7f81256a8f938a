"""What no run needs any more is removed from the bucket: the chart's CronJob asks for it.

It alone has credentials for all namespaces, in the operator's namespace, where no node runs.
"""

import asyncio
import logging
from collections import defaultdict
from pathlib import Path

from podium.artifacts.backend import Backend
from podium.artifacts.collection import Swept, sweep
from podium.artifacts.pod import STORE_VARIABLE, load_store
from podium.artifacts.store import REFRESH_SECONDS, ArtifactStore
from podium.cluster.jobs.artifact_store import store_told
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.settings import Settings

__all__ = ["sweep_artifacts"]

log = logging.getLogger(__name__)

YOUNG_SECONDS = 2 * REFRESH_SECONDS
"""What is younger than this, and an upload, may belong to a manifest that is not written yet."""


async def sweep_artifacts(
    client: KubernetesClient, settings: Settings, credentials: Path
) -> dict[str, Swept]:
    """Remove from each namespace's part of the bucket what no run of it needs.

    Raises `ApiError`, and then nothing was removed; `ArtifactError`, `ValueError`.
    """
    if settings.artifacts.s3 is None:
        raise ValueError("there is no bucket to sweep: set the chart's value artifacts.s3")
    living: dict[str, set[str]] = defaultdict(set)
    for namespace in settings.namespaces or [""]:
        async for where, uid in client.run_uids(namespace):
            living[where].add(uid)

    def store_of(namespace: str) -> str:
        return store_told(namespace, settings.artifacts)

    root = load_store({STORE_VARIABLE: store_of("")}, credentials)
    older_than = YOUNG_SECONDS + settings.artifacts.upload_seconds
    done = {}
    for namespace in await asyncio.to_thread(Backend(root).directories):
        if settings.namespaces and namespace not in settings.namespaces:
            continue
        place = load_store({STORE_VARIABLE: store_of(namespace)}, credentials)
        with ArtifactStore(place) as store:
            done[namespace] = await asyncio.to_thread(sweep, store, living[namespace], older_than)
        log.info("%s: %s", namespace, done[namespace])
    return done
