"""Answers of the API server: read up to a bound, as objects or as errors."""

from typing import Any, NamedTuple

import aiohttp
import orjson

from podium.cluster.kube.errors import ApiError
from podium.errors import PodiumError

__all__ = ["Answer", "TooLongError", "error_of", "loaded", "loaded_or_message", "read_at_most"]


class Answer(NamedTuple):
    """What the server answered."""

    status: int
    data: bytes
    retry_after: str | None


class TooLongError(PodiumError):
    """An answer is longer than what is read at once."""


async def read_at_most(response: aiohttp.ClientResponse, most: int | None) -> bytes:
    """Return an answer. Raises `TooLongError` once it is longer than so many bytes."""
    if most is None:
        return await response.read()
    parts, length = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        length += len(part)
        if length > most:
            raise TooLongError
    return b"".join(parts)


def loaded(data: bytes) -> dict[str, Any]:
    """Return the object that an answer holds; empty: it is another value. Raises `ValueError`."""
    answer = orjson.loads(data) if data else {}
    return answer if isinstance(answer, dict) else {}


def loaded_or_message(data: bytes) -> dict[str, Any]:
    """Return the object that an answer holds, or its text as the message of one."""
    try:
        return loaded(data)
    except orjson.JSONDecodeError:
        return {"message": data[:200].decode(errors="replace")}


def error_of(status: int, retry_after: str | None, answer: Any, request: str = "") -> ApiError:
    """Return the error that an answer says."""
    answer = answer if isinstance(answer, dict) else {}
    details = answer.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    digits = retry_after is not None and retry_after.isascii() and retry_after.isdigit()
    return ApiError(
        status,
        str(answer.get("reason") or "Error"),
        str(answer.get("message") or "no message"),
        min(float(retry_after or 0), 300.0) if digits else None,
        [
            str(cause.get("reason"))
            for cause in (causes if isinstance(causes, list) else [])
            if isinstance(cause, dict)
        ],
        request,
    )
