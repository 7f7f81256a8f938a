"""What every verb has in common: exit codes, problems, and text that is safe on a terminal."""

import io
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

import click

from podium.api.problems import InvalidError, Problem, UserError

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
    """The run failed or was cancelled."""
    USAGE = 2
    """Bad usage, or a file that is invalid, unreadable or missing."""
    TIMEOUT = 3
    FORBIDDEN = 4
    INTERRUPTED = 130
    PIPE_CLOSED = 141
    """Who read the output has left before its end; 128 + SIGPIPE, as a shell shows it."""


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
    """Print a line on standard error."""
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


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Turn everything that a user can cause into a line and an exit code."""
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except (click.Abort, KeyboardInterrupt):
        warn("podium: interrupted")
        sys.exit(ExitCode.INTERRUPTED)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        for line in shown.getvalue().rstrip("\n").split("\n"):
            warn(line)
        sys.exit(ExitCode.USAGE)
    except InvalidError as error:
        say_problems(error.problems)
        sys.exit(ExitCode.USAGE)
    except CliError as error:
        warn(f"podium: {error}")
        sys.exit(error.code)
    except UserError as error:
        warn(f"podium: {error}")
        sys.exit(ExitCode.USAGE)
    except BrokenPipeError:
        # Nothing more must be written, not even what is buffered.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.PIPE_CLOSED)
    except OSError as error:
        where = f"{error.filename}: " if isinstance(error.filename, str | Path) else ""
        warn(f"podium: {where}{error.strerror or error}")
        sys.exit(ExitCode.USAGE)
