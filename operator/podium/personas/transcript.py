"""The transcript of a node: what was asked and answered, in order, without keys or headers.

Written after every call, so that a node that is killed leaves what there was.
"""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["NAME", "Transcript"]

NAME = "transcript.json"
MAX_TEXT = 500_000
"""Characters of one text; the rest is cut."""
MAX_ALL = 20_000_000
MASK = "***"


class Transcript:
    """What happened; secrets that a text holds, such as a key that a server sends back, are cut."""

    def __init__(self, path: Path | None, secrets: Iterable[str | None] = ()) -> None:
        self._path = path
        self._secrets = sorted({each for each in secrets if each}, key=len, reverse=True)
        self._rows: list[str] = []
        self._size = 0

    def add(self, **row: Any) -> None:
        """Add what happened, and write all of it."""
        made = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **row}
        text = json.dumps(self._clean(made), ensure_ascii=False, default=str)
        if self._size + len(text) > MAX_ALL:
            return
        self._size += len(text)
        self._rows.append(text)
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            whole = '{"formatVersion": 1, "events": [\n' + ",\n".join(self._rows) + "\n]}\n"
            # Half of a surrogate pair is no text: what cannot be written is replaced.
            self._path.write_bytes(whole.encode("utf-8", "replace"))

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
