"""What the containers beside a node's own say of its artifacts in their last words. Pure."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from podium.api.reasons import NodeReason
from podium.artifacts.file_values import load_values
from podium.artifacts.told_output import Told
from podium.cluster.kube.views import HelperEnd

__all__ = ["Collected", "HelperError", "how_ended", "read_collected", "read_error"]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_REASONS = (
    *(NodeReason.ARTIFACT, NodeReason.UPLOAD, NodeReason.DOWNLOAD),
    *(NodeReason.OUTPUT_TOO_LARGE, NodeReason.OUTPUT_NOT_JSON),
)
_KILLED = 137


@dataclass(frozen=True, slots=True)
class HelperError:
    """Why the artifacts of an execution are not in the store, or not in its Pod."""

    reason: NodeReason
    message: str
    is_retryable: bool = True


@dataclass(frozen=True, slots=True)
class Collected:
    """What a program left, as the collector says."""

    digest: str
    """Of the manifest of what was stored; empty: nothing was left."""
    values: Mapping[str, bytes] = field(default_factory=dict)
    """Of its output, that were in files."""
    output: Told | None = None
    """Its output, where that may be large."""


def read_collected(end: HelperEnd | None) -> Collected | HelperError:
    """Return what was stored, or why it was not.

    A container that did not say that all is stored has not stored it, however it ended.
    """
    what = "its artifacts were not stored: the container that does it"
    if end is None:
        return HelperError(
            NodeReason.UPLOAD,
            f"{what} was not seen to end; another container of the Pod that runs on, such as a"
            " mesh's, keeps it waiting: let that be a native sidecar",
        )
    told = _told(end)
    stored = told.get("artifacts")
    if isinstance(stored, dict) and end.exit_code == 0:
        digest = stored.get("digest")
        if digest == "" or (isinstance(digest, str) and _DIGEST.fullmatch(digest)):
            values, output = _values(told.get("values")), told.get("output")
            with suppress(ValueError, KeyError, TypeError):
                large = None if output is None else Told.load(output)
                if values is not None:
                    return Collected(digest, values, large)
    return read_error(end) or HelperError(NodeReason.UPLOAD, f"{what} {how_ended(end)}")


def read_error(end: HelperEnd) -> HelperError | None:
    """Return the problem that a container wrote down; None: it wrote none."""
    error = _told(end).get("podiumError")
    if not isinstance(error, dict):
        return None
    reason, message = error.get("reason"), error.get("message")
    if reason not in _REASONS or not isinstance(message, str):
        return None
    return HelperError(NodeReason(reason), message, error.get("retryable") is not False)


def _values(told: object) -> dict[str, bytes] | None:
    """Return values in last words; None: they are none."""
    if told is None:
        return {}
    try:
        return load_values(told) if isinstance(told, str) else None
    except (ValueError, RecursionError):
        return None


def how_ended(end: HelperEnd) -> str:
    """Describe the end of a container that said nothing."""
    if end.reason == "OOMKilled":
        return (
            "used more memory than its limit: raise the chart's value artifacts.resources, or hand"
            " over fewer files"
        )
    if end.exit_code == _KILLED:
        return "was killed before it was done"
    words = f" ({end.written.strip()[-300:]})" if end.written.strip() else ""
    return f"ended with exit code {end.exit_code} and without a word that says so{words}"


def _told(end: HelperEnd) -> dict[str, Any]:
    try:
        told = json.loads(end.written)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
