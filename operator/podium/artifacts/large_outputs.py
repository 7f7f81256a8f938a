"""Large outputs in a Pod: read by the collector, and stored beside the artifacts."""

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from podium import contracts
from podium.api.artifact_rules import ArtifactType
from podium.artifacts.manifest import OUTPUT, Artifact, Entry, Format
from podium.artifacts.store import ArtifactStore

__all__ = ["read_output", "store_output"]


def read_output(path: Path, asked: Mapping[str, Any]) -> contracts.LargeOutput:
    """Read what a program wrote; nothing at all is `{}`.

    Raises `OutputNotJSONError`, `OutputTooLargeError`, `OSError`.
    """
    most = contracts.LARGE_OUTPUT_BYTES + 1
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            what = "is not a regular file: write one JSON object to a file"
            raise contracts.OutputNotJSONError(what)
        with os.fdopen(file, "rb") as opened:
            raw = opened.read(most)
    except FileNotFoundError:
        raw = b""
    except OSError as error:
        what = f"cannot be read ({error.strerror}): write one JSON object to a file"
        raise contracts.OutputNotJSONError(what) from None
    return contracts.read_large_output(raw, contracts.AskedOutput.load(asked))


def store_output(store: ArtifactStore, output: contracts.LargeOutput) -> Artifact:
    """Store an output. Raises `ArtifactError`."""
    blob = store.put([output.data])
    digest = hashlib.sha256(output.data).hexdigest()
    entry = Entry("", 0o444, len(output.data), digest)
    return Artifact(OUTPUT, "output.json", ArtifactType.FILE, Format.RAW, blob, (entry,))
