"""Starting, finding again and ending our own processes.

A pid alone may belong to somebody else by the time it is read again, so a process is known by its pid
and its start time: only a process of which both still fit is ever signalled.
"""

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.console import ClusterError, say
from tests.cluster.places import STATE


@dataclass(frozen=True)
class Component:
    """A process that stays: its command line, the files it reads, and how to tell that it serves."""

    name: str
    command: Sequence[object]
    healthy: Callable[[], bool]
    files: Sequence[Path] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    patience: float = 60

    @property
    def record(self) -> Path:
        """Where the pid stands."""
        return STATE / "pids" / f"{self.name}.json"

    @property
    def log(self) -> Path:
        """What it says."""
        return STATE / "logs" / f"{self.name}.log"

    def recipe(self) -> str:
        """Name what it was started from: with another command line or settings it starts again."""
        parts = [str(word) for word in self.command]
        parts += [file.read_text() for file in self.files]
        parts += [f"{key}={value}" for key, value in sorted(self.env.items())]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def start_time(pid: int) -> str | None:
    """Return when a process began, in clock ticks since boot; None when there is none, or a zombie."""
    try:
        # The name in parentheses may hold anything, blanks and parentheses too.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # The first thread of one that is killed may be a zombie while others still hold its port.
        over = fields[0] in {"Z", "X"} and len(list(Path(f"/proc/{pid}/task").iterdir())) < 2
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if over else fields[19]


def recorded(name: str) -> dict[str, str] | None:
    """Return the record of a component whose process lives."""
    try:
        record = json.loads((STATE / "pids" / f"{name}.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    started = record["started"]  # null when it ended before one could look
    alive = started is not None and start_time(int(record["pid"])) == started
    return record if alive else None


def ensure(component: Component) -> bool:
    """Start a component unless it runs from the same recipe; return whether it was started."""
    recipe = component.recipe()
    record = recorded(component.name)
    if record and record["recipe"] == recipe:
        return False
    if record:
        say(f"{component.name}: its settings changed")
        stop(component.name)
    for directory in (component.record.parent, component.log.parent):
        directory.mkdir(parents=True, exist_ok=True)
    with component.log.open("a") as log:
        process = subprocess.Popen(
            [str(word) for word in component.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=STATE,
            env=os.environ | component.env,
            start_new_session=True,  # so that it survives the end of this command
        )
    started = start_time(process.pid)
    component.record.write_text(
        json.dumps({"pid": process.pid, "started": started, "recipe": recipe})
    )
    return True


def wait(component: Component) -> None:
    """Wait until a component serves; say what it last said when it ends or takes too long."""
    end = time.monotonic() + component.patience
    # Alive first: another's server on the same port would answer in the place of a dead one.
    while not (alive := recorded(component.name) is not None) or not component.healthy():
        if not alive or time.monotonic() > end:
            tail = "\n".join(component.log.read_text(errors="replace").splitlines()[-15:])
            what = f"does not serve after {component.patience:.0f} s" if alive else "ended"
            raise ClusterError(f"{component.name} {what}; {component.log} ends with:\n{tail}")
        time.sleep(0.1)


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def stop(name: str, patience: float = 20, *, by: signal.Signals = signal.SIGTERM) -> None:
    """End a component and wait for it: a successor started meanwhile would find its port taken."""
    record = recorded(name)
    if record:
        pid, started = int(record["pid"]), record["started"]
        end = time.monotonic() + patience
        _signal(pid, by)
        while start_time(pid) == started:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # ours only when this very command started it
            if time.monotonic() > end:
                say(f"{name} did not end on SIGTERM within {patience:.0f} s: SIGKILL")
                _signal(pid, signal.SIGKILL)
                end += patience
            time.sleep(0.05)
    (STATE / "pids" / f"{name}.json").unlink(missing_ok=True)
