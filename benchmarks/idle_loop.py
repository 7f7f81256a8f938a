"""The floor of the loop's lag: a loop with nothing to do, measured beside the operator's.

What it stands still for is the machine's: other programs have its cores. It is a process of its own
that answers each line of its standard input with the quantiles since the line before.
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from podium.cluster.loop_lag import measure_lag

__all__ = ["IdleLoop"]


class IdleLoop:
    """A process whose loop has nothing to do."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator["IdleLoop"]:
        """Start it; it ends with the block."""
        command = (sys.executable, "-m", "benchmarks.idle_loop")
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
        try:
            yield cls(process)
        finally:
            process.kill()
            await process.wait()

    async def quantile(self, share: float) -> float:
        """Return a quantile of its lag, in seconds, since it was last asked."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{share}\n".encode())
        await self._process.stdin.drain()
        return float(json.loads(await self._process.stdout.readline()))


async def _main() -> None:
    seen: list[float] = []
    asked = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(asked)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    measuring = asyncio.create_task(measure_lag(seen.append))
    while line := await asked.readline():
        ordered = sorted(seen)
        seen.clear()
        place = int(float(line) * len(ordered))
        print(json.dumps(ordered[min(place, len(ordered) - 1)] if ordered else 0.0), flush=True)
    measuring.cancel()


if __name__ == "__main__":
    asyncio.run(_main())
