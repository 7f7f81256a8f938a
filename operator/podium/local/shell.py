"""The loop of a laptop run: step the engine, carry its actions out, keep its state."""

import asyncio
import contextlib
import errno
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from podium.api.reasons import NodeReason
from podium.api.run import WorkflowRunStatus
from podium.engine import (
    AttemptPhase,
    Changes,
    Control,
    Emit,
    Engine,
    Launch,
    Observation,
    Plan,
    Request,
    RunInfo,
    Stop,
    WakeAt,
    initial_context,
    not_started,
)
from podium.local import processes
from podium.local.artifacts import Artifacts
from podium.local.commands import Command, Commands, InputTooLargeError
from podium.local.containers import container_tool
from podium.local.environment import ConfigError
from podium.local.files import remove
from podium.local.outcomes import OUTPUT_LIMIT, changed_at
from podium.local.process_file import SHAPE_FILE
from podium.local.secrets import Mask, known_values, secret_variables
from podium.local.shapes import SHAPES, interpret, store_shape
from podium.local.store import RunFolder, RunRecord

__all__ = ["OUTPUT_LIMIT", "LocalRun"]

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""No fault of a node: the run stops and can be resumed."""
_BEAT_SECONDS = 2.0
"""How closely it is known when a podium that was killed last worked on its run."""
_REWRITTEN = (
    *("input.json", "script", "output.json", "container/input.json", "container/output.json"),
    SHAPE_FILE,
)
"""Files of an execution that is started again."""


class LocalRun:
    """One run on this machine.

    `watch` is called after each step that changed something, with the events and the changes.
    `passed` are variables that programs get in addition to what they inherit.
    """

    def __init__(
        self,
        folder: RunFolder,
        record: RunRecord,
        plan: Plan,
        status: WorkflowRunStatus,
        *,
        secrets: Mapping[str, Mapping[str, str]] | None = None,
        passed: Mapping[str, str] | None = None,
        watch: Callable[[list[Emit], Changes], None] = lambda _events, _changes: None,
    ) -> None:
        self.folder = folder
        self.record = record
        self.plan = plan
        self._commands = Commands(folder, record, secrets or {}, passed or {})
        self.watch = watch
        info = RunInfo(
            name=record.name,
            uid=record.uid,
            max_parallel=record.spec.max_parallel,
            fail_fast=record.spec.fail_fast,
            recorded=record.spec.recorded_answers is not None,
        )
        _leave_out_gap(status, folder.last_beat)
        self.engine = Engine(plan, info, initial_context(plan, record.spec), status)
        self._control = Control()
        self._requests: list[Request] = []
        self._interrupted = False
        self._processes: dict[str, processes.Process] = {}
        self._programs = processes.Programs()
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: asyncio.Queue[Observation | BaseException | None] = asyncio.Queue()
        """None: look at what is asked. An exception: the run cannot go on."""

    @property
    def secrets(self) -> Mapping[str, Mapping[str, str]]:
        """Values by secret and key."""
        return self._commands.secrets

    @secrets.setter
    def secrets(self, values: Mapping[str, Mapping[str, str]]) -> None:
        self._commands.secrets = values

    @property
    def status(self) -> WorkflowRunStatus:
        """The run's status."""
        return self.engine.status

    @property
    def interrupted(self) -> bool:
        """Whether it was asked to leave the run as it is."""
        return self._interrupted

    def interrupt(self) -> None:
        """End what runs and leave the run to be resumed; asked again: at once."""
        if self._interrupted:
            for process in self._processes.values():
                process.kill()
        self._interrupted = True
        self._seen.put_nowait(None)

    def control(self, *, suspend: bool = False, cancel: bool = False) -> None:
        """Ask for what `spec.suspend` and `spec.cancel` ask for on a cluster."""
        self._control = Control(suspend=suspend, cancel=cancel)
        self._seen.put_nowait(None)

    def request(self, request: Request) -> None:
        """Ask for a re-run or a restore."""
        self._requests.append(request)
        self._seen.put_nowait(None)

    async def run(self, requests: Iterable[Request] = ()) -> None:
        """Run to the end, or until interrupted; then what runs is stopped, to be resumed."""
        self._requests += requests
        beating = asyncio.get_running_loop().create_task(self._beat())
        try:
            seen = await self._adopt()
            while True:
                wake = await self._turn(seen)
                over = self.status.phase.ended and not self._tasks and not self._requests
                if over or self._interrupted:
                    return
                seen = await self._next(wake)
        finally:
            beating.cancel()
            await asyncio.gather(
                *(self._halt(execution, each) for execution, each in self._processes.items())
            )
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._programs.end_orphans()
            self._programs.close()
            self.folder.beat()

    async def _beat(self) -> None:
        while True:
            self.folder.beat()
            await asyncio.sleep(_BEAT_SECONDS)

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
            launches = [action for action in actions if isinstance(action, Launch)]
            for action in actions:
                if isinstance(action, Stop):
                    self._go(self._stop(action))
                elif isinstance(action, Emit):
                    events.append(action)
                elif isinstance(action, WakeAt):
                    wake = action.at
            if launches:
                await self._programs.ready()
            seen = [told for each in launches if (told := await self._launch(each)) is not None]
            if not seen:
                break
        changes = self.engine.take_changes()
        if changes:
            self.folder.save(self.status, changes, self._migrated())
        if changes or events:
            self.watch(events, changes)
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
        for each in seen:
            if isinstance(each, BaseException):
                raise each
        return [each for each in seen if isinstance(each, Observation)]

    def _go(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        problem = None if task.cancelled() else task.exception()
        if problem is not None or not self._tasks:
            self._seen.put_nowait(problem)

    async def _adopt(self) -> list[Observation]:
        """Describe what became of the programs that an earlier podium started.

        What has ended meanwhile must be known before time is looked at: it is no time-out.
        """
        seen = []
        current = {execution: node for node, execution in self.engine.running_executions()}
        for execution in dict.fromkeys([*current, *self.folder.executions()]):
            folder = self.folder.execution(execution)
            process = await processes.find(folder) or processes.Process(folder)
            node = current.get(execution, execution.rpartition("-")[0])
            if process.was_alive:
                self._watch_process(node, execution, process)
                seen.append(_running(node, execution, process))
            elif execution in current:
                code = await process.wait()
                seen.append(self._ended(node, execution, process, code))
        return seen

    async def _launch(self, launch: Launch) -> Observation | None:
        """Have an execution started; say what is known of it already."""
        node = self.engine.plan.nodes[launch.node].definition
        folder = self.folder.execution(launch.execution_id)
        is_new = _made(folder)
        process = None if is_new else await processes.find(folder)
        if process is not None and process.restart == launch.restart:
            # A podium that was killed before it wrote so has started it.
            code = processes.exit_code(folder)
            if process.was_alive or code is not None:
                if launch.execution_id not in self._processes:
                    self._watch_process(launch.node, launch.execution_id, process)
                return _running(launch.node, launch.execution_id, process)
        try:
            for left in () if is_new else _REWRITTEN:
                remove(folder / left)
            if process is not None and not process.was_alive:
                remove(folder / "process")  # it ended with its podium, which did not write so
            command = SHAPES[launch.shape].build(self._commands, launch, node, self.status)
            store_shape(folder, launch.shape)
        except InputTooLargeError as problem:
            return not_started(launch, NodeReason.INPUT_TOO_LARGE, str(problem))
        except (ConfigError, OSError, ValueError) as problem:
            return self._not_started(launch, problem)
        process = processes.Process(folder, restart=launch.restart, shape=str(launch.shape))
        process.begun = asyncio.get_running_loop().create_future()
        self._processes[launch.execution_id] = process
        self._go(self._follow(launch, process, command))
        return None

    async def _follow(self, launch: Launch, process: processes.Process, command: Command) -> None:
        """Start a program and tell of its start and of its end."""
        assert process.begun is not None  # noqa: S101 - for the type checker
        try:
            if command.artifacts.copied:
                await asyncio.to_thread(command.artifacts.copy, lambda: process.stopping)
            self._programs.start_process(process, command.argv, command.env, command.workdir)
        except (OSError, ValueError) as problem:
            process.begun.set_exception(problem)
        if await process.is_begun():
            self._seen.put_nowait(_running(launch.node, launch.execution_id, process))
            await self._wait(launch.node, launch.execution_id, process, command.artifacts)
        else:
            self._processes.pop(launch.execution_id, None)
            if not process.stopping:
                refused = self._not_started(launch, process.begun.exception())
                self._seen.put_nowait(refused)

    def _not_started(self, launch: Launch, problem: BaseException | None) -> Observation:
        """Describe why a program did not start. Raises `StoreError` if the disk is at fault."""
        if isinstance(problem, OSError) and problem.errno in _DISK_ERRORS:
            raise self.folder.unwritable(problem)
        return not_started(launch, NodeReason.CONFIG, str(problem))

    def _watch_process(self, node: str, execution: str, process: processes.Process) -> None:
        self._processes[execution] = process
        self._go(self._wait(node, execution, process))

    async def _halt(self, execution: str, process: processes.Process) -> None:
        """End a program that is to go on with the run."""
        process.stopping = True
        await process.is_begun()  # a start takes the file away
        with contextlib.suppress(OSError):
            (process.folder / processes.INTERRUPTED).touch()
        await self._end(execution, process)

    async def _end(self, execution: str, process: processes.Process) -> None:
        await process.stop()
        tool = container_tool() if (process.folder / "container").exists() else None
        if tool is not None:
            await asyncio.to_thread(tool.remove, self._commands.container(execution))

    async def _wait(
        self,
        node: str,
        execution: str,
        process: processes.Process,
        artifacts: Artifacts | None = None,
    ) -> None:
        code = await process.wait()
        if artifacts is not None and artifacts.copied:  # before links to them are followed
            await asyncio.to_thread(artifacts.release)
        self._processes.pop(execution, None)
        self._seen.put_nowait(self._ended(node, execution, process, code))

    async def _stop(self, stop: Stop) -> None:
        process = self._processes.get(stop.execution_id)
        if process is not None:
            await self._end(stop.execution_id, process)
        self._seen.put_nowait(Observation(stop.node, stop.execution_id, AttemptPhase.GONE))

    def _ended(
        self, node: str, execution: str, process: processes.Process, code: int | None
    ) -> Observation:
        return interpret(node, execution, process, code, self._mask)

    def _mask(self) -> Mask:
        return Mask(known_values(secret_variables(self.engine.plan.spec), self.secrets))


def _leave_out_gap(status: WorkflowRunStatus, last_beat: float | None) -> None:
    """Move the run's deadline by the time in which no podium worked on the run (semantics.md 5)."""
    if last_beat is None or status.phase.ended:
        return
    gap = max(0.0, time.time() - last_beat)
    if status.deadline is not None:
        status.deadline = round(status.deadline + gap, 3)
    if status.active_since is not None:
        status.active_since = round(status.active_since + gap, 3)


def _running(node: str, execution: str, process: processes.Process) -> Observation:
    return Observation(
        node,
        execution,
        AttemptPhase.RUNNING,
        attempt=process.attempt,
        started_at=process.started_at or changed_at(process.folder / "process") or time.time(),
    )


def _made(folder: Path) -> bool:
    """Make the directory of an execution; False: it is there."""
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        return False
    return True
