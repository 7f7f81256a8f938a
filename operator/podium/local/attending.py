"""What other commands ask of a run that this podium works on: looked for while it runs."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from podium.local.shell import LocalRun

__all__ = ["attend"]

TICK_SECONDS = 0.1


async def attend(
    run: "LocalRun", tick: Callable[[], None] = lambda: None, seconds: float = TICK_SECONDS
) -> None:
    """Pass on what other commands ask, until cancelled; `tick` is called each time, too."""
    asked = (False, False)
    decided: set[str] = set()
    while True:
        directory = run.directory
        now = (directory.is_cancel_requested, directory.is_terminate_requested)
        if any(now) and now != asked:
            asked = now
            run.control(cancel=True, terminate=now[1])
        if (directory.path / "approvals").exists():
            _take_decisions(run, decided)
        await asyncio.sleep(seconds)
        tick()


def _take_decisions(run: "LocalRun", decided: set[str]) -> None:
    """Hand on what `podium approve | reject` left; remove what the run's state says was done."""
    from podium.local import approvals  # noqa: PLC0415 - few runs have approvals

    for request in approvals.pending(run.directory):
        if request.id in run.saved_requests or run.status.phase.ended:
            approvals.clear(run.directory, request.id)
        elif request.id not in decided:
            decided.add(request.id)
            run.request(request)
