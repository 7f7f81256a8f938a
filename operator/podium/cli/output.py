"""What every verb has in common: exit codes, problems, and text that is safe on a terminal."""

import io
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from podium.api.problems import InvalidError, Problem, UserError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = [
    "CliError",
    "ExitCode",
    "escape_control",
    "exit_on_error",
    "is_safe",
    "say_problems",
    "warn",
]


class ExitCode(IntEnum):
    """Exit codes of every verb."""

    OK = 0
    FAILED = 1
    """The run failed or was cancelled, or the output could not be written."""
    USAGE = 2
    """Bad usage, or a file that is invalid, unreadable or missing."""
    TIMEOUT = 3
    FORBIDDEN = 4
    INTERRUPTED = 130
    PIPE_CLOSED = 141
    """The reader of the output closed the pipe before its end; 128 + SIGPIPE, as shells show it."""


class CliError(UserError):
    """Ends the command with a line and an exit code."""

    def __init__(self, message: str, code: ExitCode = ExitCode.USAGE) -> None:
        self.code = code
        super().__init__(message)


def escape_control(text: str) -> str:
    """Make text safe to print: no foreign control characters reach the terminal."""
    if text.isprintable():
        return text
    return "".join(each if is_safe(each) else _escaped(each) for each in text)


def is_safe(character: str) -> bool:
    """Return whether a terminal only shows it: no control, no turn of direction, no new line.

    Spaces of all widths and the joiners within emoji and words are as good as letters.
    """
    return (
        character.isprintable()
        or character in "\t\u200c\u200d"
        or unicodedata.category(character) == "Zs"
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode()


def warn(message: str) -> None:
    """Print a line on standard error. Where that cannot be written, the exit code is left."""
    with suppress(OSError):
        click.echo(escape_control(message), err=True)


def say_problems(problems: Iterable[Problem]) -> None:
    """Print problems on standard error, one a line."""
    for problem in problems:
        warn(str(problem))


def _open_standard_streams() -> None:
    """Give closed standard streams /dev/null: else files that podium opens would get their numbers.

    What is printed would go into such a file, or fail.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


_ESCAPED = "backslashreplace"
"""What becomes of characters that the encoding of a terminal lacks."""


class _StandardStream(io.FileIO):
    """A standard stream that remembers why something could not be written to it."""

    error: OSError | None = None

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.error = error
            raise


def _guard_standard_stream(name: Literal["stdout", "stderr"]) -> _StandardStream | None:
    """Replace a standard stream by one that remembers errors; a test's stand-in stays."""
    stream = getattr(sys, name)
    if not isinstance(stream, io.TextIOWrapper):
        return None
    if stream is not getattr(sys, f"__{name}__"):
        stream.reconfigure(errors=_ESCAPED)
        return None
    guard = _StandardStream(stream.fileno(), "w", closefd=False)
    is_unbuffered = isinstance(stream.buffer, io.FileIO)
    replacement = io.TextIOWrapper(
        guard if is_unbuffered else io.BufferedWriter(guard),
        encoding=stream.encoding,
        errors=_ESCAPED,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
    setattr(sys, name, replacement)
    return guard


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Turn everything that a user can cause into a line and an exit code.

    Output that could not be written is an error, also of a command that went on without it.
    """
    _open_standard_streams()
    output, messages = _guard_standard_stream("stdout"), _guard_standard_stream("stderr")
    code: str | int | None = ExitCode.OK
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except SystemExit as end:
        code = end.code
    except click.exceptions.Exit as end:
        code = end.exit_code
    except (click.Abort, KeyboardInterrupt):
        warn("podium: interrupted")
        code = ExitCode.INTERRUPTED
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        for line in shown.getvalue().rstrip("\n").split("\n"):
            warn(line)
        code = ExitCode.USAGE
    except InvalidError as error:
        say_problems(error.problems)
        code = ExitCode.USAGE
    except CliError as error:
        warn(f"podium: {error}")
        code = error.code
    except UserError as error:
        warn(f"podium: {error}")
        code = ExitCode.USAGE
    except OSError as error:
        if output is None or error is not output.error:
            where = f"{error.filename}: " if isinstance(error.filename, str | Path) else ""
            warn(f"podium: {where}{error.strerror or error}")
            code = ExitCode.USAGE
    if output is not None and output.error is not None:
        code = code or _lost_output(output.error)
        _discard(output)
    if messages is not None and messages.error is not None:
        _discard(messages)
    sys.exit(code)


def _lost_output(error: OSError) -> ExitCode:
    if isinstance(error, BrokenPipeError):
        return ExitCode.PIPE_CLOSED  # the reader has seen enough
    warn(f"podium: cannot write the output: {error.strerror or error}")
    return ExitCode.FAILED


def _discard(stream: _StandardStream) -> None:
    """Let what is still buffered go nowhere, where Python would fail to write it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
