"""Where an execution left what it hands over. Loads nothing: runs without artifacts use it too."""

import os
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from podium.api.artifact_rules import ArtifactType

__all__ = ["Declared", "Left", "has_entries"]


@dataclass(frozen=True, slots=True)
class Declared:
    """An artifact that `artifacts.out` declares."""

    name: str
    path: str
    optional: bool = False
    type: ArtifactType | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """What an execution left."""

    out: Path
    """Its `$PODIUM_ARTIFACTS_OUT`."""
    absolute: Mapping[str, tuple[Path, str]] = field(default_factory=dict)
    """For each absolute path: a directory of this machine, and the path below it."""


def has_entries(path: Path, skipped: Container[str] = ()) -> bool:
    """Return whether there is anything else in a directory, or something else in its place."""
    try:
        if path.is_symlink():
            return True
        with os.scandir(path) as entries:
            return any(entry.name not in skipped for entry in entries)
    except FileNotFoundError:
        return False
    except OSError:
        return True
