"""How a program of a laptop run ended, as the engine takes it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from podium.api.reasons import NodeReason
from podium.engine import AttemptPhase, Observation, OutputValueError
from podium.executors.outcome import failed_program, is_retryable, told_usage
from podium.local import processes
from podium.local.files import IrregularFileError, is_directory, read_end, read_regular
from podium.local.secrets import Mask

__all__ = ["LAST_WORDS_FILE", "OUTPUT_LIMIT", "changed_at", "ended", "failed_value", "output_path"]

LAST_WORDS_FILE = "last-words.json"
"""File of an execution in which the runner tells of itself, where its output may be large."""
OUTPUT_LIMIT = 4096
"""Bytes of an output: as on the cluster, so that what runs here runs there."""
_LOG_END = 4000
_KILLED = 137


def ended(
    node: str,
    execution: str,
    process: processes.Process,
    code: int | None,
    mask: Callable[[], Mask],
) -> Observation:
    """Describe the end of a program; `code` is None if none was recorded.

    A program is started again as the same execution only if podium stopped it, or if it ended while
    no podium was there; whatever ends one that podium watches is the node's own failure.
    """
    directory = process.directory
    if code is None:
        was_stopped = (directory / processes.INTERRUPTED).exists()
        if was_stopped or not process.was_alive:
            return Observation(
                node,
                execution,
                AttemptPhase.DISRUPTED,
                attempt=process.attempt,
                reason=NodeReason.INTERRUPTED if was_stopped else NodeReason.PROCESS_LOST,
                message="it was stopped with podium"
                if was_stopped
                else "its process ended while podium was not there",
                own=was_stopped,
            )
        code = _KILLED
    output, size, problem = _written(output_path(directory))
    words, _, _ = _written(directory / LAST_WORDS_FILE)
    seen = Observation(
        node,
        execution,
        AttemptPhase.SUCCEEDED,
        attempt=process.attempt,
        at=process.ended_at or changed_at(directory / "process"),
        output=output,
        output_limit=OUTPUT_LIMIT,
        output_size=size,
        usage=told_usage((words or output or b"").decode(errors="replace")),
    )
    if code != 0:
        code = 128 - code if code < 0 else code
        written = (words or output or b"").decode(errors="replace")
        reason, message, details = failed_program(code, written, _last_words(directory, mask))
        return replace(
            seen,
            phase=AttemptPhase.FAILED,
            reason=reason,
            message=message,
            exit_code=code,
            retryable=is_retryable(reason),
            details=details,
        )
    if problem:
        return replace(
            seen, phase=AttemptPhase.FAILED, reason=NodeReason.OUTPUT_NOT_JSON, message=problem
        )
    return seen


def failed_value(seen: Observation, error: OutputValueError) -> Observation:
    """Describe a program that succeeded and did not leave a value that its node promises."""
    return replace(
        seen,
        phase=AttemptPhase.FAILED,
        reason=error.reason,
        message=str(error),
        retryable=error.reason != NodeReason.OUTPUT_TOO_LARGE,
    )


def changed_at(path: Path) -> float | None:
    """Return when a file was changed, None if it is not there."""
    try:
        return path.lstat().st_mtime
    except OSError:
        return None


def output_path(directory: Path) -> Path:
    """Return where the program of an execution wrote its output."""
    in_container = is_directory(directory / "container")
    return directory / ("container/output.json" if in_container else "output.json")


def _written(path: Path) -> tuple[bytes | None, int, str]:
    """Return the beginning of what a program wrote (None: nothing), its size, what is wrong."""
    if path.parent.is_symlink():  # a program may put a link in the place of its directory
        return None, 0, f"$PODIUM_OUTPUT: {path.parent.name} is a symbolic link, not a directory"
    try:
        return *read_regular(path, OUTPUT_LIMIT), ""
    except FileNotFoundError:
        return None, 0, ""
    except IrregularFileError as error:
        return None, 0, f"$PODIUM_OUTPUT: {error}: write one JSON object to a file"
    except OSError as error:
        return None, 0, f"$PODIUM_OUTPUT: {error.strerror}"


def _last_words(directory: Path, mask: Callable[[], Mask]) -> str:
    """Return the end of what a program printed, without the values of secrets."""
    try:
        return mask().hide(read_end(directory / "log", _LOG_END)).decode(errors="replace")
    except OSError:
        return ""
