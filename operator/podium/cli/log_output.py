"""What programs of a run print, from their files, and as it grows."""

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from podium.api.base import format_time
from podium.cli.log_files import LineTimes
from podium.cli.output import escape_control
from podium.local.files import IrregularFileError, open_regular
from podium.local.secrets import Mask
from podium.local.store import RunDirectory

__all__ = ["LogOptions", "print_logs"]

POLL_SECONDS = 0.2
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class LogOptions:
    """How logs are printed."""

    named: bool
    """Whether each line begins with its node."""
    timestamps: bool
    tail: int | None
    """Lines of each log to begin with; None: all."""
    mask: Callable[[str], Mask]
    """Values to hide in the log of an execution."""


class _Tail:
    """One execution's log: what was not printed yet."""

    def __init__(self, directory: RunDirectory, execution: str, options: LogOptions) -> None:
        self._path = directory.execution(execution) / "log"
        self._name = f"[{execution.rpartition('-')[0]}] ".encode() if options.named else b""
        self._times = LineTimes(self._path) if options.timestamps else None
        self._mask = options.mask(execution)
        self._offset = 0 if options.tail is None else self._start(options.tail)
        self._rest = b""
        self._within = False
        """Whether the last line that was printed has no end yet."""

    def _start(self, lines: int) -> int:
        """Return where the last lines begin."""
        try:
            with open_regular(self._path) as log:
                size = start = log.seek(0, 2)
                found = 0
                while start > 0:
                    length = min(CHUNK, start)
                    start -= length
                    log.seek(start)
                    data = log.read(length)
                    place = length
                    while (place := data.rfind(b"\n", 0, place)) >= 0:
                        if start + place == size - 1:
                            continue  # the end of the last line
                        found += 1
                        if found == lines:
                            return start + place + 1
                    if lines == 0:
                        return size
        except (FileNotFoundError, IrregularFileError):
            pass
        return 0

    def read(self, *, last: bool) -> bool:
        """Print the whole lines that are new, a torn one too if it is the last; return if any."""
        try:
            with open_regular(self._path) as log:
                log.seek(self._offset)
                data = log.read(CHUNK)
        except (FileNotFoundError, IrregularFileError):
            return False
        start = self._offset - len(self._rest)
        self._offset += len(data)
        lines = (self._rest + data).splitlines(keepends=True)
        self._rest = b""
        if lines and not lines[-1].endswith(b"\n") and not (last and len(data) < CHUNK):
            torn = lines.pop()
            if len(torn) > CHUNK + self._mask.longest:  # memory must not hold all of it
                cut = self._mask.cut(torn)
                lines.append(torn[:cut])
                torn = torn[cut:]
            self._rest = torn
        for line in lines:
            start += len(line)
            self._print(line, start)
        return bool(data)

    def _print(self, line: bytes, end: int) -> None:
        start = b""
        if not self._within:
            stamp = b"" if self._times is None else f"{_stamp(self._times.at(end))} ".encode()
            start = self._name + stamp
        self._within = not line.endswith((b"\n", b"\r"))
        _write(start + self._mask.hide(line))

    def finish(self) -> None:
        """End a last line that has no end of its own."""
        if self._within:
            _write(b"\n")
            self._within = False


def _stamp(seconds: float) -> str:
    text = format_time(seconds)
    return text if "." in text else f"{text[:-1]}.000Z"


def _write(line: bytes) -> None:
    if line.endswith(b"\r"):
        line = line[:-1] + b"\n"
    if sys.stdout.isatty():
        text = line.decode(errors="replace")
        body = text.removesuffix("\n")
        print(escape_control(body), end="\n" if text != body else "", flush=True)
        return
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def print_logs(
    directory: RunDirectory,
    executions: Iterable[str],
    options: LogOptions,
    *,
    newer: Callable[[], Iterable[str]] = lambda: (),
    goes_on: Callable[[], bool] = lambda: False,
) -> None:
    """Print the logs of executions, one after the other; then what comes while `goes_on`.

    `newer` returns executions to print as well, those that are known already among them.
    """
    tails = {execution: _Tail(directory, execution, options) for execution in executions}
    while True:
        # Looked at before reading: what is written before the end is read after it.
        last = not goes_on()
        for execution in newer():
            if execution not in tails:
                tails[execution] = _Tail(directory, execution, options)
        found = [_exhaust(tail, last=last) for tail in tails.values()]
        if last:
            return
        if not any(found):
            time.sleep(POLL_SECONDS)


def _exhaust(tail: _Tail, *, last: bool) -> bool:
    """Print all that a log has now, before the next log's turn."""
    found = False
    while tail.read(last=last):
        found = True
    if last:
        tail.finish()
    return found
