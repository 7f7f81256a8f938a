"""Named commands: a program that gets the arguments as JSON and prints its result."""

import asyncio
import json
import os
import signal
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from podium.personas.tools.base import CUT, RESULT_BYTES, ToolError, ToolFacts

__all__ = ["Command"]

SECONDS = 60
END_SECONDS = 2
"""For what was written and not read when the command ended."""


class Command:
    """One command; what it writes beside its result stays below the node's artifacts."""

    def __init__(self, given: Mapping[str, Any], directory: Path, env: Mapping[str, str]) -> None:
        self.facts = ToolFacts(
            given["name"], given.get("description") or "", given.get("parameters") or {}
        )
        self._argv = list(given["command"])
        self._seconds = given.get("timeoutSeconds") or SECONDS
        self._directory = directory
        self._env = env

    async def call(self, arguments: Mapping[str, Any]) -> str:
        """Run it to its end. Raises `ToolError`: it failed, or took too long."""
        try:  # what ran before may have removed it
            self._directory.mkdir(parents=True, exist_ok=True)
            return await self._run(arguments)
        except OSError as error:
            raise ToolError(f"cannot be run: {error.strerror}") from None

    async def _run(self, arguments: Mapping[str, Any]) -> str:
        # Pipes of our own: asyncio's wait for a process waits for its pipes too, which what it
        # left behind may hold.
        with (
            tempfile.TemporaryFile(dir=self._directory) as given,
            _Pipe(RESULT_BYTES) as out,
            _Pipe(2000) as errors,
        ):
            given.write(json.dumps(arguments).encode())
            given.seek(0)
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._argv,
                    stdin=given,
                    stdout=out.theirs,
                    stderr=errors.theirs,
                    cwd=self._directory,
                    env=self._env,
                    start_new_session=True,
                )
            except OSError as error:
                raise ToolError(f"cannot be started: {error.strerror}") from None
            reading = [
                asyncio.ensure_future(each.read(full))
                for each, full in ((out, lambda: _kill(process)), (errors, None))
            ]
            try:
                async with asyncio.timeout(self._seconds):
                    await process.wait()
            except TimeoutError:
                raise ToolError(f"took longer than {self._seconds:g} s") from None
            finally:
                _kill(process)
                await process.wait()
                await asyncio.wait(reading, timeout=END_SECONDS)
                for each in reading:
                    each.cancel()
        if process.returncode and not out.is_full:
            words = errors.text().strip() or out.text()
            raise ToolError(f"exit code {process.returncode}: {words}")
        return out.text() + (CUT if out.is_full else "")


def _kill(process: asyncio.subprocess.Process) -> None:
    """End a command and all of its process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


class _Pipe:
    """What a program writes, up to a bound; what is beyond is read and let go."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found = bytearray()
        self.is_full = False
        self._ours, self.theirs = os.pipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._ours, self.theirs):
            with suppress(OSError):
                os.close(each)

    async def read(self, full: Callable[[], None] | None) -> None:
        """Read to the end; `full` is called when there is too much."""
        os.close(self.theirs)
        while chunk := await self._chunk():
            self.is_full = self.is_full or len(self._found) + len(chunk) > self._most
            self._found += chunk[: self._most - len(self._found)]
            if self.is_full and full is not None:
                full()

    async def _chunk(self) -> bytes:
        """Return what is there, when something is; empty: it is closed."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._ours, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._ours)
        return os.read(self._ours, 65536)

    def text(self) -> str:
        """Return what was read."""
        return self._found.decode("utf-8", "replace")
