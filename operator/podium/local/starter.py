"""The starter: starts the programs of a run, and sees them end, for a podium that may be killed.

A process of its own, run by the path of this file so that it loads next to nothing: one beside each
podium that runs something, instead of a shell around each program. In an execution's folder it
writes the file `process`: `PID RESTART`, and below it the exit code. It holds a lock on that file
while the program runs. When its podium is gone it starts nothing more, and stays until the last
program has ended.

Requests come by standard input, which is a socket: four bytes of length, then texts with a null
byte between them: key, folder, restart, working folder, number of arguments, the arguments, and
NAME=VALUE for each variable. Answers go the same way, a line each: `started KEY PID TIME`,
`refused KEY ERRNO WORDS`, `ended KEY CODE TIME`.
"""

import contextlib
import fcntl
import os
import select
import signal
import sys
import time

CONTROL = 0


class Starter:
    """What runs, by process id."""

    def __init__(self, podium: int) -> None:
        self._podium = podium
        self._running: dict[int, tuple[bytes, bytes, int]] = {}
        """Key, folder, and the open lock."""
        self._told = b""
        """Answers to be sent."""

    def serve(self) -> None:
        """Start what is asked for, until nobody asks and nothing runs."""
        woken, wakes = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(wakes, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(CONTROL, select.POLLIN)
        poll.register(woken, select.POLLIN)
        waiting, asked = b"", True
        while asked or self._running:
            for ready, _ in poll.poll():
                if ready == woken:
                    os.read(woken, 4096)
                    continue
                data = b""
                with contextlib.suppress(OSError):
                    data = os.read(CONTROL, 1 << 18)
                waiting += data
                if not data:
                    poll.unregister(CONTROL)
                    asked = False
            while len(waiting) >= 4 + (size := int.from_bytes(waiting[:4], "big")) > 4:
                self._start(waiting[4 : 4 + size].split(b"\0"))
                waiting = waiting[4 + size :]
            self._reap()
            self._tell()

    def _start(self, request: list[bytes]) -> None:
        key, folder, restart, cwd, number, *rest = request
        argv, variables = rest[: int(number)], rest[int(number) :]
        lock = None
        try:
            lock = os.open(folder + b"/process", os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_size:
                os.ftruncate(lock, 0)  # of a new file, too, ext4 would write to the disk
            with contextlib.suppress(FileNotFoundError):
                os.unlink(folder + b"/interrupted")  # noqa: PTH108 - pathlib is slow to load
            os.chdir(cwd)
            if os.getppid() != self._podium:
                raise ProcessLookupError(0, "podium is gone")
            pid = os.posix_spawn(
                argv[0],
                argv,
                dict(variable.split(b"=", 1) for variable in variables),
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (
                        *(os.POSIX_SPAWN_OPEN, 1, folder + b"/log"),
                        *(os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
                    ),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # which Python ignores
            )
        except OSError as error:
            if lock is not None:
                os.close(lock)
            what = os.fsdecode(error.filename or argv[0])
            said = f"{error.errno or 0} {error.strerror or error}: {what}"
            self._told += b"refused %s %s\n" % (key, os.fsencode(said.replace("\n", " ")))
            return
        os.write(lock, b"%d %s\n" % (pid, restart))
        self._running[pid] = (key, folder, lock)
        self._told += b"started %s %d %f\n" % (key, pid, time.time())

    def _reap(self) -> None:
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            key, folder, lock = self._running.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            if code < 0:
                code = 128 - code
            # What podium ended because it was told to end itself is to run again.
            if not os.path.exists(folder + b"/interrupted"):  # noqa: PTH110
                os.write(lock, b"%d\n" % code)
            os.close(lock)
            self._told += b"ended %s %d %f\n" % (key, code, time.time())

    def _tell(self) -> None:
        """Send the answers, those of one turn at once."""
        with contextlib.suppress(OSError):  # podium is gone
            while self._told:
                self._told = self._told[os.write(CONTROL, self._told) :]
        self._told = b""


if __name__ == "__main__":
    Starter(int(sys.argv[1])).serve()
    os._exit(0)  # podium waits for the end: there is nothing to tidy up
