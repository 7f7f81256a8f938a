"""The gateway, against a server on loopback that answers as it is told."""

import asyncio
import json
from types import SimpleNamespace

import pytest
import yaml
from aiohttp import web
from kubernetes.aio.config import kube_config

from podium.cluster.kube import transport as transport_module
from podium.cluster.kube.answers import TooLongError
from podium.cluster.kube.connection import connect
from podium.cluster.kube.errors import ApiError, UnreadableError
from podium.cluster.kube.lanes import CATCHING_UP, CONNECTIONS, LOW_PRIORITY_SLOTS
from podium.cluster.kube.transport import PAGE_BYTES

JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
PLAIN = "application/json"


class Server:
    """Answers by `answer`, keeps what it was asked."""

    def __init__(self):
        self.asked = []
        self.answer = lambda _request: web.json_response({"kind": "Thing"})
        self.gate = asyncio.Event()
        """Answers wait for it."""
        self.gate.set()

    async def handle(self, request):
        body = await request.read()
        self.asked.append(
            SimpleNamespace(
                method=request.method,
                path=request.raw_path.partition("?")[0],
                query=dict(request.query),
                content=request.headers.get("Content-Type"),
                token=request.headers.get("Authorization"),
                body=json.loads(body) if body else None,
            )
        )
        await self.gate.wait()
        answer = self.answer(request)
        return await answer if asyncio.iscoroutine(answer) else answer

    def replies(self, *answers):
        """Answer with these, one after the other."""
        left = list(answers)
        self.answer = lambda _request: left.pop(0)

    async def until(self, count):
        """Let others work until so many requests have come, or no more will."""
        for _ in range(2000):
            if len(self.asked) >= count:
                break
            await asyncio.sleep(0)
        return self

    @property
    def last(self):
        return self.asked[-1]


@pytest.fixture
async def server():
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    server.stop = runner.cleanup
    yield server
    server.gate.set()
    await runner.cleanup()


class Shut(Exception):  # noqa: N818 - the real one ends the process
    pass


class Fence:
    """Whether this process may change anything."""

    def __init__(self):
        self.asked = 0
        self.shut = False

    def __call__(self):
        self.asked += 1
        if self.shut:
            raise Shut


@pytest.fixture
def fence():
    return Fence()


@pytest.fixture
def told():
    """What the metrics were told: requests and their statuses."""
    return []


@pytest.fixture
async def gateway(server, fence, told, tmp_path, monkeypatch):
    file = tmp_path / "kubeconfig"
    named = {"name": "x", "cluster": {"server": f"http://127.0.0.1:{server.port}"}}
    file.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "x",
                "clusters": [named],
                "users": [{"name": "x", "user": {"token": "secret"}}],
                "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            }
        )
    )
    monkeypatch.setenv("KUBECONFIG", str(file))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(file))

    def tell(request, status, seconds):
        assert seconds >= 0
        told.append((request, status))

    async with connect(fence, tell) as gateway:
        yield gateway


def thing(kind):
    return {"kind": kind, "metadata": {"name": "x", "namespace": "team", "resourceVersion": "5"}}


OWN = "/apis/podium.dev/v1alpha1/namespaces/team"
BATCH = "/apis/batch/v1/namespaces/team/jobs"
CORE = "/api/v1/namespaces/team"
APPS = "/apis/apps/v1/namespaces/team"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/team/leases"
OPTIONS = {"propagationPolicy": "Background", "preconditions": {"uid": "u"}}
OF_VERSION = {**OPTIONS, "preconditions": {"uid": "u", "resourceVersion": "7"}}
WORDS = [{"op": "remove", "path": "/x"}]

