"""The transcript of a node: what was asked and answered, in order, without keys or headers.

A line is written for each step, so that a node that is killed leaves what there was.
"""

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from podium.personas.plain_files import write_plain

__all__ = ["NAME", "Transcript"]

NAME = "transcript.jsonl"
MAX_TEXT = 500_000
"""Characters of one text; the rest is cut."""
MAX_ALL = 20_000_000
MASK = "***"


class Transcript:
    """What happened; secrets that it holds, as a key that a server sends back, are cut."""

    def __init__(self, path: Path | None, secrets: Iterable[str | None] = ()) -> None:
        self._path = path
        self._secrets = sorted({each for each in secrets if each}, key=len, reverse=True)
        self._size = 0
        self._has_begun = False

    def add(self, **row: Any) -> None:
        """Write what happened as one line of JSON."""
        made = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **row}
        text = json.dumps(self._clean(made), ensure_ascii=False, default=str) + "\n"
        self._size += len(text)
        if self._path is None or self._size > MAX_ALL:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Half of a surrogate pair is not a string: what cannot be written is replaced.
            data = text.encode("utf-8", "replace")
            write_plain(self._path, data, is_added=self._has_begun)
            self._has_begun = True
        except OSError as error:  # a full disk, say: the answer counts, not its transcript
            print(f"{NAME}: {error.strerror}", file=sys.stderr)  # noqa: T201
            self._path = None

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            for secret in self._secrets:
                value = value.replace(secret, MASK)
            return value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + "…"
        if isinstance(value, dict):
            return {self._clean(str(key)): self._clean(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._clean(each) for each in value]
        return value
