"""The event source of what users write, on kopf; it hands each event to a sink and writes nothing.

Only `on.event` handlers: kopf then keeps no annotations and no finalizers on our objects. The
handlers do no I/O and raise nothing, for a handler that breaks its worker would end the operator.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import kopf

from podium.api.names import GROUP, VERSION
from podium.cluster.kube.client import in_cluster

__all__ = ["Sink", "watch"]

log = logging.getLogger(__name__)


class Sink(Protocol):
    """What takes the events in. `kind` is None for objects listed at start-up."""

    def run_event(self, kind: str | None, body: Any) -> None:
        """Take in a WorkflowRun."""
        ...

    def workflow_event(self, kind: str | None, body: Any) -> None:
        """Take in a Workflow."""
        ...


async def watch(sink: Sink, namespaces: list[str], ready: asyncio.Event) -> None:
    """Watch until cancelled; `ready` is set once the watches begin.

    Whatever ends a watch for good ends this, and should end the process.
    """
    registry = kopf.OperatorRegistry()
    for resource, take in (
        ((GROUP, VERSION, "workflows"), sink.workflow_event),
        ((GROUP, VERSION, "workflowruns"), sink.run_event),
    ):
        kopf.on.event(*resource, registry=registry)(_handler(take, resource[2]))
    kopf.on.login(registry=registry)(_login)
    await kopf.operator(
        registry=registry,
        settings=_settings(),
        standalone=True,
        namespaces=namespaces,
        clusterwide=not namespaces,
        ready_flag=ready,
    )


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    # It would read CRDs and namespaces, which the operator may not: our CRDs come with the chart.
    settings.scanning.disabled = True
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = 300
    settings.watching.reconnect_backoff = 1.0
    settings.networking.connect_timeout = 5
    settings.networking.request_timeout = 30
    # The list of a server that is away for long, behind a balancer that answers 503 for it, must
    # not end the operator: kubelets wait minutes before they start one again that ends often.
    settings.networking.error_backoffs = _ForEver()
    settings.persistence.finalizer = f"{GROUP}/kopf"
    return settings


class _ForEver:
    """Pauses between tries, in seconds: kopf gives up when there are no more."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1, 1, 2, 3, 5, 8, 13), itertools.repeat(20))


def _handler(take: Callable[[str | None, Any], None], what: str) -> Callable[..., Any]:
    async def handle(event: Any, **_: Any) -> None:
        try:
            take(event.get("type"), event.get("object"))
        except Exception:
            log.exception("cannot parse an event of %s", what)

    return handle


def _login(**arguments: Any) -> Any:
    if in_cluster():
        return kopf.login_with_service_account(**arguments)
    return kopf.login_with_kubeconfig(**arguments)
