"""What a program leaves running when it kills its supervisor and the starter: podium ends it.

Podium adopts what the starter had adopted (`PR_SET_CHILD_SUBREAPER`), so it needs no mark on the
processes to find them. Only a program that kills podium, too, can leave something behind.
"""

import asyncio
import contextlib
import os
import signal
import weakref
from collections.abc import Container
from typing import Protocol

from podium.local.process_tree import below, children_of_all, send

__all__ = ["STARTERS", "UsesStarter", "end_orphans"]


class UsesStarter(Protocol):
    """A run's programs, with their starter."""

    @property
    def was_killed(self) -> bool:
        """Whether a starter was killed: what it had adopted is podium's now."""
        ...

    @property
    def is_starting(self) -> bool:
        """Whether starts are asked for that are not known to have happened."""
        ...

    def at_work(self) -> set[int]:
        """Return the starter and the supervisors of what runs."""
        ...


STARTERS: "weakref.WeakSet[UsesStarter]" = weakref.WeakSet()
"""Those of all runs of this process: what one knows, another one spares."""


async def end_orphans() -> None:
    """End what starters had adopted that were killed. Returns when it is gone."""
    while any(each.was_killed for each in STARTERS):
        # Supervisors that a starter asked before its end may not be known yet.
        if not any(each.is_starting for each in STARTERS):
            known = {pid for each in STARTERS for pid in each.at_work()}
            if not _kill(known):
                return
        await asyncio.sleep(0.02)


def _kill(known: Container[int]) -> bool:
    """Kill the trees of orphans that this process adopted; return whether any could be sent it.

    `known` are the starters and supervisors at work. What podium itself starts, such as `docker`,
    is in its own session; no orphan is, for each program began a new one.
    """
    session, children = os.getsid(0), children_of_all()
    found = []
    for pid in children.get(os.getpid(), ()):
        with contextlib.suppress(ProcessLookupError):
            if pid not in known and os.getsid(pid) != session:
                found += [pid, *below(pid, children)]
    sent = send(found, signal.SIGKILL)
    for pid in found:
        with contextlib.suppress(ChildProcessError):  # below one of them
            os.waitpid(pid, os.WNOHANG)
    return sent
