"""Runs the scenario with operators that are killed, each in a namespace of its own."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import time
import uuid
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.api import connect
from tests.cluster.kwok import kwok
from tests.conformance.cluster_shell import connect as connect_models
from tests.conformance.own_operator import LABEL, apply_crds, own_namespace
from tests.crash import victim
from tests.crash.scenario import PATIENCE, Scenario

LEASE_SECONDS = float(os.environ.get("PODIUM_LEASE_SECONDS", "4"))
"""Not 2: a machine of two cores on which others work answers a request for the lease in up to a
second, and a leader that may wait for half a second only ends again and again."""
STARTS_IN_VAIN = 20
"""An operator may end by itself, as when it lost its lease: it is started again, so often."""


@dataclass
class Result:
    """What became of one case."""

    end: dict
    kills: int
    """How often the operator was killed."""
    missed: list
    """Points that were never reached."""
    calls: Counter
    """How often the operator made each request."""
    seconds: float


class Harness:
    """Makes cases; of each, a namespace and an operator."""

    def __init__(self, api, group, directory, pod_defaults):
        self._api = api
        self._group = group
        self._directory = Path(directory)
        self._pod_defaults = pod_defaults
        # Forked from a process that has everything imported: that is most of a start.
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(["tests.crash.victim"])

    async def case(self, points, *, managed=True):
        """Run the scenario; the operator is killed at each point in turn. Raises `AssertionError`.

        What is left is kept if something is wrong.
        """
        namespace = f"crash-{uuid.uuid4().hex[:8]}"
        directory = self._directory / namespace
        directory.mkdir()
        try:
            result = await self._case(namespace, directory, list(points), managed)
        except BaseException as error:
            (directory / "result").write_text(f"{points} {type(error).__name__} {error}\n")
            error.add_note(f"points {points}, managed {managed}: see {namespace} and {directory}")
            raise
        (directory / "result").write_text(f"{points} {result.seconds:.0f} s {result.missed}\n")
        await self._api.call("DELETE", f"/api/v1/namespaces/{namespace}")
        return result

    async def _case(self, namespace, directory, points, managed):
        made = {"metadata": {"name": namespace, "labels": {LABEL: self._group}}}
        await self._api.call("POST", "/api/v1/namespaces", made)
        begin = time.monotonic()
        scenario = Scenario(self._api, namespace)
        watched = asyncio.Event()
        watch = asyncio.create_task(scenario.watch_pods(watched))
        operator = _Operator(self._processes, directory, self._settings(namespace, managed), points)
        living = asyncio.create_task(operator.live())
        try:
            await watched.wait()
            await scenario.prepare()
            await _first(scenario.use(), living, watch)
            await _first(operator.killed_or(scenario.settled), living, watch)
            operator.stop()
            await living
            # What it was killed over at its end is done by the one after it.
            await scenario.settled()
        finally:
            await operator.kill()
            (directory / "pods").write_text("\n".join(scenario.log))
            watch.cancel()
            living.cancel()
            await asyncio.gather(watch, living, return_exceptions=True)
        wrong = await scenario.violations()
        assert not wrong, wrong
        await scenario.remove_volume()
        return Result(
            await scenario.end(),
            operator.kills,
            operator.points,
            operator.calls(),
            time.monotonic() - begin,
        )

    def _settings(self, namespace, managed):
        settings = {
            "namespaces": [namespace],
            "livenessPort": 0,
            "logFormat": "text",
            "podDefaults": self._pod_defaults,
            "featureGates": {"ManagedJobs": managed},
        }
        settings["leaderElection"] = lease(LEASE_SECONDS)
        return settings


class _Operator:
    """An operator that is started again whenever it ends."""

    def __init__(self, processes, directory, settings, points):
        self._processes = processes
        self._directory = directory
        self._config = directory / "operator.yaml"
        self._config.write_text(yaml.safe_dump(settings))
        self._trace = directory / "trace"
        self._stopping = False
        self._process = None
        self.points = points
        """Those that are still to come."""
        self.kills = 0

    async def live(self):
        in_vain, since = 0, 0
        while True:
            code = await self._once(self.points[0] if self.points else "", since)
            if code == -signal.SIGKILL:
                self.kills += 1
                self.points = self.points[1:]
                since = len(victim.calls(self._trace))
                continue
            if self._stopping and code in (0, -signal.SIGTERM):
                return
            in_vain += 1
            assert in_vain < STARTS_IN_VAIN, f"the operator ended with {code}: {self.log()}"

    async def _once(self, point, since):
        arguments = [
            "--config", str(self._config), "--trace", str(self._trace),
            "--crash", point, "--since", str(since),
        ]  # fmt: skip
        self._process = self._processes.Process(
            target=_victim, args=(arguments, str(self._directory / "log"))
        )
        self._process.start()
        if self._stopping:
            self.stop()
        while self._process.is_alive():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.05)
        return self._process.exitcode

    async def killed_or(self, otherwise):
        """Wait until all points but those of its end are past, or until all else is done."""
        await otherwise()
        if self.points and ":drain" not in self.points[0]:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE / 8):
                    while self.points:  # noqa: ASYNC110 - see above
                        await asyncio.sleep(0.1)

    def stop(self):
        self._stopping = True
        self._process.terminate()

    async def kill(self):
        if self._process is not None and self._process.is_alive():
            self._process.kill()

    def calls(self):
        return Counter(name for when, name in victim.calls(self._trace) if when == "before")

    def log(self):
        return (self._directory / "log").read_text(errors="replace")[-3000:]


def _victim(arguments, log):
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(out, 1)
    os.dup2(out, 2)
    victim.main(arguments)


async def _first(work, *others):
    """Wait for work, and for the failure of what goes on beside it."""
    task = asyncio.ensure_future(work)
    await asyncio.wait([task, *others], return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for other in others:
            if other.done():
                other.result()
        raise AssertionError("the operator or the watch of Pods ended")
    task.result()


def lease(seconds):
    """Return the settings of an election by a lease of so many seconds."""
    return {
        "leaseDurationSeconds": seconds,
        "renewDeadlineSeconds": 0.65 * seconds,
        "retryPeriodSeconds": 0.12 * seconds,
        "requestTimeoutSeconds": 0.3 * seconds,
    }


@asynccontextmanager
async def harness(directory):
    """Bring up fake machines and what keeps other operators out."""
    models = connect_models()
    apply_crds(models)
    with own_namespace(models) as group, kwok(api=models) as machines:
        async with connect() as api:
            yield Harness(api, group, directory, machines.pod_defaults)
