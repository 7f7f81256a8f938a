"""What goes wrong with artifacts, in words for the user of a workflow."""

import errno
import re
from collections.abc import Iterable

from podium.errors import PodiumError

__all__ = ["ArtifactError", "remedy_in", "store_error"]

_CHARACTERS = 300
_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,60})</Code>")
_ERRNO = re.compile(r"\(os error (\d{1,4})\)")
_NOISE = re.compile(r"<[^<>]{0,200}>|Error performing [A-Z]+ \S{1,2000} in \S{1,40} - ")
_REMEDIES = {
    "NoSuchBucket": "there is no such bucket: make it, or name another",
    "NoSuchKey": "it is not there",
    "XAdminUserNotFound": "the access key is not known there: check the credentials",
    "InvalidAccessKeyId": "the access key is not known there: check the credentials",
    "SignatureDoesNotMatch": "the secret key is wrong: check the credentials",
    "AccessDenied": "the credentials may not do this: check their policy",
    "ExpiredToken": "the credentials have expired: renew them",
    "InvalidIdentityToken": "the ServiceAccount's token is not taken: check what the role trusts",
    "IDPRejectedClaim": "the ServiceAccount's token is not taken: check what the role trusts",
    "InvalidToken": "the session token is wrong: check the credentials",
    "InvalidTokenId": "the session token is wrong: check the credentials",
    "RequestTimeTooSkewed": "the clocks differ by too much: set this machine's",
    "QuotaExceeded": "its quota is used up: make room",
    "XMinioStorageFull": "it is full: make room",
}
_NUMBERS = {
    errno.ENOSPC: "it is full: make room, or make it larger",
    errno.EDQUOT: "its quota is used up: make room",
    errno.EROFS: "it is read-only: mount it for writing",
}
_TEMPORARY = frozenset(
    ["SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "ExpiredToken"]
)


class ArtifactError(PodiumError):
    """An artifact cannot be stored or had; the message says what, where, and what would be right.

    `code` is what the store calls it, `number` the errno of a local one. `is_retryable`: it may be
    different next time.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        number: int | None = None,
        is_missing: bool = False,
        is_retryable: bool = True,
        is_content: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.number = number
        self.is_missing = is_missing
        """Whether what was asked for is not there."""
        self.is_retryable = is_retryable
        self.is_content = is_content
        """Whether what the program left is at fault, not the store."""


def store_error(
    error: BaseException, action: str, place: str, secrets: Iterable[str] = ()
) -> ArtifactError:
    """Describe what a store answered, without the dump that follows and without any secret.

    Missing objects and missing buckets both come as `FileNotFoundError`: the code tells them apart.
    """
    text = str(error)
    code = found[1] if (found := _CODE.search(text)) else ""
    number = int(match[1]) if (match := _ERRNO.search(text)) else getattr(error, "errno", None)
    is_missing = type(error).__name__ in ("FileNotFoundError", "NotFoundError")
    what = _REMEDIES.get(code) or _NUMBERS.get(number or 0) or _first_words(text, secrets)
    if is_missing and not code:
        what = "it is not there"
    shown = f" ({code})" if code else ""
    final = is_missing or (code in _REMEDIES and code not in _TEMPORARY)
    refused = type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError")
    if refused and code not in _REMEDIES:
        what = f"the store refuses it: check the credentials; {what}"
    return ArtifactError(
        f"cannot {action} in {place}: {what}{shown}",
        code=code,
        number=number,
        is_missing=is_missing and code in ("", "NoSuchKey", "NotFound"),
        is_retryable=code in _TEMPORARY or not (final or refused),
    )


def remedy_in(body: str) -> str:
    """Return what is wrong and what would be right, by the body of a bucket's answer."""
    found = _CODE.search(body)
    return _REMEDIES.get(found[1], "") if found else ""


def _first_words(text: str, secrets: Iterable[str]) -> str:
    text = text.partition("Debug source")[0]
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = _NOISE.sub(" ", text)
    words = " ".join(text.split())
    return words if len(words) <= _CHARACTERS else words[: _CHARACTERS - 1] + "…"