# Method, arguments, what is sent, and its name in the metrics.
REQUESTS = [
    ("get_run", ("team", "x"), ("GET", f"{OWN}/workflowruns/x", None), "GET workflowruns"),
    (
        "patch_run",
        ("team", "x", WORDS),
        ("PATCH", f"{OWN}/workflowruns/x", WORDS),
        "PATCH workflowruns",
    ),
    (
        "patch_run_status",
        ("team", "x", WORDS),
        ("PATCH", f"{OWN}/workflowruns/x/status", WORDS),
        "PATCH workflowruns/status",
    ),
    (
        "create_run",
        (thing("WorkflowRun"),),
        ("POST", f"{OWN}/workflowruns", thing("WorkflowRun")),
        "POST workflowruns",
    ),
    (
        "control_run",
        ("team", "x", "u", {"spec": {"suspend": True}}),
        (
            "PATCH",
            f"{OWN}/workflowruns/x",
            {"spec": {"suspend": True}, "metadata": {"uid": "u"}},
        ),
        "PATCH workflowruns",
    ),
    (
        "delete_run",
        ("team", "x", "u", "7"),
        ("DELETE", f"{OWN}/workflowruns/x", OF_VERSION),
        "DELETE workflowruns",
    ),
    ("get_workflow", ("team", "x"), ("GET", f"{OWN}/workflows/x", None), "GET workflows"),
    (
        "patch_workflow_status",
        ("team", "x", {"a": 1}),
        ("PATCH", f"{OWN}/workflows/x/status", {"status": {"a": 1}}),
        "PATCH workflows/status",
    ),
    ("create_job", (thing("Job"),), ("POST", BATCH, thing("Job")), "POST jobs"),
    (
        "try_out_job",
        (thing("Job"),),
        ("POST", BATCH, thing("Job")),
        "POST jobs",
    ),
    ("get_job", ("team", "x"), ("GET", f"{BATCH}/x", None), "GET jobs"),
    (
        "set_job_ttl",
        ("team", "x", 60),
        ("PATCH", f"{BATCH}/x", {"spec": {"ttlSecondsAfterFinished": 60}}),
        "PATCH jobs",
    ),
    (
        "patch_job_status",
        ("team", "x", {"active": 1}),
        ("PATCH", f"{BATCH}/x/status", {"status": {"active": 1}}),
        "PATCH jobs/status",
    ),
    ("delete_job", ("team", "x", "u"), ("DELETE", f"{BATCH}/x", OPTIONS), "DELETE jobs"),
    ("create_pod", (thing("Pod"),), ("POST", f"{CORE}/pods", thing("Pod")), "POST pods"),
    ("get_pod", ("team", "x"), ("GET", f"{CORE}/pods/x", None), "GET pods"),
    ("patch_pod", ("team", "x", WORDS), ("PATCH", f"{CORE}/pods/x", WORDS), "PATCH pods"),
    ("delete_pod", ("team", "x", "u"), ("DELETE", f"{CORE}/pods/x", OPTIONS), "DELETE pods"),
    (
        "create_event",
        ("team", thing("Event")),
        ("POST", f"{CORE}/events", thing("Event")),
        "POST events",
    ),
    ("list_events", ("team", "u"), ("GET", f"{CORE}/events", None), "GET events"),
    (
        "get_service_account",
        ("team", "x"),
        ("GET", f"{CORE}/serviceaccounts/x", None),
        "GET serviceaccounts",
    ),
    ("get_deployment", ("team", "x"), ("GET", f"{APPS}/deployments/x", None), "GET deployments"),
    (
        "scale_deployment",
        ("team", "x", 0),
        ("PATCH", f"{APPS}/deployments/x/scale", {"spec": {"replicas": 0}}),
        "PATCH deployments/scale",
    ),
    (
        "get_revision",
        ("team", "x"),
        ("GET", f"{APPS}/controllerrevisions/x", None),
        "GET controllerrevisions",
    ),
    (
        "create_claim",
        (thing("PersistentVolumeClaim"),),
        ("POST", f"{CORE}/persistentvolumeclaims", thing("PersistentVolumeClaim")),
        "POST persistentvolumeclaims",
    ),
    (
        "get_artifact_store",
        ("team", "x"),
        ("GET", f"{OWN}/artifactstores/x", None),
        "GET artifactstores",
    ),
    (
        "get_contract_schema",
        ("team", "x"),
        ("GET", f"{OWN}/contractschemas/x", None),
        "GET contractschemas",
    ),
    ("get_persona", ("team", "x"), ("GET", f"{OWN}/personas/x", None), "GET personas"),
    (
        "get_model_config",
        ("team", "x"),
        ("GET", f"{OWN}/modelconfigs/x", None),
        "GET modelconfigs",
    ),
    (
        "patch_contract_schema_status",
        ("team", "x", {"latest": "1"}),
        ("PATCH", f"{OWN}/contractschemas/x/status", {"status": {"latest": "1"}}),
        "PATCH contractschemas/status",
    ),
    (
        "list_artifact_stores",
        ("team",),
        ("GET", f"{OWN}/artifactstores", None),
        "GET artifactstores",
    ),
    (
        "get_claim",
        ("team", "x"),
        ("GET", f"{CORE}/persistentvolumeclaims/x", None),
        "GET persistentvolumeclaims",
    ),
    (
        "read_log",
        ("team", "x", "node", 4096),
        ("GET", f"{CORE}/pods/x/log", None),
        "GET pods/log",
    ),
    (
        "create_revision",
        ("team", thing("ControllerRevision")),
        ("POST", f"{APPS}/controllerrevisions", thing("ControllerRevision")),
        "POST controllerrevisions",
    ),
    (
        "delete_revision",
        ("team", "x", "u"),
        ("DELETE", f"{APPS}/controllerrevisions/x", OPTIONS),
        "DELETE controllerrevisions",
    ),
    (
        "create_run_nodes",
        (thing("WorkflowRunNodes"),),
        ("POST", f"{OWN}/workflowrunnodes", thing("WorkflowRunNodes")),
        "POST workflowrunnodes",
    ),
    (
        "list_run_nodes",
        ("team", "a=b"),
        ("GET", f"{OWN}/workflowrunnodes", None),
        "GET workflowrunnodes",
    ),
    (
        "delete_run_nodes",
        ("team", "x", "u"),
        ("DELETE", f"{OWN}/workflowrunnodes/x", OPTIONS),
        "DELETE workflowrunnodes",
    ),
    (
        "get_executor",
        ("team", "x"),
        ("GET", f"{OWN}/executors/x", None),
        "GET executors",
    ),
    (
        "list_executors",
        ("team", 20),
        ("GET", f"{OWN}/executors", None),
        "GET executors",
    ),
    ("get_lease", ("team", "x"), ("GET", f"{LEASES}/x", None), "GET leases"),
    ("create_lease", (thing("Lease"),), ("POST", LEASES, thing("Lease")), "POST leases"),
    ("replace_lease", (thing("Lease"),), ("PUT", f"{LEASES}/x", thing("Lease")), "PUT leases"),
]


