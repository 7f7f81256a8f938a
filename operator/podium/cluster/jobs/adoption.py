"""Whether a Job or Pod that is there already is the one that Podium would make (semantics.md 6).

Names and owners can be written by others: what an operator made and did not record before it
crashed is distinguished from what another client made by what would run.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import orjson

from podium.cluster.jobs.artifacts import ANNOTATION_ARTIFACTS, ANNOTATION_INPUT
from podium.cluster.kube.views import CONTAINER, dig, items, mapping

__all__ = ["is_job_as_built", "is_pod_as_built"]

_JOB_ADDITIONS: Final = frozenset(
    {"completionMode", "selector", "suspend", "ttlSecondsAfterFinished"}
)
"""What a server, a queue or Podium adds to the `spec` of a Job."""
_SPEC_ADDITIONS: Final = frozenset(
    {
        "dnsPolicy",
        "nodeSelector",
        "preemptionPolicy",
        "priority",
        "priorityClassName",
        "restartPolicy",
        "schedulerName",
        "securityContext",
        "serviceAccount",
        "serviceAccountName",
        "tolerations",
    }
)
"""What a server or a queue adds to the `spec` of a template: nothing that a program reads."""
_POD_ADDITIONS: Final = frozenset({"imagePullSecrets", "nodeName", "overhead"})
"""What a server and the scheduler add to the `spec` of a Pod beyond these."""
_CONTAINER_ADDITIONS: Final = frozenset({"imagePullPolicy", "resources"})
_SERVERS_OWN: Final = ("batch.kubernetes.io/", "controller-uid", "job-name")
"""Labels that the server puts on the template of a Job."""
_AMOUNTS: Final = frozenset({"resources", "sizeLimit"})
"""Fields that hold amounts, which the server writes in its own way; anything else is text."""
_DEFAULTS: Final[Mapping[str, Any]] = {
    "defaultMode": 420,
    "apiVersion": "v1",
    "expirationSeconds": 3600,
    "volumeMode": "Filesystem",
    "divisor": "0",
}
"""What the server adds inside a volume, a mount or a variable, beside what is empty."""
_QUANTITY: Final = re.compile(r"(\d+(?:\.\d+)?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")
_UNITS: Final[Mapping[str, Decimal]] = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** n for n, unit in enumerate(("k", "M", "G", "T", "P"), 1)},
    **{unit: Decimal(1024) ** n for n, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi"), 1)},
}


def is_job_as_built(built: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Return whether a Job runs what one just built would run, under the same owner."""
    if not _is_metadata_as_built(built, found, ("ownerReferences", "annotations", "labels")):
        return False
    ours, theirs = mapping(built["spec"]), mapping(found.get("spec"))
    if set(theirs) - set(ours) - _JOB_ADDITIONS - {"manualSelector"}:
        return False
    if theirs.get("manualSelector"):  # it would have Pods that others made
        return False
    for key, value in ours.items():
        # An old server drops the name of the manager; no other can be named.
        if key == "managedBy" and key not in theirs:
            continue
        if key not in ("template", *_JOB_ADDITIONS) and not _is_same(value, theirs.get(key)):
            return False
    return _is_template_as_built(ours["template"], mapping(theirs.get("template")))


def is_pod_as_built(
    built: Mapping[str, Any], found: Mapping[str, Any], *, creators_are_verified: bool
) -> bool:
    """Return whether a Pod runs what one just built would run, under the same owner.

    Webhooks change Pods in many ways, also their images. Where a policy lets Podium alone make
    them, what counts is whose it is, its input and its command; else nothing may be changed.
    """
    parts = ("ownerReferences", "annotations", "labels")
    if not all(
        _is_same(dig(built, "metadata", part), dig(found, "metadata", part)) for part in parts
    ):
        return False
    ours, theirs = _program(built), _program(found)
    if creators_are_verified:
        return all(_is_same(ours.get(key), theirs.get(key)) for key in ("command", "args"))
    amounts = ours.get("resources"), theirs.get("resources")
    return _is_same(*amounts, is_amount=True) and _is_template_as_built(
        built, found, _SPEC_ADDITIONS | _POD_ADDITIONS
    )


