"""Logs of nodes go to the store of the chart once their Pods have ended.

By a process of its own, which the chart installs where it is asked to (`artifacts.logs`): a node's
Pod is as it is without, and the operator has neither the right to read logs nor the credentials.
"""

import asyncio
import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from podium.api.names import LABEL_RUN_UID
from podium.artifacts.backend import Backend
from podium.artifacts.errors import ArtifactError
from podium.artifacts.kept_logs import FirstAndLast, KeptLog, log_key
from podium.artifacts.pod import STORE_VARIABLE, load_store
from podium.artifacts.settings import StoreSettings
from podium.cluster.jobs.artifact_store import store_told
from podium.cluster.kube import paths
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import (
    ANNOTATION_EXECUTION,
    ANNOTATION_NODE,
    CONTAINER,
    dig,
    mapping,
    text,
    when,
)
from podium.cluster.settings import Settings
from podium.cluster.watch.reflector import Reflector
from podium.cluster.workqueue import backoff

__all__ = ["LogKeeper", "keep_logs"]

log = logging.getLogger(__name__)

AT_A_TIME = 4
"""Logs that are read at the same time: each is in memory, twice at its end."""
SILENCE_SECONDS = 60
BACKOFF_SECONDS = (1.0, 60.0)
TRIES = 10
"""How often a kubelet is asked that does not answer: it may be gone with its machine."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """A Pod whose programs have ended."""

    namespace: str
    name: str
    log: KeptLog


class LogKeeper:
    """Keeps the log of each Pod of a run that has ended, until cancelled."""

    def __init__(
        self,
        client: KubernetesClient,
        store_of: Callable[[], StoreSettings],
        most: int,
        *,
        by_namespace: bool,
    ) -> None:
        self._client = client
        self._store_of = store_of
        """Asked again after each failure: credentials may have been renewed."""
        self._most = most
        self._by_namespace = by_namespace
        """Whether the store has those of several namespaces, each below its name."""
        self._backend: Backend | None = None
        self._queue: asyncio.Queue[tuple[_Ended, int]] = asyncio.Queue()
        self._taken: set[str] = set()
        """UIDs of Pods that are in the queue, or were."""

    def take(self, kind: str, body: Any) -> None:
        """Take in a Pod as it is now."""
        uid = text(dig(body, "metadata", "uid"))
        if kind in ("DELETED", "LOST"):
            self._taken.discard(uid)
            return
        if uid in self._taken or dig(body, "status", "phase") not in ("Succeeded", "Failed"):
            return
        self._taken.add(uid)
        self._queue.put_nowait((_ended(body), 0))

    async def run(self) -> None:
        """Keep what is taken in."""
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_A_TIME):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            pod, tries = await self._queue.get()
            if pod.log.pod not in self._taken:
                log.warning("the log of %s/%s is lost: its Pod is gone", pod.namespace, pod.name)
                continue
            try:
                await self._keep(pod)
            except ApiError as error:
                if error.status == 400:  # its container never started
                    log.debug("%s/%s: %s", pod.namespace, pod.name, error)
                elif error.status == 404 or tries >= TRIES:
                    log.warning("the log of %s/%s is lost: %s", pod.namespace, pod.name, error)
                else:
                    self._again(pod, tries, error)
            except (ArtifactError, OSError, ValueError) as error:
                self._backend = None
                if isinstance(error, ArtifactError) and error.is_content:
                    log.warning("no log of %s/%s is kept: %s", pod.namespace, pod.name, error)
                else:  # as long as the Pod is there
                    self._again(pod, tries, error)

    def _again(self, pod: _Ended, tries: int, error: Exception) -> None:
        wait = backoff(tries + 1, BACKOFF_SECONDS)
        log.warning("the log of %s/%s, again in %.0f s: %s", pod.namespace, pod.name, wait, error)
        asyncio.get_running_loop().call_later(wait, self._queue.put_nowait, (pod, tries + 1))

    async def _keep(self, pod: _Ended) -> None:
        key = log_key(pod.log)
        if self._by_namespace:
            key = f"{pod.namespace}/{key}"
        if self._backend is None:
            self._backend = Backend(self._store_of())
        backend = self._backend
        if await asyncio.to_thread(backend.state, key) is not None:
            return  # before this process was started again
        read = FirstAndLast(self._most)
        query = urlencode({"container": CONTAINER, "timestamps": "true"})
        path = f"{paths.pods(pod.namespace, pod.name, 'log')}?{query}"
        async for chunk in self._client.chunks(path, "*/*", SILENCE_SECONDS):
            read.add(chunk)
        await asyncio.to_thread(backend.create, key, read.kept())


def _ended(body: Any) -> _Ended:
    metadata = mapping(body.get("metadata"))
    notes = {**mapping(metadata.get("labels")), **mapping(metadata.get("annotations"))}
    return _Ended(
        text(metadata.get("namespace")),
        text(metadata.get("name")),
        KeptLog(
            text(mapping(metadata.get("labels")).get(LABEL_RUN_UID)),
            text(notes.get(ANNOTATION_NODE)),
            text(notes.get(ANNOTATION_EXECUTION)),
            int(when(dig(body, "status", "startTime")) or 0),
            text(metadata.get("uid")),
        ),
    )


async def keep_logs(
    client: KubernetesClient, settings: Settings, credentials: Path, namespace: str = ""
) -> None:
    """Keep logs until SIGTERM: of a namespace, or (empty) of all that the operator serves.

    `credentials` is where the Secret of the store is mounted, or the volume that it is. Raises
    `ValueError` where the chart has no such store.
    """
    artifacts = settings.artifacts
    if not artifacts.has_store or (artifacts.claim and not namespace):
        raise ValueError("there is no bucket for logs: set the chart's value artifacts.s3")

    def store_of() -> StoreSettings:
        return load_store({STORE_VARIABLE: store_told("", artifacts)}, credentials)

    keeper = LogKeeper(
        client, store_of, artifacts.logs.keep_bytes, by_namespace=artifacts.s3 is not None
    )
    served = [namespace] if namespace else settings.namespaces or [""]
    reflectors = [Reflector(client, "pods", each, LABEL_RUN_UID, keeper.take) for each in served]
    work = asyncio.gather(keeper.run(), *(each.run() for each in reflectors))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        log.info("stopped")