@pytest.mark.parametrize(
    ("name", "arguments", "sent", "named"), REQUESTS, ids=[each[0] for each in REQUESTS]
)
async def test_requests(server, gateway, fence, told, name, arguments, sent, named):
    seen_by_fence = []
    server.answer = lambda _request: (
        seen_by_fence.append(fence.asked),
        web.json_response({"a": 1}),
    )[1]
    await getattr(gateway, name)(*arguments)
    (only,) = server.asked
    assert (only.method, only.path, only.body) == sent
    assert only.token == "Bearer secret"
    changes = only.method != "GET"
    assert (seen_by_fence[0] > 0) is changes, "asked before each change, and not before reads"
    assert told == [(named, 200)]
    if only.method == "PATCH":
        assert only.content == (JSON_PATCH if only.body == WORDS else MERGE_PATCH)
    elif changes:
        assert only.content == PLAIN


async def test_every_request_is_in_the_table(gateway):
    public = {name for name in dir(gateway) if not name.startswith("_")}
    assert public - {each[0] for each in REQUESTS} == {
        *(
            "drain",
            "websocket",
            "chunks",
            "lines",
            "list_all",
            "watch",
            "lanes",
            "call",
            "content",
            "exchange",
            "delete",
            "list_objects",
        ),
        *(
            "get_metadata",
            "get_run_columns",
            "pages",
            "list_revisions",
            "list_shards",
            "refusal",
            "run_uids",
            "tables",
        ),  # have tests of their own
    }


@pytest.mark.parametrize("printed", [b"", b'{"a": 1}\n', b"\xff\n"])
async def test_what_was_printed_comes_as_it_is(server, gateway, printed):
    server.answer = lambda _: web.Response(body=printed)
    assert await gateway.read_log("team", "x", "node", 4096) == printed
    server.answer = lambda _: web.Response(body=b"x" * 100_000)
    with pytest.raises(TooLongError):
        await gateway.read_log("team", "x", "node", 4096)
    server.answer = lambda _: web.json_response(
        {"reason": "Forbidden", "message": "no"}, status=403
    )
    with pytest.raises(ApiError, match="GET pods/log: 403 Forbidden: no"):
        await gateway.read_log("team", "x", "node", 4096)


async def test_of_a_secret_only_the_metadata_is_asked_for_and_kept(server, gateway, fence):
    server.answer = lambda request: (
        accepted.append(request.headers["Accept"]),
        web.json_response({"metadata": {"name": "s"}, "data": {"password": "x"}}),
    )[1]
    accepted = []
    body = await gateway.get_metadata("team", "secrets", "a/b")
    assert body == {"metadata": {"name": "s"}}
    assert accepted == ["application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"]
    assert (server.last.method, server.last.path) == (
        "GET",
        "/api/v1/namespaces/team/secrets/a%2Fb",
    )
    assert fence.asked == 0


