"""write_file: text for a file below the node's artifacts, kept until the persona has answered."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from podium.personas.tools.base import ToolError, ToolFacts
from podium.personas.transcript import NAME as TRANSCRIPT

__all__ = ["WriteFile"]

MAX_FILES = 200
MAX_BYTES = 16 * 1024 * 1024
"""Of all files together."""
MAX_NAME = 255
"""Bytes of a name, as Linux has it."""


class WriteFile:
    """Takes files; the last one of a name counts."""

    facts = ToolFacts(
        "write_file",
        "Write a file that is handed over with your answer; one of that name is replaced.",
        {
            "type": "object",
            "properties": {
                "path": {"type": "string", "description": "relative, such as docs/design.md"},
                "text": {"type": "string", "description": "all of the file"},
            },
            "required": ["path", "text"],
            "additionalProperties": False,
        },
    )

    def __init__(self) -> None:
        self.files: dict[str, str] = {}

    async def call(self, arguments: Mapping[str, Any]) -> str:
        """Keep a file. Raises `ToolError`."""
        path, text = str(arguments["path"]), str(arguments["text"])
        parts = PurePosixPath(path).parts
        is_inside = parts and not path.startswith("/") and ".." not in parts
        if not is_inside or len(path) > 500 or not path.isprintable():
            raise ToolError("path must be relative, without .., as docs/design.md")
        name = PurePosixPath(path)
        if any(len(part.encode()) > MAX_NAME for part in parts):
            raise ToolError(f"path: a name has more than {MAX_NAME} bytes")
        if str(name) == TRANSCRIPT:
            raise ToolError(f"{TRANSCRIPT} is kept for what you are asked: take another name")
        if wrong := self._in_the_way(name):
            raise ToolError(wrong)
        kept = {**self.files, str(name): text}
        if (
            len(kept) > MAX_FILES
            or sum(len(each.encode("utf-8", "replace")) for each in kept.values()) > MAX_BYTES
        ):
            raise ToolError(f"at most {MAX_FILES} files of {MAX_BYTES:,} bytes in all")
        self.files = kept
        return f"{path} is kept: {len(text):,} characters"

    def _in_the_way(self, path: PurePosixPath) -> str:
        """Return what would be a file and a directory at once; empty: nothing."""
        below = f"{path}/"
        if any(each.startswith(below) for each in self.files):
            return f"{path} is a directory of yours: a file cannot have its name"
        above = next((each for each in map(str, path.parents) if each in self.files), None)
        return f"{above} is a file of yours: a directory cannot have its name" if above else ""
