"""What no run needs any more is removed: mark what manifests name, sweep the rest, and logs.

There is no finalizer on runs: a store that cannot be reached keeps no run from being deleted, and
what it holds goes with the next sweep.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass

from podium.artifacts.errors import ArtifactError
from podium.artifacts.kept_logs import LOGS
from podium.artifacts.manifest import Blob, Manifest
from podium.artifacts.store import ArtifactStore

__all__ = ["Swept", "sweep"]

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep removed."""

    manifests: int
    objects: int
    size: int
    """Bytes."""


def sweep(
    store: ArtifactStore,
    living: Collection[str],
    older_than: float,
    active: Collection[str] | None = None,
) -> Swept:
    """Remove manifests and logs of runs that are not `living` (by UID), and contents without one.

    One that says how long it is kept goes after that time, whether its run is living or not; but
    not while that is `active` (by default all living ones are).

    Only what is older than `older_than` seconds goes: an upload writes its contents before its
    manifest, so for a store that others write to it is the longest upload and two days
    (`store.REFRESH_SECONDS`). A manifest that cannot be read ends the sweep before anything is
    removed: what it names is not known. Raises `ArtifactError`.
    """
    backend = store.backend
    limit = time.time() - older_than
    gone: list[str] = []
    marked: set[bytes] = set()
    for found in backend.objects("runs/"):
        parts = found.key.split("/")
        if len(parts) != 5 or parts[4] != "manifest.json":
            continue
        uid, is_old = parts[1], found.changed_at <= limit
        manifest = _read(store, found.key, is_needed=uid in living or not is_old)
        kept = manifest.retention if manifest is not None else None
        needed = uid in living
        if kept is not None and uid not in (living if active is None else active):
            needed = found.changed_at + kept > time.time()
        if is_old and not needed:
            gone.append(found.key)
        elif manifest is not None:
            for artifact in manifest.artifacts.values():
                _mark(store, artifact.blob, marked)
    for start in range(0, len(gone), _BATCH):
        backend.delete(gone[start : start + _BATCH])
    logs = [
        found.key
        for found in backend.objects(LOGS)
        if found.changed_at <= limit and found.key.split("/")[1] not in living
    ]
    for start in range(0, len(logs), _BATCH):
        backend.delete(logs[start : start + _BATCH])
    objects = size = 0
    for prefix in ("blobs/", "moving/"):
        unmarked = [
            found
            for found in backend.objects(prefix)
            if found.changed_at <= limit and _digest(found.key) not in marked
        ]
        for found in unmarked:
            state = backend.state(found.key)  # it may have been made young meanwhile
            if state is not None and state.changed_at <= limit:
                backend.delete([found.key])
                objects += 1
                size += found.size
    return Swept(len(gone), objects, size)


def _read(store: ArtifactStore, key: str, *, is_needed: bool) -> Manifest | None:
    """Return a manifest; None: it is gone, or is damaged and no run needs it."""
    try:
        return store.manifest_at(key)
    except ArtifactError as error:
        if is_needed or error.is_retryable or error.code:
            raise
        return None


def _mark(store: ArtifactStore, blob: Blob, marked: set[bytes]) -> None:
    digest = bytes.fromhex(blob.digest)
    if digest in marked:
        return
    marked.add(digest)
    if blob.pieces:
        marked.update(bytes.fromhex(piece) for piece, _ in store.pieces(blob))


def _digest(key: str) -> bytes:
    try:
        return bytes.fromhex(key.rpartition("/")[2])
    except ValueError:
        return b""
