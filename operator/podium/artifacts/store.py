"""The artifact store: contents by digest, and the manifests that say what they are."""

import hashlib
import json
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

from podium.artifacts.backend import Backend
from podium.artifacts.errors import ArtifactError
from podium.artifacts.manifest import Blob, Manifest
from podium.artifacts.settings import StoreSettings

__all__ = ["PIECE_BYTES", "REFRESH_SECONDS", "ArtifactStore"]

PIECE_BYTES = 16 << 20
"""What is larger is kept in pieces of this size. One is one request, held in memory whole: what was
sent before a crash is not sent again, and no unfinished upload stays in the bucket."""
REFRESH_SECONDS = 24 * 3600
"""What is there already and older than this is made young again, lest it be swept."""
_THREADS = 4
"""Requests at a time: in memory is this number of pieces."""
_MANIFEST_BYTES = 512 << 20
_LIST_BYTES = 64 << 20
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")
_ITEM = re.compile(r"\[([0-9]{1,6})\]", re.ASCII)


class ArtifactStore:
    """Contents and manifests in one place. To be closed, or used as a context.

    All methods raise `ArtifactError`. `is_stopped` is asked between requests: once it is true, the
    work ends with `InterruptedError`.
    """

    def __init__(
        self,
        settings: StoreSettings,
        is_stopped: Callable[[], bool] = lambda: False,
        backend: Backend | None = None,
    ) -> None:
        self.settings = settings
        self._backend = backend or Backend(settings)
        self._is_stopped = is_stopped
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="artifacts")
        self._refreshed: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(cancel_futures=True)

    # Contents

    def put(self, chunks: Iterable[bytes | bytearray | memoryview]) -> Blob:
        """Store contents as they come. What is there already is not sent again."""
        waiting: deque[Future[tuple[str, int]]] = deque()
        pieces: list[tuple[str, int]] = []
        try:
            for piece in _pieces(chunks):
                if self._is_stopped():
                    raise InterruptedError("stopped")
                if len(waiting) == _THREADS:
                    pieces.append(waiting.popleft().result())
                waiting.append(self._threads.submit(self._put_piece, piece))
                del piece
            pieces += [each.result() for each in waiting]
        finally:
            for each in waiting:
                each.cancel()
        if not pieces:
            pieces = [self._put_piece(b"")]
        size = sum(size for _, size in pieces)
        if len(pieces) == 1:
            return Blob(pieces[0][0], size)
        listed = json.dumps({"pieces": pieces}, separators=(",", ":")).encode()
        digest, _ = self._put_piece(listed)
        return Blob(digest, size, len(pieces))

    def read(self, blob: Blob) -> Iterator[memoryview]:
        """Return contents piece by piece, each checked before it is given out."""
        waiting: deque[Future[memoryview]] = deque()
        try:
            for digest, size in self.pieces(blob):
                if self._is_stopped():
                    raise InterruptedError("stopped")
                if len(waiting) == _THREADS:
                    yield waiting.popleft().result()
                waiting.append(self._threads.submit(self._read_piece, digest, size))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()

    def read_small(self, digest: str, most: int) -> memoryview:
        """Return contents of one piece, of which only digest and greatest size are known."""
        data = self._backend.read(_blob_key(digest), most)
        if hashlib.sha256(data).hexdigest() != digest:
            raise self._changed(digest)
        return data

    def pieces(self, blob: Blob) -> list[tuple[str, int]]:
        """Return the digests and sizes of what contents are made of."""
        if not blob.pieces:
            if blob.size > PIECE_BYTES:
                raise self._changed(blob.digest)
            return [(blob.digest, blob.size)]
        data = self._backend.read(_blob_key(blob.digest), _LIST_BYTES)
        if hashlib.sha256(data).hexdigest() != blob.digest:
            raise self._changed(blob.digest)
        try:
            found = [(str(digest), int(size)) for digest, size in json.loads(bytes(data))["pieces"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise self._changed(blob.digest) from None
        total = sum(size for _, size in found)
        if len(found) != blob.pieces or total != blob.size:
            raise self._changed(blob.digest)
        return found

    def _put_piece(self, data: bytes | bytearray) -> tuple[str, int]:
        digest = hashlib.sha256(data).hexdigest()
        key = _blob_key(digest)
        found = self._backend.state(key)
        if found is None or found.size != len(data):
            self._backend.put(key, data)
        elif time.time() - found.changed_at > REFRESH_SECONDS:
            self._backend.refresh(key)
            self._refreshed.add(key)
        return digest, len(data)

    def _read_piece(self, digest: str, size: int) -> memoryview:
        if not 0 <= size <= PIECE_BYTES:
            raise self._changed(digest)
        data = self._backend.read(_blob_key(digest), size)
        if len(data) != size or hashlib.sha256(data).hexdigest() != digest:
            raise self._changed(digest)
        return data

    def _changed(self, digest: str, key: str = "") -> ArtifactError:
        return ArtifactError(
            f"{key or _blob_key(digest)} in {self.settings} is not what was stored: the store was"
            " changed or is damaged, run the node that made it again",
            code="Digest",
            is_retryable=False,
        )

    # Manifests

    def commit(self, manifest: Manifest) -> bool:
        """Write what an execution left, once all of it is stored; False: that was done before."""
        self._require_refreshed()
        key = _manifest_key(manifest.run, manifest.node, manifest.execution)
        return self._backend.create(key, manifest.dump())

    def commit_by_digest(self, manifest: Manifest) -> str:
        """Write what an attempt at an execution left, and return the digest that it is found by.

        A Pod that is evicted may leave something too, and the next one runs the same execution.
        """
        self._require_refreshed()
        data = manifest.dump()
        digest = hashlib.sha256(data).hexdigest()
        execution = _by_digest(manifest.execution, digest)
        self._backend.create(_manifest_key(manifest.run, manifest.node, execution), data)
        return digest

    def _require_refreshed(self) -> None:
        for key in self._refreshed:
            if self._backend.state(key) is None:  # swept in the moment before it was made young
                raise ArtifactError(f"{key} in {self.settings} was removed meanwhile: try it again")
        self._refreshed.clear()

    def manifest(self, run: str, node: str, execution: str) -> Manifest | None:
        """Return what an execution left, None if it left nothing."""
        return self.manifest_at(_manifest_key(run, node, execution))

    def manifest_by_digest(
        self, run: str, node: str, execution: str, digest: str
    ) -> Manifest | None:
        """Return what an attempt at an execution left, checked; None: it is not there."""
        key = _manifest_key(run, node, _by_digest(execution, digest))
        data = self._read_manifest(key)
        if data is None:
            return None
        if hashlib.sha256(data).hexdigest() != digest:
            raise self._changed(digest, key)
        return Manifest.load(data, f"{key} in {self.settings}")

    def manifest_at(self, key: str) -> Manifest | None:
        """Return the manifest of a key, None if there is none."""
        data = self._read_manifest(key)
        return None if data is None else Manifest.load(data, f"{key} in {self.settings}")

    def _read_manifest(self, key: str) -> bytes | None:
        try:
            return bytes(self._backend.read(key, _MANIFEST_BYTES))
        except ArtifactError as error:
            if error.is_missing:
                return None
            raise

    def manifests(self, run: str) -> Iterator[Manifest]:
        """Return what the executions of a run left."""
        for found in self._backend.objects(f"runs/{_part(run)}/"):
            manifest = self.manifest_at(found.key)
            if manifest is not None:
                yield manifest

    @property
    def backend(self) -> Backend:
        """The objects as they are, for those that clear them up."""
        return self._backend


def _pieces(chunks: Iterable[bytes | bytearray | memoryview]) -> Iterator[bytes | bytearray]:
    """Cut contents into pieces, whatever comes at a time."""
    piece = bytearray()
    for chunk in chunks:
        view: Any = memoryview(chunk)
        while view:
            part = view[: PIECE_BYTES - len(piece)]
            piece += part
            view = view[len(part) :]
            if len(piece) == PIECE_BYTES:
                yield piece
                piece = bytearray()
    if piece:
        yield piece


def _by_digest(execution: str, digest: str) -> str:
    return f"{execution}.{digest}"


def _blob_key(digest: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ArtifactError(f"{digest!r:.80} is not a digest", is_retryable=False)
    return f"blobs/sha256/{digest[:2]}/{digest}"


def _manifest_key(run: str, node: str, execution: str) -> str:
    return f"runs/{_part(run)}/{_part(node)}/{_part(execution)}/manifest.json"


def _part(name: str) -> str:
    # Of an item `node[3]`; no id begins with a digit, so no member of a group is called so.
    name = _ITEM.sub(r".\1", name)
    if not _KEY.fullmatch(name):
        raise ArtifactError(f"{name!r:.80} cannot be part of a key", is_retryable=False)
    return name
