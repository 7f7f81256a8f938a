"""The loop of a laptop run: step the engine, carry its actions out, keep its state."""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import orjson

from podium import executors
from podium.api.names import child_name
from podium.api.run import NodeStatus, WorkflowRunStatus
from podium.api.workflow import EnvVar, InputAs, Node
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
from podium.executors import Runtime, Workload
from podium.executors.outcome import failed_program, is_retryable
from podium.local import processes
from podium.local.containers import container_tool
from podium.local.environment import (
    MAX_INPUT_BYTES,
    EnvironmentProblem,
    hidden,
    inherited,
    prepare,
    secret_values,
)
from podium.local.store import RunFolder, RunRecord

__all__ = ["OUTPUT_LIMIT", "LocalRun"]

OUTPUT_LIMIT = 4096
"""Bytes of an output: as on the cluster, so that what runs here runs there."""


class LocalRun:
    """One run on this machine.

    `watch` is called after each step that changed something, with the events and the changes.
    """

    def __init__(
        self,
        folder: RunFolder,
        record: RunRecord,
        plan: Plan,
        status: WorkflowRunStatus,
        *,
        secrets: Mapping[str, Mapping[str, str]] | None = None,
        watch: Callable[[list[Emit], Changes], None] = lambda _events, _changes: None,
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
        self._interrupted = False
        self._processes: dict[str, processes.Process] = {}
        self._programs = processes.Programs()
        self._inherited = inherited()
        self._found: dict[tuple[str, str], str] = {}
        """Interpreters, by name and PATH."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: asyncio.Queue[Observation | BaseException | None] = asyncio.Queue()
        """None: look at what is asked. An exception: the run cannot go on."""

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
        try:
            seen = await self._adopt()
            while True:
                wake = await self._turn(seen)
                over = self.status.phase.ended and not self._tasks and not self._requests
                if over or self._interrupted:
                    return
                seen = await self._next(wake)
        finally:
            await asyncio.gather(
                *(self._halt(execution, each) for execution, each in self._processes.items())
            )
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._programs.close()

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
        """Say what became of the programs that an earlier podium started.

        What has ended meanwhile must be known before time is looked at: it is no time-out.
        """
        seen = []
        current = {
            state.execution_id: node
            for node, state in self.status.nodes.items()
            if state.status is NodeStatus.RUNNING and state.next_attempt_at is None
        }
        for execution in dict.fromkeys([*current, *self.folder.executions()]):
            if execution is None:
                continue
            folder = self.folder.execution(execution)
            process = await processes.find(folder) or processes.Process(folder)
            node = current.get(execution, execution.rpartition("-")[0])
            if process.was_alive:
                self._watch_process(node, execution, process)
                seen.append(_running(node, execution, process))
            elif execution in current:
                code = processes.exit_code(folder)
                seen.append(self._ended(node, execution, process, code))
        return seen

    async def _launch(self, launch: Launch) -> Observation | None:
        """Have an execution started; say what is known of it already."""
        node = self.engine.plan.nodes[launch.node].definition
        executor = executors.get(node.executor or "")
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
            for left in () if is_new else ("output.json", "container/output.json"):
                (folder / left).unlink(missing_ok=True)
            if executor is None:
                raise EnvironmentProblem(f"unknown executor {node.executor!r}")
            workload = executor.workload(node, launch.config)
            variables = (*workload.env, *(node.pod.env if node.pod is not None else ()))
            env = prepare(
                folder, self.record.name, launch.input, variables, self.secrets, self._inherited
            )
            env["PODIUM_ARTIFACTS_IN"] = str(self._artifacts(folder, launch.input))
            argv = self._program(launch, node, workload, folder, env)
            workdir = Path(self.record.workdir)
            process = self._programs.start(folder, argv, env, workdir, launch.restart)
        except InputTooLarge as problem:
            return not_started(launch, "InputTooLarge", str(problem))
        except (EnvironmentProblem, OSError, ValueError) as problem:
            return not_started(launch, "Config", str(problem))
        self._processes[launch.execution_id] = process
        self._go(self._follow(launch, process))
        return None

    async def _follow(self, launch: Launch, process: processes.Process) -> None:
        """Tell of a program's start and of its end."""
        if await process.is_begun():
            self._seen.put_nowait(_running(launch.node, launch.execution_id, process))
            await self._wait(launch.node, launch.execution_id, process)
        else:
            self._processes.pop(launch.execution_id, None)
            assert process.begun is not None  # noqa: S101 - for the type checker
            problem = str(process.begun.exception())
            self._seen.put_nowait(not_started(launch, "Config", problem))

    def _program(
        self, launch: Launch, node: Node, workload: Workload, folder: Path, env: dict[str, str]
    ) -> list[str]:
        """Return the command of an execution, and add to its environment what belongs to it."""
        match workload.runtime:
            case Runtime.SCRIPT:
                script = folder / "script"
                script.write_text(workload.script or "")
                interpreter = workload.interpreter or "bash"
                return [self._interpreter(interpreter, env["PATH"]), str(script)]
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
                for variable, value in os.environ.items():
                    env.setdefault(variable, value)  # DOCKER_HOST and the like, for the client
                name = self._container(launch.execution_id)
                if launch.restart:
                    tool.remove(name)  # its client died, it may not have
                return tool.argv(name, workload, folder, shown, as_file=as_file)

    def _interpreter(self, name: str, path: str) -> str:
        program = self._found.get((name, path)) or shutil.which(name, path=path)
        if program is None:
            raise EnvironmentProblem(
                f"config.interpreter: there is no program {name!r} in PATH: install it, or name"
                " another, such as bash or python3"
            )
        self._found[name, path] = program
        return program

    def _container(self, execution: str) -> str:
        return child_name(self.record.name, self.record.uid, execution)

    def _artifacts(self, folder: Path, given: Mapping[str, object]) -> Path:
        """Return where a node finds the artifacts of what is before it, by node id."""
        outputs = given["dependencyOutputs"]
        if not isinstance(outputs, Mapping) or not outputs:
            return self.folder.nothing
        found = folder / "artifacts-in"
        found.mkdir(exist_ok=True)
        for name in outputs:
            execution = self.status.nodes[name].execution_id
            link = found / name
            link.unlink(missing_ok=True)
            if execution is not None:
                link.symlink_to(self.folder.execution(execution) / "artifacts")
        return found

    def _watch_process(self, node: str, execution: str, process: processes.Process) -> None:
        self._processes[execution] = process
        self._go(self._wait(node, execution, process))

    async def _halt(self, execution: str, process: processes.Process) -> None:
        """End a program that is to go on with the run."""
        if await process.is_begun():
            (process.folder / processes.INTERRUPTED).touch()
        await self._end(execution, process)

    async def _end(self, execution: str, process: processes.Process) -> None:
        await process.stop()
        tool = container_tool() if (process.folder / "container").exists() else None
        if tool is not None:
            await asyncio.to_thread(tool.remove, self._container(execution))

    async def _wait(self, node: str, execution: str, process: processes.Process) -> None:
        code = await process.wait()
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
        """Say how a program ended."""
        folder = process.folder
        if code is None:
            told = (folder / processes.INTERRUPTED).exists()
            return Observation(
                node,
                execution,
                AttemptPhase.DISRUPTED,
                attempt=process.attempt,
                reason="Interrupted" if told else "ProcessLost",
                message="it was stopped with podium"
                if told
                else "its process ended while podium was not there",
                own=told,
            )
        seen = Observation(
            node,
            execution,
            AttemptPhase.SUCCEEDED,
            attempt=process.attempt,
            at=process.ended_at or _changed(folder / "process"),
            output=_written(folder),
            output_limit=OUTPUT_LIMIT,
        )
        if code == 0:
            return seen
        shell_code = 128 - code if code < 0 else code
        written = (seen.output or b"").decode(errors="replace")
        reason, message, details = failed_program(shell_code, written, self._last_words(folder))
        return replace(
            seen,
            phase=AttemptPhase.FAILED,
            reason=reason,
            message=message,
            exit_code=shell_code,
            retryable=is_retryable(reason),
            details=details,
        )

    def _last_words(self, folder: Path) -> str:
        """Return the end of what a program printed, without the values of secrets."""
        try:
            with (folder / "log").open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 4000))
                return hidden(log.read().decode(errors="replace"), self._secret_values())
        except OSError:
            return ""

    def _secret_values(self) -> list[str]:
        variables: list[EnvVar] = []
        for node in self.engine.plan.nodes.values():
            executor = executors.get(node.definition.executor or "")
            if executor is not None:
                variables += executor.workload(node.definition, node.definition.config).env
            if node.definition.pod is not None:
                variables += node.definition.pod.env
        return secret_values(variables, self.secrets)


class InputTooLarge(Exception):  # noqa: N818 - of the user's data, not a fault of podium
    """The input does not fit into the environment of a container."""


def _running(node: str, execution: str, process: processes.Process) -> Observation:
    return Observation(
        node,
        execution,
        AttemptPhase.RUNNING,
        attempt=process.attempt,
        started_at=process.started_at or _changed(process.folder / "process") or time.time(),
    )


def _made(folder: Path) -> bool:
    """Make the folder of an execution; False: it is there."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    return True


def _changed(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _written(folder: Path) -> bytes | None:
    """Return the beginning of a program's output, None if it wrote none."""
    path = folder / "output.json"
    if (folder / "container").exists():
        path = folder / "container/output.json"
    try:
        with path.open("rb") as file:
            return file.read(OUTPUT_LIMIT)
    except FileNotFoundError:
        return None
    except OSError as error:  # a folder, for one
        return f"{path.name}: {error.strerror}".encode()
