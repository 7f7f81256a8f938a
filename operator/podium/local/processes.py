"""Programs as processes, each supervised by one that knows its whole tree; they outlive podium.

A small process beside podium (`podium.local.starter`) has them started. Each program's supervisor
holds a lock while anything of it runs and writes its exit code to a file: a podium that comes after
one that was killed finds the program still running, or learns how it ended. A lock, unlike a pid,
cannot come to mean another process.
"""

import asyncio
import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import podium
from podium.local.process_file import SINGLE, alive, exit_code, recorded, stored_shape
from podium.local.process_tree import adopt_orphans, marked

__all__ = ["INTERRUPTED", "Process", "Programs", "alive", "exit_code", "find"]

GRACE_SECONDS = 5.0
"""Between SIGTERM and SIGKILL."""
POLL_SECONDS = 0.2
INTERRUPTED = "interrupted"
"""File in the directory of an execution that was stopped because podium was."""
_START = (
    "import sys; sys.path.append(sys.argv[3]); from podium.local import starter; starter.main()"
)
"""What the starter runs: it loads no site, which takes long."""
_REPEATS = 3
"""How often a start is asked for again after the starter was killed."""


@dataclass(slots=True)
class Process:
    """A program that was started, by this podium or by one before it."""

    folder: Path
    pid: int = 0
    """The program; 0: it was never started, or not by this podium's knowledge."""
    restart: int = 0
    """0 for the first start of the execution, n after n disruptions."""
    shape: str = SINGLE
    """What was made of its launch (`podium.local.shapes`)."""
    supervisor: int = 0
    """0: it has none, as what podium 0.1.0 started."""
    begun: asyncio.Future[None] | None = None
    """Done when it has been started, or could not be; None: an earlier podium started it."""
    end: asyncio.Future[int | None] | None = None
    """Its exit code, once nothing of it runs; None: the starter was killed, see its file."""
    started_at: float | None = None
    ended_at: float | None = None
    was_alive: bool = False
    """Whether this podium saw it run: only then the pid can mean no other process."""
    stopping: bool = False
    """Whether it was asked to end and has its grace."""
    killed: bool = False
    """Whether it has no grace."""

    @property
    def attempt(self) -> str:
        """Return what tells this start from every other one of the run."""
        return f"{self.folder.name}/{self.restart}/{self.pid}"

    async def is_begun(self) -> bool:
        """Wait for its start; False: it could not be started."""
        if self.begun is not None:
            if not self.begun.done():
                await asyncio.wait([self.begun])
            return self.begun.exception() is None
        return True

    async def wait(self) -> int | None:
        """Wait until nothing of it runs any more; return its exit code, None if it was lost.

        What it left running in the background ends with it, as in a container.
        """
        code = await asyncio.shield(self.end) if self.end is not None else None
        if code is None:
            while alive(self.folder):  # noqa: ASYNC110 - its starter is gone and tells nothing
                await asyncio.sleep(POLL_SECONDS)
            code = exit_code(self.folder)
        if code is None or not self.supervisor:
            while self._signal_marked(signal.SIGKILL):  # noqa: ASYNC110 - nor does the kernel
                await asyncio.sleep(0.05)
            await _end_orphans()
        return code

    async def stop(self) -> None:
        """End it with all it started: SIGTERM, after a grace SIGKILL. Returns when it is gone."""
        self.stopping = True
        if not await self.is_begun():
            return
        self._ask("stop", signal.SIGTERM)
        if self.killed:
            self.kill()
        if not self.supervisor:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE_SECONDS):
                    while self._marked():  # noqa: ASYNC110 - the kernel tells nothing
                        await asyncio.sleep(0.05)
            self._signal_marked(signal.SIGKILL)
        await self.wait()

    def kill(self) -> None:
        """End it at once."""
        self.killed = True
        if self.stopping:
            self._ask("kill", signal.SIGKILL)

    def _ask(self, file: str, number: signal.Signals) -> None:
        """Ask the supervisor to end the tree; where there is none, send the signal."""
        if self.end is not None and self.end.done() and self.end.result() is not None:
            return
        if self.supervisor and alive(self.folder):
            with contextlib.suppress(OSError):  # no space for a file, or no supervisor any more
                (self.folder / file).touch()
                os.kill(self.supervisor, signal.SIGUSR1)
                os.kill(self.supervisor, signal.SIGCONT)
                return
        self._signal_marked(number)

    def _signal_marked(self, number: signal.Signals) -> bool:
        """Send a signal to what is left of it; return whether anything could be sent it."""
        sent = False
        if not Path("/proc/self").exists() and self.was_alive and self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)
                sent = True
        for pid in self._marked():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
                sent = True
        return sent

    def _marked(self) -> list[int]:
        """Return what carries the execution's mark, or is of its session."""
        mark = os.fsencode(f"PODIUM_OUTPUT={self.folder}/output.json\0")
        return marked(mark, self.pid if self.was_alive else 0)


