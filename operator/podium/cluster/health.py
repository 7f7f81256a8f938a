"""/healthz, /readyz and /metrics of the operator."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

__all__ = ["serve"]


@asynccontextmanager
async def serve(
    port: int, healthy: Callable[[], str], ready: Callable[[], str], metrics: Callable[[], bytes]
) -> AsyncIterator[None]:
    """Answer 200 while a function returns nothing, 503 with what it returns. Port 0: none."""
    if port == 0:
        yield
        return
    app = web.Application()
    for path, check in (("/healthz", healthy), ("/readyz", ready)):
        app.router.add_get(path, _answer(check))

    async def measured(request: web.Request) -> web.Response:
        del request
        return web.Response(body=metrics(), headers={"Content-Type": "text/plain; version=0.0.4"})

    app.router.add_get("/metrics", measured)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()


def _answer(check: Callable[[], str]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        del request
        problem = check()
        return web.Response(text=problem or "ok", status=503 if problem else 200)

    return handle
