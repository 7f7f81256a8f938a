"""An hour of mixed runs and of faults: `python -m benchmarks.soak --minutes 60`.

Runs of ten kinds on fake machines at a constant rate, a user who reruns, cancels, suspends and
deletes some of them, and a proxy before the API server that now and then refuses, delays, loses
answers, cuts watches or is gone for some seconds. One operator must carry it all: no more memory
and connections in the end than soon after the start, as quick, each run ended as its graph says,
nothing run twice, nothing kept of what is gone.

Prints a line a minute, and fails with what is wrong.
"""

import argparse
import asyncio
import contextlib
import itertools
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import aiohttp

from benchmarks import metrics
from benchmarks.api import Api, Refused, connect
from benchmarks.floor import pod
from benchmarks.graphs import chain, sdlc
from benchmarks.operator_run import GROUP, until_valid
from benchmarks.testbed import Testbed, own_testbed
from tests.cluster.kwok import FAIL, HOLD
from tests.faults.proxy import Proxy, Rule

PATIENCE = 300
"""Seconds for one step of a run, at most."""
STAY_SECONDS = 45
"""Ended runs stay so long."""
MOST_ACTIVE = 40
"""Runs that have not ended, at most."""
ENDED = {"Succeeded", "Failed", "Cancelled"}
FINALIZER = "podium.dev/result"

# What may be other in the last sixth of the time than in the second one.
GROWN_MEMORY = 1.05
SLOWER = 2.0
SLOWER_SECONDS = 0.1
MORE_CONNECTIONS = 5

Nodes = list[dict[str, Any]]
Expected = tuple[str, dict[str, tuple[str, int]]]
"""A run's phase, and of each node its status and how often it was executed."""


def node(id: str, *after: str, notes: dict[str, str] | None = None, **fields: Any) -> Any:  # noqa: A002
    """Make a node that does nothing."""
    return {
        "id": id,
        "executor": "container",
        "config": {"image": "fake", "command": ["true"]},
        "dependsOn": list(after),
        "pod": {"annotations": notes or {}},
        **fields,
    }


def nodes_of(graph: dict[str, list[str]]) -> Nodes:
    """Make the nodes of a graph."""
    return [node(name, *before) for name, before in graph.items()]


WIDE = [
    node("first"),
    *(node(f"n{i}", "first") for i in range(12)),
    node("last", *(f"n{i}" for i in range(12))),
]
RETRIES = [
    node("a"),
    node("b", "a", notes={FAIL: "b-1"}, retryPolicy={"maxAttempts": 2, "backoffSeconds": 1}),
    node("c", "b"),
]
FAILS = [node("a"), node("b", "a", notes={FAIL: "b-1"}), node("c", "b"), node("d", "a")]
HELD = [node("a"), node("hold", "a", notes={HOLD: "true"}), node("c", "hold")]


def completed(nodes: Nodes, **executions: int) -> Expected:
    """Say that all succeeded, once where nothing else is said."""
    return "Succeeded", {n["id"]: ("Completed", executions.get(n["id"], 1)) for n in nodes}


