"""Taking Podium's finalizers off all Pods, so that nothing waits for an operator that is gone."""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Any

from podium.api.names import LABEL_RUN
from podium.cluster.jobs.builder import without_finalizer
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import finalizer_of
from podium.cluster.settings import Settings

__all__ = ["Released", "release_pods", "stop_operator"]

log = logging.getLogger(__name__)

STOP_SECONDS = 45.0


async def stop_operator(client: KubernetesClient, namespace: str, deployment: str) -> None:
    """Scale the operator's Deployment to nothing and wait until it is, for a while."""
    try:
        await client.scale_deployment(namespace, deployment, 0)
        end = time.monotonic() + STOP_SECONDS
        while (await client.get_deployment(namespace, deployment))["status"].get("replicas"):
            if time.monotonic() > end:
                log.warning(
                    "%s/%s does not end: its Pods lose their finalizer anyway",
                    namespace,
                    deployment,
                )
                return
            await asyncio.sleep(0.5)
    except ApiError as error:
        if error.status != 404:
            raise


@dataclass
class Released:
    """What came of taking the finalizers off."""

    count: int = 0
    """Pods that lost it."""
    refused: list[str] = field(default_factory=list)
    """What the server refused, in its words."""


async def release_pods(client: KubernetesClient, settings: Settings) -> Released:
    """Take the finalizer off every Pod that carries it; one that is refused stops no other.

    Raises what says that the server itself is out of reach.
    """
    done = Released()
    for namespace in settings.namespaces or [""]:
        found: list[dict[str, Any]] = []
        try:
            async for page, _ in client.list_all("pods", namespace, LABEL_RUN):
                found += [body for body in page if finalizer_of(body) is not None]
        except ApiError as error:
            _note(done, f"the list of Pods in {namespace or 'all namespaces'}", error)
        for body in found:
            try:
                await _release(client, body)
            except ApiError as error:
                if error.status == 404:
                    done.count += 1  # it is gone, and so is its finalizer
                else:
                    _note(
                        done, f"{body['metadata']['namespace']}/{body['metadata']['name']}", error
                    )
            else:
                done.count += 1
    return done


def _note(done: Released, what: str, error: ApiError) -> None:
    if error.status in (0, 401):  # no answer, or not to us: the same for all others
        raise error
    done.refused.append(f"{what}: {error}")


async def _release(client: KubernetesClient, body: dict[str, Any]) -> None:
    namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
    for last in (False, False, True):
        position = finalizer_of(body)
        if position is None:
            return
        try:
            await client.patch_pod(namespace, name, without_finalizer(position))
        except ApiError as error:
            if error.status != 422 or last:
                raise
            body = await client.get_pod(namespace, name)  # other finalizers moved
        else:
            return
