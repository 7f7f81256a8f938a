"""notify: a message to a webhook, as Slack, Mattermost and Teams take it."""

from collections.abc import Mapping
from typing import Any

from podium.api.reasons import NodeReason
from podium.runner.http_request import body_of, headers_of, require_status
from podium.runner.program import ProgramError, variable
from podium.runner.requests import request

__all__ = ["notify"]


def notify(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Send the message of a config. Raises `ProgramError`."""
    if ("url" in config) == ("urlFromEnv" in config):
        message = "must have exactly one of url and urlFromEnv (a webhook's URL is often secret)"
        raise ProgramError(NodeReason.CONFIG, f"config: {message}")
    url = config["url"] if "url" in config else variable(config["urlFromEnv"])
    payload = {**(config.get("payload") or {}), "text": config["message"]}
    headers = headers_of(config.get("headers") or ())
    body = body_of(payload, headers)
    answer = request("POST", url, headers=headers, body=body, seconds=config["timeoutSeconds"])
    require_status(answer, ["2xx"])
    return {"status": answer.status}
