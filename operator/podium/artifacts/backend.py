"""Objects by key over a directory or a bucket, with errors in our words.

Objects are small (`store.PIECE_BYTES`): one request writes or reads one, so nothing is left behind
by an upload that was cut, and requests can be repeated.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit
from uuid import uuid4

from podium.artifacts.errors import ArtifactError, store_error
from podium.artifacts.settings import (
    DirectorySettings,
    S3Settings,
    StoreSettings,
    WebIdentity,
)

__all__ = ["Backend", "ObjectState"]

_CONNECT = timedelta(seconds=10)
_SILENCE = timedelta(seconds=20)
"""How long a server may say nothing: it was frozen, or the connection is dead."""
_REQUEST = timedelta(minutes=5)
_WEB_IDENTITY = ("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE")


@dataclass(frozen=True, slots=True)
class ObjectState:
    """What is known of an object without reading it."""

    key: str
    size: int
    changed_at: float


class Backend:
    """One store. All methods raise `ArtifactError`, and may be called from several threads."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._prefix = ""
        self._root = ""
        self._is_durable = isinstance(settings, DirectorySettings) and settings.is_durable
        self._secrets: tuple[str, ...] = ()
        try:
            from obstore.store import LocalStore  # noqa: PLC0415 - slow to load

            if isinstance(settings, DirectorySettings):
                self._root = str(settings.path.absolute())
                os.makedirs(self._root, mode=0o700, exist_ok=True)  # noqa: PTH103
                self._store: Any = LocalStore(self._root)
            else:
                self._prefix = settings.prefix.strip("/")
                self._prefix += "/" if self._prefix else ""
                self._secrets = settings.secrets
                self._store = _s3(settings)
        except Exception as error:
            raise self._error(error, "open the store") from None

    def put(self, key: str, data: bytes | bytearray) -> None:
        """Write an object, or write it again."""
        try:
            self._store.put(self._prefix + key, data, use_multipart=False)
            self._sync(key)
        except Exception as error:
            raise self._error(error, f"write {key}") from None

    def create(self, key: str, data: bytes) -> bool:
        """Write an object that is not there; False: it is."""
        try:
            self._store.put(self._prefix + key, data, mode="create")
            self._sync(key)
        except Exception as error:
            if type(error).__name__ == "AlreadyExistsError":
                return False
            raise self._error(error, f"write {key}") from None
        return True

    def read(self, key: str, limit: int) -> memoryview:
        """Read an object, which may not have more than `limit` bytes."""
        try:
            found = self._store.get(self._prefix + key)
            size = int(found.meta["size"])
            if size <= limit:
                return memoryview(found.bytes())
        except Exception as error:
            raise self._error(error, f"read {key}") from None
        raise ArtifactError(
            f"cannot read {key} in {self._settings}: it has {size:,} bytes, and {limit:,} are"
            " expected: the store was changed, run the node that made it again",
            is_retryable=False,
        )

    def signed(self, key: str, method: Literal["GET", "PUT"], seconds: float) -> str:
        """Return a URL at which an object of a bucket can be read or written for so long."""
        from obstore import sign  # noqa: PLC0415 - slow to load

        try:
            made: str = sign(self._store, method, self._prefix + key, timedelta(seconds=seconds))
        except Exception as error:
            raise self._error(error, f"sign the URL of {key}") from None
        return made

    def state(self, key: str) -> ObjectState | None:
        """Return what is known of an object, None if it is not there."""
        try:
            return self._state(self._store.head(self._prefix + key))
        except FileNotFoundError as error:
            problem = self._error(error, f"look for {key}")
            # The answer to HEAD has no body, so a missing bucket looks the same: the write says so.
            if problem.is_missing:
                return None
            raise problem from None
        except Exception as error:
            problem = self._error(error, f"look for {key}")
            if problem.code or problem.is_retryable:
                raise problem from None
        # Why it is refused stands in the body only, which the answer to HEAD does not have.
        self.read(key, 0)
        raise problem

    def refresh(self, key: str) -> None:
        """Make an object as young as if it were written now, without sending it again."""
        full = self._prefix + key
        try:
            if self._root:
                os.utime(f"{self._root}/{full}")
                return
            # Servers refuse to copy an object onto itself when nothing of it changes.
            aside = f"{self._prefix}moving/{uuid4().hex}"
            self._store.copy(full, aside)
            self._store.copy(aside, full)
            self._store.delete(aside)
        except Exception as error:
            raise self._error(error, f"refresh {key}") from None

    def objects(self, prefix: str) -> Iterator[ObjectState]:
        """Return the objects whose keys begin with a directory's name."""
        try:
            for batch in self._store.list(self._prefix + prefix):
                yield from (self._state(each) for each in batch)
        except Exception as error:
            raise self._error(error, f"list {prefix}") from None

    def directories(self) -> list[str]:
        """Return the names of the directories that keys begin with."""
        try:
            listed = self._store.list_with_delimiter(self._prefix or None)
            return [str(each).rstrip("/").rpartition("/")[2] for each in listed["common_prefixes"]]
        except Exception as error:
            raise self._error(error, "list directories") from None

    def delete(self, keys: list[str]) -> None:
        """Remove objects; one that is not there is gone already."""
        if not keys:
            return
        try:
            with suppress(FileNotFoundError):
                self._store.delete([self._prefix + key for key in keys])
        except Exception as error:
            raise self._error(error, f"remove {keys[0]}") from None

    def _sync(self, key: str) -> None:
        """Have an object, and the directories made for it, on the disk. Raises `OSError`."""
        if not self._is_durable:
            return
        path = Path(self._root, key)
        while True:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                os.fsync(file)
            finally:
                os.close(file)
            if str(path) == self._root:
                return
            path = path.parent

    def _state(self, meta: Any) -> ObjectState:
        key = str(meta["path"])
        return ObjectState(
            key.removeprefix(self._prefix), int(meta["size"]), meta["last_modified"].timestamp()
        )

    def _error(self, error: BaseException, action: str) -> ArtifactError:
        return store_error(error, action, str(self._settings), self._secrets)


