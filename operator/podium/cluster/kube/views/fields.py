"""Fields of Kubernetes objects, read defensively: one of the wrong type counts as missing.

Objects are what the JSON parser made, so a mapping is a `dict`: asking for the abstract class takes
several times as long, and this is done some fifty times for each event of a Pod.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from podium.api.names import FINALIZER

__all__ = [
    "condition",
    "controller_of",
    "dig",
    "finalizer_of",
    "items",
    "latest_message",
    "mapping",
    "text",
    "when",
    "whole",
]


def dig(value: Any, *path: str | int) -> Any:
    """Follow a path through JSON; None where it leads nowhere."""
    for part in path:
        if isinstance(part, int):
            value = value[part] if isinstance(value, list) and len(value) > part else None
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return value


def text(value: Any) -> str:
    """Return a string, empty where the value is none."""
    return value if isinstance(value, str) else ""


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping, empty where the value is none."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Mapping[str, Any]]:
    """Return the mappings of a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def when(value: Any) -> float | None:
    """Read an RFC 3339 time as seconds since 1970."""
    try:
        return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


def whole(value: Any) -> int:
    """Return a whole number of 64 bits, 0 where the value is none."""
    fits = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return value if fits else 0


def controller_of(body: Any, kind: str, api_version: str) -> str | None:
    """Return the UID of the controller of an object, if it is of this kind."""
    for owner in items(dig(body, "metadata", "ownerReferences")):
        if (
            owner.get("controller") is True
            and owner.get("kind") == kind
            and owner.get("apiVersion") == api_version
        ):
            return text(owner.get("uid")) or None
    return None


def condition(body: Any, kind: str) -> Mapping[str, Any] | None:
    """Return a condition that is True."""
    for each in items(dig(body, "status", "conditions")):
        if each.get("type") == kind and each.get("status") == "True":
            return each
    return None


def latest_message(events: Iterable[Mapping[str, Any]]) -> str:
    """Return what the latest of some Events says; empty: there is none."""
    latest = max(events, key=lambda event: text(event.get("lastTimestamp")), default={})
    return text(latest.get("message"))


def finalizer_of(body: Any) -> int | None:
    """Return the position of Podium's finalizer among those of a Pod, None if it has none."""
    finalizers = dig(body, "metadata", "finalizers")
    held = isinstance(finalizers, list) and FINALIZER in finalizers
    return finalizers.index(FINALIZER) if held else None
