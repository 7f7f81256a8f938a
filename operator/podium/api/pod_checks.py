"""What the types cannot say of a Pod's fields: closed lists, names, quantities, one of several."""

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from podium.api import names
from podium.api.field_checks import (
    RESERVED,
    check_annotations,
    check_labels,
    check_volume_name,
    is_reserved_key,
    no_object_name,
    one_of,
)
from podium.api.pod import EnvVar, PodOverrides, Resources, Volume
from podium.api.problems import Path, Problem, Severity
from podium.api.shape import closest
from podium.api.templates import TEMPLATE

__all__ = ["check_env", "check_pod", "check_resources"]

_ENV_NAME = re.compile(r"[-._A-Za-z][-._A-Za-z0-9]*")
_OWN_VARIABLES = frozenset(
    {
        *("PODIUM_NODE", "PODIUM_EXECUTION", "PODIUM_RUN", "PODIUM_INPUT", "PODIUM_INPUT_JSON"),
        *("PODIUM_OUTPUT", "PODIUM_ARTIFACTS_IN", "PODIUM_ARTIFACTS_OUT"),
    }
)
_QUANTITY = re.compile(r"\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]+)?")


def check_env(variables: Sequence[EnvVar], base: Path) -> list[Problem]:
    """Check environment variables: of `pod.env`, and of configs that have some."""
    found: list[Problem] = []
    seen: dict[str, int] = {}
    for position, variable in enumerate(variables):
        here = (*base, position)
        if not _ENV_NAME.fullmatch(variable.name):
            found.append(
                Problem(
                    (*here, "name"),
                    f"{variable.name!r:.80} is not a valid name of a variable: use letters,"
                    " digits, _, - and ., not beginning with a digit",
                )
            )
        if variable.name in seen:
            found.append(
                Problem(
                    (*here, "name"),
                    f"duplicate variable {variable.name!r:.80}: entry {seen[variable.name]} of the"
                    " list sets it already",
                )
            )
        if variable.name in _OWN_VARIABLES:
            message = (
                f"{variable.name} is set by Podium, so what is written here has no effect: choose"
                " another name"
            )
            found.append(Problem((*here, "name"), message, Severity.WARNING))
        seen.setdefault(variable.name, position)
        if variable.value is not None and variable.value_from is not None:
            message = "has both value and valueFrom: exactly one, remove the other"
            found.append(Problem(here, message))
        elif variable.value is None and variable.value_from is None:
            message = 'has no value: write value or valueFrom (value: "" for an empty one)'
            found.append(Problem(here, message))
        if variable.value_from is not None:
            source = variable.value_from
            sources = {
                "secretKeyRef": source.secret_key_ref,
                "configMapKeyRef": source.config_map_key_ref,
                "fieldRef": source.field_ref,
            }
            found += one_of((*here, "valueFrom"), sources)
    return found


def _reserved(base: Path, keys: Mapping[str, str], what: str) -> Iterator[Problem]:
    for key in keys:
        if is_reserved_key(key):
            yield Problem(
                (*base, key),
                f"{what} {key!r:.80} belongs to the platform: a node may set keys outside"
                f" {', '.join(RESERVED)}",
            )


def check_pod(base: Path, pod: PodOverrides, claims: Collection[str] = ()) -> Iterator[Problem]:
    """Check what a node sets of its Pod; `claims` are the names of the workflow's volumeClaims."""
    yield from check_env(pod.env, (*base, "env"))
    yield from check_labels((*base, "labels"), pod.labels)
    yield from _reserved((*base, "labels"), pod.labels, "label")
    yield from check_annotations((*base, "annotations"), pod.annotations)
    yield from _reserved((*base, "annotations"), pod.annotations, "annotation")
    yield from check_labels((*base, "nodeSelector"), pod.node_selector)
    for position, toleration in enumerate(pod.tolerations):
        yield from _known((*base, "tolerations", position), toleration, _TOLERATION)
    if pod.affinity is not None:
        yield from _known((*base, "affinity"), pod.affinity, _AFFINITY)
    for name in ("service_account_name", "priority_class_name"):
        value = getattr(pod, name)
        if value is not None and not names.is_object_name(value):
            alias = PodOverrides.model_fields[name].alias or name
            yield Problem((*base, alias), no_object_name(value))
    if (pod.priority_class_name or "").startswith("system-"):
        yield Problem(
            (*base, "priorityClassName"),
            f"{pod.priority_class_name!r:.80} is a class of the platform: name one that does not"
            " begin with system-",
        )
    yield from _volumes(base, pod, claims)
    yield from _mounts(base, pod, claims)


