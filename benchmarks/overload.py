"""Far more runs at once than the cluster can work on: `python -m benchmarks.overload --runs 5000`.

Runs of one node each, on fake machines. They must be worked through in the order in which they were
made, while a user who cancels one is heard at once and each run costs the same few writes. The rate
is held against raw Pods that one client makes in the same run.
"""

import argparse
import asyncio
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks import floor, metrics
from benchmarks.api import Api, connect
from benchmarks.floor import CREATES_AT_A_TIME
from benchmarks.graphs import chain, fan
from benchmarks.operator_run import ENDED, GROUP, clean, until_valid, workflow
from benchmarks.testbed import Testbed, own_testbed, warn_of_others
from tests.cluster.kwok import HOLD
from tests.conformance.cluster_shell import connect as connect_models

MOST_OVERTAKEN = 500
"""No run waits while so many that were made later have ended; a tenth of all, if that is less."""
CANCEL_SHARE = 0.1
"""A cancel may take so much of what a run waits in the median, and a second is always fine."""
MOST_STATUS_WRITES = 4
"""For a run of one node: it begins, its node runs, it ends; one to spare."""
FLOOR_PODS = 1000
STEPS = (0.1, 0.3, 0.5, 0.7)
"""Cancels come when this share of the runs has ended."""
PATIENCE = 3600


def say(text: str) -> None:
    """Print progress to standard error."""
    print(f"[{time.monotonic() - START:6.1f}s] {text}", file=sys.stderr, flush=True)


START = time.monotonic()


@dataclass
class Seen:
    """What became of the runs."""

    made: dict[str, float] = field(default_factory=dict)
    """When, by name, in their order."""
    ended: dict[str, float] = field(default_factory=dict)
    """When, by name, in the order of their ends."""
    cancelled: dict[str, float] = field(default_factory=dict)
    """When that was asked for."""
    phases: Counter[str] = field(default_factory=Counter)

    def waits(self) -> list[float]:
        """Return the seconds from being made to the end of runs that were not cancelled."""
        return [
            end - self.made[name] for name, end in self.ended.items() if name not in self.cancelled
        ]

    def cancels(self) -> list[float]:
        """Return the seconds from being asked to the end of what was cancelled."""
        return [self.ended[name] - asked for name, asked in self.cancelled.items()]

    def overtaken(self) -> int:
        """Return how many later runs ended before one that had to wait, at most."""
        place = {name: number for number, name in enumerate(self.made)}
        order = [place[name] for name in self.ended if name not in self.cancelled]
        return most_overtaken(order)


def most_overtaken(order: list[int]) -> int:
    """Of numbers in the order of their ends: how many larger ones stand before one, at most."""
    size = max(order, default=0) + 1
    tree = [0] * (size + 1)
    worst = 0
    for before, number in enumerate(order):
        smaller, at = 0, number + 1
        while at:
            smaller += tree[at]
            at -= at & -at
        worst = max(worst, before - smaller)
        at = number + 1
        while at <= size:
            tree[at] += 1
            at += at & -at
    return worst


