"""The tools of one persona: what it is offered, and each call, checked and bounded."""

import ctypes
import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from podium import contracts
from podium.api.reasons import NodeReason
from podium.personas.answers import ToolCall
from podium.personas.document import Persona
from podium.personas.errors import PersonaError
from podium.personas.keys import without_key
from podium.personas.tools.base import Tool, ToolError, cut, words_of
from podium.personas.tools.commands import Command
from podium.personas.tools.files import WriteFile

__all__ = ["Toolbox"]

MAX_TOOLS = 64
ARGUMENT_BYTES = 1024 * 1024
_NOT_DUMPABLE = 4  # PR_SET_DUMPABLE


class Toolbox:
    """Open while the persona works on one reply."""

    def __init__(
        self, persona: Persona, directory: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self._persona = persona
        self._directory = directory
        self._env = os.environ if env is None else env
        self._open = AsyncExitStack()
        self._tools: dict[str, Tool] = {}
        self._writer: WriteFile | None = None
        self.calls_left = persona.max_tool_calls

    async def __aenter__(self) -> Self:
        """Start what its tools need. Raises `PersonaError`."""
        _hide_environment()
        self._directory.mkdir(parents=True, exist_ok=True)
        try:
            for each in self._persona.tools:
                await self._add(each)
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End what was started. Raises `PersonaError`: a server of MCP took its client along."""
        try:
            await self._open.__aexit__(kind, error, trace)
        except Exception as failure:  # of any kind, in groups
            if failure is error or isinstance(error, PersonaError):
                raise error from None
            message = f"a server of MCP broke off: {words_of(failure)}"
            raise PersonaError(NodeReason.TOOL, message) from None

    async def _add(self, given: Mapping[str, Any]) -> None:
        match given["type"]:
            case "Command":
                self._keep(Command(given["command"], self._directory, self._env))
            case "WriteFile":
                self._writer = WriteFile()
                self._keep(self._writer)
            case "McpServer":
                from podium.personas.tools.mcp_server import (  # noqa: PLC0415 - takes 1.7 s to load
                    tools_of,
                )

                server = given["mcpServer"]
                for tool in await tools_of(server, self._directory, self._env, self._open):
                    self._keep(tool)
            case other:
                message = f"tools: {other!r:.80} is not a type of tools"
                raise PersonaError(NodeReason.CONFIG, message)

    def _keep(self, tool: Tool) -> None:
        name = tool.facts.name
        if name in self._tools or len(self._tools) >= MAX_TOOLS:
            which = f"two are named {name:.80}" if name in self._tools else f"more than {MAX_TOOLS}"
            raise PersonaError(NodeReason.CONFIG, f"tools of {self._persona.name}: {which}")
        self._tools[name] = tool

    @property
    def files(self) -> Mapping[str, str]:
        """What was written by write_file."""
        return self._writer.files if self._writer is not None else {}

    def offers(self) -> list[dict[str, Any]]:
        """Return the tools as a request names them; none, where no call is left."""
        if self.calls_left <= 0:
            return []
        return [
            {
                "type": "function",
                "function": {
                    "name": tool.facts.name,
                    "description": tool.facts.description,
                    "parameters": tool.facts.parameters or {"type": "object"},
                },
            }
            for tool in self._tools.values()
        ]

    async def call(self, asked: ToolCall) -> str:
        """Return the result of a call, or why there is none, in words for the model."""
        if self.calls_left <= 0:
            return "error: no call of a tool is left: answer with what you have"
        self.calls_left -= 1
        try:
            tool, arguments = self._checked(asked)
            return cut(await tool.call(arguments))
        except ToolError as error:
            return cut(f"error: {error}")

    def _checked(self, asked: ToolCall) -> tuple[Tool, Mapping[str, Any]]:
        tool = self._tools.get(asked.name)
        if tool is None:
            known = ", ".join(self._tools)
            raise ToolError(f"there is no tool {asked.name!r:.80}; there are {known}")
        if len(asked.arguments) > ARGUMENT_BYTES:
            raise ToolError(f"the arguments have more than {ARGUMENT_BYTES:,} characters")
        try:
            arguments = without_key(
                contracts.parse_output(asked.arguments), self._persona.model.key
            )
        except contracts.OutputNotJSONError as error:
            raise ToolError(f"the arguments: {error}") from None
        if tool.facts.parameters:
            breaches = contracts.compile_schema(tool.facts.parameters).breaches(arguments)
            if breaches:
                raise ToolError("the arguments: " + "; ".join(map(str, breaches[:5])))
        return tool, arguments


def _hide_environment() -> None:
    """Keep what this process began with, the keys too, from other processes of its user.

    They were taken out of os.environ, but /proc/PID/environ still has them.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_NOT_DUMPABLE, 0, 0, 0, 0)
