"""Runs are watched by their metadata: what else there is of one is read when it is worked on."""

import asyncio
import copy
import tracemalloc

import pytest

from podium.cluster.kube.errors import ApiError
from podium.cluster.metrics import Metrics
from podium.cluster.operator import Operator
from podium.cluster.settings import Settings
from podium.cluster.watch.store import InformerCache
from podium.cluster.worker import ObjectKey
from tests.unit.cluster import support

KEY = ("team", "release-x7")


def metadata(**changes):
    """Return a run as the watch tells of it."""
    body = support.run(**changes)
    meta = body["metadata"]
    meta["annotations"] = changes.get("metadata", {}).get("annotations", {})
    return {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": meta}


def newer(version="101", **changes):
    return metadata(metadata={"resourceVersion": version, **changes})


class Server:
    def __init__(self, body):
        self.body, self.reads, self.deleted = body, 0, 0

    async def get_run(self, namespace, name):
        self.reads += 1
        if self.body is None:
            raise ApiError(404, "NotFound", "none")
        return copy.deepcopy(self.body)

    async def patch_run(self, namespace, name, operations):
        return copy.deepcopy(self.body)

    async def delete_run(self, namespace, name, uid, version):
        self.deleted += 1


def operator(body=None):
    server = Server(body)
    return Operator(server, Settings(), Metrics()), server


def ended(**changes):
    """Return a run that has ended and is to be deleted a minute later, long ago."""
    body = support.run(**changes)
    body["metadata"]["annotations"] = {}
    return body


async def test_a_run_is_read_when_it_is_worked_on():
    here, server = operator(ended())
    here.ingest.run_metadata_event("ADDED", metadata(metadata={"annotations": {}}))
    view = here.cache.runs[KEY]
    assert (view.generation, view.phase, view.is_known) == (2, "", False)
    await here.runs.reconcile(ObjectKey("WorkflowRun", *KEY))
    view = here.cache.runs[KEY]
    assert (view.phase, view.workflow, view.is_whole) == ("Succeeded", "release", True)
    assert (server.reads, server.deleted) == (1, 1)


async def test_our_own_change_is_not_read_again():
    here, server = operator(ended())
    here.cache.put_run(ended())
    here.ingest.run_metadata_event("MODIFIED", metadata(metadata={"annotations": {}}))
    await here.runs.reconcile(ObjectKey("WorkflowRun", *KEY))
    assert server.reads == 0
    assert len(here.queue) == 1


async def test_what_changed_is_read_again():
    here, server = operator(ended(metadata={"resourceVersion": "101"}))
    here.cache.put_run(ended())
    here.ingest.run_metadata_event("MODIFIED", newer(annotations={}))
    assert here.cache.runs[KEY].phase == "Succeeded", "what was known stays until then"
    await here.runs.reconcile(ObjectKey("WorkflowRun", *KEY))
    assert (server.reads, here.cache.runs[KEY].is_whole) == (1, True)


async def test_a_run_that_is_gone_when_it_is_read():
    here, server = operator(None)
    here.ingest.run_metadata_event("ADDED", metadata())
    await here.runs.reconcile(ObjectKey("WorkflowRun", *KEY))
    assert (server.reads, len(here.runs._runs)) == (1, 0)


async def test_a_request_comes_before_all_else_although_nothing_else_is_known():
    here, _ = operator()
    for number in range(50):
        here.queue.add(ObjectKey("WorkflowRun", "team", f"other-{number}"))
    here.cache.put_run(ended())
    asked = newer(annotations={"podium.dev/rerun": "build"})
    here.ingest.run_metadata_event("MODIFIED", asked)
    assert (await here.queue.get()).name == "release-x7"


async def test_what_happens_while_a_status_is_written_waits_for_the_answer():
    """It may be that very write, whose answer is the run as it is."""
    here, server = operator(ended(metadata={"resourceVersion": "101"}))
    here.cache.put_run(ended())
    run = type("Run", (), {"writing": asyncio.Lock()})()
    async with run.writing:
        here.ingest.run_metadata_event("MODIFIED", newer(annotations={}))
        reading = asyncio.create_task(here.runs._reader.read(KEY, run))
        await asyncio.sleep(0)
        here.cache.put_run(ended(metadata={"resourceVersion": "101"}))
    view, body = await reading
    assert (view.version, body) == ("101", None)
    assert server.reads == 0


@pytest.mark.parametrize("kind", ["DELETED", "LOST"])
async def test_a_run_that_went_is_forgotten(kind):
    here, _ = operator()
    here.ingest.run_metadata_event("ADDED", metadata())
    body = metadata()
    lost = {"metadata": {"uid": body["metadata"]["uid"]}}
    here.ingest.run_metadata_event(kind, lost if kind == "LOST" else body)
    assert (here.cache.runs, here.cache.keys) == ({}, {})
    here.ingest.run_metadata_event("MODIFIED", newer())
    assert here.cache.runs == {}, "it stays gone"


def test_an_older_copy_is_passed_over():
    cache = InformerCache()
    cache.put_run(support.run(metadata={"resourceVersion": "103"}))
    assert cache.note_run(newer("102")) is None
    assert cache.runs[KEY].version == "103"


def test_a_run_that_was_made_again_is_another_one():
    cache = InformerCache()
    cache.put_run(support.run())
    view = cache.note_run(newer("105", uid="another"))
    assert (view.uid, view.phase, view.is_known) == ("another", "", False)
    assert set(cache.keys) == {"another"}


def test_a_workflow_hears_of_its_runs_once_they_are_read():
    cache, heard = InformerCache(), []
    cache.on_count = lambda *what: heard.append(what)
    cache.note_run(metadata())
    assert heard == []
    cache.put_run(support.run(status={"phase": "Running"}))
    cache.put_run(support.run(metadata={"resourceVersion": "102"}))
    assert heard == [("team", "release")] * 2


def test_nothing_is_kept_of_what_a_run_holds():
    """Twenty ended runs of a megabyte each, read whole and heard of again."""
    cache = InformerCache()
    tracemalloc.start()
    try:
        for number in range(20):
            meta = {"name": f"run-{number}", "uid": f"uid-{number}"}
            body = support.run(metadata=meta)
            note = {"other.io/x": "z" * 100_000}
            body["metadata"]["annotations"] = {**note, "podium.dev/rerun": "build"}
            body["spec"]["context"] = {"b": f"{number}" * 500_000}
            body["status"]["nodes"]["build"]["output"] = {"b": f"{number}" * 500_000}
            cache.put_run(body)
            meta = {**body["metadata"], "resourceVersion": "101"}
            cache.note_run({"kind": "PartialObjectMetadata", "metadata": meta})
            del body, meta, note
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(cache.runs) == 20
    assert kept < 200_000
