"""The event source of what users write, on kopf; it hands each event to a sink and writes nothing.

Only `on.event` handlers: kopf then keeps no annotations and no finalizers on our objects. The
handlers do no I/O and raise nothing, for a handler that breaks its worker would end the operator.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

import kopf

from podium.api.names import GROUP, VERSION
from podium.cluster.gateway import in_cluster

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
    settings.persistence.finalizer = f"{GROUP}/kopf"
    await kopf.operator(
        registry=registry,
        settings=settings,
        standalone=True,
        namespaces=namespaces,
        clusterwide=not namespaces,
        ready_flag=ready,
    )


def _handler(take: Callable[[str | None, Any], None], what: str) -> Callable[..., Any]:
    async def handle(event: Any, **_: Any) -> None:
        try:
            take(event.get("type"), event.get("object"))
        except Exception:
            log.exception("an event of %s was not understood", what)

    return handle


def _login(**arguments: Any) -> Any:
    if in_cluster():
        return kopf.login_with_service_account(**arguments)
    return kopf.login_with_kubeconfig(**arguments)
