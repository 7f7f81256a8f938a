"""Answers that are streamed: server-sent events, put together to what a whole answer would say.

A stream that ends before its `finish_reason` is not an answer, however it ends.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from podium.api.reasons import NodeReason
from podium.personas.answers import MAX_TOOL_CALLS, RetryableError, text_of
from podium.personas.errors import PersonaError
from podium.personas.usage import BYTES_PER_TOKEN

__all__ = ["CONTENT_TYPE", "StreamedAnswer"]

CONTENT_TYPE = "text/event-stream"
MAX_BYTES = 64 * 1024 * 1024
"""Of a stream, whose frames take many times what they carry."""
MAX_EVENT = 1024 * 1024
MAX_TEXT = 2 * 1024 * 1024
"""Bytes of all that an answer says."""
CHUNK_SECONDS = 90.0
"""From one chunk to the next, once the model has said something."""
END_SECONDS = 5.0
"""For what may come after its end: what it took."""
_DONE = "[DONE]"


class StreamedAnswer:
    """What has come of an answer so far."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.size = 0
        """Bytes of what the model said, which were paid for even if the rest never comes."""
        self.is_done = False
        self.error: Any = None
        """What the server says went wrong, in place of the rest."""
        self._refusal: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._finish: str | None = None
        self._usage: Any = None
        self._has_choice = False

    @property
    def tokens(self) -> int:
        """About how many tokens came, from above."""
        return -(-self.size // BYTES_PER_TOKEN)

    async def read(self, chunks: AsyncIterator[bytes]) -> None:
        """Read to the end. Raises `RetryableError`, `PersonaError`: it is too large."""
        lines = _Lines()
        size, wait = 0, None
        while not self.is_done:
            try:
                async with asyncio.timeout(wait) as quiet:
                    chunk = await anext(chunks, None)
            except TimeoutError:
                if quiet.expired() and self._finish is not None:
                    return  # all is said, and the connection left open
                if quiet.expired():
                    message = f"the stream stopped: nothing for {CHUNK_SECONDS:g} s"
                    raise RetryableError(message) from None
                raise
            if chunk is None:
                return  # an event without its empty line is not whole
            size += len(chunk)
            if size > MAX_BYTES:
                raise PersonaError(
                    NodeReason.MODEL_ANSWER, f"the stream has more than {MAX_BYTES:,} bytes"
                )
            for event in lines.add(chunk):
                self._add(event)
                if self._finish is not None:
                    wait = END_SECONDS
                elif self.size:  # before, it may think
                    wait = CHUNK_SECONDS

    def whole(self) -> dict[str, Any]:
        """Return it as an answer that was not streamed."""
        if self.error is not None:
            return {"error": self.error}
        if not self._has_choice:
            return {"choices": [], "usage": self._usage}
        calls = [self._calls[index] for index in sorted(self._calls)]
        message = {
            "content": "".join(self.text),
            "refusal": "".join(self._refusal),
            "tool_calls": [
                {"id": each["id"], "function": {**each, "arguments": "".join(each["arguments"])}}
                for each in calls
            ],
        }
        choice = {"message": message, "finish_reason": self._finish}
        return {"choices": [choice], "usage": self._usage}

    def _add(self, event: str) -> None:
        if self.is_done:
            return
        if event.strip() == _DONE:
            self.is_done = True
            return
        try:
            data = json.loads(event)
        except (ValueError, RecursionError):
            raise RetryableError("streamed what is not JSON") from None
        if not isinstance(data, Mapping):
            raise RetryableError("streamed what is not an object")
        if data.get("error"):
            self.error, self.is_done = data["error"], True
            return
        if isinstance(data.get("usage"), Mapping):
            self._usage = data["usage"]
        choices = data.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, Mapping) and choice.get("index", 0) == 0:
                self._add_choice(choice)

    def _add_choice(self, choice: Mapping[str, Any]) -> None:
        self._has_choice = True
        delta = choice.get("delta")
        if isinstance(delta, Mapping) and self._finish is None:
            self._keep(self.text, text_of(delta.get("content")))
            self._keep(self._refusal, delta.get("refusal"))
            for name in ("reasoning_content", "reasoning"):
                self._keep(None, delta.get(name))
            calls = delta.get("tool_calls")
            for call in calls if isinstance(calls, list) else ():
                self._add_call(call)
        finish = choice.get("finish_reason")
        if isinstance(finish, str) and finish:
            self._finish = finish

    def _add_call(self, call: Any) -> None:
        """Add a piece of a call of a tool, which its index tells from others."""
        index = call.get("index", 0) if isinstance(call, Mapping) else None
        if not isinstance(index, int) or not 0 <= index < MAX_TOOL_CALLS:
            return
        known = self._calls.setdefault(index, {"id": "", "name": "", "arguments": []})
        function = call.get("function")
        function = function if isinstance(function, Mapping) else {}
        for key, given in (("id", call.get("id")), ("name", function.get("name"))):
            if isinstance(given, str) and given and not known[key]:
                known[key] = given
        self._keep(known["arguments"], function.get("arguments"))

    def _keep(self, place: list[str] | None, piece: Any) -> None:
        """Keep a piece of text; None: only count it."""
        if not isinstance(piece, str) or not piece:
            return
        self.size += len(piece.encode("utf-8", "replace"))
        if self.size > MAX_TEXT:
            message = f"the answer has more than {MAX_TEXT:,} bytes"
            raise PersonaError(NodeReason.MODEL_ANSWER, message)
        if place is not None:
            place.append(piece)


class _Lines:
    """Splits bytes to events: the data up to an empty line."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._after_return = False
        self._is_first = True

    def add(self, chunk: bytes) -> list[str]:
        """Return the events that end in a chunk. Raises `PersonaError`: one is too large."""
        if self._after_return and chunk[:1] == b"\n":  # the second half of a line's end
            chunk = chunk[1:]
        self._after_return = chunk.endswith(b"\r")
        self._rest += chunk
        found = []
        if b"\n" in chunk or b"\r" in chunk:
            *lines, rest = _split(bytes(self._rest))
            self._rest = bytearray(rest)
            found = [event for line in lines if (event := self._line(line)) is not None]
        self._require(len(self._rest))
        return found

    def _line(self, line: bytes) -> str | None:
        if self._is_first:
            line, self._is_first = line.removeprefix(b"\xef\xbb\xbf"), False
        if line:
            if line.startswith(b"data:"):
                self._size += len(line)
                self._require(0)
                self._data.append(line[5:].removeprefix(b" "))
            return None
        if not self._data:
            return None
        event = b"\n".join(self._data).decode("utf-8", "replace")
        self._data, self._size = [], 0
        return event

    def _require(self, more: int) -> None:
        if self._size + more > MAX_EVENT:
            message = f"an event of the stream has more than {MAX_EVENT:,} bytes"
            raise PersonaError(NodeReason.MODEL_ANSWER, message)


def _split(raw: bytes) -> list[bytes]:
    """Return lines, which may end in three ways; the last one has not ended."""
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
