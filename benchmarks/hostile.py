"""What hostile objects cost a neighbour: `python -m benchmarks.hostile --objects 500`.

One node runs again and again in a namespace, first alone, then while the operator works on objects
of another namespace that are made to be expensive: until all of these have ended, or for some
minutes, for three of eight take a worker 10 s each. Pods are those of fake machines, so what is
left is the control plane. Runs while the objects are being made are counted by themselves: the API
server then works on both cores for whoever makes them.
"""

import argparse
import asyncio
import os
import signal
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from kubernetes import client

from benchmarks import metrics
from benchmarks.api import Api, Refused, connect
from benchmarks.graphs import chain
from benchmarks.idle_loop import IdleLoop
from benchmarks.operator_run import ENDED, GROUP, clean, until_valid, workflow
from benchmarks.testbed import Testbed, own_testbed
from tests.conformance.cluster_shell import connect as connect_models
from tests.conformance.own_operator import own_namespace

MUST_RATIO = 1.2
MUST_LAG = 0.05
MUST_MB = 512
LAG = "podium_event_loop_lag_seconds_bucket"
NODE = {"id": "a", "executor": "script", "config": {"script": ":"}}
PATIENCE = 1800
HELLO_SECONDS = 120
"""A neighbour's run that takes so long ends the measurement."""
MAKERS = 4
"""Objects that are made at a time: the server has work with each, too."""
LOOK_SECONDS = 30
"""Between looks at how many have ended: the server reads all of the objects for each."""
START = time.monotonic()


def say(text: str) -> None:
    """Print progress to standard error."""
    print(f"[{time.monotonic() - START:6.1f}s] {text}", file=sys.stderr, flush=True)


# The objects


def doubling(levels: int) -> dict[str, Any]:
    """Make a schema whose references double at each level."""
    made: dict[str, Any] = {
        f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(levels)
    }
    return {"$defs": {**made, f"d{levels}": {}}, "$ref": "#/$defs/d0"}


def kinds() -> dict[str, dict[str, Any]]:
    """Return the specs of runs that are made to be expensive."""
    any_of = {"anyOf": [{"anyOf": [{"anyOf": [{}] * 20}] * 20}] * 10}
    hidden = {"additionalProperties": {"anyOf": [{"pattern": "^(a|a)*$"}, {}]}}
    condition = f"[{','.join(['str(context.b)'] * 64)}] == 0"
    wide = [{**NODE, "id": f"n{i}", "condition": "1 == 2"} for i in range(5000)]
    texts = [{**NODE, "id": f"n{i}", "condition": condition} for i in range(6)]
    return {
        "references that double": {"workflowSpec": {"nodes": [NODE], "inputs": doubling(17)}},
        "nested anyOf": {"workflowSpec": {"nodes": [NODE], "inputs": any_of}},
        "a bad pattern inside anyOf": {
            "workflowSpec": {"nodes": [NODE], "inputs": hidden},
            "context": {f"k{i}": "a" * 40 + "!" for i in range(30)},
        },
        "5,000 nodes": {"workflowSpec": {"nodes": wide}},
        "1.3 MB of empty objects": {
            "workflowSpec": {"nodes": [NODE]},
            "context": {"b": [{}] * 430_000},
        },
        "conditions full of str": {
            "workflowSpec": {"nodes": texts},
            "context": {"b": [[]] * 20_000},
        },
        "9,000 requests": {"workflowSpec": {"nodes": [{**NODE, "condition": "1 == 2"}]}},
        "10,000 levels": {"workflowSpec": {"nodes": [NODE]}, "context": {"b": "DEEP"}},
    }


def bodies() -> list[bytes]:
    """Make one of each, as JSON, before anything is measured: that takes seconds."""
    return [body_of(kind, spec) for kind, spec in kinds().items()]


def body_of(kind: str, spec: dict[str, Any]) -> bytes:
    """Make one of them, as JSON, under the name NAME."""
    made: dict[str, Any] = {
        "apiVersion": GROUP,
        "kind": "WorkflowRun",
        "metadata": {"name": "NAME"},
        "spec": spec,
    }
    if kind == "9,000 requests":
        rows = [{"id": str(each), "nodes": ["a"]} for each in range(9000)]
        text = orjson.dumps(rows).decode()
        # The server takes 256 KiB of annotations: as many of them as there is room for.
        text = text[: text.rindex("},", 0, 256 * 1024 - 100) + 1] + "]"
        made["metadata"]["annotations"] = {"podium.dev/accepted": text}
    levels = 9_990
    return orjson.dumps(made).replace(b'"DEEP"', b"[" * levels + b"]" * levels)


