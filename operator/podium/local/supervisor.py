"""A supervisor: the parent of one program after another, and of all that a program leaves behind.

`podium.local.starter` forks it and says what the files and the answers are.
"""

import _thread
import contextlib
import errno
import fcntl
import os
import select
import signal
import stat
import time

from podium.local.process_tree import (
    adopt_orphans,
    below,
    children_of_all,
    drain,
    send,
    wakeup_pipe,
)

__all__ = ["IGNORED", "OPEN_FLAGS", "Supervisor", "refusal"]

IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR2)
"""Signals that a program may send its parent and that must not end it."""
OPEN_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK
"""A program may have put a FIFO or a link in the place of a file."""
KEPT_BYTES = 1 << 16
"""How much of standard output is kept beside the log, where a value comes from it."""


class Supervisor:
    """The parent of one program after another."""

    def __init__(self, requests: int, answers: int, grace: float) -> None:
        self._requests = requests
        self._answers = answers
        self._grace = grace
        self._woken = wakeup_pipe()
        self._poll = select.poll()
        self._poll.register(self._woken, select.POLLIN)
        os.setsid()  # no process group with the others
        self._knows_tree = adopt_orphans()

    def serve(self) -> None:
        """Run what the starter asks for, until the starter is gone."""
        while request := self._next():
            self._run(request)
        os._exit(0)

    def _next(self) -> list[bytes]:
        data, size = b"", 4
        while len(data) < size:
            more = os.read(self._requests, size - len(data))
            if not more:
                return []
            data += more
            if len(data) == 4 == size:
                size += int.from_bytes(data, "big")
        return data[4:].split(b"\0")

    def _run(self, request: list[bytes]) -> None:
        key, directory, restart, cwd, number, *rest = request
        argv, variables = rest[: int(number)], rest[int(number) :]
        lock = None
        try:
            lock = _lock(directory + b"/process", restart)
            for name in (b"/interrupted", b"/stop", b"/kill"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(directory + name)  # noqa: PTH108 - pathlib is slow to load
            os.chdir(cwd)
            pid, copying = _spawn(argv, variables, directory)
        except OSError as error:
            if lock is not None:
                os.close(lock)
            self._answer(refusal(key, error, os.fsdecode(argv[0])))
            return
        with contextlib.suppress(OSError):  # a full disk: the answers still tell
            os.write(lock, b"%d %s %d\n" % (pid, restart, os.getpid()))
        self._answer(b"started %s %d %d %f\n" % (key, pid, os.getpid(), time.time()))
        status, ended_at, was_stopped = self._watch(pid, directory)
        if copying is not None:  # what belongs to another user may still hold it
            copying.acquire(timeout=self._grace)
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            code = 128 - code
        with contextlib.suppress(OSError):
            # What podium ended because podium was asked to end is to run again.
            if not (was_stopped and os.path.exists(directory + b"/interrupted")):  # noqa: PTH110
                os.write(lock, b"%d\n" % code)
        os.close(lock)
        self._answer(b"ended %s %d %f\n" % (key, code, ended_at))

    def _watch(self, pid: int, directory: bytes) -> tuple[int, float, bool]:
        """Wait until nothing of a program runs any more.

        Returns its wait status, when it ended, and whether it was asked to.
        """
        ended: tuple[int, float, bool] | None = None
        kill_at: float | None = None
        stopping, pause = False, 0.001
        while True:
            has_children = True
            while has_children:
                try:
                    reaped, status = os.waitpid(-1, os.WNOHANG)
                except ChildProcessError:
                    has_children = False
                else:
                    if reaped == pid:
                        ended = (status, time.time(), stopping)
                    if reaped == 0:
                        break
            if ended is not None and not has_children and not self._has_group(pid):
                return ended
            if kill_at is None and os.path.exists(directory + b"/stop"):  # noqa: PTH110
                stopping, kill_at = True, time.monotonic() + self._grace
                self._signal(pid, signal.SIGTERM)
                self._signal(pid, signal.SIGCONT)
            if stopping and os.path.exists(directory + b"/kill"):  # noqa: PTH110
                kill_at = 0.0
            if ended is not None and not stopping:
                kill_at = 0.0  # what runs in the background ends with its program
            wait = None
            if kill_at is not None:
                wait = kill_at - time.monotonic()
                if wait <= 0:
                    if not self._signal(pid, signal.SIGKILL) and ended is not None:
                        return ended  # what is left belongs to another user
                    wait = pause = min(2 * pause, 0.1)
            self._poll.poll(None if wait is None else 1000 * wait)
            drain(self._woken)

    def _signal(self, pid: int, number: signal.Signals) -> bool:
        """Send a signal to the whole tree; return whether anything could be sent it."""
        if self._knows_tree:
            return send(below(os.getpid(), children_of_all()), number)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)
            return True
        return False

    def _has_group(self, pid: int) -> bool:
        """Return whether the program's process group has members, where the tree is not known."""
        if self._knows_tree:
            return False
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: only zombies
            os.killpg(pid, 0)
            return True
        return False

    def _answer(self, line: bytes) -> None:
        with contextlib.suppress(OSError):  # the starter is gone
            os.write(self._answers, line)


