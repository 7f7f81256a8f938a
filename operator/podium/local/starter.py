"""The starter: starts a run's programs and ends their process trees, for a podium that may die.

A process of its own beside each podium that runs something, which loads next to nothing. It forks
supervisors (`podium.local.supervisor`), one for each program that runs at a time, which are used
again. A supervisor is the parent of its program and adopts what the program leaves behind
(`PR_SET_CHILD_SUBREAPER`), new sessions and double forks included, so that a node's whole tree is
known and ended, and nothing of another's. A program may kill its own supervisor: the starter then
ends what is left of it and records that it was killed. When the starter is killed, supervisors go
on; when podium is, the starter starts nothing more and stays until the last program has ended.

In an execution's directory a supervisor writes the file `process`: `PID RESTART SUPERVISOR`, and
below it the exit code once nothing of the program runs any more. It holds a lock on that file until
then. An execution is started once: one whose restart is recorded already is refused. On SIGUSR1 it
looks for the files `stop` (SIGTERM, and SIGKILL after the grace) and `kill` (SIGKILL at once).

Requests come by standard input, which is a socket: four bytes of length, then strings with a null
byte between them: key, directory, restart, working directory, number of arguments, the arguments,
and NAME=VALUE for each variable. Answers go the same way, a line each: `started KEY PID SUPERVISOR
TIME`, `refused KEY ERRNO MESSAGE`, `ended KEY CODE TIME`.
"""

import contextlib
import fcntl
import os
import select
import signal
import sys
import time

from podium.local.process_tree import (
    adopt_orphans,
    below,
    children_of_all,
    drain,
    send,
    wakeup_pipe,
)
from podium.local.supervisor import IGNORED, OPEN_FLAGS, Supervisor, refusal

CONTROL = 0
KILLED = 128 + signal.SIGKILL


