"""An operator that kills itself with SIGKILL: `python -m tests.crash.victim --config FILE --crash POINT`.

A point is `before:create_job:2`, before the second call of that method of the client, or
`after:…`, when its answer is there and nobody has seen it yet; or `time:1.5`, seconds after the
start. The methods are the client's own: one that is added is a point by itself.

Calls are counted across the lives that end otherwise than at the point, as an operator does that
lost its lease on a slow machine: the trace holds them, from `--since` on.
"""

import argparse
import contextlib
import inspect
import os
import signal
import threading
from collections import Counter
from pathlib import Path

from podium.cli.operator import operator
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError
from podium.cluster.runs import shards

WHEN = ("before", "after")
SHARDS = {"INLINE_NODES": 4, "SHARD_NODES": 3, "RECENT_NODES": 2}
"""A run of a few nodes counts as large."""


OF_TRANSPORT = ("drain", "list_all", "watch")
"""Requests that the client has from its transport, whose other methods they all are made of."""


def methods():
    """Return the names of the client's requests."""
    own = (
        name
        for name, value in vars(KubernetesClient).items()
        if not name.startswith("_")
        and (inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value))
    )
    return sorted([*own, *OF_TRANSPORT])


class Crash:
    """Counts the calls, and ends the process at its point."""

    def __init__(self, point="", trace=None, earlier=()):
        self._calls = Counter(earlier)
        self._trace = trace
        self._point = None
        when, _, rest = point.partition(":")
        if when == "time":
            threading.Timer(float(rest), die).start()
        elif when:
            name, _, number = rest.partition(":")
            assert when in WHEN, point
            assert name in methods(), point
            self._point = when, name, int(number or 1)

    def reach(self, when, name):
        self._calls[when, name] += 1
        if self._trace is not None:
            os.write(self._trace, f"{when} {name}\n".encode())
        if self._point == (when, name, self._calls[when, name]):
            die()

    def wrap(self, name, method):
        async def call(*args, **kwargs):
            self.reach("before", name)
            try:
                answer = await method(*args, **kwargs)
            except ApiError:
                self.reach("after", name)
                raise
            self.reach("after", name)
            return answer

        async def stream(*args, **kwargs):
            self.reach("before", name)
            async with contextlib.aclosing(method(*args, **kwargs)) as answers:
                async for answer in answers:
                    self.reach("after", name)
                    yield answer

        return stream if inspect.isasyncgenfunction(method) else call


def calls(trace):
    """Return what a trace holds: `before` or `after`, and the name, of each request."""
    return [tuple(line.split()) for line in Path(trace).read_text().splitlines()]


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", required=True)
    parser.add_argument("--crash", default="", metavar="POINT")
    parser.add_argument("--trace", metavar="FILE", help="append each request, before and after it")
    parser.add_argument("--since", type=int, default=0, help="lines of the trace that do not count")
    given = parser.parse_args(arguments)
    trace, earlier = None, []
    if given.trace:
        trace = os.open(given.trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        earlier = calls(given.trace)[given.since :]
    crash = Crash(given.crash, trace, earlier)
    for name in methods():
        setattr(KubernetesClient, name, crash.wrap(name, getattr(KubernetesClient, name)))
    for name, value in SHARDS.items():
        setattr(shards, name, value)
    operator.main(["--config", given.config], standalone_mode=False)


if __name__ == "__main__":
    main()
