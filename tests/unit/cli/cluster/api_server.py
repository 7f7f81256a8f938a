"""An API server with a run, whose Pods run their programs on this machine."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager

from aiohttp import web

PROGRAM = (
    "import sys, os\nfrom podium.artifacts import remote\nremote.STORE_PATH = {keys!r}\n"
    "sys.exit(remote.main(sys.argv[1:], os.environ))"
)
"""What a Pod's image has as a program, with the credentials that its volume would hold."""
BASE = "/apis/podium.dev/v1alpha1/namespaces/team"
POD = "/api/v1/namespaces/team/pods"


class ApiServer:
    """Knows the runs, shards and Pods that it is given; a log is the name of its Pod."""

    def __init__(self, keys):
        self.runs, self.shards, self.pods, self.calls = {}, [], [], []
        self.refuse_exec = False
        self._keys = str(keys)
        self._pod = {}

    async def run(self, request):
        self._called(request)
        found = self.runs.get(request.match_info["name"])
        if found is None:
            return web.json_response({"reason": "NotFound", "message": "no"}, status=404)
        return web.json_response(found)

    async def table(self, request):
        self._called(request)
        rows = [
            {"cells": [], "object": {"metadata": run["metadata"]}} for run in self.runs.values()
        ]
        return web.json_response({"columnDefinitions": [], "rows": rows})

    async def list_shards(self, request):
        self._called(request)
        return web.json_response({"items": self.shards})

    async def create(self, request):
        self._called(request)
        self._pod = await request.json()
        self._pod["metadata"] |= {"uid": "pod-uid", "resourceVersion": "7"}
        return web.json_response(self._pod, status=201)

    async def list_or_watch(self, request):
        self._called(request)
        if "watch" not in request.query:
            return web.json_response({"items": self.pods})
        assert request.query["resourceVersion"] == "7"
        ready = {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}
        events = [{"type": "MODIFIED", "object": {"status": {"phase": "Pending"}}}]
        events += [{"type": "MODIFIED", "object": {"status": ready}}]
        return web.Response(text="".join(f"{json.dumps(each)}\n" for each in events))

    async def log(self, request):
        self._called(request)
        return web.Response(text=f"from the pod {request.match_info['name']}\n")

    async def execute(self, request):
        self._called(request)
        if self.refuse_exec:
            return web.json_response({"message": "no"}, status=403)
        socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await socket.prepare(request)
        (container,) = self._pod["spec"]["containers"]
        env = {each["name"]: each["value"] for each in container["env"]}
        words = request.query.getall("command")[4:]  # python3 -P -m podium.artifacts.remote
        command = [sys.executable, "-c", PROGRAM.format(keys=self._keys), *words]
        done = await asyncio.to_thread(
            subprocess.run, command, env=os.environ | env, capture_output=True, check=False
        )
        await socket.send_bytes(b"\x01")
        for start in range(0, len(done.stdout), 1000):
            await socket.send_bytes(b"\x01" + done.stdout[start : start + 1000])
        await socket.send_bytes(b"\x02" + done.stderr)
        code = {"reason": "ExitCode", "message": str(done.returncode)}
        failed = {"status": "Failure", "details": {"causes": [code]}}
        end = failed if done.returncode else {"status": "Success"}
        await socket.send_bytes(b"\x03" + json.dumps(end).encode())
        await socket.close()
        return socket

    async def delete(self, request):
        self._called(request)
        assert (await request.json())["preconditions"] == {"uid": "pod-uid"}
        return web.json_response({})

    def _called(self, request):
        self.calls.append((request.method, request.path))

    async def serve(self, port, is_over):
        app = web.Application()
        app.add_routes(
            [
                web.get(f"{BASE}/workflowruns", self.table),
                web.get(f"{BASE}/workflowruns/{{name}}", self.run),
                web.get(f"{BASE}/workflowrunnodes", self.list_shards),
                web.post(POD, self.create),
                web.get(POD, self.list_or_watch),
                web.get(f"{POD}/{{name}}/log", self.log),
                web.get(f"{POD}/{{name}}/exec", self.execute),
                web.delete(f"{POD}/{{name}}", self.delete),
            ]
        )
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port.append(runner.addresses[0][1])
        while not is_over.is_set():  # noqa: ASYNC110 - a thread's event
            await asyncio.sleep(0.05)
        await runner.cleanup()

    @contextmanager
    def running(self, kubeconfig):
        """Serve, and write a kubeconfig whose context `prod` is this server."""
        port, is_over = [], threading.Event()
        thread = threading.Thread(target=asyncio.run, args=(self.serve(port, is_over),))
        thread.start()
        while not port:
            assert thread.is_alive()
            is_over.wait(0.01)
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port[0]}"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}],
        }
        kubeconfig.write_text(json.dumps(document))
        try:
            yield
        finally:
            is_over.set()
            thread.join()
