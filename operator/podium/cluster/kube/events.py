"""Kubernetes Events, sparse: a token bucket for each object, posted in the background."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from podium.api.names import API_VERSION, GROUP
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError
from podium.engine import Emit, EventType

__all__ = ["Recorder", "Subject"]

log = logging.getLogger(__name__)

BURST = 25
SECONDS_PER_EVENT = 5.0
"""A token every so many seconds, as kubectl's own spam filter has it, but for runs."""
NODE_LINES = 50
"""Runs with more nodes than this get no Event for each node."""
MESSAGE_CHARACTERS = 1000
MOST_WAITING = 2000
REPORTER = f"{GROUP}/operator"


_Queue = asyncio.Queue[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Subject:
    """The object that Events are about."""

    kind: str
    namespace: str
    name: str
    uid: str
    nodes: int = 0
    """How many nodes its graph has."""


class Recorder:
    """Posts Events."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client
        self._instance = socket.gethostname()[:128]
        self._latest = 0
        self._buckets: dict[str, tuple[float, float]] = {}
        self._warnings: _Queue = asyncio.Queue(MOST_WAITING)
        self._run_events: _Queue = asyncio.Queue(MOST_WAITING)
        self._node_events: _Queue = asyncio.Queue(MOST_WAITING)
        """That a node began, or ended well: it waits while the server is busy."""

    def record(self, subject: Subject, event: Emit) -> None:
        """Queue an Event, unless there were too many of this object."""
        if event.node is not None and subject.nodes > NODE_LINES:
            return
        if not self._token(subject.uid):
            return
        nanoseconds = self._next_time()
        moment = datetime.fromtimestamp(nanoseconds / 1e9, UTC)
        now = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        message = f"{event.node}: {event.message}" if event.node is not None else event.message
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                # As client-go names them: what lists Events by name has them in order, also
                # those of one second.
                "name": f"{subject.name[:200].rstrip('-.')}.{nanoseconds:016x}",
                "namespace": subject.namespace,
            },
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": subject.kind,
                "namespace": subject.namespace,
                "name": subject.name,
                "uid": subject.uid,
            },
            "type": event.type.value,
            "reason": event.reason[:128],
            "message": message[:MESSAGE_CHARACTERS],
            "source": {"component": "podium"},
            "action": event.reason[:128],
            "eventTime": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingComponent": REPORTER,
            "reportingInstance": self._instance,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        queue = self._run_events if event.node is None else self._node_events
        if event.type is EventType.WARNING:  # the ends of a thousand runs must not crowd it out
            queue = self._warnings
        with contextlib.suppress(asyncio.QueueFull):
            queue.put_nowait((subject.namespace, body))

    def warn(self, subject: Subject, reason: str, message: str) -> None:
        """Queue a warning."""
        self.record(subject, Emit(EventType.WARNING, reason, message))

    def forget(self, uid: str) -> None:
        """Drop what is kept of an object."""
        self._buckets.pop(uid, None)

    async def run(self) -> None:
        """Post what is queued, until cancelled. An Event that is refused is dropped."""
        await asyncio.gather(
            self._post(self._warnings),
            self._post(self._run_events),
            self._post(self._node_events, patient=True),
        )

    async def _post(self, queue: _Queue, *, patient: bool = False) -> None:
        while True:
            namespace, body = await queue.get()
            try:
                await self._client.create_event(namespace, body, patient=patient)
            except ApiError as error:
                log.debug("event not posted: %s", error)
            except Exception:  # such as half a character that a program printed
                log.exception("event not posted")

    def _next_time(self) -> int:
        """Return the time in nanoseconds since 1970, later than any before."""
        self._latest = max(time.time_ns(), self._latest + 1)
        return self._latest

    def _token(self, uid: str) -> bool:
        now = time.monotonic()
        tokens, since = self._buckets.get(uid, (float(BURST), now))
        tokens = min(float(BURST), tokens + (now - since) / SECONDS_PER_EVENT)
        if tokens < 1:
            self._buckets[uid] = (tokens, now)
            return False
        self._buckets[uid] = (tokens - 1, now)
        return True
