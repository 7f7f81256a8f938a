"""Resources that a definition names: found when a run begins, and pinned with its definition.

These are Executors, the ArtifactStore of the Workflow's artifacts, ContractSchemas, Personas and
ModelConfigs.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from podium import executors
from podium.api.contract_schemas import MAX_SCHEMAS
from podium.api.executors import MAX_EXECUTORS
from podium.api.names import is_object_name
from podium.api.problems import InvalidError, Path, Problem, UserError
from podium.api.reasons import RunReason
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError, UnreadableError
from podium.cluster.kube.views import dig, text
from podium.cluster.runs.persona_resolver import resolve_personas
from podium.executors import added
from podium.judge.executors import NO_EXECUTORS, Resolved, names_in, schemas_in, store_in

__all__ = ["ExecutorResolver", "NamedObjectNotFoundError"]

log = logging.getLogger(__name__)

MOST_SCHEMA_BYTES = 2_000_000
MOST_LISTED = 20
"""Names that are said where one is not known."""


class NamedObjectNotFoundError(InvalidError):
    """The definition needs an object, such as an ArtifactStore, that does not exist (yet)."""

    def __init__(self, problem: Problem, reason: RunReason) -> None:
        super().__init__([problem])
        self.reason = reason
        """With which a run waits for it."""


class ExecutorResolver:
    """Finds Executors of a namespace, then ClusterExecutors, and ArtifactStores."""

    def __init__(self, client: KubernetesClient, *, allowed: bool = True) -> None:
        self._client = client
        self._allowed = allowed

    async def resolve(
        self, namespace: str, definition: Any, base: Path = ("spec",), *, personas: bool = True
    ) -> Resolved:
        """Return the executors, the store and the schemas that an unchecked definition names.

        An executor that is not there is left out, and names of those that are come with it; so are
        personas and their models, if they are asked for. Raises `InvalidError` (paths begin with
        `base`), `NamedObjectNotFoundError`, `ApiError`.
        """
        found = await self._executors(namespace, definition, base)
        if store := store_in(definition):
            found = found._replace(store=await self._store(namespace, store, base))
        if names := schemas_in(definition):
            found = found._replace(schemas=await self._schemas(namespace, names, base))
        if not personas:
            return found
        at: Path = (*base, "nodes")
        asked = await resolve_personas(self._client, namespace, definition, at)
        return found._replace(personas=asked)

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
        hint = "create it, or leave artifacts.store out for the store of the cluster"
        at: Path = (*base, "artifacts", "store")
        named = _Named("ArtifactStore", name, at, hint, RunReason.ARTIFACT_STORE_NOT_FOUND)
        return await _read(self._client.get_artifact_store, namespace, named)

    async def _schemas(
        self, namespace: str, names: Sequence[str], base: Path
    ) -> dict[str, Mapping[str, Any]]:
        at: Path = (*base, "nodes")
        if len(names) > MAX_SCHEMAS:
            message = f"names {len(names)} ContractSchemas, and {MAX_SCHEMAS} is the limit"
            raise InvalidError([Problem(at, f"{message}: let several nodes share one")])
        found: dict[str, Mapping[str, Any]] = {}
        size = 0
        for name in names:
            hint, reason = "apply it, and the run begins", RunReason.CONTRACT_SCHEMA_NOT_FOUND
            named = _Named("ContractSchema", name, at, hint, reason)
            found[name] = await _read(self._client.get_contract_schema, namespace, named)
            size += len(orjson.dumps(found[name].get("spec")))
            if size > MOST_SCHEMA_BYTES:
                message = (
                    f"names ContractSchemas of more than {MOST_SCHEMA_BYTES:,} bytes together, all"
                    " versions counted: name fewer of them"
                )
                raise InvalidError([Problem(at, message)])
        return found

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


class _Named(NamedTuple):
    """An object that a definition names, and what is said where it is missing."""

    kind: str
    name: str
    path: Path
    hint: str
    reason: RunReason


async def _read(
    get: Callable[[str, str], Awaitable[Mapping[str, Any]]], namespace: str, named: _Named
) -> Mapping[str, Any]:
    what = f"{named.kind} {named.name!r:.80}"
    missing = Problem(named.path, f"there is no {what} in the namespace {namespace}: {named.hint}")
    if not is_object_name(named.name):
        raise InvalidError([missing])
    try:
        return await get(namespace, named.name)
    except UnreadableError as error:
        problem = Problem(named.path, f"the {what} cannot be read: {error.problem}")
        raise InvalidError([problem]) from None
    except ApiError as error:
        if error.status != 404:
            raise
        raise NamedObjectNotFoundError(missing, named.reason) from None


def _of_package(name: str) -> Mapping[str, Any] | None:
    """Return an executor of a package that is installed beside the operator."""
    try:
        return added.body_of_package(name)
    except UserError as error:
        log.warning("%s", error)
        return None
