"""Resources that a definition names: found when a run begins, and pinned with its definition.

These are Executors, and the ArtifactStore of the Workflow's artifacts.
"""

import logging
from collections.abc import Mapping
from typing import Any

from podium import executors
from podium.api.executors import MAX_EXECUTORS
from podium.api.names import is_object_name
from podium.api.problems import InvalidError, Path, Problem, UserError
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError, UnreadableError
from podium.cluster.kube.views import dig, text
from podium.executors import added
from podium.judge.executors import NO_EXECUTORS, Resolved, names_in, store_in

__all__ = ["ExecutorResolver", "StoreNotFoundError"]

log = logging.getLogger(__name__)

MOST_LISTED = 20
"""Names that are said where one is not known."""


class StoreNotFoundError(InvalidError):
    """The definition names an ArtifactStore that does not exist (yet)."""


class ExecutorResolver:
    """Finds Executors of a namespace, then ClusterExecutors, and ArtifactStores."""

    def __init__(self, client: KubernetesClient, *, allowed: bool = True) -> None:
        self._client = client
        self._allowed = allowed

    async def resolve(self, namespace: str, definition: Any, base: Path = ("spec",)) -> Resolved:
        """Return the executors, and the store, that an unchecked definition names.

        An executor that is not there is left out, and names of those that are come with it. Raises
        `InvalidError` (paths begin with `base`), `StoreNotFoundError`, `ApiError`.
        """
        found = await self._executors(namespace, definition, base)
        store = store_in(definition)
        if not store:
            return found
        return found._replace(store=await self._store(namespace, store, base))

    async def _executors(self, namespace: str, definition: Any, base: Path) -> Resolved:
        names = names_in(definition)
        if not names:
            return NO_EXECUTORS
        if not self._allowed:
            message = (
                f"executor {names[0]!r:.80}: this cluster allows only those that are built in (the"
                f" chart's value allowExecutors): {', '.join(executors.names())}"
            )
            raise InvalidError([Problem((*base, "nodes"), message)])
        if len(names) > MAX_EXECUTORS:
            message = (
                f"names {len(names)} executors that are not built in, and {MAX_EXECUTORS} is the"
                " limit: make one Executor of several with a config"
            )
            raise InvalidError([Problem((*base, "nodes"), message)])
        found: dict[str, Mapping[str, Any]] = {}
        for name in names:
            try:
                body = await self._find(namespace, name)
            except UnreadableError as error:
                message = f"the executor {name!r:.80} cannot be read: {error.problem}"
                raise InvalidError([Problem((*base, "nodes"), message)]) from None
            if body is not None:
                found[name] = body
        known = () if len(found) == len(names) else await self._known(namespace)
        return Resolved(found, known)

    async def _store(self, namespace: str, name: str, base: Path) -> Mapping[str, Any]:
        at: Path = (*base, "artifacts", "store")
        missing = Problem(
            at,
            f"there is no ArtifactStore {name!r:.80} in the namespace {namespace}: create it, or"
            " leave artifacts.store out for the store of the cluster",
        )
        if not is_object_name(name):
            raise InvalidError([missing])
        try:
            return await self._client.get_artifact_store(namespace, name)
        except UnreadableError as error:
            message = f"the ArtifactStore {name!r:.80} cannot be read: {error.problem}"
            raise InvalidError([Problem(at, message)]) from None
        except ApiError as error:
            if error.status != 404:
                raise
            raise StoreNotFoundError([missing]) from None

    async def _find(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        if not is_object_name(name):
            return None
        for place in (namespace, ""):
            try:
                return await self._client.get_executor(place, name)
            except ApiError as error:
                # 403: an operator of some namespaces may not read those of the cluster.
                if error.status not in (403, 404):
                    raise
        return _of_package(name)

    async def _known(self, namespace: str) -> list[str]:
        found: list[str] = []
        for place in (namespace, ""):
            try:
                objects = await self._client.list_executors(place, MOST_LISTED)
            except ApiError as error:
                if error.status not in (403, 404):
                    raise
            else:
                found += [text(dig(each, "metadata", "name")) for each in objects]
        return list(dict.fromkeys(found))


def _of_package(name: str) -> Mapping[str, Any] | None:
    """Return an executor of a package that is installed beside the operator."""
    try:
        return added.body_of_package(name)
    except UserError as error:
        log.warning("%s", error)
        return None