# Measuring


@dataclass
class Lag:
    """Samples of the loop's lag, by the bound of their bucket, cumulative."""

    buckets: Counter[float] = field(default_factory=Counter)

    @classmethod
    async def look(cls, port: int) -> "Lag":
        """Read the operator's metric."""
        found = cls()
        for name, value in (await metrics.gauges(port)).items():
            if name.startswith(LAG):
                found.buckets[float(name.partition('"')[2].partition('"')[0])] = int(value)
        return found

    def quantile(self, share: float, since: "Lag") -> float:
        """Return the bound of the bucket that a quantile of the samples is in."""
        counts = {bound: n - since.buckets[bound] for bound, n in self.buckets.items()}
        total = counts[float("inf")]
        return min(bound for bound, count in counts.items() if count >= share * total)


def memory(pid: int) -> tuple[float, float]:
    """Return the MB in memory of a process (its peak) and of its children (now)."""

    def field_of(process: int, name: str) -> float:
        try:
            lines = Path(f"/proc/{process}/status").read_text().splitlines()
        except OSError:
            return 0.0
        return next((int(x.split()[1]) / 1024 for x in lines if x.startswith(name)), 0.0)

    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return field_of(pid, "VmHWM"), sum(field_of(int(each), "VmRSS") for each in children)


async def hello(api: Api, path: str, number: int) -> float:
    """Run one node; return the seconds until its end is seen."""
    name = f"hello-{number}"
    listed = await api.call("GET", path, limit="1")
    query = {"fieldSelector": f"metadata.name={name},{ENDED}"}
    events = api.watch(path, listed["metadata"]["resourceVersion"], **query)
    begin = time.perf_counter()
    run = {
        "apiVersion": GROUP,
        "kind": "WorkflowRun",
        "metadata": {"name": name},
        "spec": {"workflowRef": {"name": "hello"}},
    }
    async with asyncio.timeout(HELLO_SECONDS):
        await api.call("POST", path, run)
        async for event in events:
            phase = event["object"]["status"]["phase"]
            if phase != "Succeeded":
                raise RuntimeError(f"{name}: {phase}")
            break
    seconds = time.perf_counter() - begin
    await events.aclose()
    return seconds


async def submit(api: Api, path: str, made: list[bytes], count: int, refused: Counter[str]) -> None:
    """Make so many hostile objects; what the API server refuses is counted by its kind."""
    slots = asyncio.Semaphore(MAKERS)
    names = list(kinds())

    async def one(number: int) -> None:
        kind = number % len(made)
        async with slots:
            try:
                body = made[kind].replace(b'"NAME"', b'"hostile-%d"' % number, 1)
                await api.text("POST", path, body)
            except Refused as error:
                refused[f"{names[kind]} ({error.status})"] += 1

    await asyncio.gather(*(one(number) for number in range(count)))


async def ended(api: Api, path: str) -> int:
    """Count the runs of a namespace that have ended, page by page, as a table: some are deep."""
    count, more = 0, ""
    while True:
        query = {"limit": "100", "includeObject": "None", **({"continue": more} if more else {})}
        table = await api.table(path, **query)
        phase = next(i for i, c in enumerate(table["columnDefinitions"]) if c["name"] == "Phase")
        words = [row["cells"][phase] for row in table["rows"]]
        count += sum(word in ("Succeeded", "Failed", "Cancelled") for word in words)
        more = table["metadata"].get("continue", "")
        if not more:
            return count