@pytest.mark.parametrize(
    ("table", "shown"),
    [
        (
            {
                "columnDefinitions": [{"name": "Name"}, {"name": "Phase"}],
                "rows": [{"cells": ["x", "Running"]}],
            },
            {"Name": "x", "Phase": "Running"},
        ),
        ({"columnDefinitions": [{"name": "Name"}], "rows": []}, {}),
        ({"kind": "WorkflowRun"}, {}),
    ],
)
async def test_of_a_run_that_cannot_be_read_the_server_makes_a_table(server, gateway, table, shown):
    server.answer = lambda request: (
        accepted.append(request.headers["Accept"]),
        web.json_response(table),
    )[1]
    accepted = []
    assert await gateway.get_run_columns("team", "x") == shown
    assert accepted == ["application/json;as=Table;g=meta.k8s.io;v=v1"]
    assert (server.last.path, server.last.query) == (
        f"{OWN}/workflowruns/x",
        {"includeObject": "None"},
    )


async def test_revisions_are_listed_without_what_they_hold(server, gateway):
    server.answer = lambda request: (
        accepted.append(request.headers["Accept"]),
        web.json_response({"items": [{"metadata": {"uid": "a"}}, {"metadata": {"uid": "b"}}]}),
    )[1]
    accepted = []
    async for _ in gateway.list_revisions("team", ""):
        pass
    async for _ in gateway.list_shards("team"):
        pass
    assert accepted == ["application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"] * 2


@pytest.mark.parametrize(
    ("name", "arguments", "path"),
    [
        ("list_revisions", ("team", "a=b"), f"{APPS}/controllerrevisions"),
        ("list_revisions", ("", "a=b"), "/apis/apps/v1/controllerrevisions"),
        ("list_shards", ("team",), f"{OWN}/workflowrunnodes"),
        ("list_shards", ("",), "/apis/podium.dev/v1alpha1/workflowrunnodes"),
    ],
)
async def test_what_may_be_left_over_comes_page_by_page(server, gateway, name, arguments, path):
    server.replies(page([{"n": 1}], "two"), page([{"n": 2}]))
    pages = [each async for each in getattr(gateway, name)(*arguments)]
    assert pages == [[{"n": 1}], [{"n": 2}]]
    first, second = server.asked
    assert (first.path, second.path) == (path, path)
    assert second.query == {**first.query, "continue": "two"}
    assert first.query.get("labelSelector") == (arguments[1] if arguments[1:] else None)


async def test_a_status_comes_with_its_size(server, gateway):
    server.replies(web.Response(body=b'{"status":{}}', content_type=PLAIN))
    assert await gateway.patch_run_status("team", "x", []) == ({"status": {}}, 13)


# The fence


async def test_nothing_is_changed_behind_the_fence(server, gateway, fence):
    fence.shut = True
    for name, arguments, (method, *_), _ in REQUESTS:
        if method == "GET":
            await getattr(gateway, name)(*arguments)
        else:
            with pytest.raises(Shut):
                await getattr(gateway, name)(*arguments)
    assert {each.method for each in server.asked} == {"GET"}


async def test_the_fence_is_asked_after_the_waiting(server, gateway, fence):
    """A request that waited for others must not go out under an old word."""
    server.gate.clear()
    reads = [asyncio.create_task(gateway.get_run("team", "x")) for _ in range(CONNECTIONS)]
    await server.until(CONNECTIONS)
    change = asyncio.create_task(gateway.create_pod(thing("Pod")))
    await server.until(CONNECTIONS + 1)
    assert (len(server.asked), fence.asked) == (CONNECTIONS, 0)
    fence.shut = True
    server.gate.set()
    await asyncio.gather(*reads)
    with pytest.raises(Shut):
        await change
    assert {each.method for each in server.asked} == {"GET"}


async def test_what_changes_something_is_drained(server, gateway):
    server.gate.clear()
    change = asyncio.create_task(gateway.create_pod(thing("Pod")))
    read = asyncio.create_task(gateway.get_run("team", "x"))
    await server.until(2)
    assert not await gateway.drain(0)
    server.gate.set()
    await asyncio.gather(change, read)
    assert await gateway.drain(0)


# What may wait


async def test_what_may_wait_leaves_room(server, gateway):
    server.gate.clear()
    waiting = [
        asyncio.create_task(call)
        for _ in range(CONNECTIONS)
        for call in (
            gateway.patch_pod("team", "x", []),
            gateway.patch_job_status("team", "x", {}),
            gateway.set_job_ttl("team", "x", 5),
        )
    ]
    await server.until(LOW_PRIORITY_SLOTS + 1)
    assert len(server.asked) == LOW_PRIORITY_SLOTS
    urgent = asyncio.create_task(gateway.create_pod(thing("Pod")))
    await server.until(LOW_PRIORITY_SLOTS + 1)
    assert server.last.method == "POST"
    server.gate.set()
    await asyncio.gather(urgent, *waiting)
    assert len(server.asked) == 3 * CONNECTIONS + 1