@dataclass
class Run:
    """A run as the driver saw it last."""

    name: str
    status: dict[str, Any] = field(default_factory=dict)
    gone: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    pod_ended: dict[str, float | None] = field(default_factory=dict)
    """When the Pod of an execution ended; None: it is recorded."""

    async def until(self, what: str, check: Callable[[], Any]) -> None:
        """Wait until something is seen of it."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not check():
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            raise AssertionError(f"{self.name}: {what}: not within {PATIENCE} s") from None

    def state(self, name: str) -> dict[str, Any]:
        """Return what its status says of a node."""
        return self.status.get("nodes", {}).get(name, {})

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.status.get("phase") in ENDED


class Driver:
    """Makes runs, is their user, and sees what becomes of them."""

    def __init__(self, api: Api, place: Testbed) -> None:
        self._api = api
        self._place = place
        self._runs: dict[str, Run] = {}
        self._made = itertools.count()
        self.started: dict[tuple[str, str], set[str]] = defaultdict(set)
        """Pods by run and Job (its name says execution and restart)."""
        self.recorded: list[float] = []
        """Seconds from a Pod's end to its being in the status, since the last look."""
        self.phases: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.scenarios = [
            self.plain("chain", nodes_of(chain(6))),
            self.plain("wide", WIDE),
            self.plain("sdlc", nodes_of(sdlc()), own=False),
            self.plain("retries", RETRIES, completed(RETRIES, b=2)),
            self.plain(
                "fails", FAILS,
                ("Failed", {"a": ("Completed", 1), "b": ("Failed", 1), "c": ("Skipped", 0),
                            "d": ("Completed", 1)}),
            ),
            self.rerun, self.rerun_midway, self.cancelled, self.suspended, self.deleted,
        ]  # fmt: skip

    async def prepare(self) -> None:
        """Make the Workflow that some runs name."""
        body = {
            "apiVersion": GROUP,
            "kind": "Workflow",
            "metadata": {"name": "sdlc"},
            "spec": {"nodes": nodes_of(sdlc())},
        }
        await self._api.call("POST", self._place.workflows, body)
        async with asyncio.timeout(PATIENCE):
            await until_valid(self._api, f"{self._place.workflows}/sdlc")

    @property
    def active(self) -> int:
        """How many runs have not ended."""
        return sum(not run.ended for run in self._runs.values())

    # What is seen

    async def watch_runs(self) -> None:
        """See what becomes of runs, until cancelled."""
        async for kind, body in self._follow(self._place.runs):
            now = time.monotonic()
            run = self._runs.get(body["metadata"]["name"])
            if run is None:
                continue
            run.status, run.gone = body.get("status", {}), kind == "DELETED"
            run.changed.set()
            for state in run.status.get("nodes", {}).values():
                execution = state.get("executionId", "")
                if state["status"] != "Running" and execution:
                    if (since := run.pod_ended.get(execution)) is not None:
                        self.recorded.append(now - since)
                    run.pod_ended[execution] = None

    async def watch_pods(self) -> None:
        """See every Pod, until cancelled."""
        async for _, body in self._follow(self._place.pods):
            meta = body["metadata"]
            owners = meta.get("ownerReferences") or []
            run = self._runs.get(meta.get("labels", {}).get("podium.dev/run", ""))
            if not owners or run is None:
                continue
            self.started[run.name, owners[0]["name"]].add(meta["uid"])
            if body.get("status", {}).get("phase") in ("Succeeded", "Failed"):
                run.pod_ended.setdefault(meta["labels"]["podium.dev/execution"], time.monotonic())

    async def _follow(self, path: str) -> AsyncIterator[tuple[str, Any]]:
        """Yield what happens to objects: watched, and listed again where a watch fails.

        Whoever changes a CRD of the cluster ends all watches of it.
        """
        known: dict[str, Any] = {}
        while True:
            try:
                listed = await self._api.call("GET", path)
                found = {each["metadata"]["uid"]: each for each in listed["items"]}
                for uid in set(known) - set(found):
                    yield "DELETED", known.pop(uid)
                for uid, body in found.items():
                    known[uid] = body
                    yield "MODIFIED", body
                async for event in self._api.watch(path, listed["metadata"]["resourceVersion"]):
                    body = event["object"]
                    known[body["metadata"]["uid"]] = body
                    if event["type"] == "DELETED":
                        del known[body["metadata"]["uid"]]
                    yield event["type"], body
            except (Refused, aiohttp.ClientError) as error:
                print(f"the driver's watch: {error!s:.200}", flush=True)
                await asyncio.sleep(1)

    # What is done

    async def one(self) -> None:
        """Make a run of some kind and follow it to its end."""
        number = next(self._made)
        scenario = self.scenarios[number % len(self.scenarios)]
        kind = scenario.__name__.replace("_", "-")
        self.kinds[kind] += 1
        run = self._runs[f"{kind}-{number}"] = Run(f"{kind}-{number}")
        try:
            await scenario(run)
        except Exception as error:
            self.wrong.append(f"{run.name}: {type(error).__name__}: {error}: {run.status}"[:2000])
        finally:
            del self._runs[run.name]
            for key in [key for key in self.started if key[0] == run.name]:
                pods = self.started.pop(key)
                if len(pods) > 1:
                    self.wrong.append(f"{key} had {len(pods)} Pods")

    async def make(self, run: Run, nodes: Nodes, *, own: bool = True, **spec: Any) -> None:
        """Make a run, with a graph of its own or by the name of its Workflow."""
        what = {"workflowSpec": {"nodes": nodes}} if own else {"workflowRef": {"name": "sdlc"}}
        body = {
            "apiVersion": GROUP,
            "kind": "WorkflowRun",
            "metadata": {"name": run.name},
            "spec": {**what, "ttlSecondsAfterFinished": STAY_SECONDS, **spec},
        }
        await retried(lambda: self._api.call("POST", self._place.runs, body))

    async def change(self, run: Run, change: Any) -> None:
        """Change a run as its user."""
        await retried(lambda: self._api.patch(f"{self._place.runs}/{run.name}", change))

    async def let_go(self, run: Run) -> None:
        """Let the held node of a run end."""
        query = f"podium.dev/run={run.name},podium.dev/node=hold"
        found = await self._api.call("GET", self._place.pods, labelSelector=query)
        for held in found["items"]:
            path = f"{self._place.pods}/{held['metadata']['name']}"
            await self._api.patch(path, {"metadata": {"annotations": {HOLD: None}}})

    async def end(self, run: Run, expected: Expected) -> None:
        """Wait for the end, hold it against what it must be, and wait until the run is removed."""
        await run.until("ends", lambda: run.ended)
        self.check(run, expected)
        await run.until("is removed after its TTL", lambda: run.gone)

    def check(self, run: Run, expected: Expected) -> None:
        """Hold a run's end against what it must be."""
        nodes = run.status["nodes"]
        found = {name: (s["status"], s.get("executionCount", 0)) for name, s in nodes.items()}
        self.phases[run.status["phase"]] += 1
        assert (run.status["phase"], found) == expected, f"{found} and not {expected}"

    # The kinds

    def plain(
        self, name: str, nodes: Nodes, expected: Expected | None = None, *, own: bool = True
    ) -> Callable[[Run], Awaitable[None]]:
        """Make a kind of run that is left alone."""

        async def scenario(run: Run) -> None:
            await self.make(run, nodes, own=own)
            await self.end(run, expected or completed(nodes))

        scenario.__name__ = name
        return scenario

    async def rerun(self, run: Run) -> None:
        """Run a part again after the end."""
        nodes = nodes_of(chain(4))
        await self.make(run, nodes)
        await run.until("ends", lambda: run.ended)
        self.check(run, completed(nodes))
        await self.change(run, {"metadata": {"annotations": {"podium.dev/rerun": "n2"}}})
        await run.until("runs again", lambda: not run.ended)
        await self.end(run, completed(nodes, n2=2, n3=2))

    async def rerun_midway(self, run: Run) -> None:
        """Run a part again while another one works."""
        nodes = [*nodes_of(chain(2)), *HELD]
        await self.make(run, nodes)
        await run.until("n1 completes", lambda: run.state("n1").get("status") == "Completed")
        await run.until("hold runs", lambda: run.state("hold").get("startedAt"))
        await self.change(run, {"metadata": {"annotations": {"podium.dev/rerun": "n0"}}})
        await run.until(
            "n1 completes again",
            lambda: (
                (run.state("n1").get("status"), run.state("n1").get("executionCount"))
                == ("Completed", 2)
            ),
        )
        await self.let_go(run)
        await self.end(run, completed(nodes, n0=2, n1=2))

    async def cancelled(self, run: Run) -> None:
        """Cancel what runs."""
        await self.make(run, HELD)
        await run.until("hold runs", lambda: run.state("hold").get("startedAt"))
        await self.change(run, {"spec": {"cancel": True}})
        nodes = {"a": ("Completed", 1), "hold": ("Cancelled", 1), "c": ("Cancelled", 0)}
        await self.end(run, ("Cancelled", nodes))

    async def suspended(self, run: Run) -> None:
        """Suspend, let what runs end, and resume."""
        await self.make(run, HELD)
        await run.until("hold runs", lambda: run.state("hold").get("startedAt"))
        await self.change(run, {"spec": {"suspend": True}})
        await run.until("is paused", lambda: run.status.get("phase") == "Paused")
        await self.let_go(run)
        await run.until("hold completes", lambda: run.state("hold")["status"] == "Completed")
        await asyncio.sleep(1)
        assert not run.state("c").get("executionCount"), "a suspended run went on"
        await self.change(run, {"spec": {"suspend": False}})
        await self.end(run, completed(HELD))

    async def deleted(self, run: Run) -> None:
        """Delete it while a node works."""
        await self.make(run, HELD)
        await run.until("hold runs", lambda: run.state("hold").get("startedAt"))
        await retried(lambda: self._api.call("DELETE", f"{self._place.runs}/{run.name}"))
        await run.until("is gone", lambda: run.gone)
        self.phases["Deleted"] += 1


