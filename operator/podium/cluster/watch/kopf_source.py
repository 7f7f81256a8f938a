"""The event source of Workflows, on kopf: it hands each event to a sink and writes nothing.

Only `on.event` handlers: kopf then keeps no annotations and no finalizers on our objects. The
handlers do no I/O and raise nothing, for a handler that breaks its worker would end the operator.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import aiohttp
import kopf
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from podium.api.names import GROUP, VERSION
from podium.cluster.kube.answers import TooLongError, read_at_most
from podium.cluster.kube.connection import in_cluster
from podium.cluster.kube.transport import (
    METADATA,
    METADATA_LIST,
    PAGE_BYTES,
)

__all__ = ["Sink", "watch"]

log = logging.getLogger(__name__)

WORKFLOWS = "workflows"
PAGE = 50
"""Workflows to a page."""


class Sink(Protocol):
    """What takes the events in. `kind` is None for objects listed at start-up."""

    def workflow_event(self, kind: str | None, body: Any) -> None:
        """Take in a Workflow."""
        ...


async def watch(sink: Sink, namespaces: list[str], ready: asyncio.Event) -> None:
    """Watch until cancelled; `ready` is set once the watches begin.

    Whatever ends a watch for good ends this, and should end the process.
    """
    registry = kopf.OperatorRegistry()
    kopf.on.event(GROUP, VERSION, WORKFLOWS, registry=registry)(
        _handler(sink.workflow_event, WORKFLOWS)
    )
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
    settings.watching.chunk_size = PAGE  # annotations alone may be 256 KiB each
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


async def _login(**arguments: Any) -> kopf.AiohttpSession:
    """Log in as kopf does, with a session that asks for the metadata of Workflows alone."""
    if in_cluster():
        found = kopf.login_with_service_account(**arguments)
    else:
        found = kopf.login_with_kubeconfig(**arguments)
    if found is None:
        raise kopf.LoginError("neither a ServiceAccount nor a kubeconfig says who to be")
    only_metadata = _OnlyMetadata()
    only_metadata.session = session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=found.as_ssl_context()),
        headers=found.as_http_headers(),
        proxy=found.proxy_url,
        trust_env=found.trust_env,
        middlewares=(only_metadata,),
    )
    return kopf.AiohttpSession(
        server=found.server,
        default_namespace=found.default_namespace,
        priority=found.priority,
        expiration=found.expiration,
        aiohttp_session=session,
    )


class _OnlyMetadata:
    """Asks for metadata: an object may be a megabyte, or too deep for kopf's reader of JSON.

    Where metadata are large, too, they are fewer to a page. A list whose next page expired begins
    again, and what is forbidden for a while is asked again:
    kopf would end the operator.
    """

    session: aiohttp.ClientSession

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        if request.method != "GET" or not request.url.path.endswith(f"/{WORKFLOWS}"):
            return await handler(request)
        query = request.url.query
        accept = METADATA if "watch" in query else METADATA_LIST
        request.headers["Accept"] = accept
        first = request.url.with_query({k: v for k, v in query.items() if k != "continue"})
        response, size = await handler(request), PAGE
        for pause in _ForEver():
            again = first
            if response.status == 410 and "continue" in query:
                log.info("%s: a list expired: listing again", WORKFLOWS)
            elif response.status == 403:
                log.warning("%s: 403 Forbidden; asked again in %d s", WORKFLOWS, pause)
                await asyncio.sleep(pause)
            elif response.status != 200 or "watch" in query:
                break
            else:
                try:
                    body = await read_at_most(response, PAGE_BYTES if size > 1 else None)
                except TooLongError:
                    size = max(1, size // 8)
                    again = response.url.update_query(limit=str(size))
                else:
                    # An empty list of metadata has null, which kopf takes for a list.
                    body = body.replace(b'"items":null', b'"items":[]', 1)
                    response._body = body  # noqa: SLF001
                    break
            response.close()
            response = await self.session.get(again, headers={"Accept": accept}, middlewares=())
        return response
