"""The event source: what kopf is told."""

import itertools

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from podium.cluster.kube.transport import PAGE_BYTES
from podium.cluster.watch import kopf_source as handlers
from podium.cluster.watch.store import InformerCache
from tests.unit.cluster import support


def test_no_outage_is_so_long_that_kopf_gives_up():
    pauses = handlers._settings().networking.error_backoffs
    for _ in range(2):  # of each request again
        first = list(itertools.islice(pauses, 100))
        assert len(first) == 100
        assert (first[0], max(first)) == (1, 20)


# Workflows by their metadata


@pytest.fixture
async def asked():
    """An API server of sorts; what it was asked, and a session that asks as kopf does."""
    seen, items = [], []

    async def answer(request):
        query = dict(request.query)
        seen.append((request.path, query, request.headers.get("Accept")))
        if query.get("continue") == "old":
            return web.json_response({"kind": "Status"}, status=410)
        if query.get("limit") == "403" and len(seen) < 3:
            return web.json_response({"kind": "Status"}, status=403)
        if query.get("large") and int(query["limit"]) > 1:
            return web.json_response({"items": ["x" * PAGE_BYTES] * int(query["limit"])})
        return web.Response(text='{"items":null}', content_type="application/json")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        only_metadata = handlers._OnlyMetadata()
        async with aiohttp.ClientSession(middlewares=(only_metadata,)) as session:
            only_metadata.session = session

            async def get(path, **query):
                async with session.get(server.make_url(path), params=query) as response:
                    items.append((await response.json()).get("items"))
                    return response.status

            get.items = items
            yield seen, get


LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
ITEM = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
PATH = "/apis/podium.dev/v1alpha1/workflows"


async def test_lists_and_watches_of_workflows_hold_metadata_alone(asked):
    seen, get = asked
    await get(PATH, limit="50")
    await get("/apis/podium.dev/v1alpha1/namespaces/team/workflows", watch="true")
    await get("/apis/podium.dev/v1alpha1")
    assert [accept for _, _, accept in seen] == [LIST, ITEM, "*/*"]


async def test_a_list_whose_next_page_expired_begins_again(asked):
    seen, get = asked
    assert await get(PATH, **{"limit": "50", "continue": "old"}) == 200
    assert seen[-1] == (PATH, {"limit": "50"}, LIST)
    assert len(seen) == 2


async def test_what_is_forbidden_for_a_while_is_asked_again(asked, monkeypatch):
    seen, get = asked
    monkeypatch.setattr(handlers._ForEver, "__iter__", lambda _: itertools.repeat(0))
    assert await get(PATH, limit="403") == 200
    assert [accept for _, _, accept in seen] == [LIST] * 3


async def test_an_empty_list_is_a_list(asked):
    """The server writes null."""
    _, get = asked
    await get(PATH, limit="50")
    await get(PATH, **{"limit": "50", "continue": "old"})
    assert get.items == [[], []]


async def test_of_large_objects_few_come_at_a_time(asked):
    seen, get = asked
    assert await get(PATH, limit="50", large="yes", **{"continue": "two"}) == 200
    assert get.items == [[]]
    assert [query["limit"] for _, query, _ in seen] == ["50", "6", "1"]
    assert {query["continue"] for _, query, _ in seen} == {"two"}


def test_pages_are_small():
    assert handlers._settings().watching.chunk_size == 50


async def test_what_was_read_of_a_workflow_stays_when_its_metadata_changes():
    cache = InformerCache()
    told = {"kind": "PartialObjectMetadata", "metadata": support.workflow()["metadata"]}
    assert cache.put_workflow(told).is_known is False
    assert cache.unknown_workflows("team") == ["release"]
    cache.put_workflow(support.workflow())
    assert cache.find_workflow("team", "release_workflow") == "release"
    cache.put_workflow({**told, "metadata": {**told["metadata"], "generation": 4}})
    assert cache.find_workflow("team", "release_workflow") == "release"
    view = cache.workflows["team", "release"]
    assert (view.generation, view.observed_generation) == (4, 2)
    cache.put_workflow({**told, "metadata": {**told["metadata"], "uid": "another"}})
    assert cache.find_workflow("team", "release_workflow") is None
