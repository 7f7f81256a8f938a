"""The connection to one endpoint: requests whose answers are bounded in size and time.

Redirects are not followed, for they would carry the key away. What the server sends is bounded as
a whole, not only between two bytes.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import NamedTuple

import httpx2

from podium.api.reasons import NodeReason
from podium.personas.answers import RetryableError
from podium.personas.document import Model
from podium.personas.errors import PersonaError
from podium.personas.reach import require_allowed
from podium.personas.streams import CONTENT_TYPE, StreamedAnswer

__all__ = ["Answered", "Connection"]

MAX_BYTES = 2 * 1024 * 1024


class Answered(NamedTuple):
    """What a server answered; one that was streamed is put together."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """Opened at the first request, and kept for the next."""

    def __init__(self, model: Model, deadline: float) -> None:
        self._model = model
        self._deadline = deadline
        self._open = AsyncExitStack()
        self._client: httpx2.AsyncClient | None = None

    async def close(self) -> None:
        """Close it."""
        await self._open.aclose()

    async def post(self, body: bytes, streamed: StreamedAnswer) -> Answered:
        """Ask; what comes in a stream is kept in `streamed` as it comes. Raises `PersonaError`."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise PersonaError(NodeReason.MODEL, "the node's timeoutSeconds is over")
        seconds = min(self._model.call_seconds, left)
        try:
            client = await self._connected()
            async with (
                asyncio.timeout(seconds),
                client.stream("POST", "/chat/completions", content=body) as answer,
            ):
                return Answered(answer.status_code, answer.headers, await _read(answer, streamed))
        except TimeoutError:
            raise RetryableError(f"no whole answer within {seconds:.3g} s") from None
        except httpx2.TransportError as error:
            words = f"{type(error).__name__}: {error!s:.300}"
            if isinstance(error, httpx2.UnsupportedProtocol) or "CERTIFICATE_VERIFY" in words:
                raise PersonaError(NodeReason.CONFIG, words) from None
            raise RetryableError(words) from None
        except (httpx2.InvalidURL, ssl.SSLError, ValueError) as error:
            raise PersonaError(
                NodeReason.CONFIG, f"{type(error).__name__}: {error!s:.300}"
            ) from None

    async def _connected(self) -> httpx2.AsyncClient:
        if self._client is None:
            model = self._model
            await require_allowed(model.base_url)
            context = httpx2.create_ssl_context()
            if model.ca is not None:
                context.load_verify_locations(cadata=model.ca)
            headers = {
                **{name.lower(): value for name, value in model.headers.items()},
                "user-agent": "podium",
                "content-type": "application/json",
                "accept": f"application/json, {CONTENT_TYPE}",
                "accept-encoding": "identity",
            }
            if model.key is not None:
                headers["authorization"] = f"Bearer {model.key}"
            client = httpx2.AsyncClient(
                base_url=model.base_url,
                headers=headers,
                verify=context,
                timeout=httpx2.Timeout(model.call_seconds, connect=min(20, model.call_seconds)),
            )
            self._client = await self._open.enter_async_context(client)
        return self._client


async def _read(answer: httpx2.Response, streamed: StreamedAnswer) -> bytes:
    """Return the whole body. Raises `RetryableError`, `PersonaError`: it is too large."""
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise RetryableError("answered compressed, which was not asked for")
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if answer.status_code == 200 and kind == CONTENT_TYPE:
        await streamed.read(answer.aiter_raw())
        return json.dumps(streamed.whole()).encode()
    found = bytearray()
    async for chunk in answer.aiter_raw():
        found += chunk
        if len(found) > MAX_BYTES:
            message = f"the answer has more than {MAX_BYTES:,} bytes"
            raise PersonaError(NodeReason.MODEL_ANSWER, message)
    return bytes(found)