class Faults:
    """What the proxy does now and then."""

    OURS = "(jobs|pods|workflowruns|workflows|events|controllerrevisions)"
    KINDS: tuple[tuple[str, list[dict[str, Any]]], ...] = (
        ("500", [{"what": f".* {OURS}.*", "answer": 500, "share": 0.3}]),
        ("429", [{"what": f".* {OURS}.*", "answer": 429, "share": 0.3, "retry_after": 1}]),
        ("409", [{"what": f"(POST|PATCH) {OURS}.*", "answer": 409, "share": 0.3}]),
        ("lost answers", [{"what": f"(POST|PATCH) {OURS}.*", "share": 0.3, "lose": True}]),
        ("delays", [{"what": ".*", "share": 0.5, "delay": 0.4}]),
        ("cut watches", [{"what": "WATCH .*", "cut": 20}]),
        ("410", [{"what": "WATCH (jobs|pods)", "answer": 410, "times": 2}]),
        ("gone", []),
    )

    def __init__(self, proxy: Proxy, chance: random.Random) -> None:
        self._proxy = proxy
        self._chance = chance
        self.done: Counter[str] = Counter()

    async def run(self) -> None:
        """Do something bad for some seconds, every half minute, until cancelled."""
        for name, rules in itertools.cycle(self.KINDS):
            await asyncio.sleep(self._chance.uniform(15, 30))
            self.done[name] += 1
            self._proxy.rules = [Rule(**rule) for rule in rules]
            if name in ("cut watches", "410"):
                self._proxy.break_watches()
            if name == "gone":
                self._proxy.leave()
            try:
                await asyncio.sleep(self._chance.uniform(2, 5) if name == "gone" else 8)
            finally:
                self._proxy.rules, self._proxy.gone = [], False


