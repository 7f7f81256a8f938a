"""Worker processes: starting them, one that stands by, ending them, reading what they write."""

import asyncio
import logging
import os
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress

from podium.errors import PodiumError
from podium.judge import frames

__all__ = ["GoneError", "Workers", "read_frames"]

log = logging.getLogger(__name__)

START_SECONDS = 60.0
RESTART_SECONDS = (0.5, 30.0)
"""Between starts that fail: at first, and at most."""
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
"""What workers get of the environment: no tokens, no proxies, no settings."""


class GoneError(PodiumError):
    """The worker ended; the number is how, as of `Process.returncode`."""

    def __init__(self, code: int | None) -> None:
        self.code = code
        super().__init__(f"a worker ended ({code})")


class Workers:
    """The processes of a pool that have not been ended."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._spare: asyncio.Task[Process] | None = None
        self._living: set[Process] = set()

    def stand_by(self) -> None:
        """Begin to start the worker that `take` returns next."""
        self._spare = asyncio.create_task(self._start(), name="judge-spare")

    async def take(self) -> Process:
        """Return a worker that is ready; the next one begins to start."""
        assert self._spare is not None  # noqa: S101 - `run` made one
        spare = self._spare
        self.stand_by()  # before waiting: another one that waits too must not get the same
        return await spare

    async def _start(self) -> Process:
        """Start a worker, again and again until one is ready."""
        wait, most = RESTART_SECONDS
        while True:
            try:
                return await self._start_once()
            except (OSError, EOFError, ValueError) as error:
                log.warning("judge: no worker could be started: %r", error)
            await asyncio.sleep(wait)
            wait = min(2 * wait, most)

    async def _start_once(self) -> Process:
        begin = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,
            stdout=PIPE,
            env={key: os.environ[key] for key in _ENVIRONMENT if key in os.environ},
        )
        self._living.add(process)
        try:
            async with asyncio.timeout(START_SECONDS):
                await read_frames(process)
        except BaseException:
            self.end(process)
            raise
        log.debug("judge: a worker started in %.2f s", time.monotonic() - begin)
        return process

    def end(self, process: Process | None) -> None:
        """Kill a worker, if there is one."""
        if process is not None:
            self._living.discard(process)
            _end(process)

    async def close(self) -> None:
        """Kill all of them."""
        if self._spare is not None:
            self._spare.cancel()
        for process in self._living:
            _end(process)
        with suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(1.0):  # they are killed: only to collect them
                await asyncio.gather(*(each.wait() for each in self._living))


def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - it closes the pipes


async def read_frames(process: Process) -> tuple[bytes, bytes]:
    """Read an answer: its header and itself."""
    assert process.stdout is not None  # noqa: S101 - for the type checker
    found = []
    for _ in range(2):
        (length,) = frames.LENGTH.unpack(await process.stdout.readexactly(frames.LENGTH.size))
        if length > 2 * frames.MAX_ANSWER_BYTES:
            raise ValueError(f"a frame of {length} bytes")
        found.append(await process.stdout.readexactly(length) if length else b"")
    return found[0], found[1]
