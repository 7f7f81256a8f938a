"""The programs of a run, as podium asks the starter for them (`podium.local.starter`)."""

import asyncio
import contextlib
import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import podium
from podium.local import orphans, processes
from podium.local.process_file import alive, recorded
from podium.local.process_tree import adopt_orphans
from podium.local.processes import Process

__all__ = ["Programs"]

_START = (
    "import sys; sys.path.append(sys.argv[3]); from podium.local import starter; starter.main()"
)
"""What the starter runs: it loads no site, which takes long."""
_REPEATS = 3
"""How often a start is asked for again after the starter was killed."""


class Programs:
    """The programs of one run. Their starter is started with the first one."""

    def __init__(self) -> None:
        self._answers: _Answers | None = None
        self._starter: subprocess.Popen[bytes] | None = None
        self._started: list[Process] = []
        self._was_killed = False
        orphans.STARTERS.add(self)
        self._repeating: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Lock()

    def start(
        self,
        directory: Path,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        restart: int = 0,
    ) -> Process:
        """Have a program started; the first argument is its path. `ready` comes first.

        Raises `ValueError` if a string has a null byte. If it cannot be started, runs already, or
        was started before, `begun` of the process says so, with an `OSError`.
        """
        process = Process(directory, restart=restart)
        self.start_process(process, argv, env, cwd)
        return process

    def start_process(
        self, process: Process, argv: Sequence[str], env: Mapping[str, str], cwd: Path
    ) -> None:
        """Have the program of a process started that was made before. Raises as `start` does."""
        assert self._answers is not None  # noqa: S101 - for the type checker
        key, directory = process.directory.name, process.directory
        variables = [f"{name}={value}" for name, value in env.items()]
        words = [key, str(directory), str(process.restart), str(cwd), str(len(argv)), *argv]
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
                *(str(processes.GRACE_SECONDS), str(Path(podium.__file__).parent.parent)),
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
        found = {each.supervisor for each in self._started if alive(each.directory)}
        return found | ({self._starter.pid} if self._starter is not None else set())

    @property
    def was_killed(self) -> bool:
        """Whether a starter was killed: what it had adopted is podium's now."""
        return self._was_killed or (self._answers is not None and self._answers.lost)

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
            found = recorded(self.process.directory)
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
        self._asked[asked.process.directory.name] = asked
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


def _settle(process: Process, code: int | None) -> None:
    if process.end is not None and not process.end.done():
        process.end.set_result(code)
