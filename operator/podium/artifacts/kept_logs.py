"""Logs of nodes in the store of a cluster: where they lie, and what is kept of a long one.

Each line begins with its time, as the kubelet gives it.
"""

import re
from collections import deque
from dataclasses import dataclass

from podium.artifacts.errors import ArtifactError

__all__ = ["LOGS", "FirstAndLast", "KeptLog", "log_key", "log_of", "log_prefix"]

LOGS = "logs/"
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}"
_KEY = re.compile(rf"logs/({_PART})/({_PART})/({_PART})/([0-9]{{1,12}})\.({_PART})\.log")
# Of an item `node[3]`, in a key `node.3`; no id begins with a digit.
_ITEM = re.compile(r"\[([0-9]{1,6})\]", re.ASCII)
_INDEX = re.compile(r"\.([0-9]{1,6})(?=[.-]|\Z)", re.ASCII)
_MARK = b"podium: %d bytes are left out here\n"


@dataclass(frozen=True, slots=True)
class KeptLog:
    """The log of one Pod of an execution: one whose Pod was evicted has several."""

    run: str
    """UID of the run."""
    node: str
    execution: str
    started_at: int
    """Of the Pod, in seconds since 1970."""
    pod: str
    """Its UID."""


def log_prefix(run: str, node: str | None) -> str:
    """Return what the keys of a run's logs begin with, or those of one node of it."""
    return f"{LOGS}{run}/" + (f"{_part(node)}/" if node is not None else "")


def log_key(log: KeptLog) -> str:
    """Return where a log lies. Raises `ArtifactError`: a name in it is none of Podium's."""
    key = f"{log_prefix(log.run, log.node)}{_part(log.execution)}/{log.started_at}.{log.pod}.log"
    if not _KEY.fullmatch(key):
        raise ArtifactError(f"{key!r:.200} cannot be a key", is_retryable=False, is_content=True)
    return key


def _part(name: str) -> str:
    return _ITEM.sub(r".\1", name)


def log_of(key: str) -> KeptLog | None:
    """Return which log lies at a key; None: it is none."""
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    run, node, execution, started_at, pod = found.groups()
    node, execution = (_INDEX.sub(r"[\1]", part) for part in (node, execution))
    return KeptLog(run, node, execution, int(started_at), pod)


class FirstAndLast:
    """The first and the last bytes of what comes, cut between lines; never holds more."""

    def __init__(self, most: int) -> None:
        self._half = most // 2
        self._first = bytearray()
        self._last: deque[bytes] = deque()
        self._in_last = self._size = 0

    def add(self, chunk: bytes) -> None:
        """Take in what comes next."""
        self._size += len(chunk)
        room = self._half - len(self._first)
        if room > 0:
            self._first += chunk[:room]
            chunk = chunk[room:]
        if chunk:
            self._last.append(chunk)
            self._in_last += len(chunk)
        while self._last and self._in_last - len(self._last[0]) >= self._half:
            self._in_last -= len(self._last.popleft())

    def kept(self) -> bytes:
        """Return it; a line in its middle says how much is left out."""
        last = b"".join(self._last)
        if len(self._first) + len(last) == self._size and len(last) <= self._half:
            return bytes(self._first) + last
        _, newline, rest = last[-self._half :].partition(b"\n")
        last = rest if newline else last[-self._half :]
        first = bytes(self._first[: self._first.rfind(b"\n") + 1] or self._first)
        mark = _MARK % (self._size - len(first) - len(last))
        return first + (b"" if first.endswith(b"\n") else b"\n") + mark + last