def refusal(key: bytes, error: OSError, what: str) -> bytes:
    """Return the answer that says why a program was not started."""
    name = os.fsdecode(error.filename) if error.filename else what
    message = f"{error.errno or 0} {error.strerror or error}: {name}"
    return b"refused %s %s\n" % (key, os.fsencode(message.replace("\n", " ")))


def _lock(path: bytes, restart: bytes) -> int:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | OPEN_FLAGS, 0o600)
    try:
        _take(lock)
        if os.fstat(lock).st_size:  # of a new file, too, ext4 would write to the disk
            if os.read(lock, 100).split(b"\n")[0].split()[1:2] == [restart]:
                raise FileExistsError(errno.EEXIST, "it was started before", path)
            os.ftruncate(lock, 0)
            os.lseek(lock, 0, os.SEEK_SET)
    except OSError:
        os.close(lock)
        raise
    return lock


def _take(lock: int) -> None:
    """Lock a file. Raises `BlockingIOError` if a program holds it."""
    for _ in range(5):  # who looks whether one runs takes it for a moment
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
    return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _spawn(
    argv: list[bytes], variables: list[bytes], directory: bytes
) -> tuple[int, "_thread.LockType | None"]:
    """Start a program; what it prints goes to the log.

    Where standard output is kept too, the lock is free once all of it is there.
    """
    log = directory + b"/log"
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | OPEN_FLAGS, 0o600)
    printed, copying = out, None
    try:
        _require_regular(out, log)
        kept = _kept(directory + b"/stdout")
        if kept is not None:
            reading, printed = os.pipe()
            copying = _thread.allocate_lock()
            copying.acquire()
            _thread.start_new_thread(_copy, (reading, os.dup(out), kept, copying))
        pid = os.posix_spawn(
            argv[0],
            argv,
            dict(variable.split(b"=", 1) for variable in variables),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, printed, 1),
                (os.POSIX_SPAWN_DUP2, out, 2),
            ],
            setsid=True,
            setsigdef=[*IGNORED, signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores the last two
        )
    finally:
        os.close(out)
        if printed != out:
            os.close(printed)  # the copy ends with the last program that has it
    return pid, copying


def _require_regular(file: int, path: bytes) -> None:
    if not stat.S_ISREG(os.fstat(file).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
    os.set_blocking(file, True)


def _kept(path: bytes) -> int | None:
    """Open the file in which standard output is kept; None: it is in the log only."""
    try:
        kept = os.open(path, os.O_WRONLY | OPEN_FLAGS)
    except FileNotFoundError:
        return None
    try:
        _require_regular(kept, path)
    except OSError:
        os.close(kept)
        raise
    return kept


def _copy(reading: int, log: int, kept: int, done: "_thread.LockType") -> None:
    """Copy what a program prints to its log, and the beginning of it to a file."""
    room = KEPT_BYTES
    while data := os.read(reading, 1 << 16):
        try:
            if room:
                room -= os.write(kept, data[:room])
        except OSError:  # a full disk: a part must not pass for the whole, so it is too large
            room = 0
            with contextlib.suppress(OSError):
                os.ftruncate(kept, KEPT_BYTES)
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(log, data) :]
    for file in (reading, log, kept):
        os.close(file)
    done.release()