@dataclass
class Sample:
    """What was seen in one minute."""

    minute: float
    resident: float
    descriptors: int
    connections: int
    cpu: float
    schedule: tuple[float, float]
    recorded: tuple[float, float]
    depth: int
    kept: dict[str, int]
    ended: int
    server: float
    """Seconds that the API server takes for a Pod that is not kept: what else the machine does."""

    def line(self) -> str:
        """Say it in a line."""
        ms = "/".join(f"{1000 * v:.0f}" for v in self.schedule)
        recorded = "/".join(f"{1000 * v:.0f}" for v in self.recorded)
        kept = " ".join(f"{kind} {count}" for kind, count in sorted(self.kept.items()))
        return (
            f"{self.minute:5.1f} min  {self.resident:6.1f} MB  {self.descriptors:3} files"
            f" {self.connections:3} conn.  cpu {100 * self.cpu:3.0f} %  ready-Pod {ms} ms"
            f"  end-recorded {recorded} ms  server {1000 * self.server:.0f} ms"
            f"  queue {self.depth}  {self.ended} ended  kept: {kept}"
        )


class Sampler:
    """Looks at the operator once a minute."""

    def __init__(self, api: Api, place: Testbed, driver: Driver, every: float) -> None:
        self._api = api
        self._place = place
        self._driver = driver
        self._every = every
        self.samples: list[Sample] = []

    async def run(self) -> None:
        """Look, until cancelled."""
        begin = time.monotonic()
        before = await metrics.Operator.look(self._place.operator.pid, self._place.port)
        ended = self._driver.phases.total()
        while True:
            server = await self._try_server(time.monotonic() + self._every)
            self._place.operator()
            now = await metrics.Operator.look(self._place.operator.pid, self._place.port)
            gauges = await metrics.gauges(self._place.port)
            since, before = now.since(before), now
            done, ended = self._driver.phases.total() - ended, self._driver.phases.total()
            recorded, self._driver.recorded = self._driver.recorded, []
            links = open_files(self._place.operator.pid)
            sample = Sample(
                (time.monotonic() - begin) / 60,
                now.resident,
                len(links),
                sum(link.startswith("socket:") for link in links),
                since.cpu / self._every,
                (since.schedule_quantile(0.5) or 0, since.schedule_quantile(0.99) or 0),
                (at(recorded, 50), at(recorded, 99)),
                int(gauges.get("podium_queue_depth", 0)),
                {
                    name.partition('"')[2].partition('"')[0]: int(value)
                    for name, value in gauges.items()
                    if name.startswith("podium_objects_kept")
                },
                done,
                server,
            )
            self.samples.append(sample)
            print(sample.line(), flush=True)

    async def _try_server(self, end: float) -> float:
        """Let the API server look at a Pod now and then until some time; return the median."""
        body, seconds = pod("probe", "probe", {}), []
        while time.monotonic() < end:
            begin = time.monotonic()
            await retried(lambda: self._api.call("POST", self._place.pods, body, dryRun="All"))
            seconds.append(time.monotonic() - begin)
            await asyncio.sleep(max(0.0, min(3.0, end - time.monotonic())))
        return median(seconds)

    def verdict(self) -> list[str]:
        """Compare the last sixth of the time with the second one; say what is worse."""
        sixth = len(self.samples) // 6
        if not sixth:
            return ["too short to compare"]
        early, late = self.samples[sixth : 2 * sixth], self.samples[-sixth:]
        busier = median(s.server for s in late) / median(s.server for s in early)
        wrong: list[str] = []

        def compare(what: str, unit: str, of: Callable[[Sample], float], most: Any) -> None:
            before, after = median(map(of, early)), median(map(of, late))
            bad = after > most(before)
            print(f"{what:<28} {before:9.1f} {after:9.1f} {unit:<3} {'GROWS' if bad else 'ok'}")
            if bad:
                wrong.append(f"{what}: {before:.1f}, later {after:.1f} {unit}")

        def slower(before: float) -> float:
            return max(SLOWER * before, before + 1000 * SLOWER_SECONDS) * max(1.0, busier)

        print(f"\n{'median of':<28} {'2nd sixth':>9} {'last':>9}")
        compare("memory", "MB", lambda s: s.resident, lambda v: v * GROWN_MEMORY)
        compare("open files", "", lambda s: s.descriptors, lambda v: v + MORE_CONNECTIONS)
        compare("connections", "", lambda s: s.connections, lambda v: v + MORE_CONNECTIONS)
        compare("API server's own", "ms", lambda s: 1000 * s.server, lambda _: float("inf"))
        compare("ready to Pod, p50", "ms", lambda s: 1000 * s.schedule[0], slower)
        compare("Pod's end to status, p50", "ms", lambda s: 1000 * s.recorded[0], slower)
        return wrong


