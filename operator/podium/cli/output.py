"""What every verb has in common: exit codes, problems, and text that is safe on a terminal."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

import click

from podium.api.problems import InvalidError, Problem, UserError

__all__ = ["CliError", "ExitCode", "guarded", "plain", "say_problems", "warn"]


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


class CliError(UserError):
    """Ends the command with a line and an exit code."""

    def __init__(self, message: str, code: ExitCode = ExitCode.USAGE) -> None:
        self.code = code
        super().__init__(message)


def plain(text: str) -> str:
    """Make text safe to print: no control characters of somebody else reach the terminal."""
    return "".join(
        character if character == "\t" or character.isprintable() else _escaped(character)
        for character in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode()


def warn(message: str) -> None:
    """Print a line on standard error."""
    click.echo(plain(message), err=True)


def say_problems(problems: Iterable[Problem]) -> None:
    """Print problems on standard error, one a line."""
    for problem in problems:
        warn(str(problem))


@contextmanager
def guarded() -> Iterator[None]:
    """Turn everything that a user can cause into a line and an exit code."""
    try:
        yield
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.Abort:
        sys.exit(ExitCode.INTERRUPTED)
    except click.ClickException as error:
        error.show()
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
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # The reader has left; nothing more must be written, not even at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.OK)
    except OSError as error:
        where = f"{error.filename}: " if isinstance(error.filename, str | Path) else ""
        warn(f"podium: {where}{error.strerror or error}")
        sys.exit(ExitCode.USAGE)
