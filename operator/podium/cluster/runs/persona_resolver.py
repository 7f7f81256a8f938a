"""Personas that a definition names, and the ModelConfigs that answer for them.

None of them must be there: a run with recorded answers needs none, and a persona that is not a
resource is asked by its name, with the ModelConfig `default`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from podium.api.names import GROUP, is_object_name
from podium.api.personas import DEFAULT_MODEL, MAX_MODELS, MAX_PERSONAS
from podium.api.problems import InvalidError, Path, Problem
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError, UnreadableError
from podium.judge.executors import personas_in
from podium.judge.personas import NO_PERSONAS, ResolvedPersonas, model_in

__all__ = ["resolve_personas"]

AT_A_TIME = 8

_Get = Callable[[str, str], Awaitable[Mapping[str, Any]]]


async def resolve_personas(
    client: KubernetesClient, namespace: str, definition: Any, at: Path
) -> ResolvedPersonas:
    """Return what there is of the personas that an unchecked definition names.

    Raises `InvalidError`: one cannot be read, or they are too many. Raises `ApiError`.
    """
    names = personas_in(definition)
    if not names:
        return NO_PERSONAS
    _require_few("personas", names, MAX_PERSONAS, at)
    personas = await _read_all(client.get_persona, namespace, "Persona", names, at)
    models = {model_in(body) or DEFAULT_MODEL for body in personas.values()}
    if len(personas) < len(names):
        models.add(DEFAULT_MODEL)
    _require_few("ModelConfigs", models, MAX_MODELS, at)
    found = await _read_all(client.get_model_config, namespace, "ModelConfig", sorted(models), at)
    return ResolvedPersonas(personas, found)


def _require_few(what: str, names: Iterable[str], most: int, at: Path) -> None:
    count = len(list(names))
    if count > most:
        message = f"names {count} {what}, and {most} is the limit: let several nodes share one"
        raise InvalidError([Problem(at, message)])


async def _read_all(
    get: _Get, namespace: str, kind: str, names: Iterable[str], at: Path
) -> dict[str, Mapping[str, Any]]:
    """Return those that there are, by name and in its order."""
    slots = asyncio.Semaphore(AT_A_TIME)

    async def read(name: str) -> Mapping[str, Any] | None:
        async with slots:
            return await _read(get, namespace, kind, name, at)

    wanted = [name for name in names if is_object_name(name)]
    bodies = await asyncio.gather(*map(read, wanted))
    return {name: body for name, body in zip(wanted, bodies, strict=True) if body is not None}


async def _read(
    get: _Get, namespace: str, kind: str, name: str, at: Path
) -> Mapping[str, Any] | None:
    try:
        return await get(namespace, name)
    except UnreadableError as error:
        message = f"the {kind} {name!r:.80} cannot be read: {error.problem}"
        raise InvalidError([Problem(at, message)]) from None
    except ApiError as error:
        if error.status == 403:  # not "there is none": another one would answer in its place
            right = f"get on {kind.lower()}s.{GROUP} in the namespace {namespace}"
            message = (
                f"the {kind} {name!r:.80} cannot be read: the operator lacks the right to {right},"
                " which the role of this version's chart has"
            )
            raise InvalidError([Problem(at, message)]) from None
        if error.status != 404:
            raise
        return None