class Programs:
    """The programs of one run. Their starter is started with the first one."""

    def __init__(self) -> None:
        self._answers: _Answers | None = None
        self._starter: subprocess.Popen[bytes] | None = None
        self._started: list[Process] = []
        self._was_killed = False
        _EVERY.add(self)
        self._repeating: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Lock()

    def start(
        self, folder: Path, argv: Sequence[str], env: Mapping[str, str], cwd: Path, restart: int = 0
    ) -> Process:
        """Have a program started; the first argument is its path. `ready` comes first.

        Raises `ValueError` if a string has a null byte. If it cannot be started, runs already, or
        was started before, `begun` of the process says so, with an `OSError`.
        """
        process = Process(folder, restart=restart)
        self.start_process(process, argv, env, cwd)
        return process

    def start_process(
        self, process: Process, argv: Sequence[str], env: Mapping[str, str], cwd: Path
    ) -> None:
        """Have the program of a process started that was made before. Raises as `start` does."""
        assert self._answers is not None  # noqa: S101 - for the type checker
        key, folder = process.folder.name, process.folder
        variables = [f"{name}={value}" for name, value in env.items()]
        words = [key, str(folder), str(process.restart), str(cwd), str(len(argv)), *argv]
        request = os.fsencode("\0".join([*words, *variables]))
        if request.count(b"\0") != len(words) + len(variables) - 1:
            raise ValueError("an argument or a variable has a null byte")
        loop = asyncio.get_running_loop()
        process.begun = process.begun or loop.create_future()
        process.end = loop.create_future()
        self._started.append(process)
        self._answers.ask(_Asked(process, len(request).to_bytes(4, "big") + request))

    async def ready(self) -> None:
        """Start the starter, if there is none."""
        async with self._starting:
            if self._answers is None or self._answers.lost:
                await self._start_starter()

    async def _start_starter(self) -> None:
        if self._starter is not None:
            self._starter.poll()
            self._was_killed = True
        ours, theirs = socket.socketpair()
        self._starter = subprocess.Popen(  # noqa: ASYNC220 - once a run, and quick
            [
                *(sys.executable, "-I", "-S", "-c", _START, str(os.getpid())),
                *(str(GRACE_SECONDS), str(Path(podium.__file__).parent.parent)),
            ],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        adopt_orphans()  # meanwhile the starter loads
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        _, self._answers = await loop.create_unix_connection(
            lambda: _Answers(self._repeat), sock=ours
        )

    @property
    def is_starting(self) -> bool:
        """Whether starts are asked for that are not known to have happened: their supervisors."""
        return self._answers is not None and self._answers.is_waiting

    def at_work(self) -> set[int]:
        """Return the starter and the supervisors of what runs."""
        found = {each.supervisor for each in self._started if alive(each.folder)}
        return found | ({self._starter.pid} if self._starter is not None else set())

    @property
    def was_killed(self) -> bool:
        """Whether a starter was killed: what it had adopted is podium's now."""
        return self._was_killed or (self._answers is not None and self._answers.lost)

    async def end_orphans(self) -> None:
        """End what a starter that was killed had adopted. Returns when it is gone."""
        await _end_orphans()

    def close(self) -> None:
        """Let the starter go: it ends with the last program."""
        if self._answers is not None:
            self._answers.close()
        self._answers = None
        if self._starter is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._starter.wait(1)
        self._starter = None

    def _repeat(self, asked: "list[_Asked]") -> None:
        """Ask again for what a starter that was killed had not answered."""
        task = asyncio.get_running_loop().create_task(self._ask_again(asked))
        self._repeating.add(task)
        task.add_done_callback(self._repeating.discard)

    async def _ask_again(self, asked: "list[_Asked]") -> None:
        await self.ready()
        for each in asked:
            each.repeats += 1
            if each.repeats > _REPEATS or self._answers is None:
                each.refuse(OSError(0, "the process that starts programs was killed"))
            else:
                self._answers.ask(each)


@dataclass(slots=True)
class _Asked:
    """A start that was asked for."""

    process: Process
    request: bytes
    repeats: int = 0

    def begin(self, pid: int, supervisor: int, at: float | None = None) -> None:
        """Note that it has been started."""
        process = self.process
        process.pid, process.supervisor, process.started_at = pid, supervisor, at
        process.was_alive = True
        if process.begun is not None and not process.begun.done():
            process.begun.set_result(None)

    def refuse(self, error: OSError) -> None:
        """Note that it cannot be started; or was, by a starter that could not say so any more."""
        if self.repeats and error.errno in (errno.EEXIST, errno.EAGAIN):
            found = recorded(self.process.folder)
            self.begin(*((found[0], found[2]) if found is not None else (0, 0)))
            _settle(self.process, None)
        elif self.process.begun is not None and not self.process.begun.done():
            self.process.begun.set_exception(error)


class _Answers(asyncio.Protocol):
    """What the starter answers."""

    def __init__(self, repeat: Callable[[list[_Asked]], None]) -> None:
        self.lost = False
        self._repeat = repeat
        self._is_closed = False
        self._transport: asyncio.WriteTransport | None = None
        self._begun = b""
        self._asked: dict[str, _Asked] = {}
        self._running: dict[str, Process] = {}

    def ask(self, asked: _Asked) -> None:
        """Ask for a start."""
        assert self._transport is not None  # noqa: S101 - for the type checker
        self._asked[asked.process.folder.name] = asked
        self._transport.write(asked.request)

    def close(self) -> None:
        """Ask for nothing more."""
        self._is_closed = True
        if self._transport is not None and not self.lost:
            self._transport.write_eof()  # at once; to close it takes another turn of the loop
            self._transport.close()

    @property
    def is_waiting(self) -> bool:
        """Whether something asked for is not answered."""
        return bool(self._asked)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note where to ask."""
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - for the type checker
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take answers in."""
        *lines, self._begun = (self._begun + data).split(b"\n")
        for line in lines:
            answer, key, number, rest = os.fsdecode(line).split(" ", 3)
            if answer == "ended":
                process = self._running.pop(key)
                process.ended_at = float(rest)
                _settle(process, int(number))
                continue
            asked = self._asked.pop(key)
            if answer == "started":
                supervisor, at = rest.split(" ")
                self._running[key] = asked.process
                asked.begin(int(number), int(supervisor), float(at))
            else:
                asked.refuse(OSError(int(number), rest))

    def connection_lost(self, exc: Exception | None) -> None:
        """Go on without the starter, which was killed: the supervisors write to files, too."""
        del exc
        self.lost = True
        for process in self._running.values():
            _settle(process, None)
        if self._asked and not self._is_closed:
            self._repeat(list(self._asked.values()))


_EVERY: "weakref.WeakSet[Programs]" = weakref.WeakSet()
"""Of all runs of this process: what one knows, another one spares."""


async def _end_orphans() -> None:
    """End what starters had adopted that were killed. Returns when it is gone."""
    if not any(programs.was_killed for programs in _EVERY):
        return
    from podium.local.orphans import end_orphans  # noqa: PLC0415 - a rare attack

    while True:
        if any(programs.is_starting for programs in _EVERY):
            pass  # supervisors that were asked by a starter before its end may not be known yet
        elif not end_orphans({pid for programs in _EVERY for pid in programs.at_work()}):
            return
        await asyncio.sleep(0.02)


def _settle(process: Process, code: int | None) -> None:
    if process.end is not None and not process.end.done():
        process.end.set_result(code)


async def find(folder: Path) -> Process | None:
    """Return the program of an execution that an earlier podium started, None if it never was."""
    while True:
        runs = alive(folder)
        found = recorded(folder)
        if found is not None:
            pid, restart, supervisor = found
            shape = stored_shape(folder)
            return Process(folder, pid, restart, shape, supervisor, was_alive=runs)
        if not runs:
            return None
        await asyncio.sleep(0.01)  # it has just been started
