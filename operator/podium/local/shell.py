"""The loop of a laptop run: step the engine, carry its actions out, keep its state."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from podium import executors
from podium.api.run import NodeStatus, WorkflowRunStatus
from podium.engine.engine import Engine
from podium.engine.model import (
    AttemptPhase,
    Control,
    Emit,
    Launch,
    Observation,
    Request,
    RunInfo,
    Stop,
    WakeAt,
)
from podium.engine.plan import Plan
from podium.engine.start import initial_context
from podium.executors import Runtime, Workload
from podium.local import processes
from podium.local.environment import EnvironmentProblem, prepare
from podium.local.store import RunFolder, RunRecord

__all__ = ["OUTPUT_LIMIT", "LocalRun"]

OUTPUT_LIMIT = 4096
"""Bytes of an output: as on the cluster, so that what runs here runs there."""


class LocalRun:
    """One run on this machine.

    `watch` is called with each event that the engine emits and after each change.
    """

    def __init__(
        self,
        folder: RunFolder,
        record: RunRecord,
        plan: Plan,
        status: WorkflowRunStatus,
        *,
        secrets: Mapping[str, Mapping[str, str]] | None = None,
        watch: Callable[[list[Emit]], None] = lambda _events: None,
    ) -> None:
        self.folder = folder
        self.record = record
        self.plan = plan
        self.secrets = secrets or {}
        self.watch = watch
        info = RunInfo(
            name=record.name,
            uid=record.uid,
            max_parallel=record.spec.max_parallel,
            fail_fast=record.spec.fail_fast,
            recorded=record.spec.recorded_answers is not None,
        )
        self.engine = Engine(plan, info, initial_context(plan, record.spec), status)
        self._processes: dict[str, processes.Process] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: asyncio.Queue[Observation] = asyncio.Queue()

    @property
    def status(self) -> WorkflowRunStatus:
        """The run's status."""
        return self.engine.status

    async def run(self, requests: Iterable[Request] = ()) -> None:
        """Run to the end. When cancelled, what runs is stopped and the state stays resumable."""
        self._adopt()
        pending = list(requests)
        seen: list[Observation] = []
        try:
            while True:
                wake = await self._turn(seen, pending)
                pending = []
                if self.status.phase.ended and not self._processes:
                    return
                seen = await self._next(wake)
        finally:
            await asyncio.gather(*(process.stop() for process in self._processes.values()))
            for task in self._tasks:
                task.cancel()

    async def _turn(self, seen: list[Observation], requests: list[Request]) -> float | None:
        """Step until nothing more is to be launched; return when to look again."""
        wake = None
        events: list[Emit] = []
        while True:
            actions = self.engine.step(
                time.time(), observations=seen, requests=requests, control=Control()
            )
            requests = []
            seen = []
            for action in actions:
                if isinstance(action, Launch):
                    seen.append(await self._launch(action))
                elif isinstance(action, Stop):
                    self._go(self._stop(action))
                elif isinstance(action, Emit):
                    events.append(action)
                elif isinstance(action, WakeAt):
                    wake = action.at
            if not seen:
                break
        changes = self.engine.take_changes()
        if changes:
            self.folder.save(self.status, changes)
            self.watch(events)
        return wake

    async def _next(self, wake: float | None) -> list[Observation]:
        timeout = None if wake is None else max(0.0, wake - time.time())
        try:
            seen = [await asyncio.wait_for(self._seen.get(), timeout)]
        except TimeoutError:
            return []
        while not self._seen.empty():
            seen.append(self._seen.get_nowait())
        return seen

    def _go(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _adopt(self) -> None:
        """Look for the programs that an earlier podium started."""
        for node, state in self.status.nodes.items():
            if state.status is not NodeStatus.RUNNING or state.execution_id is None:
                continue
            folder = self.folder.execution(state.execution_id)
            process = processes.find(folder)
            if process is None:
                process = processes.Process(folder, -1)
            self._watch_process(node, state.execution_id, process)

    async def _launch(self, launch: Launch) -> Observation:
        """Start an execution, and say what became of it."""
        node = self.plan.nodes[launch.node].definition
        executor = executors.get(node.executor or "")
        folder = self.folder.execution(launch.execution_id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "output.json").unlink(missing_ok=True)
            if executor is None:
                raise EnvironmentProblem(f"unknown executor {node.executor!r}")
            workload = executor.workload(node, launch.config)
            env = prepare(folder, launch.input, workload.env, self.secrets)
            self._link_artifacts(folder, launch.input)
            argv = _argv(workload, folder)
            process = await processes.start(folder, argv, env, Path(self.record.workdir))
        except (EnvironmentProblem, OSError, ValueError) as problem:
            return Observation(
                launch.node,
                launch.execution_id,
                AttemptPhase.FAILED,
                reason="Config",
                message=str(problem),
                retryable=False,
            )
        self._watch_process(launch.node, launch.execution_id, process)
        return Observation(
            launch.node,
            launch.execution_id,
            AttemptPhase.RUNNING,
            attempt=str(process.pid),
            started_at=time.time(),
        )

    def _link_artifacts(self, folder: Path, given: Mapping[str, object]) -> None:
        """Let a node find the artifacts of what is before it, by node id."""
        found = folder / "artifacts-in"
        found.mkdir(exist_ok=True)
        outputs = given["dependencyOutputs"]
        for name in outputs if isinstance(outputs, Mapping) else ():
            execution = self.status.nodes[name].execution_id
            link = found / name
            if execution is not None and not link.is_symlink():
                link.symlink_to(self.folder.execution(execution) / "artifacts")

    def _watch_process(self, node: str, execution: str, process: processes.Process) -> None:
        self._processes[execution] = process
        self._go(self._wait(node, execution, process))

    async def _wait(self, node: str, execution: str, process: processes.Process) -> None:
        code = await process.wait()
        self._processes.pop(execution, None)
        self._seen.put_nowait(_ended(node, execution, process, code))

    async def _stop(self, stop: Stop) -> None:
        process = self._processes.get(stop.execution_id)
        if process is not None:
            await process.stop()
        self._seen.put_nowait(Observation(stop.node, stop.execution_id, AttemptPhase.GONE))


def _argv(workload: Workload, folder: Path) -> list[str]:
    if workload.runtime is not Runtime.SCRIPT or workload.script is None:
        raise EnvironmentProblem(f"{workload.runtime.value} nodes do not run on a laptop yet")
    script = folder / "script"
    script.write_text(workload.script)
    return [workload.interpreter or "bash", str(script)]


def _ended(node: str, execution: str, process: processes.Process, code: int | None) -> Observation:
    """Say how a program ended."""
    if code is None:
        return Observation(
            node,
            execution,
            AttemptPhase.DISRUPTED,
            attempt=str(process.pid),
            reason="ProcessLost",
            message="its process ended while podium was not there",
        )
    if code == 0:
        output = process.folder / "output.json"
        raw = None
        if output.exists():
            with output.open("rb") as file:
                raw = file.read(OUTPUT_LIMIT)
        return Observation(
            node, execution, AttemptPhase.SUCCEEDED, output=raw, output_limit=OUTPUT_LIMIT
        )
    number = -code if code < 0 else code - 128 if code > 128 else 0
    if number:
        return Observation(
            node,
            execution,
            AttemptPhase.FAILED,
            reason="Signal",
            message=f"ended by signal {number}",
            exit_code=code,
            details={"signal": number},
        )
    return Observation(
        node,
        execution,
        AttemptPhase.FAILED,
        reason="Error",
        message=f"exit code {code}; its last words: {_last_words(process.folder)}",
        exit_code=code,
    )


def _last_words(folder: Path) -> str:
    try:
        tail = (folder / "log").read_bytes()[-500:].decode(errors="replace")
    except OSError:
        return ""
    return " / ".join(line for line in tail.splitlines()[-3:] if line.strip())
