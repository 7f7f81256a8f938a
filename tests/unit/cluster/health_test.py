"""The operator's door: health and metrics, whoever knocks."""

import asyncio
import http.client
import socket
import time
from contextlib import ExitStack, asynccontextmanager

import pytest

from podium.cluster import health


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def get(port, path="/healthz", method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


@asynccontextmanager
async def served(healthy=str, ready=str, metrics=bytes):
    port = free_port()
    async with health.serve(port, healthy, ready, metrics):
        yield port


async def ask(port, path="/healthz", **extra):
    return await asyncio.to_thread(get, port, path, **extra)


async def test_each_path_has_its_answer():
    async with served(str, lambda: "not yet", lambda: b"podium_x 1.0\n") as port:
        assert await ask(port) == (200, "ok")
        assert await ask(port, "/readyz") == (503, "not yet")
        assert await ask(port, "/metrics?name[]=x") == (200, "podium_x 1.0\n")
        assert (await ask(port, "/"))[0] == 404
        assert (await ask(port, method="POST"))[0] == 400
        assert await ask(port, method="HEAD") == (200, "")


async def test_what_changes_is_said_a_little_later():
    problems = ["stuck: a"]
    async with served(lambda: problems[0]) as port:
        assert await ask(port) == (503, "stuck: a")
        problems[0] = ""
        while (await ask(port))[0] != 200:
            pass


async def test_metrics_are_made_once_for_many_who_ask(monkeypatch):
    monkeypatch.setattr(health, "FRESH_SECONDS", 3600.0)
    made = []
    async with served(metrics=lambda: made.append(1) or b"x 1.0\n") as port:
        for _ in range(5):
            assert await ask(port, "/metrics") == (200, "x 1.0\n")
    assert len(made) == 1


async def test_600_idle_connections_change_nothing():
    async with served(metrics=lambda: b"x 1.0\n") as port:
        with ExitStack() as idle:
            for number in range(600):
                each = idle.enter_context(socket.create_connection(("127.0.0.1", port)))
                if number % 2:
                    each.sendall(b"GET /metrics HTTP/1.1\r\n")  # and nothing more
            for _ in range(20):
                assert await ask(port) == (200, "ok")
                assert await ask(port, "/metrics") == (200, "x 1.0\n")


async def test_the_oldest_connection_gives_way(monkeypatch):
    monkeypatch.setattr(health, "CONNECTION_SECONDS", 3600.0)
    monkeypatch.setattr(health, "CONNECTIONS", 2)
    async with served() as port:
        with ExitStack() as idle:
            first, second, _ = (
                idle.enter_context(socket.create_connection(("127.0.0.1", port), 60))
                for _ in range(3)
            )
            assert await asyncio.to_thread(closed, first)
            second.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            assert (await asyncio.to_thread(second.recv, 100)).startswith(b"HTTP/1.1 200")


async def test_an_idle_connection_is_closed(monkeypatch):
    monkeypatch.setattr(health, "CONNECTION_SECONDS", 0.1)
    async with served() as port:
        with socket.create_connection(("127.0.0.1", port), 60) as idle:
            assert await asyncio.to_thread(closed, idle)


def closed(connection):
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "nonsense", [b"\r\n\r\n", b"GET\r\n\r\n", b"\xff" * 100_000, b"GET / HTTP/1.1 \xc3\r\n\r\n"]
)
async def test_nonsense_is_refused(nonsense):
    async with served() as port:
        with socket.create_connection(("127.0.0.1", port), 60) as rude:
            try:
                rude.sendall(nonsense)
                said = await asyncio.to_thread(rude.recv, 100)
            except ConnectionResetError:  # it was cut off before it had said all
                said = b""
        assert not said or said.startswith(b"HTTP/1.1 400")
        assert await ask(port) == (200, "ok")


async def test_a_loop_that_stands_still_is_answered_for_and_unhealthy(monkeypatch):
    monkeypatch.setattr(health, "STALL_SECONDS", 0.1)
    async with served() as port:
        asked = asyncio.create_task(asyncio.to_thread(until_503, port))
        await asyncio.sleep(0)
        time.sleep(1)  # noqa: ASYNC251 - this is what is answered for
        assert "the event loop has stood still" in await asked


def until_503(port):
    while (answer := get(port))[0] != 503:
        pass
    return answer[1]


async def test_a_port_that_is_taken_is_an_error():
    async with served() as port:
        with pytest.raises(OSError):
            async with health.serve(port, str, str, bytes):
                pass


async def test_port_0_serves_nothing():
    async with health.serve(0, str, str, bytes):
        pass
