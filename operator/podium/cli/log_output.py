"""What programs of a run print, from their files, and as it grows."""

import sys
import time
from collections.abc import Iterable

from podium.cli.output import escape_control
from podium.local.store import RunFolder

__all__ = ["print_logs"]

POLL_SECONDS = 0.2
CHUNK = 1 << 20


class _Tail:
    """One execution's log: what was not printed yet."""

    def __init__(self, folder: RunFolder, execution: str, *, named: bool) -> None:
        self._path = folder.execution(execution) / "log"
        self._prefix = f"[{execution.rpartition('-')[0]}] ".encode() if named else b""
        self._offset = 0
        self._rest = b""

    def read(self, *, last: bool) -> bool:
        """Print the whole lines that are new, a torn one too if it is the last; tell if any."""
        try:
            with self._path.open("rb") as log:
                log.seek(self._offset)
                data = log.read(CHUNK)
        except FileNotFoundError:
            return False
        self._offset += len(data)
        lines = (self._rest + data).splitlines(keepends=True)
        self._rest = b""
        if lines and not lines[-1].endswith(b"\n") and not last:
            self._rest = lines.pop()
        for line in lines:
            _write(self._prefix + line)
        return bool(data)


def _write(line: bytes) -> None:
    if sys.stdout.isatty():
        text = line.decode(errors="replace").removesuffix("\n")
        print(escape_control(text))
        return
    sys.stdout.buffer.write(line if line.endswith(b"\n") else line + b"\n")
    sys.stdout.buffer.flush()


def print_logs(folder: RunFolder, nodes: Iterable[str], *, follow: bool, named: bool) -> None:
    """Print the latest execution of each node; `follow`: and what comes until the run ends."""
    wanted = list(nodes)
    tails: dict[str, _Tail] = {}
    first = True
    while True:
        # Looked at before reading: what is written before the end is read after it.
        over = not (follow and folder.is_held)
        for execution in _executions(folder, wanted, latest=first):
            tails.setdefault(execution, _Tail(folder, execution, named=named))
        first = False
        more = [tail.read(last=over) for tail in tails.values()]
        if over and not any(more):
            return
        if not any(more):
            time.sleep(POLL_SECONDS)


def _executions(folder: RunFolder, nodes: list[str], *, latest: bool) -> list[str]:
    """Return executions in the order of their nodes and counts; `latest`: one of each."""
    counts: dict[str, list[int]] = {node: [] for node in nodes}
    for execution in folder.executions():
        node, _, count = execution.rpartition("-")
        if node in counts:
            counts[node].append(int(count))
    return [
        f"{node}-{count}"
        for node, found in counts.items()
        for count in (sorted(found)[-1:] if latest else sorted(found))
    ]
