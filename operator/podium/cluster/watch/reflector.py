"""What the server says of runs, Jobs and Pods: listed once, then watched, until cancelled.

kopf's pipeline costs a millisecond an event, and a run of a thousand nodes has ten thousand events
of these kinds: here one costs what reading it costs. Deletions that were missed while a watch
was down are found by listing again, and a list that is older than what was seen is not believed.
"""

import asyncio
import logging
import random
from typing import Any, Protocol

from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import dig, text
from podium.cluster.workqueue import backoff

__all__ = ["Reflector", "Sink", "Source"]

log = logging.getLogger(__name__)

BACKOFF_SECONDS = (0.2, 30.0)


class Source(Protocol):
    """Where the objects come from: the client."""

    def list_all(self, resource: str, namespace: str, selector: str) -> Any:
        """Give pages of objects and the version of the list."""
        ...

    def watch(self, resource: str, namespace: str, selector: str, version: str) -> Any:
        """Give events after a version."""
        ...


class Sink(Protocol):
    """What takes the objects in. It raises nothing."""

    def __call__(self, kind: str, body: Any) -> None:
        """Take in an object: ADDED, MODIFIED or DELETED; LOST has only `metadata.uid`."""
        ...


class Reflector:
    """Reflects one resource, of one namespace or of all."""

    def __init__(
        self, source: Source, resource: str, namespace: str, selector: str, sink: Sink
    ) -> None:
        self._source = source
        self._resource = resource
        self._namespace = namespace
        self._selector = selector
        self._sink = sink
        self._known: set[str] = set()
        self._version = ""
        """Empty: to be listed (again)."""
        self._newest = 0
        """The newest version seen."""
        self.synced = asyncio.Event()
        """Set once everything was listed."""

    async def run(self) -> None:
        """List and watch, until cancelled."""
        failures = 0
        while True:
            try:
                if not self._version:
                    await self._list()
                    self.synced.set()
                silent = True
                async for event in self._source.watch(
                    self._resource, self._namespace, self._selector, self._version
                ):
                    failures, silent = 0, False
                    self._take(event)
                if silent:  # the server sends a bookmark at the end: something else ended it
                    raise ApiError(0, "NoAnswer", "the watch ended without an error")
            except ApiError as error:
                failures += 1
                if error.status == 410:
                    log.info("%s: the watch is too old: listing again", self._resource)
                    self._version = ""
                    if failures == 1:
                        continue
                level = logging.WARNING if failures in (1, 10) else logging.DEBUG
                log.log(level, "%s: %s; asked again", self._resource, error)
                wait = backoff(failures + 1, BACKOFF_SECONDS)
                # Jitter: many operators come back at once when a server does.
                await asyncio.sleep(error.retry_after or wait * random.uniform(0.5, 1.0))  # noqa: S311

    async def _list(self) -> None:
        found: set[str] = set()
        version = ""
        async for page, version in self._source.list_all(
            self._resource, self._namespace, self._selector
        ):
            if _number(version) < self._newest:
                raise ApiError(
                    0, "StaleList", f"a list of version {version}, and {self._newest} was seen"
                )
            for body in page:
                uid = text(dig(body, "metadata", "uid"))
                found.add(uid)
                self._known.add(uid)  # at once: the next page may never come
                self._sink("ADDED", body)
        for uid in self._known - found:
            self._sink("LOST", {"metadata": {"uid": uid}})
        self._known = found
        self._version = version
        self._newest = max(self._newest, _number(version))

    def _take(self, event: dict[str, Any]) -> None:
        kind, body = text(event.get("type")), event.get("object")
        version = text(dig(body, "metadata", "resourceVersion"))
        if version:
            self._version = version
            self._newest = max(self._newest, _number(version))
        if kind not in ("ADDED", "MODIFIED", "DELETED"):
            return
        uid = text(dig(body, "metadata", "uid"))
        if kind == "DELETED":
            self._known.discard(uid)
        else:
            self._known.add(uid)
        self._sink(kind, body)


def _number(version: str) -> int:
    return int(version) if version.isascii() and version.isdigit() else 0
