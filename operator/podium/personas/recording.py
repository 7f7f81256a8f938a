"""Answers of models written down as they come, in the format that recorded answers are read in."""

import json
from pathlib import Path
from typing import Any

from podium.personas.asking import Ask, Provider, Reply

__all__ = ["Recording"]


class Recording:
    """A provider that passes on what another one answers, and writes it to a file."""

    def __init__(self, provider: Provider, path: Path) -> None:
        self._provider = provider
        self._path = path
        self._rows: list[dict[str, Any]] = []

    def share(self, sharers: int) -> None:
        """Learn how many will ask side by side."""
        self._provider.share(sharers)

    async def ask(self, asked: Ask) -> Reply:
        """Answer. Raises `PersonaError`."""
        reply = await self._provider.ask(asked)
        row: dict[str, Any] = {
            "node": asked.node,
            "persona": asked.persona,
            "role": asked.role.value,
        }
        row |= {"round": asked.round} if asked.round else {}
        row |= {"output": reply.output}
        row |= {"files": reply.files} if reply.files else {}
        self._rows.append(row)
        self._path.write_text(json.dumps({"answers": self._rows}))
        return reply
