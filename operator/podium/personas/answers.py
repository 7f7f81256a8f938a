"""What a chat endpoint answered, read with suspicion: any of it may be missing or lie."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from podium.api.reasons import NodeReason
from podium.personas.errors import PersonaError

__all__ = [
    "MAX_TOOL_CALLS",
    "Completion",
    "RetryableError",
    "ToolCall",
    "error_of",
    "read_completion",
    "text_of",
]

MAX_TOOL_CALLS = 64
"""In one answer."""
SHOWN = 300
MAX_TOLD = 5
"""Errors of one answer."""


class RetryableError(PersonaError):
    """The attempt failed, and another one may not."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(NodeReason.MODEL, message)
        self.wait = wait
        """Seconds that the server asks to wait; None: it does not say."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What the model asks a tool."""

    id: str
    name: str
    arguments: str
    """JSON, as the model wrote it."""

    def dump(self) -> dict[str, Any]:
        """Return it as a message names it."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    usage: Any
    """As the server told it; not checked."""


def read_completion(body: bytes, content_type: str) -> Completion:
    """Read the body of an answer with status 200.

    Raises `RetryableError` (cut, empty or incomplete), `PersonaError` (refused, filtered, too
    long, not a chat endpoint at all).
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        start = body[:200].lstrip().lower()
        if "html" in content_type or start.startswith((b"<!doctype", b"<html")):
            words = "answered a web page: is openAI.baseUrl that of an API, such as …/v1?"
            raise PersonaError(NodeReason.CONFIG, words) from None
        raise RetryableError("answered what is not JSON, or was cut") from None
    choices = data.get("choices") if isinstance(data, Mapping) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        said = error_of(data)
        if "insufficient_quota" in said.lower():
            raise PersonaError(NodeReason.MODEL_QUOTA, said)
        raise RetryableError(f"answered no choices{f': {said}' if said else ''}")
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, Mapping):
        raise RetryableError("answered a choice without a message")
    _require_whole(choice.get("finish_reason"), message)
    text = text_of(message.get("content"))
    calls = _tool_calls(message.get("tool_calls"))
    if not text.strip() and not calls:
        raise RetryableError("answered nothing")
    return Completion(text, calls, data.get("usage"))


def text_of(content: Any) -> str:
    """Return the text of a message's content, which some servers write in parts."""
    if isinstance(content, list):
        parts = [each.get("text") for each in content if isinstance(each, Mapping)]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _require_whole(finish: Any, message: Mapping[str, Any]) -> None:
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        raise PersonaError(NodeReason.MODEL_REFUSED, f"refused to answer: {refusal:.{SHOWN}}")
    if finish == "content_filter":
        raise PersonaError(NodeReason.MODEL_REFUSED, "the answer was stopped by a content filter")
    if finish == "length":
        words = "the answer is longer than it may be: raise openAI.maxTokens, or the limits"
        raise PersonaError(NodeReason.MODEL_ANSWER, words)
    if finish not in ("stop", "tool_calls", "function_call", "eos", "end_turn", "stop_sequence"):
        raise RetryableError("answered without a finish_reason: the answer may not be whole")


def _tool_calls(given: Any) -> tuple[ToolCall, ...]:
    if not isinstance(given, list):
        return ()
    found = []
    for each in given[:MAX_TOOL_CALLS]:
        function = each.get("function") if isinstance(each, Mapping) else None
        if not isinstance(function, Mapping):
            continue
        name, arguments = function.get("name"), function.get("arguments")
        try:
            written = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
        except RecursionError:
            written = ""  # which is refused as what it is
        named = [word if isinstance(word, str) else "" for word in (each.get("id"), name)]
        found.append(ToolCall(named[0][:200], named[1][:200], written))
    return tuple(found)


def error_of(data: Any) -> str:
    """Return the words of an error, as the several servers write it; empty: none."""
    found: Any = None
    if isinstance(data, Mapping):
        found = data.get("error") or data.get("detail") or data
    if isinstance(found, list):  # of FastAPI: what is wrong with each field
        told = [_words(each, "msg", "loc") for each in found[:MAX_TOLD]]
        found = "; ".join(filter(None, told))
    elif isinstance(found, Mapping):
        found = _words(found, "code" if found.get("code") else "type", "message")
    return f"{found:.{SHOWN}}" if isinstance(found, str) else ""


def _words(found: Any, *names: str) -> str:
    """Return the named values of an object that are words or numbers, and those of lists."""
    values = [found.get(name) for name in names] if isinstance(found, Mapping) else []
    words = [part for each in values for part in (each if isinstance(each, list) else [each])]
    return " ".join(str(each) for each in words if isinstance(each, str | int))
