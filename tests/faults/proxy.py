"""A proxy in front of the API server that breaks what it is told to break, and counts."""

import asyncio
import base64
import json
import random
import re
import ssl
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web

DROPPED = {"connection", "content-length", "host", "transfer-encoding", "content-encoding"}


@dataclass
class Rule:
    """What happens to some requests.

    `what` is matched against `POST jobs`, `PATCH workflowruns/status`, `LIST pods`, `WATCH pods`.
    """

    what: str
    answer: int = 0
    """This status instead of the server's; 0: the server is asked."""
    times: int | None = None
    """So many requests, the first ones; None: all."""
    share: float = 1.0
    """Of these, so many by chance."""
    retry_after: int | None = None
    message: str = "the proxy says so"
    causes: tuple[str, ...] = ()
    """Reasons of the refusal's causes, as the server gives them."""
    delay: float = 0.0
    """Seconds before anything else is done."""
    lose: bool = False
    """The server's answer never arrives."""
    cut: int | None = None
    """A watch breaks off after so many events, in the middle of the next one."""
    expire: int | None = None
    """A watch says after so many events that its version is too old, as the server does."""
    stale: bool = False
    """A list is answered as it was the first time."""
    hits: int = 0

    def takes(self, what, chance):
        if not re.fullmatch(self.what, what):
            return False
        if self.times is not None and self.hits >= self.times:
            return False
        if chance.random() >= self.share:
            return False
        self.hits += 1
        return True


class Proxy:
    """Plain HTTP on loopback, TLS with the kubeconfig's certificate to the server."""

    def __init__(self, kubeconfig, rules=()):
        self.rules = list(rules)
        self.requests = []
        """When (monotonic), and what."""
        self.gone = False
        """Whether there is no server: connections are made and broken."""
        self.port = 0
        self._chance = random.Random(1)
        self._lists = {}
        self._watches = set()
        self._server, self._tls = _admin(kubeconfig)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def kubeconfig(self, directory):
        """Write a kubeconfig that leads here; return its path."""
        path = Path(directory) / "kubeconfig"
        here = {"server": f"http://127.0.0.1:{self.port}"}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": here}],
            "users": [{"name": "nobody", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}],
            "current-context": "proxy",
        }
        path.write_text(yaml.safe_dump(document))
        return path

    def leave(self):
        """Be gone, with all watches."""
        self.gone = True
        self.break_watches()

    def break_watches(self):
        """Break the connections of all watches off."""

        def abort():
            for transport in self._watches:
                transport.abort()

        self._loop.call_soon_threadsafe(abort)

    def count(self, since, until):
        """Count the requests of a time (monotonic)."""
        return Counter(what for at, what in self.requests if since <= at < until)

    def times_of(self, what):
        """Return when (monotonic) this was asked for."""
        return [at for at, each in self.requests if each == what]

    def _live(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self):
        self._over = asyncio.Event()
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            self._session = session
            app = web.Application(client_max_size=1 << 26)
            app.router.add_route("*", "/{path:.*}", self._handle)
            runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = runner.addresses[0][1]
            self._ready.set()
            await self._over.wait()
            await runner.cleanup()

    async def _handle(self, request):
        what = name(request.method, request.path, "watch" in request.query)
        self.requests.append((time.monotonic(), what))
        if self.gone:
            return _broken(request)
        rules = [rule for rule in self.rules if rule.takes(what, self._chance)]
        for rule in rules:
            await asyncio.sleep(rule.delay)
            if rule.answer:
                return _refusal(rule)
        if any(rule.stale for rule in rules) and request.path_qs in self._lists:
            return self._lists[request.path_qs].copy()
        headers = {k: v for k, v in request.headers.items() if k.lower() not in DROPPED}
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.request(
            request.method,
            self._server + request.raw_path,
            data=await request.read() or None,
            headers=headers,
            timeout=timeout,
        ) as answer:
            if what.startswith("WATCH"):
                cut = min((r.cut for r in rules if r.cut is not None), default=None)
                expire = min((r.expire for r in rules if r.expire is not None), default=None)
                return await self._watch(request, answer, cut, expire)
            data = await answer.read()
        if any(rule.lose for rule in rules) or self.gone:
            return _broken(request)
        kept = {k: v for k, v in answer.headers.items() if k.lower() not in DROPPED}
        if "gzip" in answer.headers.get("Content-Encoding", ""):
            kept["Content-Encoding"] = "gzip"
        made = _Answer(answer.status, data, kept)
        if what.startswith("LIST"):
            self._lists.setdefault(request.path_qs, made)
        return made.copy()

    async def _watch(self, request, answer, cut, expire):
        response = web.StreamResponse(status=answer.status)
        response.content_type = "application/json"
        if "gzip" in answer.headers.get("Content-Encoding", ""):
            response.headers["Content-Encoding"] = "gzip"
            cut = expire = None
        await response.prepare(request)
        transport = request.transport
        self._watches.add(transport)
        try:
            events = 0
            if expire == 0:
                await response.write(TOO_OLD)
                return response
            async for line in answer.content:
                events += 1
                if expire is not None and events > expire:
                    await response.write(TOO_OLD)
                    return response
                if cut is not None and events > cut:
                    await response.write(line[: len(line) // 2])
                    return _broken(request, response)
                await response.write(line)
        except (ConnectionError, aiohttp.ClientError):
            return _broken(request, response)
        finally:
            self._watches.discard(transport)
        await response.write_eof()
        return response


@dataclass
class _Answer:
    status: int
    data: bytes
    headers: dict

    def copy(self):
        return web.Response(status=self.status, body=self.data, headers=self.headers)


def name(method, path, watch):
    """Name a request as rules do."""
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    kind = rest[0] if rest else path
    if method == "GET" and len(rest) == 1:
        method = "WATCH" if watch else "LIST"
    return f"{method} {kind}" + (f"/{rest[2]}" if len(rest) > 2 else "")


def _status(code, message, causes=()):
    reasons = {403: "Forbidden", 409: "Conflict", 410: "Expired", 422: "Invalid"}
    reasons[429] = "TooManyRequests"
    details = {"details": {"causes": [{"reason": cause} for cause in causes]}} if causes else {}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "code": code,
        "reason": reasons.get(code, "ServerTimeout"),
        "message": message,
        **details,
    }


TOO_OLD = (
    json.dumps({"type": "ERROR", "object": _status(410, "too old resource version: 1 (2)")}) + "\n"
).encode()


def _refusal(rule):
    headers = {"Retry-After": str(rule.retry_after)} if rule.retry_after is not None else {}
    return web.Response(
        status=rule.answer,
        text=json.dumps(_status(rule.answer, rule.message, rule.causes)),
        content_type="application/json",
        headers=headers,
    )


def _broken(request, response=None):
    if request.transport is not None:
        request.transport.abort()
    return response or web.Response(status=502)


def _admin(kubeconfig):
    """Return the server of a kubeconfig and a TLS context that is its user."""
    document = yaml.safe_load(Path(kubeconfig).read_text())
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    tls = ssl.create_default_context(cadata=_data(cluster, "certificate-authority").decode())
    with tempfile.NamedTemporaryFile() as pair:  # ssl reads files only
        pair.write(_data(user, "client-certificate") + b"\n" + _data(user, "client-key"))
        pair.flush()
        tls.load_cert_chain(pair.name)
    return cluster["server"], tls


def _data(section, key):
    if f"{key}-data" in section:
        return base64.b64decode(section[f"{key}-data"])
    return Path(section[key]).read_bytes()
