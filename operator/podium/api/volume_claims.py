"""Volumes that are made for each run: what a workflow asks for, their names, their checks."""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum

from pydantic import Field

from podium.api.base import ApiModel, Name, Quantity
from podium.api.field_checks import check_volume_name, no_object_name
from podium.api.names import is_object_name
from podium.api.problems import Path, Problem

__all__ = ["MAX_CLAIMS", "AccessMode", "VolumeClaim", "check_volume_claims", "volume_variable"]

MAX_CLAIMS = 20
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([KMGTPE]i|[kMGTPE])?", re.ASCII)


class AccessMode(StrEnum):
    """Which Pods may use a volume at the same time, as in Kubernetes."""

    READ_WRITE_ONCE = "ReadWriteOnce"
    READ_ONLY_MANY = "ReadOnlyMany"
    READ_WRITE_MANY = "ReadWriteMany"
    READ_WRITE_ONCE_POD = "ReadWriteOncePod"


class VolumeClaim(ApiModel):
    """A volume that is made for each run: a PersistentVolumeClaim, on a laptop a directory."""

    name: Name
    """Name that pod.volumeMounts of nodes refer to; a program finds it by PODIUM_VOLUME_NAME."""
    size: Quantity
    """Requested storage, such as 1Gi. A laptop does not enforce it."""
    storage_class: Name | None = None
    """Name of the StorageClass; default: that of the cluster. Cluster only."""
    access_modes: list[AccessMode] = Field(
        default_factory=lambda: [AccessMode.READ_WRITE_ONCE], min_length=1, max_length=4
    )
    """Which Pods may use it at the same time; default: those of one machine. Cluster only."""
    keep: bool = False
    """Whether it outlives the run; default: it is deleted with the run."""


def volume_variable(name: str) -> str:
    """Return the variable in which programs find a claim: `build-cache`, PODIUM_VOLUME_BUILD_CACHE.

    No two names of claims have the same one: they know neither `_` nor upper case.
    """
    return "PODIUM_VOLUME_" + name.upper().replace("-", "_")


def check_volume_claims(base: Path, claims: Sequence[VolumeClaim]) -> Iterator[Problem]:
    """Check what the types cannot say of claims."""
    known: dict[str, int] = {}
    for position, claim in enumerate(claims):
        here = (*base, position)
        yield from check_volume_name(here, claim.name, known, "claim")
        known.setdefault(claim.name, position)
        if not _is_size(claim.size):
            yield Problem(
                (*here, "size"),
                f"must be an amount of storage such as 500Mi or 1Gi, not {str(claim.size)!r:.60}",
            )
        if claim.storage_class is not None and not is_object_name(claim.storage_class):
            yield Problem((*here, "storageClass"), no_object_name(claim.storage_class))
        yield from _check_modes((*here, "accessModes"), claim.access_modes)


def _check_modes(base: Path, modes: Sequence[AccessMode]) -> Iterator[Problem]:
    for position, mode in enumerate(modes):
        if mode in modes[:position]:
            yield Problem((*base, position), f"{mode} is in the list already: remove one")
    if AccessMode.READ_WRITE_ONCE_POD in modes and len(set(modes)) > 1:
        yield Problem(
            base, "ReadWriteOncePod allows no other mode beside it: remove it or the others"
        )
    if set(modes) == {AccessMode.READ_ONLY_MANY}:
        yield Problem(
            base,
            "a new volume that is only read stays empty: name a mode that writes, such as"
            " ReadWriteOnce",
        )


def _is_size(size: int | str) -> bool:
    found = _SIZE.fullmatch(str(size))
    return found is not None and float(found[1]) > 0