async def test_what_may_wait_comes_the_later_the_longer_the_server_takes(server, gateway):
    server.gate.clear()
    first = [
        asyncio.create_task(gateway.patch_pod("team", "x", [])) for _ in range(LOW_PRIORITY_SLOTS)
    ]
    await server.until(LOW_PRIORITY_SLOTS)
    next_one = asyncio.create_task(gateway.patch_pod("team", "x", []))
    await asyncio.sleep(0.5)  # the server is busy
    server.gate.set()
    await asyncio.gather(*first)
    await gateway.create_pod(thing("Pod"))  # meanwhile others go
    assert [request.method for request in server.asked].count("PATCH") == LOW_PRIORITY_SLOTS
    await next_one


async def test_more_of_what_may_wait_goes_once_it_has_waited_for_long(server, gateway):
    server.gate.clear()
    behind = False
    gateway.lanes.is_lagging = lambda: behind
    calls = [
        asyncio.create_task(gateway.patch_pod("team", "x", [])) for _ in range(LOW_PRIORITY_SLOTS)
    ]
    await server.until(LOW_PRIORITY_SLOTS)
    behind = True
    calls += [asyncio.create_task(gateway.patch_pod("team", "x", [])) for _ in range(CONNECTIONS)]
    await server.until(LOW_PRIORITY_SLOTS + CATCHING_UP + 1)
    assert len(server.asked) == LOW_PRIORITY_SLOTS + CATCHING_UP
    server.gate.set()
    await asyncio.gather(*calls)


async def test_more_of_what_may_wait_goes_where_much_of_its_sort_waits(server, gateway):
    server.gate.clear()
    calls = [
        asyncio.create_task(gateway.patch_pod("team", "x", [], hurry=True))
        for _ in range(CONNECTIONS)
    ]
    await server.until(CATCHING_UP + LOW_PRIORITY_SLOTS)
    assert len(server.asked) == CATCHING_UP + LOW_PRIORITY_SLOTS
    server.gate.set()
    await asyncio.gather(*calls)


async def test_events_that_may_wait_hold_up_neither_finalizers_nor_other_events(server, gateway):
    server.gate.clear()
    news = [
        asyncio.create_task(gateway.create_event("team", {"news": True}, patient=True))
        for _ in range(CONNECTIONS)
    ]
    await server.until(2)
    assert len(server.asked) == 1
    others = [
        asyncio.create_task(gateway.patch_pod("team", "x", [])) for _ in range(LOW_PRIORITY_SLOTS)
    ]
    others.append(asyncio.create_task(gateway.create_event("team", {"news": False})))
    await server.until(LOW_PRIORITY_SLOTS + 2)
    assert [request.method for request in server.asked].count("PATCH") == LOW_PRIORITY_SLOTS
    assert len(server.asked) == LOW_PRIORITY_SLOTS + 2
    server.gate.set()
    await asyncio.gather(*others, *news)


# Errors


async def refused(gateway):
    with pytest.raises(ApiError) as caught:
        await gateway.create_pod(thing("Pod"))
    return caught.value


def status(code, message="no", reason="Odd", headers=None, **details):
    body = {"kind": "Status", "message": message, "reason": reason, "details": details}
    return web.json_response(body, status=code, headers=headers)


@pytest.mark.parametrize(
    ("code", "transient"),
    [(400, False), (403, False), (409, False), (422, False), (429, True), (500, True), (503, True)],
)
async def test_a_refusal_has_the_servers_words(server, gateway, told, code, transient):
    server.replies(status(code, "its words", "Why"))
    error = await refused(gateway)
    assert (error.status, error.reason, error.message) == (code, "Why", "its words")
    assert (error.transient, error.retry_after, error.causes) == (transient, None, ())
    assert told == [("POST pods", code)]


@pytest.mark.parametrize(
    ("text", "seconds"), [("7", 7.0), ("0", 0.0), ("soon", None), ("-1", None)]
)
async def test_the_server_says_when_to_come_back(server, gateway, text, seconds):
    server.replies(status(429, headers={"Retry-After": text}))
    assert (await refused(gateway)).retry_after == seconds


