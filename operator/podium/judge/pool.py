"""The pool: a few workers, and one that stands by for the next that has to be ended.

Who asks first is answered first, but the askers (namespaces) take turns: a thousand questions
of one delay another no longer than one question does. Who has a question that takes long gets
no second worker meanwhile, so that it does not keep all of them busy. A question is encoded only
when its turn comes.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from podium.errors import PodiumError
from podium.judge import frames
from podium.judge.frames import Outcome, QuestionHeader

__all__ = ["JudgeError", "OverBudgetError", "Pool"]

log = logging.getLogger(__name__)

WORKERS = 2
SECONDS = 2.0
"""Time of the processor for each question, unless its task needs more."""
MEMORY_BYTES = 128 * 1024 * 1024
PATIENCE = 5.0
"""A worker that gets no time of the processor is waited for so many times as long."""
LONG_SECONDS = 0.25
"""An answer that takes longer is the only one that is made for its asker at that time."""
START_SECONDS = 60.0
RESTART_SECONDS = (0.5, 30.0)
"""Between starts that fail: at first, and at most."""
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
"""What workers get of the environment: no tokens, no proxies, no settings."""


class OverBudgetError(PodiumError):
    """A question takes too much; the message says of what, as in `takes more than 2 s`."""


class _MemoryFullError(OverBudgetError):
    """A worker's memory is used up."""


class JudgeError(PodiumError):
    """A question could not be answered, by a fault of the judge's own."""


class _GoneError(PodiumError):
    """The worker ended; the number is how, as of `Process.returncode`."""

    def __init__(self, code: int | None) -> None:
        self.code = code
        super().__init__(f"a worker ended ({code})")


@dataclass(slots=True)
class _Asked:
    """A question that waits for its answer."""

    asker: str
    task: str
    encode: Callable[[], bytes]
    seconds: float
    answer: asyncio.Future[bytes]
    ended_workers: int = field(default=0)
    """Workers that ended over it by no budget: a second one is not a coincidence."""


