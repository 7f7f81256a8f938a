"""One chat endpoint: a call with its retries, charged to the budgets attempt by attempt.

What the server sends is data, and the key is cut out of every message.
"""

import asyncio
import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import orjson

from podium.api.reasons import NodeReason
from podium.personas.answers import Completion, RetryableError, error_of, read_completion
from podium.personas.document import Model
from podium.personas.errors import PersonaError
from podium.personas.kept import KeptForms
from podium.personas.keys import without_key, wrong_key
from podium.personas.streams import StreamedAnswer
from podium.personas.structured import FORMATS, form_of, response_format
from podium.personas.transport import Connection
from podium.personas.usage import Budget, Charge, estimated_tokens

__all__ = ["Endpoint"]

TRIES = 4
FIRST_WAIT = 0.5
LONGEST_WAIT = 20.0
LONGEST_ASKED_WAIT = 600.0
"""A server that asks for more is not waited for."""
_REFUSED_KEY = (401, 403)
_PASSING = (408, 409, 425, 429)


class _SteppedDownError(PersonaError):
    """The server does not know the way in which it was asked, and another one is left."""


class Endpoint:
    """Where a model is asked; what it does not know is remembered for the next call."""

    def __init__(self, model: Model, deadline: float, forms: KeptForms | None = None) -> None:
        self.model = model
        self._forms = forms or KeptForms(None)
        self._formats = list(FORMATS[FORMATS.index(self._forms.get(model)) :])
        """Those that the server has not refused, best first."""
        self._deadline = deadline
        self._tokens_field = "max_tokens"
        self._is_streamed = model.stream
        self._counts_streams = True
        """Whether a stream is asked to say in the end what it took."""
        self._connection = Connection(model, deadline)

    async def close(self) -> None:
        """Close its connections."""
        await self._connection.close()

    async def ask(
        self,
        messages: Sequence[Mapping[str, Any]],
        schema: Mapping[str, Any],
        budgets: Sequence[Budget],
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> Completion:
        """Ask for JSON that meets a schema. Raises `PersonaError`."""
        if wrong := wrong_key(self.model.key):
            raise PersonaError(NodeReason.CONFIG, wrong)
        body = {"model": self.model.name, "messages": messages, **self.model.settings}
        if tools:
            body["tools"] = tools
        failed, tries = None, 0
        while tries < TRIES:
            if failed is not None:
                await self._wait(failed, tries)
            tries += 1
            try:
                return await self._attempt(body, schema, budgets)
            except _SteppedDownError:
                tries -= 1
            except RetryableError as error:
                failed = error
        raise PersonaError(NodeReason.MODEL, f"{failed}; {TRIES} tries") from None

    async def _wait(self, failed: RetryableError, number: int) -> None:
        wait = failed.wait
        if wait is None:
            wait = min(FIRST_WAIT * 2 ** (number - 1), LONGEST_WAIT) * random.uniform(0.75, 1.25)  # noqa: S311
        left = self._deadline - time.monotonic()
        if wait > min(left, LONGEST_ASKED_WAIT):
            message = f"{failed}; the next try is in {wait:.0f} s, {max(left, 0):.0f} s are left"
            raise PersonaError(NodeReason.MODEL, message) from None
        await asyncio.sleep(wait)

    async def _attempt(
        self, body: Mapping[str, Any], schema: Mapping[str, Any], budgets: Sequence[Budget]
    ) -> Completion:
        """Ask once, and charge it, however it ends."""
        form = self._formats[0]
        sent = {**body, **response_format(form, schema), **self._stream()}
        prompt = _size(_encoded(sent))
        rooms = [budget.room(self.model, prompt) for budget in budgets]
        known = [room for room in (*rooms, self.model.max_tokens) if room is not None]
        most = min(known, default=None)
        if most is not None:
            sent[self._tokens_field] = most
        reserved = [budget.reserve(self.model, prompt, most or 0) for budget in budgets]
        streamed = StreamedAnswer()
        used: Charge | None = None
        try:
            status, headers, answer = await self._connection.post(_encoded(sent), streamed)
            if status != 200:
                used = Charge(0, 0)
                raise self._failure(status, headers, answer, sent)
            used = Charge.told(_usage_of(answer), prompt, streamed.tokens or _size(answer))
            return self._without_key(read_completion(answer, headers.get("content-type", "")))
        except _SteppedDownError:
            raise
        except RetryableError as error:
            raise RetryableError(self._words(error), error.wait) from None
        except PersonaError as error:
            raise PersonaError(error.reason, self._words(error)) from None
        finally:
            # An attempt that was cut off may have been worked on to its end.
            used = used or Charge(prompt, streamed.tokens, is_measured=False)
            for budget, charge in zip(budgets, reserved, strict=True):
                budget.settle(self.model, charge, used)

    def _stream(self) -> dict[str, Any]:
        """Return the part of a request that asks for a stream."""
        if not self._is_streamed:
            return {}
        usage = {"stream_options": {"include_usage": True}} if self._counts_streams else {}
        return {"stream": True, **usage}

    def _without_key(self, answer: Completion) -> Completion:
        """Cut the key out of an answer: it stands in what is said later, to this and others."""
        calls = [
            replace(
                each,
                name=without_key(each.name, self.model.key),
                arguments=without_key(each.arguments, self.model.key),
            )
            for each in answer.tool_calls
        ]
        text = without_key(answer.text, self.model.key)
        return replace(answer, text=text, tool_calls=tuple(calls))

    def _failure(
        self, status: int, headers: Mapping[str, str], body: bytes, sent: Mapping[str, Any]
    ) -> PersonaError:
        """Return what a status other than 200 means; what the server does not know is noted."""
        try:
            words = error_of(orjson.loads(body))
        except ValueError:
            words = ""
        told = f"status {status}{f': {words}' if words else ''}"
        lower = words.lower()
        if 300 <= status < 400:
            where = headers.get("location", "")
            message = f"{told}: redirects are not followed, this one leads to {where:.200}"
            return PersonaError(NodeReason.CONFIG, message)
        if status == 402 or "insufficient_quota" in lower:
            return PersonaError(NodeReason.MODEL_QUOTA, told)
        if status in _REFUSED_KEY:
            return PersonaError(NodeReason.CONFIG, f"{told}: is the key of apiKeySecret right?")
        if status in (400, 422) and self._steps_down(lower, sent):
            return _SteppedDownError(NodeReason.MODEL, told)
        if status in (400, 413) and ("context_length" in lower or "maximum context" in lower):
            return PersonaError(NodeReason.INPUT_TOO_LARGE, told)
        if status in _PASSING or status >= 500:
            return RetryableError(told, _retry_after(headers.get("retry-after")))
        return PersonaError(NodeReason.CONFIG, told)

    def _steps_down(self, words: str, sent: Mapping[str, Any]) -> bool:
        """Return whether another way of asking is left, where the server refused this one."""
        if "max_completion_tokens" in words and "max_tokens" in sent:
            self._tokens_field = "max_completion_tokens"
            return True
        if not any(name in words for name in ("response_format", "json_schema", "json_object")):
            return self._stops_streaming(words, sent)
        form = form_of(sent)
        if form == FORMATS[-1]:
            return False
        if self._formats[0] == form:  # another call may have found out first
            del self._formats[0]
            self._forms.put(self.model, self._formats[0])
        return True

    def _stops_streaming(self, words: str, sent: Mapping[str, Any]) -> bool:
        """Return whether the server refused a stream, or to count one: it is not asked again."""
        if "stream_options" in words and "stream_options" in sent:
            self._counts_streams = False
            return True
        if "stream" in words and "stream" in sent:
            self._is_streamed = False
            return True
        return False

    def _words(self, error: PersonaError) -> str:
        """Return a message with the server's name in it, and without the key."""
        text = f"{httpx2.URL(self.model.base_url).host}: {error}"
        return text.replace(self.model.key, "***") if self.model.key else text


def _encoded(body: Mapping[str, Any]) -> bytes:
    """Return a request; half of a surrogate pair, as models write it, is replaced.

    Not by orjson, which refuses whole numbers of more than 64 bits: schemas may have them.
    """
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _size(body: bytes) -> int:
    return estimated_tokens(body.decode("utf-8", "replace"))


def _usage_of(body: bytes) -> Any:
    try:
        data = orjson.loads(body)
    except ValueError:
        return None
    return data.get("usage") if isinstance(data, dict) else None


def _retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which has seconds or a date."""
    if value is None:
        return None
    try:
        return max(float(value), 0) if value.strip().isdigit() else _until(value)
    except (ValueError, TypeError, OverflowError):
        return None


def _until(value: str) -> float:
    when = parsedate_to_datetime(value)
    when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return max((when - datetime.now(UTC)).total_seconds(), 0)
