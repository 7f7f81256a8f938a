"""What a program leaves running when it kills its supervisor and the starter: podium ends it.

Podium adopts what the starter had adopted (`PR_SET_CHILD_SUBREAPER`), so it needs no mark on the
processes to find them. Only a program that kills podium, too, can leave something behind.
"""

import contextlib
import os
import signal
from collections.abc import Container

from podium.local.process_tree import below, children_of_all, send

__all__ = ["end_orphans"]


def end_orphans(known: Container[int]) -> bool:
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
