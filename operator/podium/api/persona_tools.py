"""Tools of personas: commands, files, servers of MCP; a model may call these and nothing else."""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from urllib.parse import urlsplit

from pydantic import Field

from podium import contracts
from podium.api.base import ApiModel, JsonObject, LongText, Text
from podium.api.field_checks import no_users_host, one_of
from podium.api.problems import Path, Problem, Severity

__all__ = [
    "CommandTool",
    "McpServerTool",
    "PersonaTool",
    "ToolType",
    "check_tools",
    "parameter_problems",
]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}", re.ASCII)
_URL = re.compile(r"https?://[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?(/[!-~]*)?", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}", re.ASCII)
_RIGHT = "must be letters, digits, _ and -, 40 at most, the first a letter"


class ToolType(StrEnum):
    """What a tool is."""

    COMMAND = "Command"
    WRITE_FILE = "WriteFile"
    MCP_SERVER = "McpServer"


class CommandTool(ApiModel):
    """A program that gets its arguments as JSON on standard input, and prints its result."""

    name: Text
    """How the model calls it."""
    description: LongText | None = None
    """What it does, for the model."""
    parameters: JsonObject | None = None
    """JSON Schema of its arguments, an object; default: any."""
    command: list[LongText] = Field(min_length=1, max_length=100)
    """Program and its arguments; no shell is between. It runs in output_dir."""
    timeout_seconds: int = Field(default=60, ge=1, le=3600)
    """Maximum seconds of one call."""


class McpServerTool(ApiModel):
    """A server of MCP, started in the node's Pod by a command, or asked at a URL."""

    name: Text
    """Its tools are called NAME_TOOL."""
    command: list[LongText] | None = Field(default=None, min_length=1, max_length=100)
    """Program and its arguments, which talks on standard input and output."""
    url: Text | None = None
    """URL of a server of Streamable HTTP."""
    tool_names: list[Text] = Field(min_length=1, max_length=64)
    """The tools that the model may call; no others are offered."""
    env: list[Text] = Field(default_factory=list, max_length=100)
    """Names of the node's variables that the command gets, beside PATH, HOME and the like."""
    timeout_seconds: int = Field(default=60, ge=1, le=3600)
    """Maximum seconds of one call."""


class PersonaTool(ApiModel):
    """Something that a model may call; of `command` and `mcpServer` the one of its type is set."""

    type: ToolType
    """Command, WriteFile (files for the node's artifacts) or McpServer."""
    command: CommandTool | None = None
    """Of the type Command."""
    mcp_server: McpServerTool | None = None
    """Of the type McpServer."""


def check_tools(tools: Sequence[PersonaTool], base: Path) -> Iterator[Problem]:
    """Check what the types cannot say of a persona's tools, except their schemas."""
    names: set[str] = set()
    for number, tool in enumerate(tools):
        here = (*base, number)
        parts = {ToolType.COMMAND: tool.command, ToolType.MCP_SERVER: tool.mcp_server}
        fields = {ToolType.COMMAND: "command", ToolType.MCP_SERVER: "mcpServer"}
        for kind, part in parts.items():
            if (part is not None) != (tool.type is kind):
                words = "is missing" if part is None else f"is set, and the type is {tool.type}"
                yield Problem((*here, fields[kind]), f"{words}: it belongs to the type {kind}")
        name = "write_file"
        if tool.command is not None:
            name = tool.command.name
            yield from _named(name, (*here, "command", "name"))
        if tool.mcp_server is not None:
            name = f"{tool.mcp_server.name}_"
            yield from _server(tool.mcp_server, (*here, "mcpServer"))
        if name in names:
            yield Problem(here, f"another tool is named {name:.80}: names are unique")
        names.add(name)


def _named(name: str, path: Path) -> Iterator[Problem]:
    if not _NAME.fullmatch(name):
        yield Problem(path, f"{name!r:.80} is not the name of a tool: {_RIGHT}")


def _server(server: McpServerTool, here: Path) -> Iterator[Problem]:
    yield from _named(server.name, (*here, "name"))
    yield from one_of(here, {"command": server.command, "url": server.url})
    if server.url is not None and not _URL.fullmatch(server.url):
        message = "must be a URL without credentials, such as http://tools.example:8000/mcp"
        yield Problem((*here, "url"), message)
    elif server.url is not None and (why := no_users_host(urlsplit(server.url).hostname or "")):
        yield Problem((*here, "url"), why)
    for number, name in enumerate(server.env):
        if not _VARIABLE.fullmatch(name) or name.startswith("PODIUM_"):
            message = f"{name!r:.80} cannot be handed over: a name of a variable of the node's own"
            yield Problem((*here, "env", number), message)


def parameter_problems(tools: Sequence[PersonaTool], base: Path) -> Iterator[Problem]:
    """Return what is wrong with the schemas of arguments, errors and warnings."""
    for number, tool in enumerate(tools):
        if tool.command is None or tool.command.parameters is None:
            continue
        for problem in contracts.schema_problems(tool.command.parameters):
            severity = Severity.WARNING if problem.is_warning else Severity.ERROR
            path = (*base, number, "command", "parameters", *problem.path)
            yield Problem(path, problem.message, severity)