class Overload:
    """Makes the runs, cancels some, and sees their ends."""

    def __init__(self, api: Api, place: Testbed, count: int) -> None:
        self._api = api
        self._place = place
        self._count = count
        self.seen = Seen()
        self._held = [f"held-{number}" for number in range(len(STEPS))]

    async def prepare(self) -> None:
        """Make the Workflows, and the runs that work until they are cancelled."""
        held = workflow("held", chain(1))
        held["spec"]["nodes"][0]["pod"] = {"annotations": {HOLD: "true"}}
        for body in (held, workflow("single", chain(1))):
            await self._api.call("POST", self._place.workflows, body)
            name = body["metadata"]["name"]
            await until_valid(self._api, f"{self._place.workflows}/{name}")
        for name in self._held:
            await self._make(name, "held")
        while True:
            query = {"fieldSelector": "status.phase=Running"}
            found = await self._api.call("GET", self._place.pods, **query)
            if len(found["items"]) == len(self._held):
                return
            await asyncio.sleep(0.5)

    async def _make(self, name: str, graph: str) -> None:
        body = {
            "apiVersion": GROUP,
            "kind": "WorkflowRun",
            "metadata": {"name": name},
            "spec": {"workflowRef": {"name": graph}},
        }
        self.seen.made[name] = time.monotonic()
        await self._api.call("POST", self._place.runs, body)

    async def submit(self) -> None:
        """Make the runs: in their order, many at a time."""
        names = iter([f"run-{number}" for number in range(self._count)])

        async def lane() -> None:
            for name in names:
                await self._make(name, "single")

        await asyncio.gather(*(lane() for _ in range(CREATES_AT_A_TIME)))
        say("all are made")

    async def watch(self) -> None:
        """See the ends, until there is no more to come."""
        listed = await self._api.call("GET", self._place.runs, limit="1")
        version = listed["metadata"]["resourceVersion"]
        everything = self._count + len(self._held)
        steps = [round(step * self._count) for step in STEPS]
        tasks = set()
        async for event in self._api.watch(self._place.runs, version, fieldSelector=ENDED):
            name = event["object"]["metadata"]["name"]
            if event["type"] == "DELETED" or name in self.seen.ended:
                continue
            self.seen.ended[name] = time.monotonic()
            self.seen.phases[event["object"]["status"]["phase"]] += 1
            done = len(self.seen.ended)
            if done % max(1, self._count // 10) == 0:
                say(f"{done} have ended")
            if steps and done >= steps[0]:
                steps.pop(0)
                # One that works, and one whose turn is still to come.
                tasks |= {
                    asyncio.create_task(self._cancel(self._held[len(steps)])),
                    asyncio.create_task(self._cancel(f"run-{self._count - 10 - len(steps)}")),
                }
            if done == everything:
                break
        await asyncio.gather(*tasks)

    async def _cancel(self, name: str) -> None:
        if name in self.seen.made and name not in self.seen.ended:
            self.seen.cancelled[name] = time.monotonic()
            await self._api.patch(f"{self._place.runs}/{name}", {"spec": {"cancel": True}})


async def measure(place: Testbed, count: int) -> list[str]:
    """Measure the floor and Podium; print them, and return what is not as asked."""
    async with connect() as api:
        pods = min(count, FLOOR_PODS)
        raw = await floor.run(
            api, place.namespace, fan(pods), pod_defaults=place.machines.pod_defaults
        )
        say(f"raw: {pods} Pods in {raw.seconds:.1f} s")
        load = Overload(api, place, count)
        await load.prepare()
        before = await metrics.Operator.look(place.operator.pid, place.port)
        begin = time.monotonic()
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
            tasks.create_task(load.watch())
            tasks.create_task(load.submit())
        seconds = time.monotonic() - begin
        place.operator()
        await asyncio.sleep(5)  # what still has to be written belongs to it
        used = (await metrics.Operator.look(place.operator.pid, place.port)).since(before)
        await clean(api, place.namespace)
    return verdict(load.seen, used, count, seconds, raw)


def verdict(
    seen: Seen, used: metrics.Operator, count: int, seconds: float, raw: floor.Result
) -> list[str]:
    """Print what was found; return what is not as asked."""
    wrong: list[str] = []

    def row(what: str, value: Any, must: str, *, ok: bool) -> None:
        print(f"{what:<44} {value:>12} {must:>22} {'ok' if ok else 'MISS'}")
        if not ok:
            wrong.append(what)

    rate = count / seconds
    wait, cancels = median(seen.waits()), seen.cancels()
    status = used.writes["PATCH workflowruns/status"] / count
    print(f"raw Pods: {raw.rate:.1f} a second; Podium: {rate:.1f} runs a second, {seconds:.0f} s")
    print(f"ratio {rate / raw.rate:.2f}; cpu {1000 * used.cpu / count:.1f} ms a run;"
          f" peak {used.peak:.0f} MB; {used.writes.total() / count:.1f} writes a run")  # fmt: skip
    for what, number in sorted(used.writes.items()):
        if number / count >= 0.05:
            print(f"    {what:<40} {number / count:.2f}")
    row("ends", str(dict(seen.phases)), "", ok=seen.phases["Failed"] == 0)
    most = min(MOST_OVERTAKEN, max(50, count // 10))
    overtaken = seen.overtaken()
    row("later runs that overtook one, at most", overtaken, f"<= {most}", ok=overtaken <= most)
    row("a run waits, median", f"{wait:.1f} s", "", ok=True)
    slowest = max(1.0, CANCEL_SHARE * wait)
    row("a cancel takes, median", f"{median(cancels):.1f} s", "", ok=True)
    row("a cancel takes, at most", f"{max(cancels):.1f} s", f"<= {slowest:.1f} s",
        ok=max(cancels) <= slowest)  # fmt: skip
    row("status writes a run", f"{status:.2f}", f"<= {MOST_STATUS_WRITES}",
        ok=status <= MOST_STATUS_WRITES)  # fmt: skip
    return wrong


def main() -> None:
    """Measure, and print whether it is as asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--runs", type=int, default=5000)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with own_testbed(guarded=warn_of_others(connect_models(), say)) as place:
        try:
            wrong = asyncio.run(measure(place, options.runs))
        except BaseException:
            say(f"the operator's log ends with:\n{place.operator.log.read_text()[-2000:]}")
            raise
    print(f"{options.runs} runs at once: {'MISS: ' + ', '.join(wrong) if wrong else 'ok'}")


if __name__ == "__main__":
    main()