async def measure(place: Testbed, hostile: str, count: int, floor: int, most: float) -> bool:
    """Print the figures; return whether they are as they must be."""
    async with connect() as api, IdleLoop.start() as idle, asyncio.timeout(PATIENCE):
        while not (await metrics.gauges(place.port)).get("podium_leading"):  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        await api.call("POST", place.workflows, workflow("hello", chain(1)))
        await until_valid(api, f"{place.workflows}/hello")
        number, made = 0, bodies()
        alone: list[float] = []
        at_first = await Lag.look(place.port)
        for _ in range(floor):
            alone.append(await hello(api, place.runs, number))
            number += 1
        say(f"alone: {statistics.median(alone):.3f} s")
        path = f"/apis/{GROUP}/namespaces/{hostile}/workflowruns"
        before, beside, refused = await Lag.look(place.port), list[float](), Counter[str]()
        await idle.quantile(0.999)
        making = asyncio.create_task(submit(api, path, made, count, refused))
        begin, workers, done = time.monotonic(), 0.0, 0
        looked = begin
        meanwhile: list[float] = []  # while they are being made
        making.add_done_callback(lambda _: say("all are made"))
        while time.monotonic() - begin < most:
            took = await hello(api, place.runs, number)
            (beside if making.done() else meanwhile).append(took)
            number += 1
            place.operator()  # it works on
            workers = max(workers, memory(place.operator.pid)[1])
            if time.monotonic() - looked < LOOK_SECONDS:
                continue
            done, looked = await ended(api, path), time.monotonic()
            say(f"{done} have ended; beside them {statistics.median(beside or meanwhile):.3f} s")
            if making.done() and done >= count - refused.total():
                break
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)
        seconds = time.monotonic() - begin
        peak = memory(place.operator.pid)[0]
        after, floor_lag = await Lag.look(place.port), await idle.quantile(0.999)
        lag, largest = after.quantile(0.999, before), after.quantile(1, before)
        ratio = statistics.median(beside or meanwhile) / statistics.median(alone)
        print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        print(
            f"{count} hostile objects, {done} have ended after {seconds:.0f} s;"
            f" refused by the server: {dict(refused)}"
        )
        print(
            f"hello alone {statistics.median(alone):.3f} s ({len(alone)}), while they were made"
            f" {statistics.median(meanwhile or [0.0]):.3f} s ({len(meanwhile)}), beside them"
            f" {statistics.median(beside or [0.0]):.3f} s ({len(beside)}): {ratio:.2f}"
            f" (at most {MUST_RATIO})"
        )
        print(
            f"lag of the loop: p99.9 <= {lag:g} s (at most {MUST_LAG}), p99 <="
            f" {after.quantile(0.99, before):g} s, largest <= {largest:g} s; before there was any"
            f" object: p99.9 <= {before.quantile(0.999, at_first):g} s; of an idle loop"
            f" beside it: p99.9 {floor_lag:.3f} s"
        )
        print(f"operator {peak:.0f} MB at most, its workers {workers:.0f} MB (under {MUST_MB})")
        return ratio <= MUST_RATIO and lag <= MUST_LAG and peak + workers < MUST_MB


async def remove_all(hostile: str, count: int, namespace: str) -> None:
    """Remove all again."""
    slots = asyncio.Semaphore(MAKERS)
    async with connect() as api:

        async def one(number: int) -> None:
            # By its name, and not looked at: some are deeper than can be read here, and all of
            # them at once are more than the server deletes within the time of a request.
            path = f"/apis/{GROUP}/namespaces/{hostile}/workflowruns/hostile-{number}"
            async with slots:
                try:
                    await api.text("DELETE", path)
                except Refused as error:
                    if error.status != 404:
                        raise

        await asyncio.gather(*map(one, range(count)))
        await clean(api, namespace)


def main() -> None:
    """Measure, and print whether it is as asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--objects", type=int, default=500)
    parser.add_argument("--floor", type=int, default=20, help="runs of the neighbour alone")
    parser.add_argument("--seconds", type=float, default=600, help="no longer beside the objects")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    models: client.ApiClient = connect_models()
    with own_namespace(models) as hostile, own_testbed(neighbours=[hostile]) as place:
        try:
            is_fine = asyncio.run(
                measure(place, hostile, options.objects, options.floor, options.seconds)
            )
        except BaseException:
            say(f"the operator's log ends with:\n{place.operator.log.read_text()[-2000:]}")
            raise
        finally:
            asyncio.run(remove_all(hostile, options.objects, place.namespace))
    print("ok" if is_fine else "MISS")


if __name__ == "__main__":
    main()
