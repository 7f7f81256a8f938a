"""How long the operator's event loop stands still: what one object costs all the others."""

import asyncio
from collections.abc import Callable

__all__ = ["measure_lag"]

SAMPLE_SECONDS = 0.02


async def measure_lag(observe: Callable[[float], None]) -> None:
    """Report by how many seconds the loop wakes a short sleep too late, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + SAMPLE_SECONDS
        await asyncio.sleep(SAMPLE_SECONDS)
        observe(max(0.0, loop.time() - due))
