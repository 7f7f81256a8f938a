"""/healthz, /readyz and /metrics, from a thread of their own: who asks costs the runs nothing.

Whoever reaches the port may open connections and say nothing, or ask without end. So connections
are bounded in number and time (the oldest gives way to a new one), each carries one request, and
answers are kept for a second.
"""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

__all__ = ["serve"]

CONNECTIONS = 64
"""Connections at a time; one more, and the oldest is closed."""
BACKLOG = 1024
CONNECTION_SECONDS = 5.0
"""A connection may take so long, from its beginning to the end of its answer."""
REQUEST_BYTES = 16 * 1024
FRESH_SECONDS = 1.0
"""An answer is given again for so long."""
STALL_SECONDS = 30.0
"""An event loop that stands still for so long makes the operator unhealthy."""

_STATUS = {200: "OK", 400: "Bad Request", 404: "Not Found", 503: "Service Unavailable"}


@asynccontextmanager
async def serve(
    port: int, healthy: Callable[[], str], ready: Callable[[], str], metrics: Callable[[], bytes]
) -> AsyncIterator[None]:
    """Answer 200 while a function returns nothing, 503 with what it returns. Port 0: none.

    `healthy` and `ready` are called in this event loop, `metrics` in another thread.
    """
    if port == 0:
        yield
        return
    state = _State(healthy, ready, metrics)
    listener = _listen(port)
    server = _Server(listener, state.answer)
    looking = asyncio.create_task(state.keep(), name="health")
    server.start()
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.to_thread(server.stop)


def _listen(port: int) -> socket.socket:
    """Listen on all addresses, by IPv6 and IPv4 where the machine has both."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
        )
    return socket.create_server(("", port), backlog=BACKLOG)


class _State:
    """State of the operator, as last reported by its event loop."""

    def __init__(
        self, healthy: Callable[[], str], ready: Callable[[], str], metrics: Callable[[], bytes]
    ) -> None:
        self._healthy = healthy
        self._ready = ready
        self._metrics = metrics
        self._text = b""
        self._text_until = 0.0
        self._look()

    def _look(self) -> None:
        self._problems = {"/healthz": self._healthy(), "/readyz": self._ready()}
        self._seen_at = time.monotonic()

    async def keep(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(FRESH_SECONDS / 2)
            self._look()

    def answer(self, path: str) -> tuple[int, bytes]:
        """Return the status and the body of an answer. Called in the server's thread."""
        now = time.monotonic()
        if path == "/metrics":
            if now >= self._text_until:
                self._text, self._text_until = self._metrics(), now + FRESH_SECONDS
            return 200, self._text
        if path not in self._problems:
            return 404, b"there are /healthz, /readyz and /metrics"
        problem = self._problems[path]
        if (still := now - self._seen_at) > STALL_SECONDS:
            problem = f"the event loop has stood still for {still:.0f} s"
        return (503, problem.encode()) if problem else (200, b"ok")


class _Server:
    """Answers requests in a thread of its own."""

    def __init__(self, listener: socket.socket, answer: Callable[[str], tuple[int, bytes]]) -> None:
        self._listener = listener
        self._answer = answer
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        """Connections, the oldest first."""
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End, with all connections."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(
            self._connected, sock=self._listener, limit=REQUEST_BYTES
        )
        await self._over.wait()
        server.close()
        for writer in self._open.values():
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker
        if len(self._open) >= CONNECTIONS:
            oldest = next(iter(self._open))
            self._open.pop(oldest).transport.abort()
        self._open[task] = writer
        try:
            # What it says may be cut off at any point: by the other side, by us, by the time.
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(CONNECTION_SECONDS):
                    await self._talk(reader, writer)
        finally:
            self._open.pop(task, None)
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
        except (asyncio.LimitOverrunError, ValueError):
            method, target = "", ""
        if method in ("GET", "HEAD"):
            status, body = self._answer(target.partition("?")[0])
        else:
            status, body = 400, b"only GET is answered"
        writer.write(
            f"HTTP/1.1 {status} {_STATUS[status]}\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\nConnection: close\r\n\r\n"
            "".encode()
            + (b"" if method == "HEAD" else body)
        )
        writer.write_eof()
        await writer.drain()
        while await reader.read(REQUEST_BYTES):  # until the other side has read it, and closes
            pass
