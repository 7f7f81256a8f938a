"""Rules for artifacts that hold everywhere: in definitions, in the store, in what is unpacked.

Nothing heavy is loaded here: what collects artifacts beside a user's container starts with it.
"""

from enum import StrEnum

__all__ = ["ARTIFACT_STORE", "MAX_DEPTH", "ArtifactType", "unsafe_path"]

ARTIFACT_STORE = "artifacts"
"""The chart's value with which a cluster has a store."""
MAX_DEPTH = 100
_PATH_BYTES = 4096
_NAME_BYTES = 255


class ArtifactType(StrEnum):
    """What an artifact is."""

    FILE = "File"
    DIRECTORY = "Directory"


def unsafe_path(path: str) -> str:
    """Return what is wrong with a relative path; empty: nothing."""
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    parts = path.split("/")
    if not path:
        return "is empty"
    if path.startswith("/"):
        return "is absolute"
    if ".." in parts:
        return "has a part '..'"
    if "." in parts or "" in parts:
        return "has an empty part, or '.'"
    if "\0" in path:
        return "has a null byte"
    if len(encoded) > _PATH_BYTES or any(len(part.encode()) > _NAME_BYTES for part in parts):
        return f"is longer than {_PATH_BYTES} bytes, or a part of it than {_NAME_BYTES}"
    if len(parts) > MAX_DEPTH:
        return f"is deeper than {MAX_DEPTH} directories"
    return ""