async def test_kinds_of_403(server, gateway):
    causes = [{"reason": "NamespaceTerminating"}, "text", {}]
    server.replies(
        status(403, 'pods "x" is forbidden: exceeded quota: small'),
        status(403, "no", causes=causes),
        status(403, "unable to create new content because it is being terminated"),
        status(403, "violates PodSecurity"),
        status(409, "exceeded quota"),
    )
    found = [await refused(gateway) for _ in range(5)]
    assert [e.exceeded_quota for e in found] == [True, False, False, False, False]
    assert [e.namespace_terminating for e in found] == [False, True, True, False, False]


@pytest.mark.parametrize(
    "body", [b"", b"<html>down</html>", b"[1]", b'"text"', b"null", b"\xff\xfe"]
)
async def test_odd_answers(server, gateway, body):
    def answer(code):
        return web.Response(status=code, body=body, content_type="text/html")

    server.replies(answer(502), answer(200))
    error = await refused(gateway)
    assert (error.status, error.transient) == (502, True)
    assert ("down" in error.message) is (b"down" in body)
    assert isinstance(await gateway.create_pod(thing("Pod")), dict)


async def test_the_server_does_not_answer(server, gateway, told):
    await server.stop()
    error = await refused(gateway)
    assert (error.status, error.reason, error.transient) == (0, "NoAnswer", True)
    assert told == [("POST pods", 0)]


async def test_an_answer_that_breaks_off(server, gateway):
    async def answer(request):
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"kind"')
        request.transport.close()
        return response

    server.answer = answer
    assert (await refused(gateway)).status == 0


async def test_an_answer_that_never_comes(server, gateway, monkeypatch):
    for name in ("TIMEOUT_SECONDS", "CHANGE_SECONDS"):
        monkeypatch.setattr(transport_module, name, 0.01)
    server.gate.clear()
    assert (await refused(gateway)).status == 0
    with pytest.raises(ApiError):
        await gateway.get_run("team", "x")
    assert await gateway.drain(0)


@pytest.mark.parametrize(
    "name", ["delete_job", "delete_pod", "delete_revision", "delete_run_nodes"]
)
async def test_what_is_gone_need_not_be_deleted(server, gateway, name):
    server.replies(
        status(404), status(409, "the UID in the precondition does not match"), status(403)
    )
    for _ in range(2):
        await getattr(gateway, name)("team", "x", "u")
    with pytest.raises(ApiError):
        await getattr(gateway, name)("team", "x", "u")


async def test_what_changed_since_it_was_seen_is_not_deleted(server, gateway):
    for delete in (
        lambda: gateway.delete_run("team", "x", "u", "7"),
        lambda: gateway.delete_pod("team", "x", "u", version="7"),
    ):
        server.replies(status(404), status(409, "the resourceVersion does not match"))
        await delete()
        with pytest.raises(ApiError) as refusal:
            await delete()
        assert refusal.value.status == 409
        assert server.last.body == OF_VERSION


# Lists


def page(items, more="", version="7"):
    meta = {"resourceVersion": version, **({"continue": more} if more else {})}
    return web.json_response({"metadata": meta, "items": items})


async def test_lists_come_in_pages(server, gateway):
    server.replies(page([{"n": 1}], "two"), page([{"n": 2}]))
    assert await gateway.list_run_nodes("team", "what") == [{"n": 1}, {"n": 2}]
    first, second = (each.query for each in server.asked)
    assert first == {"limit": "2", "labelSelector": "what"}
    assert second == {**first, "continue": "two"}


async def test_of_events_only_what_they_say_is_kept_and_not_without_end(server, gateway):
    event = {
        "metadata": {"annotations": {"a": "x" * 1000}},
        "reason": "FailedCreate",
        "message": "m" * 5000,
        "lastTimestamp": "2026-01-01T00:00:00Z",
    }
    server.answer = lambda _request: page([event] * 3, "more")
    found = await gateway.list_events("team", "what")
    assert len(found) == 3 * len(server.asked) == 30
    said = {key: value for key, value in found[0].items() if value is not None}
    assert said == {
        "reason": "FailedCreate",
        "message": "m" * 2000,
        "lastTimestamp": "2026-01-01T00:00:00Z",
    }
    first = server.asked[0].query
    assert first == {"limit": "500", "fieldSelector": "involvedObject.uid=what"}


async def test_of_stores_only_the_specs_are_kept(server, gateway):
    store = {"metadata": {"annotations": {"a": "x" * 1000}}, "spec": {"pvc": {"claimName": "c"}}}
    server.replies(page([store], "two"), page([{"spec": "odd"}]))
    assert await gateway.list_artifact_stores("team") == [
        {"spec": {"pvc": {"claimName": "c"}}},
        {"spec": "odd"},
    ]


