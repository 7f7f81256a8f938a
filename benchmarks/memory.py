"""What the operator needs with many active runs: `python -m benchmarks.memory --runs 1000`.

Each run is a chain of 6 whose first node holds, so all of them are Running at the same time. The
memory is that of the operator's process, when the runs have been still for some seconds.
"""

import argparse
import asyncio
import signal
import sys
import time

from benchmarks import metrics
from benchmarks.api import Api, connect
from benchmarks.floor import CREATES_AT_A_TIME
from benchmarks.graphs import chain
from benchmarks.operator_run import GROUP, clean, until_valid, workflow
from benchmarks.testbed import Testbed, own_testbed
from tests.cluster.kwok import HOLD

MUST = 200.0
"""MB, at most."""
STILL_SECONDS = 10
PATIENCE = 1800


def say(text: str) -> None:
    """Print progress to standard error."""
    print(f"[{time.monotonic() - START:6.1f}s] {text}", file=sys.stderr, flush=True)


START = time.monotonic()


async def make(api: Api, place: Testbed, count: int, own: int) -> None:
    """Make the Workflow and so many runs, a share of them with the graph in the run itself."""
    body = workflow("held", chain(6))
    body["spec"]["nodes"][0]["pod"] = {"annotations": {HOLD: "true"}}
    await api.call("POST", place.workflows, body)
    await until_valid(api, f"{place.workflows}/held")
    slots = asyncio.Semaphore(CREATES_AT_A_TIME)

    async def submit(index: int) -> None:
        what = {"workflowSpec": body["spec"]} if index < own else {"workflowRef": {"name": "held"}}
        async with slots:
            await api.call(
                "POST",
                place.runs,
                {
                    "apiVersion": GROUP,
                    "kind": "WorkflowRun",
                    "metadata": {"name": f"run-{index}"},
                    "spec": what,
                },
            )

    await asyncio.gather(*map(submit, range(count)))


async def until_running(place: Testbed, count: int) -> None:
    """Wait until so many nodes run."""
    while True:
        place.operator()
        gauges = await metrics.gauges(place.port)
        running = gauges["podium_nodes_running"]
        if running >= count and not gauges["podium_queue_depth"]:
            return
        await asyncio.sleep(1)


async def cancel(api: Api, place: Testbed, count: int) -> None:
    """End all runs, and wait until they have ended."""
    slots = asyncio.Semaphore(CREATES_AT_A_TIME)

    async def one(index: int) -> None:
        async with slots:
            await api.patch(f"{place.runs}/run-{index}", {"spec": {"cancel": True}})

    await asyncio.gather(*map(one, range(count)))
    while True:
        place.operator()
        ended = [
            value
            for name, value in (await metrics.gauges(place.port)).items()
            if name.startswith("podium_runs_total")
        ]
        if sum(ended) >= count:
            return
        await asyncio.sleep(1)


async def measure(place: Testbed, count: int, own: int) -> float:
    """Print the memory at each stage; return that with all runs active."""

    async def look(what: str) -> float:
        await asyncio.sleep(STILL_SECONDS)
        found = await metrics.Operator.look(place.operator.pid, place.port)
        kept = {
            name.partition('"')[2].partition('"')[0]: int(value)
            for name, value in (await metrics.gauges(place.port)).items()
            if name.startswith("podium_objects_kept")
        }
        print(
            f"{what:<34} {found.resident:7.1f} MB  peak {found.peak:7.1f} MB  kept: {kept}",
            flush=True,
        )
        return found.resident

    async with connect() as api, asyncio.timeout(PATIENCE):
        while not (await metrics.gauges(place.port)).get("podium_leading"):  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        before = await look("nothing to do")
        await make(api, place, count, own)
        say("submitted")
        await until_running(place, count)
        say("all are running")
        active = await look(f"{count} active runs")
        await cancel(api, place, count)
        say("all have ended")
        await look("all ended, their objects there")
        await clean(api, place.namespace)
        after = await look("all deleted")
        print(
            f"a run costs {1024 * (active - before) / count:.0f} KB;"
            f" {after - before:.1f} MB stay after it all"
        )
        return active


def main() -> None:
    """Measure, and print whether it is as asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--own", type=int, default=0, help="so many of them bring their own graph")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with own_testbed() as place:
        try:
            active = asyncio.run(measure(place, options.runs, options.own))
        except BaseException:
            say(f"the operator's log ends with:\n{place.operator.log.read_text()[-2000:]}")
            raise
    word = "ok" if active < MUST else "MISS"
    print(f"{options.runs} active runs: {active:.0f} MB, must be under {MUST:.0f} MB: {word}")


if __name__ == "__main__":
    main()
