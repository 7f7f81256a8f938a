"""Formats of what is stored: definitions that an earlier version pinned are read as it meant them.

A run's status says in `formatVersion` which format its definition has; version 0.1.0 wrote none.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["FORMAT_VERSION", "current_definition"]

FORMAT_VERSION = 1
"""What this version writes."""

_TRIGGER_RULES = {
    "NoneFailed": "NoneFailedMinOneSuccess",
    "AllCompleted": "AllSuccess",
    "AnyCompleted": "OneSuccess",
}
"""Names in version 0.1.0, where NoneFailed was another rule than it is today."""


def current_definition(stored: Any, format_version: int | None) -> Any:
    """Return a stored definition in the present format; what is not a definition stays as it is."""
    if format_version is not None or not isinstance(stored, Mapping):
        return stored
    nodes = stored.get("nodes")
    if not isinstance(nodes, list):
        return stored
    return {**stored, "nodes": [_node(node) for node in nodes]}


def _node(stored: Any) -> Any:
    rule = stored.get("triggerRule") if isinstance(stored, Mapping) else None
    if not isinstance(rule, str) or rule not in _TRIGGER_RULES:
        return stored
    return {**stored, "triggerRule": _TRIGGER_RULES[rule]}
