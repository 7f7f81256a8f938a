"""Programs run in containers that are there, as `kubectl exec` does."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import aiohttp
import orjson

from podium.cluster.kube import paths
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.transport import Transport
from podium.cluster.kube.views import dig, items, mapping, text

__all__ = ["ProgramEnd", "run_program"]

PROTOCOL = "v4.channel.k8s.io"
STDOUT, STDERR, ERROR = 1, 2, 3
"""The first byte of a frame: what the rest is."""
STDERR_BYTES = 10_000


@dataclass(frozen=True, slots=True)
class ProgramEnd:
    """How a program ended, and what it printed."""

    exit_code: int
    stdout: bytes
    stderr: bytes


async def run_program(
    transport: Transport, namespace: str, pod: str, command: Sequence[str], most: int
) -> ProgramEnd:
    """Run a program in the only container of a Pod; it gets no input.

    Raises `ApiError`, also where it prints more than `most` bytes.
    """
    query = [("stdout", "true"), ("stderr", "true"), *(("command", word) for word in command)]
    path = f"{paths.pods(namespace, pod, 'exec')}?{urlencode(query)}"
    printed: dict[int, list[bytes]] = {STDOUT: [], STDERR: [], ERROR: []}
    size = 0
    async with transport.websocket(path, PROTOCOL) as socket:
        async for frame in socket:
            if frame.type is not aiohttp.WSMsgType.BINARY or not frame.data:
                continue
            channel, data = frame.data[0], frame.data[1:]
            size += len(data)
            if size > most + STDERR_BYTES:
                raise ApiError(0, "TooLong", f"{command[0]} in Pod {pod} printed too much")
            printed.setdefault(channel, []).append(data)
    parts = {channel: b"".join(found) for channel, found in printed.items()}
    return ProgramEnd(_exit_code(parts[ERROR], pod), parts[STDOUT], parts[STDERR])


def _exit_code(status: bytes, pod: str) -> int:
    """Read the Status that the server sends at the end. Raises `ApiError`."""
    try:
        answer = mapping(orjson.loads(status))
    except orjson.JSONDecodeError:
        cut = f"the connection to Pod {pod} ended before its program did"
        raise ApiError(0, "NoAnswer", cut) from None
    if answer.get("status") == "Success":
        return 0
    for cause in items(dig(answer, "details", "causes")):
        code = text(cause.get("message"))
        if cause.get("reason") == "ExitCode" and code.isdecimal():
            return int(code)
    raise ApiError(500, "ExecFailed", text(answer.get("message")) or f"cannot run it in Pod {pod}")
