"""What goes through the pipes between the pool and a worker: frames of bytes, two to a message.

The first is a header, JSON of a known shape, the second the message itself, which the side that
passes it on need not read.
"""

import struct
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, BinaryIO

import orjson

__all__ = [
    "LENGTH",
    "MAX_ANSWER_BYTES",
    "MAX_QUESTION_BYTES",
    "VERSION",
    "AnswerHeader",
    "Outcome",
    "QuestionHeader",
    "frame",
    "header",
    "read_answer_header",
    "read_frame",
    "read_question_header",
]

VERSION = 1
"""Of the questions and answers: both ends must have the same."""
LENGTH = struct.Struct(">I")
"""Length of a frame, in front of it."""
MAX_QUESTION_BYTES = 16 * 1024 * 1024
MAX_ANSWER_BYTES = 8 * 1024 * 1024


class Outcome(StrEnum):
    """How a worker came out of a question."""

    ANSWER = "answer"
    MEMORY = "memory"
    """The budget of memory is used up."""
    SIZE = "size"
    """The answer is too large to be handed on."""
    ERROR = "error"
    """The worker has a fault of its own."""


@dataclass(frozen=True, slots=True)
class QuestionHeader:
    """What a worker must know of a question before it reads it."""

    version: int
    task: str
    """Name of one of `podium.judge.tasks`."""
    seconds: float
    """Time of the processor that the answer may take."""


@dataclass(frozen=True, slots=True)
class AnswerHeader:
    """How it went."""

    version: int
    outcome: Outcome
    message: str = ""
    """Of an error: what happened."""


def header(content: QuestionHeader | AnswerHeader) -> bytes:
    """Return the frame of a header."""
    return frame(orjson.dumps(asdict(content)))


def frame(content: bytes) -> bytes:
    """Return a frame."""
    return LENGTH.pack(len(content)) + content


def read_frame(source: BinaryIO, limit: int) -> bytes | None:
    """Read a frame; None: the other side is gone. Raises `ValueError` if it is longer."""
    start = source.read(LENGTH.size)
    if len(start) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(start)
    if length > limit:
        raise ValueError(f"a frame of {length} bytes, and {limit} is the limit")
    content = source.read(length)
    return content if len(content) == length else None


def read_question_header(content: bytes) -> QuestionHeader:
    """Read the header of a question. Raises `ValueError`, `TypeError`, `KeyError`."""
    data: dict[str, Any] = orjson.loads(content)
    return QuestionHeader(int(data["version"]), str(data["task"]), float(data["seconds"]))


def read_answer_header(content: bytes) -> AnswerHeader:
    """Read the header of an answer. Raises `ValueError`, `TypeError`, `KeyError`."""
    data: dict[str, Any] = orjson.loads(content)
    return AnswerHeader(int(data["version"]), Outcome(data["outcome"]), str(data["message"]))
