"""Executions of a laptop run: programs are started, watched until they end, and ended."""

import asyncio
import contextlib
import errno
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from podium import kinds
from podium.api.reasons import NodeReason
from podium.artifacts.errors import ArtifactError
from podium.artifacts.left import has_entries
from podium.engine import (
    AttemptPhase,
    Engine,
    Launch,
    Observation,
    OutputValueError,
    Stop,
    not_started,
)
from podium.kinds import JobShape
from podium.kinds.pod_fields import with_fields
from podium.local import processes
from podium.local.artifacts import Artifacts, left_by
from podium.local.commands import Command, Commands
from podium.local.containers import container_tool
from podium.local.environment import ConfigError
from podium.local.execution_files import clear, make
from podium.local.files import is_directory, remove
from podium.local.large_outputs import take_output
from podium.local.orphans import end_orphans
from podium.local.outcomes import OUTPUT_LIMIT, changed_at, failed_value
from podium.local.output_values import values_left
from podium.local.programs import Programs
from podium.local.secrets import Mask, known_values, secret_variables
from podium.local.shapes import SHAPES, interpret, store_shape
from podium.local.store import RunDirectory

if TYPE_CHECKING:
    from podium.local.child_runs import ChildRuns

__all__ = ["Executions"]

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""No fault of a node: the run stops and can be resumed."""


class Executions:
    """Carries out what the engine of a run asks for.

    `report` is called with what is seen of them, with the error after which the run cannot go on,
    and with None once all of them are done.
    """

    def __init__(
        self,
        directory: RunDirectory,
        commands: Commands,
        engine: Engine,
        report: Callable[[Observation | BaseException | None], None],
    ) -> None:
        self.programs = Programs()
        self.tasks: set[asyncio.Task[None]] = set()
        """What goes on: programs that are started, watched or ended."""
        self._directory = directory
        self._commands = commands
        self._engine = engine
        self._report = report
        self._processes: dict[str, processes.Process] = {}
        self.make_children: Callable[[], ChildRuns]
        """Makes what carries out child runs; set by who made this."""
        self.children: ChildRuns | None = None
        """None: there are none yet."""

    def kill(self) -> None:
        """End at once what is being ended."""
        if self.children is not None:
            self.children.interrupt()
        for process in self._processes.values():
            process.kill()

    async def close(self) -> None:
        """End what runs, to go on with the run, and let the starter go."""
        if self.children is not None:
            self.children.interrupt()
        await asyncio.gather(*(self._halt(*each) for each in self._processes.items()))
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await end_orphans()
        self.programs.close()

    def stop(self, stop: Stop) -> None:
        """Have an execution ended; that it is gone is reported."""
        if self.children is not None and self.children.stop(stop):
            return
        self._go(self._stop(stop))

    async def adopt(self) -> list[Observation]:
        """Describe what became of the programs that an earlier podium started.

        What has ended meanwhile must be known before time is looked at: it is not a time-out.
        """
        seen = []
        current = {execution: node for node, execution in self._engine.running_executions()}
        if self._directory.child_executions():
            nodes = self._engine.plan.nodes
            children = {
                each: node
                for each, node in current.items()
                if kinds.has_child(nodes[node].definition)
            }
            current = {each: node for each, node in current.items() if each not in children}
            seen += [self._begin_child(*each) for each in self._child_runs().adopt(children)]
        for execution in dict.fromkeys([*current, *self._directory.executions()]):
            directory = self._directory.execution(execution)
            process = await processes.find(directory) or processes.Process(directory)
            node = current.get(execution, execution.rpartition("-")[0])
            if process.was_alive:
                self._watch_process(node, execution, process)
                seen.append(_running(node, execution, process))
            elif execution in current:
                code = await process.wait()
                ended = await self._ended(node, execution, process, code)
                if ended is not None:
                    seen.append(ended)
        return seen

    async def launch(self, launch: Launch) -> Observation | None:
        """Have an execution started; say what is known of it already."""
        if launch.shape is JobShape.CHILD:
            return self._begin_child(*self._child_runs().launch(launch))
        node = with_fields(self._engine.plan.nodes[launch.node].definition, launch.fields)
        directory = self._directory.execution(launch.execution_id)
        is_new = make(directory)
        process = None if is_new else await processes.find(directory)
        if process is not None and process.restart == launch.restart:
            # A podium that was killed before it wrote so has started it.
            code = processes.exit_code(directory)
            if process.was_alive or code is not None:
                if launch.execution_id not in self._processes:
                    self._watch_process(launch.node, launch.execution_id, process)
                return _running(launch.node, launch.execution_id, process)
        try:
            if not is_new:
                clear(directory)
            if process is not None and not process.was_alive:
                remove(directory / "process")  # it ended with its podium, which did not write so
            self._commands.definition = self._engine.plan.spec
            command = SHAPES[launch.shape].build(self._commands, launch, node, self._engine.status)
            store_shape(directory, launch.shape)
        except (ConfigError, OSError, ValueError) as problem:
            return self._not_started(launch, problem)
        process = processes.Process(directory, restart=launch.restart, shape=str(launch.shape))
        process.begun = asyncio.get_running_loop().create_future()
        self._processes[launch.execution_id] = process
        self._go(self._follow(launch, process, command))
        return None

    def _child_runs(self) -> "ChildRuns":
        if self.children is None:
            self.children = self.make_children()
        return self.children

    def _begin_child(
        self, seen: Observation, work: Coroutine[Any, Any, None] | None
    ) -> Observation:
        if work is not None:
            self._go(work)
        return seen

    async def _follow(self, launch: Launch, process: processes.Process, command: Command) -> None:
        """Start a program and tell of its start and of its end."""
        assert process.begun is not None  # noqa: S101 - for the type checker
        try:
            if command.large.parts:
                await asyncio.to_thread(command.large.write, lambda: process.stopping)
            if command.artifacts.wanted:
                await asyncio.to_thread(command.artifacts.copy, lambda: process.stopping)
            if command.artifacts.outside:
                secrets = self._commands.secrets
                await asyncio.to_thread(command.artifacts.fetch, lambda: process.stopping, secrets)
            self.programs.start_process(process, command.argv, command.env, command.workdir)
        except Exception as problem:
            process.begun.set_exception(problem)  # also for what waits for it to end the run
            if not isinstance(problem, OSError | ValueError | ArtifactError):
                raise
        if await process.is_begun():
            self._report(_running(launch.node, launch.execution_id, process))
            await self._wait(launch.node, launch.execution_id, process, command.artifacts)
        else:
            self._processes.pop(launch.execution_id, None)
            if not process.stopping:
                refused = self._not_started(launch, process.begun.exception())
                self._report(refused)

    def _not_started(self, launch: Launch, problem: BaseException | None) -> Observation:
        """Describe why a program did not start. Raises `StoreError` if the disk is at fault."""
        if isinstance(problem, OSError) and problem.errno in _DISK_ERRORS:
            raise self._directory.unwritable(problem)
        if isinstance(problem, ArtifactError):
            self._require_disk(problem)
            refused = not_started(launch, NodeReason.DOWNLOAD, str(problem))
            return replace(refused, retryable=problem.is_retryable)
        return not_started(launch, NodeReason.CONFIG, str(problem))

    def _require_disk(self, problem: ArtifactError) -> None:
        if problem.number in _DISK_ERRORS:
            raise self._directory.unwritable(OSError(problem.number, str(problem)))

    def _watch_process(self, node: str, execution: str, process: processes.Process) -> None:
        self._processes[execution] = process
        self._go(self._wait(node, execution, process))

    async def _halt(self, execution: str, process: processes.Process) -> None:
        """End a program that is to go on with the run."""
        process.stopping = True
        await process.is_begun()  # a start takes the file away
        with contextlib.suppress(OSError):
            (process.directory / processes.INTERRUPTED).touch()
        await self._end(execution, process)

    async def _end(self, execution: str, process: processes.Process) -> None:
        await process.stop()
        tool = container_tool() if is_directory(process.directory / "container") else None
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
        seen = await self._ended(node, execution, process, code)
        if artifacts is not None and artifacts.is_any:
            await asyncio.to_thread(artifacts.release)
        self._processes.pop(execution, None)
        if seen is not None:
            self._report(seen)

    async def _stop(self, stop: Stop) -> None:
        process = self._processes.get(stop.execution_id)
        if process is not None:
            await self._end(stop.execution_id, process)
        self._report(Observation(stop.node, stop.execution_id, AttemptPhase.GONE))

    async def _ended(
        self, node: str, execution: str, process: processes.Process, code: int | None
    ) -> Observation | None:
        """Describe the end of a program, its artifacts stored; None: it is stopped meanwhile."""
        seen = interpret(node, execution, process, code, self._mask)
        planned = self._engine.plan.node(node)
        if seen.phase is not AttemptPhase.SUCCEEDED or planned is None:
            return seen
        definition = planned.definition
        asked = self._engine.asked_of_output(node)
        if asked is not None:
            try:
                seen = await asyncio.to_thread(take_output, seen, process.directory, asked)
            except OSError as error:
                raise self._directory.unwritable(error) from None
            if seen.phase is not AttemptPhase.SUCCEEDED:
                return seen
        if definition.outputs:
            try:
                values = values_left(process.directory, definition, OUTPUT_LIMIT)
            except OutputValueError as error:
                return failed_value(seen, error)
            seen = replace(seen, values=values)
        outputs = definition.artifacts.out if definition.artifacts is not None else []
        left = left_by(process.directory, definition)
        if not outputs and not has_entries(left.out):
            return seen
        try:
            await asyncio.to_thread(
                self._commands.laptop.collect,
                node,
                execution,
                outputs,
                left,
                lambda: process.stopping,
            )
            if any(each.to is not None for each in outputs):
                await asyncio.to_thread(
                    self._commands.laptop.send,
                    node,
                    execution,
                    outputs,
                    self._commands.secrets,
                    lambda: process.stopping,
                )
        except InterruptedError:
            return None
        except (ArtifactError, OSError) as error:
            if isinstance(error, OSError):
                what = f"{error.filename or left.out}: {error.strerror or error}"
                problem = ArtifactError(what, number=error.errno, is_content=True)
            else:
                problem = error
            self._require_disk(problem)
            reason = NodeReason.ARTIFACT if problem.is_content else NodeReason.UPLOAD
            return replace(
                seen,
                phase=AttemptPhase.FAILED,
                reason=reason,
                message=str(problem),
                retryable=problem.is_retryable,
            )
        return seen

    def _mask(self) -> Mask:
        return Mask(known_values(secret_variables(self._engine.plan.spec), self._commands.secrets))

    def _go(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        problem = None if task.cancelled() else task.exception()
        if problem is not None or not self.tasks:
            self._report(problem)


def _running(node: str, execution: str, process: processes.Process) -> Observation:
    return Observation(
        node,
        execution,
        AttemptPhase.RUNNING,
        attempt=process.attempt,
        started_at=process.started_at or changed_at(process.directory / "process") or time.time(),
    )