def _s3(settings: S3Settings) -> Any:
    from obstore.store import S3Store  # noqa: PLC0415 - slow to load

    is_plain = urlsplit(settings.endpoint).scheme == "http"
    options: dict[str, Any] = {
        "connect_timeout": _CONNECT,
        "read_timeout": _SILENCE,
        "timeout": _REQUEST,
        "allow_http": is_plain,
    }
    if settings.certificate_authority:
        options["root_certificate"] = settings.certificate_authority
    config: dict[str, Any] = {
        "region": settings.region,
        "virtual_hosted_style_request": settings.is_virtual_hosted,
        # TLS guards what is sent, and contents are checked by their own digests.
        "unsigned_payload": not is_plain,
    }
    if settings.endpoint:
        parts = urlsplit(settings.endpoint)
        host = f"{settings.bucket}.{parts.netloc}" if settings.is_virtual_hosted else parts.netloc
        config["endpoint"] = parts._replace(netloc=host).geturl()
    if isinstance(settings.credentials, WebIdentity):
        for name in _WEB_IDENTITY:
            if not os.environ.get(name):  # without them it would ask the machine for its own
                raise ValueError(f"{name} is not set: is the ServiceAccount bound to a role?")
    else:
        config["access_key_id"] = settings.credentials.access_key_id
        config["secret_access_key"] = settings.credentials.secret_access_key
        if settings.credentials.session_token:
            config["session_token"] = settings.credentials.session_token
    if settings.encryption:
        config["server_side_encryption"] = settings.encryption
    if settings.kms_key_id:
        config["sse_kms_key_id"] = settings.kms_key_id
    retry = {
        "max_retries": 1000,
        "retry_timeout": timedelta(seconds=settings.retry_seconds),
        "backoff": {
            "init_backoff": timedelta(milliseconds=200),
            "max_backoff": timedelta(seconds=5),
            "base": 2,
        },
    }
    return S3Store(
        settings.bucket,
        client_options=cast("Any", options),
        retry_config=cast("Any", retry),
        **config,
    )
