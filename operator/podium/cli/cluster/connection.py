"""Which cluster and namespace a verb means, and requests there as whom the kubeconfig says."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from podium.cli.options import place_options
from podium.cli.output import CliError, ExitCode
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.connection import connect, namespace_of
from podium.cluster.kube.errors import ApiError

__all__ = ["Cluster", "on_cluster"]

_Verb = TypeVar("_Verb", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Cluster:
    """A namespace of a cluster."""

    client: KubernetesClient
    namespace: str
    """Empty: all of them."""


def on_cluster(*, all_namespaces: bool = False) -> Callable[[Callable[..., Awaitable[int]]], _Verb]:
    """Make a verb of a coroutine function, whose first parameter becomes the `Cluster`.

    It gets the options that say which; what the server refuses ends it with a line.
    """

    def decorate(work: Callable[..., Awaitable[int]]) -> Any:
        @functools.wraps(work)
        def verb(
            namespace: str | None, kube_context: str | None, everywhere: bool = False, **given: Any
        ) -> int:
            async def run() -> int:
                where = "" if everywhere else (namespace or namespace_of(kube_context))
                async with connect(context=kube_context) as client:
                    return await work(Cluster(client, where), **given)

            try:
                return asyncio.run(run())
            except ApiError as error:
                raise _refused(error) from None
            except KeyboardInterrupt:
                return ExitCode.INTERRUPTED

        return place_options(_everywhere(verb) if all_namespaces else verb)

    return decorate


_everywhere = click.option(
    "-A", "--all-namespaces", "everywhere", is_flag=True, help="Runs of all namespaces."
)


def _refused(error: ApiError) -> CliError:
    if error.status in (401, 403):
        return CliError(f"the cluster refuses it: {error.message}", ExitCode.FORBIDDEN)
    if error.status == 0:
        return CliError(f"the cluster cannot be asked: {error.message}", ExitCode.FAILED)
    return CliError(f"the cluster refuses it: {error.message}")