def _program(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    containers = items(dig(pod, "spec", "containers"))
    return next((each for each in containers if each.get("name") == CONTAINER), {})


def _is_metadata_as_built(
    built: Mapping[str, Any], found: Mapping[str, Any], parts: tuple[str, ...]
) -> bool:
    ours, theirs = mapping(built.get("metadata")), mapping(found.get("metadata"))
    return all(
        _is_input_as_built(value, dig(theirs, part, key))
        if key in (ANNOTATION_INPUT, ANNOTATION_ARTIFACTS)
        else _is_same(value, dig(theirs, part, key))
        for part in parts
        for key, value in _entries(ours.get(part))
    )


def _entries(part: Any) -> list[tuple[Any, Any]]:
    """Return the entries of a mapping, or of a list by position."""
    return list(part.items()) if isinstance(part, Mapping) else list(enumerate(part or ()))


def _is_template_as_built(
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    additions: frozenset[str] = _SPEC_ADDITIONS,
) -> bool:
    labels = mapping(dig(theirs, "metadata", "labels"))
    known = mapping(dig(ours, "metadata", "labels"))
    added = [key for key in labels if key not in known and not key.startswith(_SERVERS_OWN)]
    if any(key.startswith("podium.dev/") for key in added):
        return False
    if not _is_metadata_as_built(ours, theirs, ("annotations", "labels")):
        return False
    spec, found = mapping(ours["spec"]), mapping(theirs.get("spec"))
    if set(found) - set(spec) - additions:
        return False
    kinds = ("containers", "initContainers")
    parts = set(spec) - {*kinds, "tolerations", "nodeSelector"}
    if not all(_is_same(spec[key], found.get(key)) for key in parts):
        return False
    if not _adds_nothing(spec.get("volumes"), found.get("volumes")):
        return False
    pairs = [(items(spec.get(kind)), items(found.get(kind))) for kind in kinds]
    return all(
        len(built) == len(there) and all(map(_is_container_as_built, built, there))
        for built, there in pairs
    )


def _is_container_as_built(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    if set(theirs) - set(ours) - _CONTAINER_ADDITIONS:
        return False
    if not all(_is_same(ours[key], theirs.get(key)) for key in set(ours) - {"resources"}):
        return False
    return all(_adds_nothing(ours.get(key), theirs.get(key)) for key in ("env", "volumeMounts"))


def _is_input_as_built(built: str, found: Any) -> bool:
    """Return whether an input says nothing that one made now would not say.

    A node that starts at the first of several outputs may be handed more of them a moment later.
    """
    if built == found:
        return True
    try:
        return _is_part(orjson.loads(found), orjson.loads(built))
    except (TypeError, ValueError):
        return False


def _is_part(found: Any, built: Any) -> bool:
    if isinstance(found, Mapping) and isinstance(built, Mapping):
        return all(key in built and _is_part(found[key], built[key]) for key in found)
    return bool(found == built)


def _adds_nothing(ours: Any, theirs: Any) -> bool:
    """Return whether what is the same has no more in it than a server adds.

    Another part of a volume, or another of its keys, is another input.
    """
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return all(
            _adds_nothing(ours[key], value)
            if ours.get(key) is not None
            else not value or _DEFAULTS.get(key) == value
            for key, value in theirs.items()
        )
    if isinstance(ours, list) and isinstance(theirs, list):
        return all(map(_adds_nothing, ours, theirs))
    return True


def _is_same(ours: Any, theirs: Any, *, is_amount: bool = False) -> bool:
    """Compare a value with what the server made of it: defaults added, empty ones left out."""
    if isinstance(ours, Mapping):
        if not isinstance(theirs, Mapping):
            return not ours and theirs is None
        return all(
            _is_same(value, theirs.get(key), is_amount=is_amount or key in _AMOUNTS)
            for key, value in ours.items()
        )
    if isinstance(ours, list):
        if not isinstance(theirs, list):
            return not ours and theirs is None
        return len(ours) == len(theirs) and all(map(_is_same, ours, theirs))
    if theirs is None:
        return ours in (None, "", 0, False)
    if is_amount and isinstance(ours, str) and isinstance(theirs, str) and ours != theirs:
        return _quantity(ours) is not None and _quantity(ours) == _quantity(theirs)
    return bool(ours == theirs)


def _quantity(value: str) -> Decimal | None:
    """Read an amount such as 500m or 1Gi: the server writes 1024Mi as 1Gi."""
    match = _QUANTITY.fullmatch(value) if len(value) < 40 else None
    return Decimal(match[1]) * _UNITS[match[2] or ""] if match is not None else None