class Starter:
    """The supervisors, by process id, and what each is busy with."""

    def __init__(self, podium: int, grace: float) -> None:
        self._podium = podium
        self._grace = grace
        self._supervisors: dict[int, Supervised] = {}
        self._idle: list[int] = []
        self._busy: dict[bytes, int] = {}
        """Supervisors that run something, by its key."""
        self._answers, self._answering = os.pipe()
        self._line = b""
        self._outgoing = b""

    def serve(self) -> None:
        """Start what is asked for, until podium is gone and nothing runs."""
        woken = wakeup_pipe()
        os.set_blocking(self._answers, False)
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGUSR1, lambda *_: None)
        adopt_orphans()
        poll = select.poll()
        for source in (CONTROL, woken, self._answers):
            poll.register(source, select.POLLIN)
        waiting, asked = b"", True
        while asked or self._busy:
            for ready, _ in poll.poll():
                if ready == CONTROL:
                    data = b""
                    with contextlib.suppress(OSError):
                        data = os.read(CONTROL, 1 << 18)
                    waiting += data
                    if not data:
                        poll.unregister(CONTROL)
                        asked = False
                elif ready == woken:
                    drain(woken)
            while len(waiting) >= 4 + (size := int.from_bytes(waiting[:4], "big")) > 4:
                self._dispatch(waiting[: 4 + size])
                waiting = waiting[4 + size :]
            self._collect()
            self._reap()
            self._send()
        for pid in self._supervisors:
            send([pid], signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def _dispatch(self, request: bytes) -> None:
        """Give a request to an idle supervisor, to a new one if there is none."""
        key, directory, restart, _ = request[4:].split(b"\0", 3)
        if os.getppid() != self._podium:
            self._outgoing += b"refused %s 0 podium is gone\n" % key
            return
        try:
            pid = self._hand_over(request)
        except OSError as error:
            self._outgoing += refusal(key, error, "fork")
            return
        supervised = self._supervisors[pid]
        supervised.key, supervised.directory, supervised.restart = key, directory, restart
        supervised.pid = b""
        self._busy[key] = pid

    def _hand_over(self, request: bytes) -> int:
        while True:
            pid = self._idle.pop() if self._idle else self._fork()
            requests, rest = self._supervisors[pid].requests, request
            try:
                while rest:
                    rest = rest[os.write(requests, rest) :]
            except BrokenPipeError:
                continue  # it was killed while it had nothing to do
            return pid

    def _fork(self) -> int:
        requests, asking = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            os.close(requests)
            os.close(asking)
            raise
        if pid == 0:
            try:
                os.dup2(os.open(os.devnull, os.O_RDONLY), CONTROL)
                for supervised in self._supervisors.values():
                    os.close(supervised.requests)
                os.close(asking)
                os.close(self._answers)
                Supervisor(requests, self._answering, self._grace).serve()
            finally:
                os._exit(1)
        os.close(requests)
        self._supervisors[pid] = Supervised(asking)
        return pid

    def _collect(self) -> None:
        """Take in what supervisors answer."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._line += os.read(self._answers, 1 << 16)
        *lines, self._line = self._line.split(b"\n")
        for line in lines:
            answer, key, number, *_ = line.split(b" ")
            if answer == b"started":
                self._supervisors[self._busy[key]].pid = number
            else:
                pid = self._busy.pop(key)
                self._supervisors[pid].key = b""
                self._idle.append(pid)
            self._outgoing += line + b"\n"

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            supervised = self._supervisors.get(pid)
            if supervised is None:
                continue  # left by a supervisor that was killed
            if os.WIFSTOPPED(status):
                send([pid], signal.SIGCONT)
                continue
            del self._supervisors[pid]
            os.close(supervised.requests)
            if supervised.key:
                del self._busy[supervised.key]
                self._finish(supervised)
            elif pid in self._idle:
                self._idle.remove(pid)

    def _finish(self, supervised: "Supervised") -> None:
        """End what a killed supervisor left behind, and record that it was killed."""
        lock = None
        with contextlib.suppress(OSError):
            lock = os.open(supervised.directory + b"/process", os.O_RDWR | OPEN_FLAGS)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        deadline = time.monotonic() + self._grace
        while time.monotonic() < deadline:
            self._reap_orphans()
            if not send(self._orphans(), signal.SIGKILL):
                break
            time.sleep(0.002)
        with contextlib.suppress(OSError):
            log = os.open(supervised.directory + b"/log", os.O_WRONLY | os.O_APPEND | OPEN_FLAGS)
            os.write(log, b"podium: the process that supervises this node was killed\n")
            os.close(log)
        if lock is not None:
            with contextlib.suppress(OSError):
                if not os.path.exists(supervised.directory + b"/interrupted"):  # noqa: PTH110
                    first = b"%s %s 0\n" % (supervised.pid or b"0", supervised.restart)
                    os.ftruncate(lock, 0)
                    os.pwrite(lock, b"%s%d\n" % (first, KILLED), 0)
            os.close(lock)
        now = time.time()
        if not supervised.pid:
            self._outgoing += b"started %s 0 0 %f\n" % (supervised.key, now)
        self._outgoing += b"ended %s %d %f\n" % (supervised.key, KILLED, now)

    def _orphans(self) -> list[int]:
        children = children_of_all()
        ours = [pid for pid in children.get(os.getpid(), ()) if pid not in self._supervisors]
        return [*ours, *(pid for each in ours for pid in below(each, children))]

    def _reap_orphans(self) -> None:
        for pid in self._orphans():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)

    def _send(self) -> None:
        """Send the answers, those of one turn at once."""
        with contextlib.suppress(OSError):  # podium is gone
            while self._outgoing:
                self._outgoing = self._outgoing[os.write(CONTROL, self._outgoing) :]
        self._outgoing = b""


class Supervised:
    """A supervisor as the starter knows it."""

    __slots__ = ("directory", "key", "pid", "requests", "restart")

    def __init__(self, requests: int) -> None:
        self.requests = requests
        self.key = self.directory = self.restart = self.pid = b""
        """Of what it is busy with; an empty key: it is idle."""


def main() -> None:
    """Serve the podium whose process id and grace period are the arguments."""
    Starter(int(sys.argv[1]), float(sys.argv[2])).serve()
    os._exit(0)  # podium waits for the end: there is nothing to tidy up
