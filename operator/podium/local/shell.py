"""The loop of a laptop run: step the engine, carry its actions out, keep its state."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import orjson

from podium import executors
from podium.api.names import child_name
from podium.api.run import NodeStatus, WorkflowRunStatus
from podium.api.workflow import InputAs, Node
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
from podium.executors.outcome import failed_program, is_retryable
from podium.local import processes
from podium.local.containers import container_tool
from podium.local.environment import MAX_INPUT_BYTES, EnvironmentProblem, prepare
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
        self._control = Control()
        self._requests: list[Request] = []
        self._processes: dict[str, processes.Process] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: asyncio.Queue[Observation | None] = asyncio.Queue()
        """None: look at what is asked."""

    @property
    def status(self) -> WorkflowRunStatus:
        """The run's status."""
        return self.engine.status

    def control(self, *, suspend: bool = False, cancel: bool = False) -> None:
        """Ask for what `spec.suspend` and `spec.cancel` ask for on a cluster."""
        self._control = Control(suspend=suspend, cancel=cancel)
        self._seen.put_nowait(None)

    def request(self, request: Request) -> None:
        """Ask for a re-run or a restore."""
        self._requests.append(request)
        self._seen.put_nowait(None)

    async def run(self, requests: Iterable[Request] = ()) -> None:
        """Run to the end. When cancelled, what runs is stopped and the state stays resumable."""
        self._adopt()
        self._requests += requests
        seen: list[Observation] = []
        try:
            while True:
                wake = await self._turn(seen)
                if self.status.phase.ended and not self._processes and not self._requests:
                    return
                seen = await self._next(wake)
        finally:
            await asyncio.gather(
                *(self._end(execution, each) for execution, each in self._processes.items())
            )
            for task in self._tasks:
                task.cancel()

    async def _turn(self, seen: list[Observation]) -> float | None:
        """Step until nothing more is to be launched; return when to look again."""
        wake = None
        events: list[Emit] = []
        while True:
            actions = self.engine.step(
                time.time(), observations=seen, requests=self._requests, control=self._control
            )
            handled = self.status.handled_requests
            self._requests = [asked for asked in self._requests if asked.id not in handled]
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
            self.folder.save(self.status, changes, self._migrated())
        if changes or events:
            self.watch(events)
        return wake

    def _migrated(self) -> RunRecord | None:
        """Return the run's record if a re-run moved it to a newer definition."""
        if self.engine.plan is self.plan:
            return None
        self.plan = self.engine.plan
        self.record = replace(self.record, workflow=self.plan.spec)
        return self.record

    async def _next(self, wake: float | None) -> list[Observation]:
        timeout = None if wake is None else max(0.0, wake - time.time())
        try:
            async with asyncio.timeout(timeout):
                seen = [await self._seen.get()]
        except TimeoutError:
            return []
        while not self._seen.empty():
            seen.append(self._seen.get_nowait())
        return [each for each in seen if each is not None]

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
        node = self.engine.plan.nodes[launch.node].definition
        executor = executors.get(node.executor or "")
        folder = self.folder.execution(launch.execution_id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for left in ("output.json", "exit", "container/output.json"):
                (folder / left).unlink(missing_ok=True)
            if executor is None:
                raise EnvironmentProblem(f"unknown executor {node.executor!r}")
            workload = executor.workload(node, launch.config)
            variables = (*workload.env, *(node.pod.env if node.pod is not None else ()))
            env = prepare(folder, self.record.name, launch.input, variables, self.secrets)
            self._link_artifacts(folder, launch.input)
            argv = self._program(launch, node, workload, folder, env)
            process = await processes.start(folder, argv, env, Path(self.record.workdir))
        except InputTooLarge as problem:
            return _not_started(launch, "InputTooLarge", str(problem))
        except (EnvironmentProblem, OSError, ValueError) as problem:
            return _not_started(launch, "Config", str(problem))
        self._watch_process(launch.node, launch.execution_id, process)
        return Observation(
            launch.node,
            launch.execution_id,
            AttemptPhase.RUNNING,
            attempt=str(process.pid),
            started_at=time.time(),
        )

    def _program(
        self, launch: Launch, node: Node, workload: Workload, folder: Path, env: dict[str, str]
    ) -> list[str]:
        """Return the command of an execution, and add to its environment what belongs to it."""
        match workload.runtime:
            case Runtime.SCRIPT:
                script = folder / "script"
                script.write_text(workload.script or "")
                return [workload.interpreter or "bash", str(script)]
            case Runtime.RUNNER:
                recorded = self.record.spec.recorded_answers
                if recorded is None or recorded.file is None:
                    raise EnvironmentProblem("no recorded answers: name a file with --recorded")
                env["PODIUM_CONFIG"] = orjson.dumps(launch.config).decode()
                env["PODIUM_RECORDED"] = recorded.file
                return [sys.executable, "-m", "podium.runner", *workload.command]
            case Runtime.CONTAINER:
                tool = container_tool()
                if tool is None:
                    raise EnvironmentProblem("neither docker nor podman runs here")
                as_file = node.input_as is InputAs.FILE
                if not as_file and "PODIUM_INPUT_JSON" not in env:
                    raise InputTooLarge(
                        f"the input has more than {MAX_INPUT_BYTES} bytes, too many for the"
                        " environment: set inputAs: File and read the file $PODIUM_INPUT"
                    )
                variables = (*workload.env, *(node.pod.env if node.pod is not None else ()))
                handed = [variable.name for variable in variables]
                handed += ["PODIUM_NODE", "PODIUM_EXECUTION", "PODIUM_RUN"]
                if not as_file:
                    handed.append("PODIUM_INPUT_JSON")
                shown = {name: env[name] for name in dict.fromkeys(handed) if name in env}
                name = self._container(launch.execution_id)
                return tool.argv(name, workload, folder, shown, as_file=as_file)

    def _container(self, execution: str) -> str:
        return child_name(self.record.name, self.record.uid, execution)

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

    async def _end(self, execution: str, process: processes.Process) -> None:
        await process.stop()
        tool = container_tool() if (process.folder / "container").exists() else None
        if tool is not None:
            await asyncio.to_thread(tool.remove, self._container(execution))

    async def _wait(self, node: str, execution: str, process: processes.Process) -> None:
        code = await process.wait()
        self._processes.pop(execution, None)
        self._seen.put_nowait(_ended(node, execution, process, code))

    async def _stop(self, stop: Stop) -> None:
        process = self._processes.get(stop.execution_id)
        if process is not None:
            await self._end(stop.execution_id, process)
        self._seen.put_nowait(Observation(stop.node, stop.execution_id, AttemptPhase.GONE))


class InputTooLarge(Exception):  # noqa: N818 - of the user's data, not a fault of podium
    """The input does not fit into the environment of a container."""


def _not_started(launch: Launch, reason: str, message: str) -> Observation:
    return Observation(
        launch.node,
        launch.execution_id,
        AttemptPhase.FAILED,
        reason=reason,
        message=message,
        retryable=False,
    )


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
    output = process.folder / "output.json"
    if (process.folder / "container").exists():
        output = process.folder / "container/output.json"
    raw = None
    if output.exists():
        with output.open("rb") as file:
            raw = file.read(OUTPUT_LIMIT)
    if code == 0:
        return Observation(
            node, execution, AttemptPhase.SUCCEEDED, output=raw, output_limit=OUTPUT_LIMIT
        )
    written = (raw or b"").decode(errors="replace")
    shell_code = 128 - code if code < 0 else code
    reason, message, details = failed_program(shell_code, written, _last_words(process.folder))
    return Observation(
        node,
        execution,
        AttemptPhase.FAILED,
        reason=reason,
        message=message,
        exit_code=shell_code,
        retryable=is_retryable(reason),
        details=details,
    )


def _last_words(folder: Path) -> str:
    try:
        with (folder / "log").open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 1000))
            return log.read().decode(errors="replace")
    except OSError:
        return ""
