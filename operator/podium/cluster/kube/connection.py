"""The only module that imports the official client: it finds the server and says who we are."""

import os
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.transport import Signer

__all__ = ["connect", "in_cluster", "namespace_of", "own_namespace"]

KEEP_SECONDS = 300
"""A connection that is not used stays so long."""
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def in_cluster() -> bool:
    """Whether to be the Pod's ServiceAccount, rather than whom the kubeconfig says."""
    return not os.environ.get("KUBECONFIG") and (_ACCOUNT / "token").exists()


def own_namespace() -> str:
    """Return the namespace of the Pod that this is; empty: it is none."""
    file = _ACCOUNT / "namespace"
    return file.read_text().strip() if in_cluster() and file.exists() else ""


def namespace_of(context: str | None) -> str:
    """Return the namespace of a context of the kubeconfig, None: of the current one.

    Raises `ApiError` where there is no such context.
    """
    if context is None and in_cluster():
        return own_namespace() or "default"
    try:
        contexts, active = config.list_kube_config_contexts()  # type: ignore[no-untyped-call]
    except config.ConfigException as error:
        raise ApiError(0, "NoKubeconfig", str(error)) from None
    found = {each["name"]: each for each in contexts}
    chosen = active if context is None else found.get(context)
    if chosen is None:
        known = ", ".join(found) or "none"
        raise ApiError(0, "NoContext", f"no context {context!r:.80}: contexts are {known:.300}")
    return str(chosen["context"].get("namespace") or "default")


@asynccontextmanager
async def connect(
    fence: Callable[[], None] = lambda: None,
    on_request: Callable[[str, int, float], None] = lambda *_: None,
    context: str | None = None,
) -> AsyncIterator[KubernetesClient]:
    """Connect as the Pod's ServiceAccount, or as the kubeconfig says (KUBECONFIG first).

    `context` is another context of the kubeconfig than the current one. Raises `ApiError` where
    nothing says which cluster.
    `fence` is called before each request that changes something and does not return if this process
    may not. `on_request` gets each request's verb and resource, its status and its seconds.
    """
    configuration = client.Configuration()
    try:
        if context is None and in_cluster():
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await config.load_kube_config(context=context, client_configuration=configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException as error:
        raise ApiError(0, "NoKubeconfig", str(error)) from None
    async with client.ApiClient(configuration) as api:
        # Connections are kept while nothing happens: making one takes longer than a request.
        connector = aiohttp.TCPConnector(
            limit=0, ssl=api.rest_client.ssl_context, keepalive_timeout=KEEP_SECONDS
        )
        async with aiohttp.ClientSession(
            # With it, aiohttp reads a file in a thread for each request, for a proxy only.
            connector=connector,
            trust_env=bool(urllib.request.getproxies()),
            trace_configs=[_fenced(fence)],
        ) as session:
            yield KubernetesClient(_signer(api), session, fence, on_request)


def _signer(api: Any) -> Signer:
    async def sign(method: str, path: str, content: str, accept: str) -> tuple[str, dict[str, str]]:
        try:
            _, url, headers, _, _ = await api.param_serialize(
                method,
                path,
                header_params={"Accept": accept, "Content-Type": content},
                auth_settings=["BearerToken"],
            )
        except ApiException as error:
            raise ApiError(0, "NoAnswer", f"{type(error).__name__}: {error}") from None
        return url, headers

    return sign


def _fenced(fence: Callable[[], None]) -> aiohttp.TraceConfig:
    """Ask the fence once more when the connection is there: making one may have taken long."""

    async def check(_session: Any, context: Any, _params: Any) -> None:
        if context.trace_request_ctx:
            fence()

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(check)
    trace.on_connection_reuseconn.append(check)
    return trace
