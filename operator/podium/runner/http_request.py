"""http: a request; its answer's status and body are the output."""

import json
from collections.abc import Mapping
from typing import Any

from podium import contracts
from podium.api.reasons import NodeReason
from podium.runner.program import ProgramError, variable
from podium.runner.requests import Answer, request

__all__ = ["UNEXPECTED", "body_of", "headers_of", "http_request", "require_status"]

UNEXPECTED = "UnexpectedStatus"
SHOWN = 300
"""Characters of an unexpected answer that the node's message shows."""


def http_request(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Make the request of a config. Raises `ProgramError`."""
    headers = headers_of(config.get("headers") or ())
    body = body_of(config.get("body"), headers)
    answer = request(
        config["method"],
        config["url"],
        headers=headers,
        body=body,
        seconds=config["timeoutSeconds"],
    )
    require_status(answer, config["expectedStatus"])
    found = _content(answer)
    if path := config.get("select"):
        try:
            found = contracts.get_path(found, path) if isinstance(found, Mapping) else None
        except KeyError:
            found = None
        if found is None:
            raise ProgramError(NodeReason.CONFIG, f"select: the answer has no {path!r:.100}")
    return {"status": answer.status, "body": found}


def headers_of(given: Any) -> dict[str, str]:
    """Return the headers of a config; the secret ones are in variables. Raises `ProgramError`."""
    found = {"user-agent": "podium", "accept": "*/*"}
    for each in given:
        name, value = each["name"].lower(), each.get("value")
        value = value if value is not None else variable(each["fromEnv"])
        if any(character in name + value for character in "\r\n\0"):
            message = f"headers: {name!r:.80} has a line break in its name or value"
            raise ProgramError(NodeReason.CONFIG, message)
        found[name] = value
    return found


def body_of(given: Any, headers: dict[str, str]) -> bytes | None:
    """Return the body of a request: a string as it is, anything else as JSON."""
    if given is None:
        return None
    if isinstance(given, str):
        headers.setdefault("content-type", "text/plain; charset=utf-8")
        return given.encode()
    headers.setdefault("content-type", "application/json")
    return json.dumps(given, ensure_ascii=False).encode()


def require_status(answer: Answer, expected: Any) -> None:
    """Raise `ProgramError` unless the status is one of those expected, as 200 or 2xx."""
    words = [str(each) for each in expected]
    if str(answer.status) in words or f"{answer.status // 100}xx" in words:
        return
    shown = answer.body[: 4 * SHOWN].decode("utf-8", "replace")[:SHOWN]
    location = answer.headers.get("location")
    hint = f"; redirects are not followed, this one leads to {location:.200}" if location else ""
    message = f"status {answer.status}, not {' or '.join(words)}{hint}: {shown}"
    raise ProgramError(UNEXPECTED, message)


def _content(answer: Answer) -> Any:
    """Return JSON as JSON, by its content type, and all else as text."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        text = answer.body.decode()
    except UnicodeDecodeError:
        raise ProgramError(NodeReason.OUTPUT_NOT_JSON, "the answer is not text") from None
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return json.loads(text) if text else None
        except (ValueError, RecursionError) as error:
            message = f"the answer says that it is JSON, and is not: {error!s:.200}"
            raise ProgramError(NodeReason.OUTPUT_NOT_JSON, message) from None
    return text
