"""A map of many items against raw Pods, on fake machines: `python -m benchmarks.maps`.

A node with forEach runs a container that does nothing once for each item: all items of the map
share one Indexed Job, whose Pods Podium makes. The floor is one client that makes as many raw
Pods. The ratio is of items a second, of a pair that ran one right after the other.

Raw Pods are all there at once, and of the items so many as may run at the same time: on a machine
that others use, where a Pod takes 8 seconds from its creation to its end, 100 are at most 12 a
second, whoever makes them. There more must run at the same time (--at-once).
"""

import argparse
import asyncio
import signal
import sys
import time
import uuid
from typing import Any

from benchmarks import floor, metrics
from benchmarks.api import Api, connect
from benchmarks.floor import IMAGE
from benchmarks.graphs import fan
from benchmarks.operator_run import GROUP, clean
from benchmarks.testbed import Testbed, own_testbed, warn_of_others
from tests.conformance.cluster_shell import connect as connect_models

MUST = 0.8
AT_ONCE = 100
"""Items that run at the same time: what is open of a map is what its status and memory grow by."""
FLAT = 1.25
"""How much more memory than a tenth of the items a map may take."""
REST_SECONDS = 15
PATIENCE = 1200
LOOK_SECONDS = 0.5
START = time.monotonic()


def say(text: str) -> None:
    """Print progress to standard error."""
    print(f"[{time.monotonic() - START:6.1f}s] {text}", file=sys.stderr, flush=True)


def map_run(name: str, items: int, at_once: int) -> dict[str, Any]:
    """Make the run of a map whose items are numbers."""
    node = {
        "id": "each",
        "forEach": "context.list",
        "executor": "container",
        "config": {"image": IMAGE, "command": ["true"]},
    }
    return {
        "apiVersion": GROUP,
        "kind": "WorkflowRun",
        "metadata": {"name": name},
        "spec": {
            "workflowSpec": {"nodes": [node], "inputs": {"properties": {"list": {}}}},
            "context": {"list": list(range(items))},
            "maxParallel": at_once,
        },
    }


async def run(api: Api, place: Testbed, items: int, at_once: int) -> tuple[float, metrics.Operator]:
    """Run a map; return the seconds it took, and what the operator used and did."""
    name = f"map-{uuid.uuid4().hex[:8]}"
    before = await metrics.Operator.look(place.operator.pid, place.port)
    begin = time.perf_counter()
    await api.call("POST", place.runs, map_run(name, items, at_once))
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await api.call("GET", f"{place.runs}/{name}")
            status = found.get("status", {})
            if status.get("phase") == "Succeeded":
                break
            if status.get("phase") in ("Failed", "Cancelled"):
                raise RuntimeError(f"the map did not succeed: {str(status)[:1000]}")
            place.operator()
            await asyncio.sleep(LOOK_SECONDS)
    seconds = time.perf_counter() - begin
    state = status["nodes"]["each"]["items"]
    if state["completed"] != f"0-{items - 1}":
        raise RuntimeError(f"not all items completed: {state}")
    await asyncio.sleep(2)  # what still has to be written belongs to it
    jobs = (await api.call("GET", place.jobs))["items"]
    say(f"{len(jobs)} Job, {jobs[0]['status'].get('completedIndexes')}")
    after = await metrics.Operator.look(place.operator.pid, place.port)
    await clean(api, place.namespace)
    return seconds, after.since(before)


async def measure(place: Testbed, items: int, pairs: int, at_once: int) -> bool:
    """Print each pair, and what a map of a tenth takes of memory; return whether all holds."""
    holds = False
    async with connect() as api:
        while not (await metrics.gauges(place.port)).get("podium_leading"):  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        _, small = await run(api, place, max(1, items // 10), at_once)
        print(
            f"{items // 10} items: the operator has {small.resident:.0f} MB, peak {small.peak:.0f}"
        )
        for pair in range(1, pairs + 1):
            await asyncio.sleep(REST_SECONDS)
            raw = await floor.run(
                api,
                place.namespace,
                fan(items),
                pod_defaults=place.machines.pod_defaults,
                patience=PATIENCE,
            )
            say(f"raw Pods: {raw.seconds:.1f} s")
            await asyncio.sleep(REST_SECONDS)
            seconds, used = await run(api, place, items, at_once)
            own = items / seconds
            ratio, flat = own / raw.rate, used.peak / small.peak
            holds = holds or ratio >= MUST
            writes = {
                what: round(n / items, 2) for what, n in used.writes.items() if n > items / 20
            }
            print(
                f"pair {pair}: {items} items: raw {raw.rate:.1f}/s, Podium {own:.1f}/s,"
                f" ratio {ratio:.2f}, must be >={MUST}: {'ok' if ratio >= MUST else 'MISS'}"
            )
            print(
                f"  operator: {1000 * used.cpu / items:.1f} ms CPU each, peak {used.peak:.0f} MB,"
                f" {flat:.2f} times that of a tenth: {'ok' if flat <= FLAT else 'MISS'}"
            )
            print(f"  writes an item: {writes}", flush=True)
    return holds


def main() -> None:
    """Measure, and print whether it is as asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.maps", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--items", type=int, default=3000)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    warn_of_others(connect_models(), say)
    with own_testbed() as place:
        try:
            asyncio.run(measure(place, options.items, options.pairs, options.at_once))
        except BaseException:
            say(f"the operator's log ends with:\n{place.operator.log.read_text()[-2000:]}")
            raise


if __name__ == "__main__":
    main()
