"""Large outputs on a laptop: kept in the directory of their execution, and read from there."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import orjson

from podium import contracts
from podium.api.reasons import NodeReason
from podium.artifacts.errors import ArtifactError
from podium.engine import AttemptPhase, LargeInput, Observation, StoredOutput
from podium.local.files import (
    is_directory,
    open_private,
    open_regular,
    read_regular,
    read_whole,
    remove,
    write_private,
)
from podium.local.outcomes import output_path

__all__ = ["LargeInputs", "link_output", "take_output"]

_KEPT = "large-output.json"
"""File of an execution: its output, as Podium keeps it."""
_CHUNK = 4 << 20


def take_output(seen: Observation, directory: Path, asked: contracts.AskedOutput) -> Observation:
    """Read the output of a program that succeeded, and keep it. Raises `OSError` if that fails."""
    try:
        raw, _ = read_regular(output_path(directory), contracts.LARGE_OUTPUT_BYTES + 1)
    except OSError:
        return seen  # as it was seen: there is none, or it cannot be read
    try:
        output = contracts.read_large_output(raw, asked)
    except contracts.OutputTooLargeError as error:
        return _failed(seen, NodeReason.OUTPUT_TOO_LARGE, str(error), is_retryable=False)
    except contracts.OutputNotJSONError as error:
        return _failed(seen, NodeReason.OUTPUT_NOT_JSON, f"$PODIUM_OUTPUT: {error}")
    small = replace(seen, output=orjson.dumps(output.read), output_limit=None)
    if output.is_whole:
        return small
    kept = directory / _KEPT
    remove(kept)
    write_private(kept, output.data)
    digest = hashlib.sha256(output.data).hexdigest()
    return replace(small, stored=StoredOutput(len(output.data), digest, output.verdict))


def _failed(
    seen: Observation, reason: str, message: str, *, is_retryable: bool = True
) -> Observation:
    return replace(
        seen,
        phase=AttemptPhase.FAILED,
        reason=reason,
        message=message,
        retryable=is_retryable,
        output=None,
    )


def link_output(original: Path, directory: Path) -> None:
    """Keep the output of another run's execution for this one, too. Raises `OSError`."""
    directory.mkdir(mode=0o700, exist_ok=True)
    os.link(original / _KEPT, directory / _KEPT, follow_symlinks=False)


class LargeInputs(NamedTuple):
    """The parts of an input that are written before the start, since they may be large."""

    directory: Path
    """Of the execution whose input it is."""
    parts: Sequence[LargeInput] = ()
    original: Callable[[str], Path] = Path
    """Returns the directory of an execution."""

    def write(self, is_stopped: Callable[[], bool]) -> None:
        """Write the input whole, in the place of the one without these parts.

        Raises `OSError`, `ArtifactError` for one that is gone or was changed, `InterruptedError`
        once it is stopped.
        """
        from podium.artifacts.values import Part, write_input  # noqa: PLC0415 - few inputs need it

        in_container = is_directory(self.directory / "container")
        inside = self.directory / "container/input.json"
        place = inside if in_container and inside.exists() else self.directory / "input.json"
        document = orjson.loads(read_whole(self.directory / "input.json"))
        parts = [
            Part(each.part, each.name, each.path, self._reader(each.execution, is_stopped))
            for each in self.parts
        ]
        with open_private(place, 0) as file:
            file.truncate()
            try:
                write_input(document, parts, file.write)
            except (KeyError, ValueError) as error:
                message = f"a large output that it needs was changed: {error}: run its node again"
                raise ArtifactError(message, is_retryable=False) from None

    def _reader(
        self, execution: str, is_stopped: Callable[[], bool]
    ) -> Callable[[], Iterator[bytes]]:
        def read() -> Iterator[bytes]:
            try:
                file = open_regular(self.original(execution) / _KEPT)
            except FileNotFoundError:
                message = f"the output of {execution} is not kept any more: run its node again"
                raise ArtifactError(message, is_retryable=False) from None
            with file:
                while chunk := file.read(_CHUNK):
                    if is_stopped():
                        raise InterruptedError("stopped")
                    yield chunk

        return read