@pytest.mark.parametrize(
    ("resource", "namespace", "path"),
    [
        ("jobs", "", "/apis/batch/v1/jobs"),
        ("jobs", "team", BATCH),
        ("pods", "", "/api/v1/pods"),
        ("pods", "team", f"{CORE}/pods"),
        ("workflowruns", "", "/apis/podium.dev/v1alpha1/workflowruns"),
        ("workflowruns", "team", f"{OWN}/workflowruns"),
    ],
)
async def test_all_of_a_kind(server, gateway, told, resource, namespace, path):
    server.replies(page([{"n": 1}], "two"), page([{"n": 2}]), web.json_response({}))
    found = [each async for each in gateway.list_all(resource, namespace, "a,!b")]
    assert found == [([{"n": 1}], "7"), ([{"n": 2}], "7")]
    assert {each.path for each in server.asked} == {path}
    assert [each.query.get("continue") for each in server.asked] == [None, "two"]
    assert {each.query["limit"] for each in server.asked} == {"50"}
    assert {each.query["labelSelector"] for each in server.asked} == {"a,!b"}
    assert [each async for each in gateway.list_all(resource, namespace, "")] == [([], "")]
    assert {each[0] for each in told} == {f"GET {resource}"}


async def test_pages_of_large_objects_hold_few_of_them(server, gateway):
    """A page of 50 objects with 1.5 MB of labels each would hold the event loop for seconds."""
    large = [{"labels": "x" * (PAGE_BYTES // 3)}]
    server.replies(
        page(large * 4, "unread"),
        page(large * 2, "b"),
        page(large * 4, "unread"),
        page([{"labels": "x" * (2 * PAGE_BYTES)}], "c"),
        page([{"n": 3}]),
    )
    found = [each async for each, _ in gateway.list_all("pods", "", "")]
    assert [len(each) for each in found] == [2, 1, 1]
    asked = [(each.query["limit"], each.query.get("continue")) for each in server.asked]
    assert asked == [("50", None), ("6", None), ("12", "b"), ("1", "b"), ("2", "c")]


async def test_a_list_that_grew_too_old(server, gateway):
    server.replies(page([{"n": 1}], "two"), status(410, reason="Expired"))
    with pytest.raises(ApiError) as caught:
        [each async for each in gateway.list_all("pods", "", "")]
    assert caught.value.status == 410


# Watches


def stream(*chunks, close=False):
    async def answer(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if close:
            request.transport.close()
        return response

    return answer


async def watched(gateway):
    """Return the events that came, and the error that ended them."""
    found = []
    try:
        async for event in gateway.watch("pods", "team", "a,!b", "7"):
            found.append(event)
    except ApiError as error:
        return found, error
    return found, None


async def test_events_come_as_they_are_sent(server, gateway, fence):
    server.answer = stream(
        b'{"type": "ADDED"}\n{"type"', b': "MODIFIED"}', b'\n{"type": "DELETED"}\n'
    )
    found, error = await watched(gateway)
    assert [event["type"] for event in found] == ["ADDED", "MODIFIED", "DELETED"]
    assert error is None
    assert (server.last.path, fence.asked) == (f"{CORE}/pods", 0)
    assert server.last.query == {
        "watch": "true",
        "labelSelector": "a,!b",
        "resourceVersion": "7",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "290",
    }


async def test_half_an_event_is_none(server, gateway):
    server.answer = stream(b'{"type": "ADDED"}\n{"type": "MODI')
    found, error = await watched(gateway)
    assert ([event["type"] for event in found], error) == (["ADDED"], None)


async def test_lines_that_are_no_events_do_no_harm(server, gateway):
    server.answer = stream(b'\n[]\n<html>\n"ERROR"\n{"type": 7}\n{"type": "ADDED"}\n')
    found, error = await watched(gateway)
    assert error is None
    assert found[-1] == {"type": "ADDED"}
    assert all(isinstance(event, dict) for event in found)


@pytest.mark.parametrize(
    ("object_", "code"),
    [({"code": 410, "message": "too old"}, 410), ({}, 500), (None, 500), ({"code": "410"}, 500)],
)
async def test_an_error_ends_a_watch(server, gateway, object_, code):
    event = json.dumps({"type": "ERROR", "object": object_}).encode()
    server.answer = stream(b'{"type": "ADDED"}\n' + event + b'\n{"type": "ADDED"}\n')
    found, error = await watched(gateway)
    assert (len(found), error.status) == (1, code)


async def test_a_watch_that_is_refused(server, gateway):
    server.replies(
        status(410, reason="Expired"),
        status(429, headers={"Retry-After": "3"}),
        web.Response(status=502, text="<html>"),
    )
    errors = [(await watched(gateway))[1] for _ in range(3)]
    assert [error.status for error in errors] == [410, 429, 502]
    assert [error.retry_after for error in errors] == [None, 3.0, None]


async def test_a_watch_that_breaks_off(server, gateway):
    server.answer = stream(b'{"type": "ADDED"}\n', close=True)
    found, error = await watched(gateway)
    assert (len(found), error.status) == (1, 0)
    await server.stop()
    assert (await watched(gateway))[1].status == 0


async def test_a_watch_that_is_silent_for_too_long(server, gateway, monkeypatch):
    monkeypatch.setattr(transport_module, "SILENCE_SECONDS", 0.01)
    server.gate.clear()
    assert (await watched(gateway))[1].status == 0


async def test_watches_take_no_slots(server, gateway):
    server.gate.clear()
    watches = [asyncio.create_task(watched(gateway)) for _ in range(CONNECTIONS)]
    await server.until(CONNECTIONS)
    change = asyncio.create_task(gateway.create_pod(thing("Pod")))
    await server.until(CONNECTIONS + 1)
    assert server.last.method == "POST"
    server.gate.set()
    await asyncio.gather(change, *watches)


async def test_an_answer_that_is_too_deep_to_be_read(server, gateway):
    """The API server takes objects of 10,000 levels."""
    text = "[" * 9_998 + "]" * 9_998
    server.replies(web.Response(text=f'{{"spec": {text}}}', content_type="application/json"))
    with pytest.raises(UnreadableError, match="GET workflowruns: 200 Unreadable"):
        await gateway.get_run("team", "x")


async def test_objects_of_users_are_read_only_when_they_are_small_enough(server, gateway):
    asked = []

    async def refusal(data, namespace):
        asked.append((data, namespace))
        return "spec: has 433,000 values: make it smaller"

    gateway.refusal = refusal
    for call in (
        gateway.get_run("team", "x"),
        gateway.patch_run_status("team", "x", []),
        gateway.get_workflow("team", "x"),
        gateway.patch_workflow_status("team", "x", {}),
    ):
        with pytest.raises(UnreadableError) as refused:
            await call
        assert refused.value.problem == "spec: has 433,000 values: make it smaller"
    assert asked == [(b'{"kind": "Thing"}', "team")] * 4
    assert (await gateway.get_pod("team", "x"))["kind"] == "Thing"
    await gateway.list_run_nodes("team", "a=b")
    assert len(asked) == 4
    assert server.last.query["limit"] == "2"


async def test_a_cluster_executor_has_no_namespace_and_none_is_read_that_is_too_large(
    server, gateway, told
):
    await gateway.get_executor("", "../x")
    await gateway.list_executors("", 20)
    assert [each.path for each in server.asked] == [
        "/apis/podium.dev/v1alpha1/clusterexecutors/..%2Fx",
        "/apis/podium.dev/v1alpha1/clusterexecutors",
    ]
    assert {name for name, _ in told} == {"GET clusterexecutors"}, "no metric for each name"
    server.answer = lambda _: web.json_response({"spec": "x" * 300_000})
    with pytest.raises(UnreadableError) as error:
        await gateway.get_executor("team", "x")
    assert "262,144 bytes" in error.value.problem


async def test_runs_are_named_with_those_whose_artifacts_they_have(server, gateway):
    """Of all runs and pages: a run without copies, one with two, and a server of an older CRD."""

    def row(uid, *cells):
        return {"cells": ["x", *cells], "object": {"metadata": {"namespace": "team", "uid": uid}}}

    columns = [{"name": "Name"}, {"name": "Artifacts-Of"}]
    pages = [
        {"metadata": {"continue": "2"}, "columnDefinitions": columns, "rows": [row("1", None)]},
        {"rows": [row("2", "8,9")]},
    ]
    asked = []

    def answer(request):
        asked.append(dict(request.query))
        return web.json_response(pages[len(asked) - 1])

    server.answer = answer
    found = [each async for each in gateway.run_uids("team", only_active=True)]
    assert found == [("team", uid) for uid in "1289"]
    ended = "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Cancelled"
    assert [each["fieldSelector"] for each in asked] == [ended] * 2
    server.answer = lambda _: web.json_response(
        {"columnDefinitions": columns[:1], "rows": [row("3")]}
    )
    assert [each async for each in gateway.run_uids("")] == [("team", "3")]