async def retried(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Ask the API server as a patient user does."""
    for wait in (1, 2, 4, 8):
        try:
            return await ask()
        except Refused as error:
            if error.status not in (429, 500, 503, 504):
                raise
        await asyncio.sleep(wait)
    return await ask()


def at(values: list[float], percent: int) -> float:
    """Return a quantile; 0 of nothing."""
    if len(values) < 2:
        return sum(values)
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def open_files(pid: int) -> list[str]:
    """Return what the open files of a process are."""
    found = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed since
            found.append(str(each.readlink()))
    return found


async def left_over(api: Api, place: Testbed) -> list[str]:
    """Say what is left to be done: of the cluster's objects, and of what the operator keeps."""
    found = [f"run {b['metadata']['name']}" for b in (await api.call("GET", place.runs))["items"]]
    left = (await api.call("GET", place.pods))["items"]
    metas = [each["metadata"] for each in left]
    found += [f"Pod {m['name']}" for m in metas if FINALIZER in m.get("finalizers", ())]
    for kind in ("runs", "active", "jobs", "pods"):
        count = (await metrics.gauges(place.port)).get(f'podium_objects_kept{{kind="{kind}"}}', 0)
        if count:
            found.append(f"the operator keeps something of {count:.0f} {kind}")
    return found


async def soak(place: Testbed, proxy: Proxy, options: argparse.Namespace) -> list[str]:
    """Make runs for so many minutes; return what is wrong."""
    async with connect() as api:
        driver = Driver(api, place)
        chance = random.Random(options.seed)
        faults = Faults(proxy, chance)
        sampler = Sampler(
            api, place, driver, options.minutes * 60 / max(12, min(60, options.minutes))
        )
        await driver.prepare()
        end = time.monotonic() + options.minutes * 60
        beside = [
            asyncio.create_task(each())
            for each in (driver.watch_runs, driver.watch_pods, sampler.run)
        ]
        breaking = asyncio.create_task(faults.run())
        runs: set[asyncio.Task[None]] = set()
        while time.monotonic() < end:
            # Where the machine is too slow for the rate, fewer: this is not a test of overload.
            if driver.active < MOST_ACTIVE:
                task = asyncio.create_task(driver.one())
                runs.add(task)
                task.add_done_callback(runs.discard)
            await asyncio.sleep(chance.expovariate(options.rate / 60))
            for each in (*beside, breaking):
                if each.done():
                    each.result()
        sampling = beside.pop()
        for each in (breaking, sampling):
            each.cancel()
        await asyncio.gather(breaking, sampling, return_exceptions=True)
        everything = asyncio.gather(*runs)
        await asyncio.wait([everything, *beside], return_when=asyncio.FIRST_COMPLETED)
        for each in (*beside, everything):
            if each.done():
                each.result()
        wrong = driver.wrong + sampler.verdict()
        left: list[str] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while left := await left_over(api, place):  # noqa: ASYNC110 - nothing tells of it
                    await asyncio.sleep(1)
        wrong += left[:20]
        for each in beside:
            each.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        print(f"\nruns by kind: {dict(driver.kinds)}\nby end: {dict(driver.phases)}")
        print(f"faults: {dict(faults.done)}")
        return wrong


def main() -> None:
    """Soak, and say what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=60, help="runs a minute; default 60")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    settings = {
        # What is done is removed soon, so that the same number is there all the time.
        "jobs": {"succeededTTLSeconds": STAY_SECONDS, "failedTTLSeconds": STAY_SECONDS},
    }
    with (
        tempfile.TemporaryDirectory(prefix="podium-soak-") as directory,
        Proxy(os.environ["KUBECONFIG"]) as proxy,
        own_testbed(settings, proxy.kubeconfig(directory)) as place,
    ):
        try:
            wrong = asyncio.run(soak(place, proxy, options))
        finally:
            print(f"the operator's log ends with:\n{place.operator.log.read_text()[-3000:]}")
    for each in wrong:
        print(f"WRONG {each}")
    print(f"{options.minutes:g} minutes: {'MISS' if wrong else 'ok'}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
