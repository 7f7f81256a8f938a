"""Progress lines, and commands that tell what went wrong."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

START = time.monotonic()


class ClusterError(Exception):
    """What is missing or failed, in words for the person who called the tool."""


def say(text: str) -> None:
    """Print a line to standard error: standard output holds only the kubeconfig's path."""
    print(f"[{time.monotonic() - START:6.1f}s] {text}", file=sys.stderr, flush=True)


@contextmanager
def step(what: str, every: float = 20) -> Iterator[None]:
    """Say what begins, that it still goes on, and how long it took: silence looks like a hang."""
    say(f"{what} ...")
    begin, done = time.monotonic(), threading.Event()

    def tell() -> None:
        while not done.wait(every):
            say(f"{what} ... still at it after {time.monotonic() - begin:.0f} s")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
    say(f"{what}: {time.monotonic() - begin:.1f} s")


def run(
    command: Sequence[object],
    *,
    check: bool = True,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command; where it fails, raise with the end of what it said."""
    words = [str(word) for word in command]  # mostly strings and paths
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env=env,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise ClusterError(f"{words[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        if check:
            raise ClusterError(f"{' '.join(words)}: no end after {timeout} s") from None
        return subprocess.CompletedProcess(words, 124, "", f"no end after {timeout} s")
    if check and done.returncode:
        tail = (done.stdout + done.stderr).strip()[-4000:]
        raise ClusterError(f"{' '.join(words)} ended with {done.returncode}:\n{tail}")
    return done
