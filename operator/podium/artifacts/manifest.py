"""The manifest of an execution: what it left, and by which digests it is found."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from podium.api.artifact_rules import ArtifactType, unsafe_path
from podium.artifacts.errors import ArtifactError

__all__ = ["OUTPUT", "REST", "Artifact", "ArtifactType", "Blob", "Entry", "Format", "Manifest"]

REST = "*"
"""Name of what lay under `$PODIUM_ARTIFACTS_OUT` and was not declared: no declared one has it."""
OUTPUT = "*output"
"""Name of a large output: no artifact, but kept and swept as one."""
_VERSION = 1
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Format(StrEnum):
    """What its blob holds."""

    RAW = "raw"
    """The file itself."""
    TAR = "tar"
    """A directory; one that compresses beyond any measure is not compressed."""
    TAR_ZSTD = "tar+zstd"


@dataclass(frozen=True, slots=True)
class Blob:
    """Contents in the store."""

    digest: str
    """SHA-256 of the contents; of several pieces: of the list of their digests."""
    size: int
    pieces: int = 0
    """Number of pieces; 0: the contents are one object."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or directory of an artifact."""

    path: str
    """From the artifact on; empty: the artifact itself."""
    mode: int
    size: int = 0
    digest: str | None = None
    """SHA-256 of its contents; None: a directory."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """What one name stands for."""

    name: str
    path: str
    """Where it lies among what the node left; empty: it is all the rest."""
    type: ArtifactType
    format: Format
    blob: Blob
    entries: tuple[Entry, ...]

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(entry.size for entry in self.entries)

    @property
    def files(self) -> int:
        """Number of its files."""
        return sum(entry.digest is not None for entry in self.entries)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an execution left."""

    run: str
    """UID of the run."""
    node: str
    execution: str
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)
    retention: int | None = None
    """Seconds for which it is kept after it was written; None: as long as the run is there."""

    def of(self, run: str, execution: str) -> "Manifest":
        """Return it for the execution of another run that has the same."""
        return replace(self, run=run, execution=execution)

    def dump(self) -> bytes:
        """Return it as it is stored."""
        document: dict[str, Any] = {
            "formatVersion": _VERSION,
            "run": self.run,
            "node": self.node,
            "execution": self.execution,
            "artifacts": [_dump(artifact) for artifact in self.artifacts.values()],
        }
        if self.retention is not None:
            document["retentionSeconds"] = self.retention
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def load(cls, data: bytes, place: str) -> "Manifest":
        """Read it; whoever can write to the store may have changed it. Raises `ArtifactError`."""
        try:
            document = json.loads(data)
            version = document["formatVersion"]
            if version != _VERSION:
                raise ArtifactError(
                    f"{place} is of format {version!r:.20}, which this podium does not know: use"
                    " the one that wrote it, or a newer one",
                    is_retryable=False,
                )
            artifacts = [_load(each) for each in document["artifacts"]]
            return cls(
                _text(document["run"]),
                _text(document["node"]),
                _text(document["execution"]),
                {each.name: each for each in artifacts},
                _seconds(document.get("retentionSeconds")),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ArtifactError(
                f"{place} is damaged ({type(error).__name__}: {error!s:.100}): run its node again",
                is_retryable=False,
            ) from None


def _dump(artifact: Artifact) -> dict[str, Any]:
    blob = artifact.blob
    return {
        "name": artifact.name,
        "path": artifact.path,
        "type": artifact.type.value,
        "format": artifact.format.value,
        "blob": {"sha256": blob.digest, "size": blob.size, "pieces": blob.pieces},
        "index": [
            {"path": entry.path, "mode": f"{entry.mode:o}"}
            | ({} if entry.digest is None else {"size": entry.size, "sha256": entry.digest})
            for entry in artifact.entries
        ],
    }


def _load(document: dict[str, Any]) -> Artifact:
    blob = document["blob"]
    path = _text(document["path"])
    if path and (why := unsafe_path(path)):
        raise ValueError(f"the path {path!r:.80} {why}")
    return Artifact(
        name=_text(document["name"]),
        path=path,
        type=ArtifactType(document["type"]),
        format=Format(document["format"]),
        blob=Blob(_digest(blob["sha256"]), _count(blob["size"]), _count(blob["pieces"])),
        entries=tuple(_entry(each) for each in document["index"]),
    )


def _entry(document: dict[str, Any]) -> Entry:
    path, mode = _text(document["path"]), int(document["mode"], 8)
    if not 0 <= mode <= 0o777:
        raise ValueError(f"the mode {mode:o}")
    if path and (why := unsafe_path(path)):
        raise ValueError(f"the path {path!r:.80} {why}")
    if "sha256" not in document:
        return Entry(path, mode)
    return Entry(path, mode, _count(document["size"]), _digest(document["sha256"]))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is not a string")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r:.40} is not a number of bytes")
    return value


def _seconds(value: object) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise ValueError(f"{value!r:.40} is not a number of seconds")
    return value


def _digest(value: object) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ValueError(f"{value!r:.80} is not a digest")
    return value
