"""Servers of MCP, started by a command (stdio) or asked by HTTP: only the tools that are listed.

What a server says of its tools is data: it is bounded, and a schema that is none fails the node.
"""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2

from podium import contracts
from podium.api.reasons import NodeReason
from podium.personas.errors import PersonaError
from podium.personas.reach import require_allowed
from podium.personas.tools.base import ToolError, ToolFacts, words_of

try:
    import mcp
    from mcp.client.streamable_http import streamable_http_client
except ImportError:
    raise PersonaError(
        NodeReason.CONFIG, "tools: McpServer needs the package mcp: pip install 'podium[mcp]'"
    ) from None

__all__ = ["tools_of"]

SECONDS = 60
START_SECONDS = 30
MAX_BYTES = 4 * 1024 * 1024
"""Of all that a server says."""
SCHEMA_BYTES = 64 * 1024
DESCRIPTION = 4000
PAGES = 20
_PASSED = frozenset(
    {"PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}
)


class _ServerTool:
    """One tool of a server."""

    def __init__(
        self, client: "mcp.Client", server: str, name: str, facts: ToolFacts, seconds: float
    ) -> None:
        self.facts = facts
        self._client = client
        self._server = server
        self._name = name
        self._seconds = seconds

    async def call(self, arguments: Mapping[str, Any]) -> str:
        """Call it. Raises `ToolError`."""
        try:
            async with asyncio.timeout(self._seconds + 1):
                found = await self._client.call_tool(
                    self._name, dict(arguments), read_timeout_seconds=self._seconds
                )
        except TimeoutError:
            raise ToolError(f"took longer than {self._seconds:g} s") from None
        except Exception as error:  # whatever a broken server brings about
            raise ToolError(f"the server {self._server}: {words_of(error)}") from None
        text = "\n".join(
            str(getattr(each, "text", f"({each.type} that is not text)")) for each in found.content
        )
        if not text and found.structured_content is not None:
            text = json.dumps(found.structured_content, ensure_ascii=False)
        if found.is_error:
            raise ToolError(text or "failed")
        return text


async def tools_of(
    given: Mapping[str, Any], directory: Path, env: Mapping[str, str], opened: AsyncExitStack
) -> list[_ServerTool]:
    """Start a server, or connect to it, and return its tools that are listed.

    Raises `PersonaError`.
    """
    server = given["name"]
    if (command := given.get("command")) and not _is_program(command[0], directory, env):
        message = f"the MCP server {server}: command: {command[0]!r:.200} is not a program here"
        raise PersonaError(NodeReason.CONFIG, message)
    try:
        async with asyncio.timeout(START_SECONDS):
            client = await opened.enter_async_context(
                mcp.Client(await _transport(given, directory, env, opened))
            )
            found = await _listed(client)
    except TimeoutError:
        message = f"the MCP server {server} did not start within {START_SECONDS} s"
        raise PersonaError(NodeReason.TOOL, message) from None
    except PersonaError as error:
        raise PersonaError(error.reason, f"the MCP server {server}: {error}") from None
    except (Exception, ExceptionGroup) as error:
        message = f"the MCP server {server} cannot be used: {words_of(error)}"
        raise PersonaError(NodeReason.TOOL, message) from None
    missing = [name for name in given["toolNames"] if name not in found]
    if missing:
        names = ", ".join(sorted(found)[:20]) or "none"
        message = f"the MCP server {server} has no tool {missing[0]!r:.80}; it has {names:.300}"
        raise PersonaError(NodeReason.CONFIG, message)
    seconds = float(given.get("timeoutSeconds") or SECONDS)
    return [
        _ServerTool(client, server, name, _facts(server, found[name]), seconds)
        for name in dict.fromkeys(given["toolNames"])
    ]


def _is_program(name: str, directory: Path, env: Mapping[str, str]) -> bool:
    """Return whether a command can be started: the client would say that a connection closed."""
    place = str(directory / name) if "/" in name else name
    return shutil.which(place, path=env.get("PATH")) is not None


async def _transport(
    given: Mapping[str, Any], directory: Path, env: Mapping[str, str], opened: AsyncExitStack
) -> Any:
    if url := given.get("url"):
        await require_allowed(url)
        client = httpx2.AsyncClient(
            transport=_Bounded(
                httpx2.AsyncHTTPTransport(verify=httpx2.create_ssl_context()), httpx2.URL(url)
            ),
            follow_redirects=False,
            timeout=httpx2.Timeout(START_SECONDS, read=300),
        )
        return streamable_http_client(url, http_client=await opened.enter_async_context(client))
    relay = ["-P", "-m", "podium.personas.tools.relay", str(MAX_BYTES), *given["command"]]
    passed = {name: value for name, value in env.items() if name in _PASSED}
    passed |= {name: env[name] for name in given.get("env") or () if name in env}
    return mcp.StdioServerParameters(command=sys.executable, args=relay, env=passed, cwd=directory)


async def _listed(client: "mcp.Client") -> dict[str, Any]:
    found: dict[str, Any] = {}
    cursor = None
    for _ in range(PAGES):
        page = await client.list_tools(cursor=cursor)
        found |= {tool.name: tool for tool in page.tools}
        cursor = page.next_cursor
        if not cursor:
            break
    return found


def _facts(server: str, tool: Any) -> ToolFacts:
    """Return what a server says of a tool. Raises `PersonaError`: its schema is none."""
    schema = tool.input_schema
    wrong = ""
    if not isinstance(schema, dict) or len(json.dumps(schema)) > SCHEMA_BYTES:
        wrong = f"is not an object of at most {SCHEMA_BYTES:,} bytes"
    elif unread := _unread(schema):
        wrong = unread
    elif problems := [each for each in contracts.schema_problems(schema) if not each.is_warning]:
        wrong = problems[0].message
    if wrong:
        message = f"the MCP server {server}: the schema of its tool {tool.name:.80} {wrong:.300}"
        raise PersonaError(NodeReason.CONFIG, message)
    return ToolFacts(f"{server}_{tool.name}", (tool.description or "")[:DESCRIPTION], schema)


def _unread(schema: Mapping[str, Any]) -> str:
    """Return why a schema is no JSON as Podium keeps it, such as for a number without end."""
    try:
        contracts.normalise(schema)
    except contracts.ValueNotJSONError as error:
        return str(error)
    return ""


class _Bounded(httpx2.AsyncBaseTransport):
    """Asks the server that the Persona names and no other, and ends answers that are too large.

    Where a redirect leads, or anything else that a server answers, is not what a user wrote.
    """

    def __init__(self, transport: httpx2.AsyncBaseTransport, allowed: httpx2.URL) -> None:
        self._transport = transport
        self._allowed = _origin(allowed)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if _origin(request.url) != self._allowed:
            host = request.url.host
            raise httpx2.UnsupportedProtocol(f"{host:.200} is not the server of the Persona")
        request.headers["accept-encoding"] = "identity"
        answer = await self._transport.handle_async_request(request)
        answer.stream = _BoundedStream(answer.stream)
        return answer

    async def aclose(self) -> None:
        await self._transport.aclose()


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > MAX_BYTES:  # an error here would end the client, not the call alone
                return
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
