"""What the types cannot say of an Executor: the shape of its template, size, reserved names."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from podium.api.executors import (
    CONTAINER_FIELDS,
    MAIN_CONTAINER,
    MAX_EXECUTOR_BYTES,
    POD_FIELDS,
    ExecutorSpec,
)
from podium.api.field_checks import check_annotations, check_labels, is_reserved_key
from podium.api.problems import Path, Problem
from podium.api.shape import closest

__all__ = ["check_executor"]

_PODIUMS = {
    "restartPolicy": "Podium decides when a node runs again: set retryPolicy on the node",
    "activeDeadlineSeconds": "Podium bounds how long a node runs: set timeoutSeconds on the node",
    "terminationGracePeriodSeconds": "Podium ends nodes, with 5 seconds of grace",
    "enableServiceLinks": "Podium sets it to false",
    "nodeName": "it would pass the scheduler by: use nodeSelector or affinity",
}
_MAIN = {
    "command": "write it in spec.command",
    "args": "write them in spec.args",
    "terminationMessagePath": "a node's output comes by it",
    "terminationMessagePolicy": "a node's output comes by it",
    "restartPolicy": "the main container is not restarted: set retryPolicy on the node",
}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_OWN = "podium-"


def check_executor(spec: ExecutorSpec, base: Path = ("spec",)) -> list[Problem]:
    """Return what is wrong with an Executor, except its schema and its expressions."""
    size = len(orjson.dumps(spec.model_dump(mode="json", by_alias=True, exclude_unset=True)))
    if size > MAX_EXECUTOR_BYTES:
        message = (
            f"has {size:,} bytes as JSON, and {MAX_EXECUTOR_BYTES:,} is the limit: keep scripts and"
            " data in the image"
        )
        return [Problem(base, message)]
    return [*_template(spec.template, (*base, "template"))]


def _template(template: Mapping[str, Any], base: Path) -> Iterator[Problem]:
    yield from _known(template, base, ("metadata", "spec"))
    metadata = template.get("metadata")
    if isinstance(metadata, Mapping):
        yield from _metadata(metadata, (*base, "metadata"))
    elif metadata is not None:
        yield Problem((*base, "metadata"), "must be a mapping with labels and annotations")
    spec = template.get("spec")
    if not isinstance(spec, Mapping):
        message = f"is missing: write spec with a container named {MAIN_CONTAINER} and its image"
        yield Problem((*base, "spec"), message)
        return
    here = (*base, "spec")
    for name in spec:
        if name in _PODIUMS:
            yield Problem((*here, name), f"may not be set: {_PODIUMS[name]}")
    yield from _known(spec, here, POD_FIELDS, but=_PODIUMS)
    selector = spec.get("nodeSelector")
    if selector is not None and not isinstance(selector, Mapping):
        yield Problem((*here, "nodeSelector"), "must be a mapping of strings")
    yield from _containers(spec, here)
    yield from _volumes(spec.get("volumes"), (*here, "volumes"))


def _metadata(metadata: Mapping[str, Any], base: Path) -> Iterator[Problem]:
    yield from _known(metadata, base, ("labels", "annotations"))
    for part, check in (("labels", check_labels), ("annotations", check_annotations)):
        given = metadata.get(part)
        if given is None:
            continue
        here = (*base, part)
        if not isinstance(given, Mapping) or not all(isinstance(v, str) for v in given.values()):
            yield Problem(here, "must be a mapping of strings")
            continue
        # What a template makes is the server's to check.
        yield from check(here, {key: "" if "${{" in v else v for key, v in given.items()})
        for key in given:
            if is_reserved_key(key):
                message = f"{key!r:.80} belongs to the platform: use a domain of your own"
                yield Problem((*here, key), message)


def _containers(spec: Mapping[str, Any], base: Path) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for field in ("containers", "initContainers"):
        given = spec.get(field)
        if given is None:
            continue
        if not isinstance(given, list):
            yield Problem((*base, field), "must be a list")
            continue
        for position, container in enumerate(given):
            here = (*base, field, position)
            if not isinstance(container, Mapping):
                yield Problem(here, "must be a mapping with name and image")
                continue
            yield from _container(container, here, is_main=_is_main(field, container), seen=seen)
    containers = spec.get("containers")
    if not any(_is_main("containers", each) for each in _mappings(containers)):
        message = (
            f"has no container named {MAIN_CONTAINER}, which runs the node's program: name the main"
            " container so"
        )
        yield Problem((*base, "containers"), message)


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _is_main(field: str, container: Mapping[str, Any]) -> bool:
    return field == "containers" and container.get("name") == MAIN_CONTAINER


def _container(
    container: Mapping[str, Any], here: Path, *, is_main: bool, seen: dict[str, str]
) -> Iterator[Problem]:
    name = container.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.startswith(_OWN):
        message = (
            f"{name!r:.80} is not a valid name of a container: lower-case letters, digits and -, 63"
            f" at most, not beginning with {_OWN}"
        )
        yield Problem((*here, "name"), message)
    elif name in seen:
        yield Problem((*here, "name"), f"duplicate container {name!r}: {seen[name]} has it too")
    else:
        seen[name] = f"{here[-2]}[{here[-1]}]"
    yield from _known(container, here, CONTAINER_FIELDS)
    for field, words in _MAIN.items() if is_main else ():
        if field in container:
            yield Problem((*here, field), f"may not be set in the main container: {words}")
    image = container.get("image")
    if image is None and not is_main:
        yield Problem((*here, "image"), "is missing")
    elif image is not None and (not isinstance(image, str) or not image):
        yield Problem((*here, "image"), "must be the reference of an image")
    for field in ("command", "args"):
        given = container.get(field)
        if given is not None and not (
            isinstance(given, list) and all(isinstance(word, str) for word in given)
        ):
            yield Problem((*here, field), "must be a list of strings")
    for field in ("volumeMounts", "envFrom"):
        if container.get(field) is not None and not isinstance(container[field], list):
            yield Problem((*here, field), "must be a list")
    env = container.get("env")
    if env is None:
        return
    if not isinstance(env, list):
        yield Problem((*here, "env"), "must be a list")
        return
    for position, variable in enumerate(env):
        named = variable.get("name") if isinstance(variable, Mapping) else None
        if not isinstance(named, str) or not named:
            yield Problem((*here, "env", position), "must be a mapping with name and value")
        elif named.startswith("PODIUM_"):
            message = f"{named!r:.80}: variables that begin with PODIUM_ are Podium's"
            yield Problem((*here, "env", position, "name"), message)


def _volumes(volumes: object, base: Path) -> Iterator[Problem]:
    if volumes is None:
        return
    if not isinstance(volumes, list):
        yield Problem(base, "must be a list")
        return
    for position, volume in enumerate(volumes):
        name = volume.get("name") if isinstance(volume, Mapping) else None
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name.startswith(_OWN):
            message = (
                f"{name!r:.80} is not a valid name of a volume: lower-case letters, digits and -,"
                f" not beginning with {_OWN}"
            )
            yield Problem((*base, position, "name"), message)


def _known(
    value: Mapping[str, Any],
    base: Path,
    known: tuple[str, ...],
    but: Mapping[str, str] | None = None,
) -> Iterator[Problem]:
    for name in value:
        if name not in known and name not in (but or {}):
            close = closest(str(name), known)
            hint = f"; did you mean {close}?" if close else f": may be {', '.join(known)}"
            yield Problem((*base, str(name)), f"unknown field{hint}")
