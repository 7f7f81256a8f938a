"""The pool: a few workers, and one that stands by for the next that has to be ended.

Who asks first is answered first, but the askers (namespaces) take turns: a thousand questions
of one delay another no longer than one question does. Who has a question that takes long gets
no second worker meanwhile, and all whose questions took long a moment ago leave one worker to the
others: however many they are, they do not keep all of them busy. A question is encoded only when
its turn comes.
"""

import asyncio
import logging
import signal
import sys
import time
from asyncio.subprocess import Process
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field

from podium.errors import PodiumError
from podium.judge import frames
from podium.judge.frames import Outcome, QuestionHeader
from podium.judge.workers import GoneError, Workers, read_frames

__all__ = ["JudgeError", "OverBudgetError", "Pool", "StarvedError"]

log = logging.getLogger(__name__)

WORKERS = 2
SECONDS = 2.0
"""Time of the processor for each question, unless its task needs more."""
MEMORY_BYTES = 128 * 1024 * 1024
PATIENCE = 20.0
"""A worker that gets little time of the processor is waited for so many times as long."""
LONG_SECONDS = 0.25
"""An answer that takes longer is the only one that is made for its asker at that time."""
SLOW_SECONDS = 1.0
"""Whose answer took longer counts as slow for some time."""
SLOW_FOR_SECONDS = 60.0


class OverBudgetError(PodiumError):
    """A question takes too much; the message says of what, as in `takes more than 2 s`."""


class _MemoryFullError(OverBudgetError):
    """A worker's memory is used up."""


class JudgeError(PodiumError):
    """A question could not be answered, by a fault of the judge's own."""


class StarvedError(JudgeError):
    """The machine is too busy for a worker: that says nothing of the question."""


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
        waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Make a pool; `waiting` surrounds the time in which whoever asked waits for the answer."""
        self._count = workers
        self._seconds = seconds
        self._memory = memory_bytes
        self._workers = Workers((*command, str(memory_bytes)))
        self._while_waiting = waiting
        self._waiting: OrderedDict[str, deque[_Asked]] = OrderedDict()
        """By asker; the one whose turn it is comes first."""
        self._arrived = asyncio.Condition()
        self._answering: dict[str, list[float]] = {}
        """Since when (monotonic) questions are being answered, by asker, the first ones first."""
        self._slow_until: dict[str, float] = {}
        """Until when (monotonic) askers count as slow, for what they asked took long."""
        self._moved = time.monotonic()
        """When a question was last answered, or the first one came."""
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
            if not self._waiting and not self._answering:
                self._moved = time.monotonic()
            self._waiting.setdefault(asker, deque()).append(asked)
            self._arrived.notify()
        with self._while_waiting():
            return await asked.answer

    @property
    def waiting(self) -> int:
        """How many questions wait for a worker."""
        return sum(map(len, self._waiting.values()))

    @property
    def stalled(self) -> float:
        """Seconds for which no question was answered, although there are some."""
        asked = self._waiting or self._answering
        return time.monotonic() - self._moved if asked else 0.0

    async def _next(self) -> _Asked:
        """Take the next question: of each asker one, in turns."""
        async with self._arrived:
            while True:
                asker = next(filter(self._may_have_worker, self._waiting), None)
                if asker is None:
                    await self._arrived.wait()
                    continue
                of_it = self._waiting.pop(asker)
                asked = of_it.popleft()
                if of_it:
                    self._waiting[asker] = of_it  # behind the others
                if not asked.answer.done():  # else whoever asked does not want it any more
                    return asked

    def _may_have_worker(self, asker: str) -> bool:
        """Return whether an asker leaves enough workers to others if it gets another one."""
        if self._is_long(asker):
            return False
        if self._count == 1 or not self.is_slow(asker):
            return True
        return sum(len(of_it) for each, of_it in self._answering.items() if self.is_slow(each)) < (
            self._count - 1
        )

    def _is_long(self, asker: str) -> bool:
        """Return whether a question of an asker is being answered, and for long."""
        begun = self._answering.get(asker)
        return begun is not None and time.monotonic() - begun[0] > LONG_SECONDS

    def is_slow(self, asker: str) -> bool:
        """Return whether what an asker asks takes long, or did a moment ago."""
        return self._is_long(asker) or self._slow_until.get(asker, 0.0) > time.monotonic()

    def _note_seconds(self, asker: str, now: float, seconds: float) -> None:
        """Note how long an answer took, whatever became of it."""
        self._moved = now
        self._slow_until = {each: end for each, end in self._slow_until.items() if end > now}
        if seconds > SLOW_SECONDS:
            self._slow_until[asker] = now + SLOW_FOR_SECONDS

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
            now = time.monotonic()
            self._note_seconds(asker, now, now - begun)
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
            self._workers.stand_by()
            async with asyncio.TaskGroup() as group:
                for _ in range(self._count):
                    group.create_task(self._serve(), name="judge")
        finally:
            self._has_ended = True
            for asked in (each for of_it in self._waiting.values() for each in of_it):
                _fail(asked, JudgeError("the operator ends"))
            self._waiting.clear()
            await self._workers.close()

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
                process = await self._workers.take()
            try:
                answer = await self._exchange(process, asked)
            except _MemoryFullError:
                if is_fresh:
                    raise
                # Perhaps by what earlier questions left behind.
                self._workers.end(process)
                process = await self._workers.take()
                answer = await self._exchange(process, asked)
        except GoneError as gone:
            self._workers.end(process)
            process = None
            await self._gone(asked, gone)
        except OverBudgetError as error:
            self._workers.end(process)
            process = None
            self.over_budget += 1
            _fail(asked, error)
        except JudgeError as error:
            log.warning("judge: %s: %s", asked.task, error)
            if isinstance(error, StarvedError):
                self._workers.end(process)
                process = None
            _fail(asked, error)
        except Exception as error:
            # A fault of ours: the operator must not end by it, for it would meet it again.
            log.exception("judge: %s", asked.task)
            self._workers.end(process)  # perhaps in the middle of an answer
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

    async def _gone(self, asked: _Asked, gone: GoneError) -> None:
        if gone.code == -signal.SIGPROF:
            self.over_budget += 1
            _fail(asked, OverBudgetError(f"takes more than {asked.seconds:g} s"))
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
        wait = PATIENCE * asked.seconds
        try:
            async with asyncio.timeout(wait):
                process.stdin.write(frames.header(header))
                process.stdin.write(frames.LENGTH.pack(len(body)))
                process.stdin.write(body)
                await process.stdin.drain()
                first, answer = await read_frames(process)
            said = frames.read_answer_header(first)
        except TimeoutError:  # at the end of its budget the kernel would have ended it
            message = f"a worker got less than {asked.seconds:g} s of the processor in {wait:g} s"
            raise StarvedError(message) from None
        except (ValueError, TypeError, KeyError):  # it is out of step
            raise GoneError(None) from None
        except (OSError, EOFError):
            raise GoneError(await process.wait()) from None
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


def _fail(asked: _Asked, error: PodiumError) -> None:
    if not asked.answer.done():
        asked.answer.set_exception(error)
