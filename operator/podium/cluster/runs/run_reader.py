"""Reads runs of which the watch has the metadata only."""

from typing import Any

from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError, UnreadableError
from podium.cluster.kube.views import RunView
from podium.cluster.runs.active_run import ActiveRun
from podium.cluster.runs.loader import RunLoader
from podium.cluster.runs.memory import weigh_run
from podium.cluster.runs.turnstile import Turnstile
from podium.cluster.watch.store import InformerCache, RunKey

__all__ = ["RunReader"]


class RunReader:
    """Reads a run when it is looked at, and puts it into the cache."""

    def __init__(
        self,
        client: KubernetesClient,
        cache: InformerCache,
        loader: RunLoader,
        turnstile: Turnstile,
    ) -> None:
        self._client = client
        self._cache = cache
        self._loader = loader
        self._turnstile = turnstile

    async def read(
        self, key: RunKey, run: ActiveRun | None
    ) -> tuple[RunView | None, dict[str, Any] | None]:
        """Return a run; no view: it is gone. The object itself comes along if it was read.

        Raises `ApiError`.
        """
        if run is not None:
            async with run.writing:  # the answer to a write is the run as it is
                view = self._cache.runs.get(key)
            if view is None or view.is_whole:
                return view, None
        try:
            body = await self._client.get_run(*key)
        except UnreadableError as error:
            await self._loader.refuse_unreadable(key, error.problem)
            return None, None
        except ApiError as error:
            if error.status == 404:
                return None, None
            raise
        if run is None and not self._turnstile.waits(key):  # what waits was weighed better
            self._turnstile.note(key, weigh_run(body))
        return self._cache.put_run(body), body
