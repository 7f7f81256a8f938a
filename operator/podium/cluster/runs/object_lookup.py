"""Objects that nodes name, as far as the operator looks at them: their metadata.

Nothing of what they hold reaches the operator. What was seen counts for a moment.
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import dig
from podium.cluster.runs.named_objects import CLAIM
from podium.cluster.settings import Settings

__all__ = ["STORES", "ObjectLookup", "Seen", "Unknown"]

log = logging.getLogger(__name__)

KEEP_SECONDS = 1.0
"""How long what was seen of an object counts: nodes that start together share one request."""
MOST_KEPT = 5000
AT_A_TIME = 16
LONGEST_NAME = 253
STORES = "ArtifactStore"
_PLURALS = {"Secret": "secrets", "ConfigMap": "configmaps"}


class Unknown(Enum):
    """Why nothing is known of an object."""

    MISSING = 1
    UNCHECKED = 2
    """The operator may not look at it."""


Seen = Mapping[str, Any] | Unknown
"""Metadata of an object, or why there is none."""


class ObjectLookup:
    """Asks for each object once, however many nodes name it at the same time."""

    def __init__(self, client: KubernetesClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._kept: dict[tuple[str, str, str], tuple[float, asyncio.Task[Seen]]] = {}
        self._at_a_time = asyncio.Semaphore(AT_A_TIME)
        self._told: set[str] = set()

    async def look(self, namespace: str, kind: str, name: str) -> Seen:
        """Return the metadata of an object, of STORES what they are made of. Raises `ApiError`."""
        if not self._settings.reference_checks and kind in _PLURALS:
            return Unknown.UNCHECKED
        if not name or len(name) > LONGEST_NAME:
            return Unknown.MISSING
        key, now = (namespace, kind, name), time.monotonic()
        known = self._kept.get(key)
        if known is None or known[0] <= now:
            if len(self._kept) >= MOST_KEPT:
                self._kept = {each: kept for each, kept in self._kept.items() if kept[0] > now}
            task = asyncio.get_running_loop().create_task(self._ask(*key))
            task.add_done_callback(lambda done: self._answered(key, done))
            known = self._kept[key] = (now + KEEP_SECONDS, task)
        return await asyncio.shield(known[1])  # who waits may be cancelled, others wait as well

    def _answered(self, key: tuple[str, str, str], task: asyncio.Task[Seen]) -> None:
        if (task.cancelled() or task.exception() is not None) and (
            self._kept.get(key, (0, None))[1] is task
        ):
            del self._kept[key]

    async def _ask(self, namespace: str, kind: str, name: str) -> Seen:
        try:
            async with self._at_a_time:
                return await self._read(namespace, kind, name)
        except ApiError as error:
            if error.status == 403:
                if kind not in self._told:
                    self._told.add(kind)
                    log.warning("%ss that nodes name are not checked: %s", kind, error)
                return Unknown.UNCHECKED
            if error.transient or error.status == 401:
                raise
            return Unknown.MISSING

    async def _read(self, namespace: str, kind: str, name: str) -> Mapping[str, Any]:
        """Return metadata of an object, of a claim its modes too. Raises `ApiError`."""
        if kind == STORES:
            bodies = await self._client.list_artifact_stores(namespace)
            return {"parts": [part for body in bodies for part in _parts_of(body)]}
        if kind == CLAIM:
            claim = await self._client.get_claim(namespace, name)
            return {"accessModes": dig(claim, "spec", "accessModes")}
        body = await self._client.get_metadata(namespace, _PLURALS[kind], name)
        metadata = body.get("metadata")
        return metadata if isinstance(metadata, Mapping) else {}


def _parts_of(store: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give kind and name of what an ArtifactStore is made of."""
    yield "Secret", dig(store, "spec", "s3", "credentialsSecret")
    yield CLAIM, dig(store, "spec", "pvc", "claimName")