class Pool:
    """Answers questions in workers, which `run` starts and keeps."""

    def __init__(
        self,
        *,
        workers: int = WORKERS,
        seconds: float = SECONDS,
        memory_bytes: int = MEMORY_BYTES,
        command: Sequence[str] = (sys.executable, "-P", "-m", "podium.judge"),
    ) -> None:
        self._count = workers
        self._seconds = seconds
        self._memory = memory_bytes
        self._command = (*command, str(memory_bytes))
        self._waiting: OrderedDict[str, deque[_Asked]] = OrderedDict()
        """By asker; the one whose turn it is comes first."""
        self._arrived = asyncio.Condition()
        self._answering: dict[str, list[float]] = {}
        """Since when (monotonic) questions are being answered, by asker, the first ones first."""
        self._spare: asyncio.Task[Process] | None = None
        self._living: set[Process] = set()
        self._runs = False
        self._has_ended = False
        self._own_task: asyncio.Task[None] | None = None
        self.answered = 0
        self.over_budget = 0

    # Asking

    async def ask(
        self,
        task: str,
        body: bytes | Callable[[], bytes],
        *,
        asker: str = "",
        seconds: float | None = None,
    ) -> bytes:
        """Return the answer of a task; a body that is a function is called when its turn comes.

        Raises `OverBudgetError`, `JudgeError`.
        """
        asked = _Asked(
            asker,
            task,
            body if callable(body) else lambda: body,
            self._seconds if seconds is None else seconds,
            asyncio.get_running_loop().create_future(),
        )
        async with self._arrived:
            if self._has_ended:
                raise JudgeError("the operator ends")
            if not self._runs and self._own_task is None:
                self._own_task = asyncio.create_task(self.run(), name="judge")
            self._waiting.setdefault(asker, deque()).append(asked)
            self._arrived.notify()
        return await asked.answer

    @property
    def waiting(self) -> int:
        """How many questions wait for a worker."""
        return sum(map(len, self._waiting.values()))

    async def _next(self) -> _Asked:
        """Take the next question: of each asker one, in turns."""
        async with self._arrived:
            while True:
                asker = next((each for each in self._waiting if not self._is_long(each)), None)
                if asker is None:
                    await self._arrived.wait()
                    continue
                of_it = self._waiting.pop(asker)
                asked = of_it.popleft()
                if of_it:
                    self._waiting[asker] = of_it  # behind the others
                if not asked.answer.done():  # else whoever asked does not want it any more
                    return asked

    def _is_long(self, asker: str) -> bool:
        """Return whether a question of an asker is being answered, and for long."""
        begun = self._answering.get(asker)
        return begun is not None and time.monotonic() - begun[0] > LONG_SECONDS

    @asynccontextmanager
    async def _being_answered(self, asker: str) -> AsyncIterator[None]:
        """Note that a question is being answered."""
        begun = time.monotonic()
        self._answering.setdefault(asker, []).append(begun)
        try:
            yield
        finally:
            of_it = self._answering[asker]
            of_it.remove(begun)
            if not of_it:
                del self._answering[asker]
            if self._waiting:
                async with self._arrived:
                    self._arrived.notify_all()

    # Working

    async def run(self) -> None:
        """Keep the workers, until cancelled; then end them without waiting for answers.

        Who asks before anyone runs the pool has it run, until the event loop ends.
        """
        if self._own_task is not None and self._own_task is not asyncio.current_task():
            await self._own_task
            return
        self._runs = True
        try:
            self._stand_by()
            async with asyncio.TaskGroup() as group:
                for _ in range(self._count):
                    group.create_task(self._serve(), name="judge")
        finally:
            self._has_ended = True
            for asked in (each for of_it in self._waiting.values() for each in of_it):
                _fail(asked, JudgeError("the operator ends"))
            self._waiting.clear()
            if self._spare is not None:
                self._spare.cancel()
            for process in self._living:
                _end(process)
            with suppress(TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(1.0):  # they are killed: only to collect them
                    await asyncio.gather(*(each.wait() for each in self._living))

    async def _serve(self) -> None:
        process: Process | None = None
        while True:
            asked = await self._next()
            async with self._being_answered(asked.asker):
                process = await self._answer(asked, process)

    async def _answer(self, asked: _Asked, process: Process | None) -> Process | None:
        """Answer a question with a worker, or a new one; return that for the next question."""
        is_fresh = process is None
        try:
            if process is None:
                process = await self._take_spare()
            try:
                answer = await self._exchange(process, asked)
            except _MemoryFullError:
                if is_fresh:
                    raise
                # Perhaps by what earlier questions left behind.
                self._end(process)
                process = await self._take_spare()
                answer = await self._exchange(process, asked)
        except _GoneError as gone:
            self._end(process)
            process = None
            await self._gone(asked, gone)
        except OverBudgetError as error:
            self._end(process)
            process = None
            self.over_budget += 1
            _fail(asked, error)
        except JudgeError as error:
            log.warning("judge: %s: %s", asked.task, error)
            _fail(asked, error)
        except Exception as error:
            # A fault of ours: the operator must not end by it, for it would meet it again.
            log.exception("judge: %s", asked.task)
            self._end(process)  # perhaps in the middle of an answer
            process = None
            _fail(asked, JudgeError(type(error).__name__))
        except BaseException as error:
            _fail(asked, JudgeError(type(error).__name__))
            raise
        else:
            self.answered += 1
            if not asked.answer.done():
                asked.answer.set_result(answer)
        return process

    async def _gone(self, asked: _Asked, gone: _GoneError) -> None:
        if gone.code == -signal.SIGPROF:
            self.over_budget += 1
            _fail(asked, self._too_long(asked))
            return
        asked.ended_workers += 1
        if asked.ended_workers > 1:
            self.over_budget += 1
            _fail(asked, OverBudgetError("ends the process that does it"))
            return
        log.warning("judge: %s over %s, which is asked again", gone, asked.task)
        async with self._arrived:
            self._waiting.setdefault("", deque()).appendleft(asked)
            self._arrived.notify()

    async def _exchange(self, process: Process, asked: _Asked) -> bytes:
        try:
            body = asked.encode()
        except (TypeError, ValueError) as error:
            raise JudgeError(f"the question is not JSON: {error!s:.200}") from None
        if len(body) > frames.MAX_QUESTION_BYTES:
            raise OverBudgetError(f"reads more than {frames.MAX_QUESTION_BYTES >> 20} MiB")
        assert process.stdin is not None  # noqa: S101 - for the type checker
        header = QuestionHeader(frames.VERSION, asked.task, asked.seconds)
        try:
            async with asyncio.timeout(PATIENCE * asked.seconds):
                process.stdin.write(frames.header(header))
                process.stdin.write(frames.LENGTH.pack(len(body)))
                process.stdin.write(body)
                await process.stdin.drain()
                first, answer = await _read(process)
            said = frames.read_answer_header(first)
        except TimeoutError:
            raise self._too_long(asked) from None
        except (ValueError, TypeError, KeyError):  # it is out of step
            raise _GoneError(None) from None
        except (OSError, EOFError):
            raise _GoneError(await process.wait()) from None
        if said.version != frames.VERSION:
            raise JudgeError(f"a worker of version {said.version}")
        match said.outcome:
            case Outcome.MEMORY:
                raise _MemoryFullError(f"takes more than {self._memory >> 20} MiB of memory")
            case Outcome.SIZE:
                most = frames.MAX_ANSWER_BYTES >> 20
                raise OverBudgetError(f"makes more than {most} MiB")
            case Outcome.ERROR:
                raise JudgeError(said.message)
        return answer

    def _too_long(self, asked: _Asked) -> OverBudgetError:
        return OverBudgetError(f"takes more than {asked.seconds:g} s")

    # Processes

    def _stand_by(self) -> None:
        self._spare = asyncio.create_task(self._start(), name="judge-spare")

    async def _take_spare(self) -> Process:
        """Return a worker that is ready; the next one begins to start."""
        assert self._spare is not None  # noqa: S101 - `run` made one
        spare = self._spare
        self._stand_by()  # before waiting: another one that waits too must not get the same
        return await spare

    async def _start(self) -> Process:
        """Start a worker, again and again until one is ready."""
        wait, most = RESTART_SECONDS
        while True:
            try:
                return await self._start_once()
            except (OSError, EOFError, ValueError) as error:
                log.warning("judge: no worker could be started: %r", error)
            await asyncio.sleep(wait)
            wait = min(2 * wait, most)

    async def _start_once(self) -> Process:
        begin = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,
            stdout=PIPE,
            env={key: os.environ[key] for key in _ENVIRONMENT if key in os.environ},
        )
        self._living.add(process)
        try:
            async with asyncio.timeout(START_SECONDS):
                await _read(process)
        except BaseException:
            self._end(process)
            raise
        log.debug("judge: a worker started in %.2f s", time.monotonic() - begin)
        return process

    def _end(self, process: Process | None) -> None:
        if process is not None:
            self._living.discard(process)
            _end(process)


def _fail(asked: _Asked, error: PodiumError) -> None:
    if not asked.answer.done():
        asked.answer.set_exception(error)


def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - it closes the pipes


async def _read(process: Process) -> tuple[bytes, bytes]:
    """Read an answer: its header and itself."""
    assert process.stdout is not None  # noqa: S101 - for the type checker
    found = []
    for _ in range(2):
        (length,) = frames.LENGTH.unpack(await process.stdout.readexactly(frames.LENGTH.size))
        if length > 2 * frames.MAX_ANSWER_BYTES:
            raise ValueError(f"a frame of {length} bytes")
        found.append(await process.stdout.readexactly(length) if length else b"")
    return found[0], found[1]
