"""A worker: reads questions from a pipe and answers them, until the pipe closes.

It begins with a low priority and a limit on its memory, and sets a limit on its own time before
each question: the kernel ends it at that, whatever it is doing, also when the operator that asked
is gone.
"""

import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from podium.judge import frames, tasks
from podium.judge.frames import AnswerHeader, Outcome

NICENESS = 10
"""A worker that uses all the time it gets must not take the operator's."""

SESSION_NICENESS = 5
"""A third of the weight of another session: a machine that is always busy lets it work, too."""

KEPT_BYTES = 8192
"""What was compiled for a larger question is forgotten after it."""


def main() -> None:
    """Answer questions until the pipe closes."""
    memory = int(sys.argv[1])
    _give_way()
    # Not the address space, which counts what is only reserved.
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on a terminal it goes to the whole group
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process
    source = os.fdopen(os.dup(0), "rb")
    target = os.fdopen(os.dup(1), "wb")
    # What is printed by mistake must not become a part of an answer.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    tasks.load()
    try:
        _send(target, AnswerHeader(frames.VERSION, Outcome.ANSWER), b"")  # it is ready
        while _serve(source, target):
            pass
    except BrokenPipeError:
        os._exit(0)


def _give_way() -> None:
    """Leave the processor to whoever else wants it."""
    os.nice(NICENESS)
    # Outside of control groups Linux weighs sessions, and niceness counts within one only: a busy
    # worker would take half of a processor from the API server, and slow the operator's session.
    with suppress(OSError):
        os.setsid()
        Path("/proc/self/autogroup").write_text(str(SESSION_NICENESS))


def _serve(source: BinaryIO, target: BinaryIO) -> bool:
    """Answer one question; False: there are no more."""
    first = frames.read_frame(source, frames.MAX_QUESTION_BYTES)
    body = frames.read_frame(source, frames.MAX_QUESTION_BYTES) if first is not None else None
    if first is None or body is None:
        return False
    asked = frames.read_question_header(first)
    signal.setitimer(signal.ITIMER_PROF, asked.seconds)
    outcome, message, answer = _answer(asked, body)
    signal.setitimer(signal.ITIMER_PROF, 0)
    _send(target, AnswerHeader(frames.VERSION, outcome, message), answer)
    if len(body) > KEPT_BYTES:
        tasks.forget()
    return True


def _answer(asked: frames.QuestionHeader, body: bytes) -> tuple[Outcome, str, bytes]:
    if asked.version != frames.VERSION:
        return Outcome.ERROR, f"a question of version {asked.version}", b""
    try:
        answer = tasks.TASKS[asked.task](body)
    except MemoryError:
        return Outcome.MEMORY, "", b""
    except Exception as error:  # what is wrong with the worker is said, and it goes on
        return Outcome.ERROR, f"{type(error).__name__}: {error!s:.500}", b""
    if len(answer) > frames.MAX_ANSWER_BYTES:
        return Outcome.SIZE, "", b""
    return Outcome.ANSWER, "", answer


def _send(target: BinaryIO, content: AnswerHeader, body: bytes) -> None:
    target.write(frames.header(content) + frames.frame(body))
    target.flush()


if __name__ == "__main__":
    main()