_TOLERATION = frozenset({"key", "operator", "value", "effect", "tolerationSeconds"})
_AFFINITY = frozenset({"nodeAffinity", "podAffinity", "podAntiAffinity"})
_VOLUME_SOURCES: dict[str, tuple[str, frozenset[str], str | None]] = {
    # Field of the model: its name outside, the fields it may have, the one it must have.
    "empty_dir": ("emptyDir", frozenset({"medium", "sizeLimit"}), None),
    "persistent_volume_claim": (
        "persistentVolumeClaim",
        frozenset({"claimName", "readOnly"}),
        "claimName",
    ),
    "config_map": ("configMap", frozenset({"name", "items", "defaultMode", "optional"}), "name"),
    "secret": (
        "secret",
        frozenset({"secretName", "items", "defaultMode", "optional"}),
        "secretName",
    ),
    "projected": ("projected", frozenset({"sources", "defaultMode"}), "sources"),
}
_PROJECTED = frozenset({"configMap", "secret", "downwardAPI"})


def _volumes(base: Path, pod: PodOverrides, claims: Collection[str]) -> Iterator[Problem]:
    known: dict[str, int] = {}
    for position, volume in enumerate(pod.volumes):
        here = (*base, "volumes", position)
        yield from check_volume_name(here, volume.name, known, "volume")
        if volume.name in claims:
            message = (
                f"duplicate volume {volume.name!r:.80}: spec.volumeClaims has it too, and mounts"
                " refer to that without an entry here: remove one"
            )
            yield Problem((*here, "name"), message)
        known.setdefault(volume.name, position)
        yield from _volume(here, volume)


def _mounts(base: Path, pod: PodOverrides, claims: Collection[str]) -> Iterator[Problem]:
    known = list(dict.fromkeys([*(volume.name for volume in pod.volumes), *claims]))
    paths: dict[str, int] = {}
    for position, mount in enumerate(pod.volume_mounts):
        here = (*base, "volumeMounts", position)
        if mount.name not in known:
            yield Problem((*here, "name"), f"unknown volume {_which(mount.name, known)}")
        path = "/" + posixpath.normpath(mount.mount_path).lstrip("/")
        if not mount.mount_path.startswith("/") or ":" in mount.mount_path:
            yield Problem(
                (*here, "mountPath"), "must be an absolute path in the container, without ':'"
            )
        elif path == "/":
            message = "would hide the whole image: name a directory, such as /work"
            yield Problem((*here, "mountPath"), message)
        if path in paths:
            message = f"entry {paths[path]} mounts a volume there already"
            yield Problem((*here, "mountPath"), message)
        paths.setdefault(path, position)
        if mount.sub_path is not None and (
            mount.sub_path.startswith("/") or ".." in mount.sub_path.split("/")
        ):
            yield Problem(
                (*here, "subPath"), "must be a path inside the volume: relative, without .."
            )


def _which(name: str, known: Sequence[str]) -> str:
    close = closest(name, known)
    listed = f"known are {', '.join(known[:20])}" if known else "the Pod has none"
    right = f"did you mean {close!r}?" if close else "add it to volumes, or to spec.volumeClaims"
    return f"{name!r:.80}: {listed}; {right}"


def _volume(here: Path, volume: Volume) -> Iterator[Problem]:
    sources = {outside: getattr(volume, name) for name, (outside, _, _) in _VOLUME_SOURCES.items()}
    yield from one_of(here, sources)
    for outside, known, needed in _VOLUME_SOURCES.values():
        source = sources[outside]
        if source is None:
            continue
        yield from _known((*here, outside), source, known)
        if needed is not None and not source.get(needed):
            yield Problem((*here, outside, needed), "is missing")
    if volume.projected is not None:
        yield from _projected((*here, "projected", "sources"), volume.projected.get("sources"))


def _projected(base: Path, sources: object) -> Iterator[Problem]:
    if sources is None:
        return
    if not isinstance(sources, list):
        yield Problem(base, "must be a list")
        return
    for position, source in enumerate(sources):
        here = (*base, position)
        if not isinstance(source, dict):
            yield Problem(here, "must be a mapping")
            continue
        for name in source:
            if name == "serviceAccountToken":
                yield Problem(
                    (*here, name),
                    "service account tokens are refused here: a node that needs one gets it from"
                    " an Executor",
                )
            elif name not in _PROJECTED:
                yield Problem(
                    (*here, name), f"may be one of {', '.join(sorted(_PROJECTED))}, nothing else"
                )
        if len(source) != 1:
            yield Problem(here, f"must have exactly one of {', '.join(sorted(_PROJECTED))}")


def _known(base: Path, value: Mapping[str, Any], known: frozenset[str]) -> Iterator[Problem]:
    for name in value:
        if name not in known:
            close = closest(name, sorted(known))
            hint = f'; did you mean "{close}"?' if close else f"; known are {_list(known)}"
            yield Problem((*base, name), f"unknown field{hint}")


def _list(words: frozenset[str]) -> str:
    return ", ".join(sorted(words))


def check_resources(base: Path, resources: Resources) -> Iterator[Problem]:
    """Check that amounts are quantities."""
    for kind, amounts in (("requests", resources.requests), ("limits", resources.limits)):
        for name, amount in amounts.items():
            # One that is filled in is checked then.
            if not _QUANTITY.fullmatch(str(amount)) and TEMPLATE not in str(amount):
                yield Problem(
                    (*base, kind, name),
                    f"must be a quantity such as 500m, 1Gi or 2, not {str(amount)!r:.60}",
                )
