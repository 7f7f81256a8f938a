"""Objects of a few KB, or of one megabyte, that would hold the operator up for seconds to hours.

None of these tests measures: what may take long was asked of a worker, or was refused unread.
"""

import asyncio
import copy
import json
import re
from contextlib import asynccontextmanager

import orjson
import pytest

from podium.cluster.kube.errors import ApiError, UnreadableError
from podium.cluster.metrics import Metrics
from podium.cluster.operator import Operator
from podium.cluster.runs import requests, status_writer
from podium.cluster.settings import Settings
from podium.cluster.workqueue import Priority
from podium.engine import Engine
from podium.judge import reader as reader_module
from podium.judge import slices
from tests.unit.cluster.runs.requests_test import patched
from tests.unit.judge.reader_test import ANY_OF, NODE, deep, run, wide, workflow
from tests.unit.judge.verdicts_test import EMPTY, HIDDEN, LONG, doubling


class Server:
    """Has one WorkflowRun or one Workflow, and takes statuses in."""

    def __init__(self, body):
        self.body, self.version, self.written = body, 10, asyncio.Event()
        self.shards, self.events = {}, []
        self.is_too_deep, self.reads, self.writes = False, 0, 0
        self.problem = ""
        body["metadata"] |= {"resourceVersion": "10", "annotations": {}}

    def is_readable(self):
        self.reads += 1
        if self.is_too_deep:
            raise UnreadableError("Recursion limit reached", problem=self.problem)

    async def get_run(self, namespace, name):
        self.is_readable()
        return copy.deepcopy(self.body)

    async def get_run_columns(self, namespace, name):
        status = self.body.get("status") or {}
        names = ("phase", "progress", "reason")
        return {name.title(): status.get(name) for name in names}

    async def get_workflow(self, namespace, name):
        self.is_readable()
        return copy.deepcopy(self.body)

    async def patch_run(self, namespace, name, operations):
        return self.change(operations)

    async def patch_run_status(self, namespace, name, operations):
        return self.change(operations), 100

    async def patch_workflow_status(self, namespace, name, status):
        self.body["status"] = json.loads(orjson.dumps(status))
        self.writes += 1
        self.written.set()
        self.is_readable()

    async def create_run_nodes(self, shard):
        made = json.loads(orjson.dumps(shard))
        name = made["metadata"]["name"]
        made["metadata"] |= {"uid": name, "resourceVersion": "1"}
        self.shards[name] = made
        return copy.deepcopy(made), 100

    async def list_run_nodes(self, namespace, selector):
        return copy.deepcopy(list(self.shards.values()))

    async def delete_run_nodes(self, namespace, name, uid):
        self.shards.pop(name, None)

    async def create_event(self, namespace, event, *, patient=False):
        self.events.append(event["message"])
        self.written.set()

    def annotate(self, **notes):
        """Let a user set annotations; return the object as the watch tells it."""
        self.version += 1
        meta = self.body["metadata"]
        meta["resourceVersion"] = str(self.version)
        meta["annotations"] |= {f"podium.dev/{name}": text for name, text in notes.items()}
        return copy.deepcopy(self.body)

    def change(self, operations):
        _, *rest = json.loads(orjson.dumps(operations))
        self.version += 1
        self.body = patched(self.body, rest)
        self.body["metadata"]["resourceVersion"] = str(self.version)
        self.writes += 1
        self.written.set()
        self.is_readable()
        return copy.deepcopy(self.body)

    @property
    def phase(self):
        return self.body.get("status", {}).get("phase")

    def condition(self, kind):
        found = self.body.get("status", {}).get("conditions", ())
        return next((each for each in found if each["type"] == kind), {})


class Idle:
    async def run(self):
        await asyncio.Event().wait()


@asynccontextmanager
async def operated(body):
    server = Server(copy.deepcopy(body))
    operator = Operator(server, Settings(installation="t"), Metrics())
    operator._begun.set()
    tasks = operator.tasks(Idle())
    is_run = body["kind"] == "WorkflowRun"
    take = operator.ingest.run_event if is_run else operator.ingest.workflow_event
    take("ADDED", copy.deepcopy(server.body))
    try:
        yield server, operator
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(server, true):
    async with asyncio.timeout(100):
        while not true():
            server.written.clear()
            await server.written.wait()


@pytest.fixture
def short_budget(monkeypatch):
    monkeypatch.setattr(reader_module, "READ_SECONDS", 0.2)


def told(server):
    """Return what the watch tells of the object."""
    meta = copy.deepcopy(server.body["metadata"])
    return {"kind": "PartialObjectMetadata", "metadata": meta}


@pytest.mark.parametrize("body", [run(), workflow()], ids=["run", "workflow"])
@pytest.mark.parametrize("problem", ["", "spec: has 433,010 values"])
async def test_what_is_not_to_be_read_is_refused_once(body, problem):
    """10,000 levels: the API server takes them, and no reader of JSON here does."""
    server = Server(copy.deepcopy(body))
    server.problem = problem
    server.is_too_deep = True
    operator = Operator(server, Settings(installation="t"), Metrics())
    operator._begun.set()
    tasks = operator.tasks(Idle())
    is_run = body["kind"] == "WorkflowRun"
    take = operator.ingest.run_metadata_event if is_run else operator.ingest.workflow_event
    take("ADDED", told(server))
    await until(server, lambda: server.condition("Valid"))
    said = server.condition("Valid")
    assert (said["status"], said["reason"]) == ("False", "TooExpensive")
    assert (problem or "nested deeper than can be read") in said["message"]
    assert not is_run or server.phase == "Failed"
    await asyncio.sleep(0.1)
    reads = server.reads
    take("MODIFIED", told(server))
    while server.reads == reads and is_run:  # noqa: ASYNC110 - the operator is as it is
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert server.writes == 1
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


COSTLY_RUNS = {
    "a bad pattern inside anyOf": run(
        {"workflowSpec": {"nodes": [NODE], "inputs": HIDDEN}, "context": LONG}
    ),
    "nested anyOf": run({"workflowSpec": {"nodes": [NODE], "inputs": {"anyOf": [ANY_OF] * 3}}}),
    "many nodes": run({"workflowSpec": {"nodes": wide(5000, condition="context.a.b == 1")}}),
}


@pytest.mark.parametrize("name", COSTLY_RUNS)
async def test_a_run_that_is_too_expensive_fails_once_and_says_why(name, short_budget):
    async with operated(COSTLY_RUNS[name]) as (server, operator):
        await until(server, lambda: server.phase == "Failed")
        assert operator.judge.over_budget == 1
        said = server.condition("Valid")
        assert (said["status"], said["reason"]) == ("False", "TooExpensive")
        assert "takes more than 0.2 s" in said["message"]
        operator.ingest.run_event("MODIFIED", copy.deepcopy(server.body))
        await asyncio.sleep(0.3)
        assert operator.judge.over_budget == 1, "it is not tried again"


async def test_a_run_of_doubling_references_fails_once_whatever_is_used_up_first(short_budget):
    """A quick machine follows as many references as are allowed within the time."""
    async with operated(run({"workflowSpec": {"nodes": [NODE], "inputs": doubling(18)}})) as (
        server,
        operator,
    ):
        await until(server, lambda: server.phase == "Failed")
        said = server.condition("Valid")
        assert (said["status"], said["reason"]) in (
            ("False", "TooExpensive"),
            ("False", "InvalidContext"),
        )
        assert re.search("takes more than 0.2 s|follows too many references", said["message"])
        judged = operator.judge.answered + operator.judge.over_budget
        operator.ingest.run_event("MODIFIED", copy.deepcopy(server.body))
        await asyncio.sleep(0.3)
        assert operator.judge.answered + operator.judge.over_budget == judged


async def test_a_rerun_whose_context_is_too_expensive_is_refused_once(monkeypatch):
    nodes = [{**NODE, "condition": "1 == 2"}]
    body = run({"workflowSpec": {"nodes": nodes, "inputs": HIDDEN}})
    async with operated(body) as (server, operator):
        began = asyncio.create_task(operator.recorder.run())
        await until(server, lambda: server.phase == "Succeeded")
        monkeypatch.setattr(reader_module, "READ_SECONDS", 0.2)
        asked = server.annotate(rerun=json.dumps({"nodes": ["a"], "context": LONG}))
        operator.ingest.run_event("MODIFIED", asked)
        await until(server, lambda: any("to check the context" in e for e in server.events))
        (said,) = (each for each in server.events if "to check the context" in each)
        assert "takes more than 0.2 s: make the context smaller" in said
        await until(server, lambda: not server.body["metadata"]["annotations"])
        assert operator.judge.over_budget == 1
        assert server.body["status"].get("contextVersion", 0) == 0
        # Two at once: the second is checked with the context that the first one made.
        monkeypatch.setattr(reader_module, "READ_SECONDS", 100)
        rows = [
            {"id": str(number), "nodes": ["a"], "context": {f"k{number}": number}}
            for number in range(2)
        ]
        asked = server.annotate(accepted=json.dumps(rows))
        operator.ingest.run_event("MODIFIED", asked)
        await until(server, lambda: not server.body["metadata"]["annotations"])
        edits = server.body["status"]["contextEdits"]
        assert [each["context"] for each in edits] == [{"k0": 0}, {"k1": 1}]
        assert server.phase == "Succeeded"
        began.cancel()


async def test_a_workflow_that_is_too_expensive_is_checked_once(short_budget):
    body = workflow(inputs={"anyOf": [ANY_OF] * 3})
    async with operated(body) as (server, operator):
        await until(server, lambda: server.condition("Valid"))
        said = server.condition("Valid")
        assert (said["status"], said["reason"]) == ("False", "TooExpensive")
        assert "takes more than 0.2 s" in said["message"]
        # Also when its runs are counted, which has it reconciled.
        operator.workflow_changed(("team", "w"), Priority.NORMAL)
        while len(operator.queue):  # noqa: ASYNC110 - the operator is as it is
            await asyncio.sleep(0.05)
        assert operator.judge.over_budget == 1
        server.body["metadata"]["generation"] = 2
        server.body["spec"] = {"nodes": [NODE]}
        operator.ingest.workflow_event("MODIFIED", copy.deepcopy(server.body))
        await until(server, lambda: server.condition("Valid")["status"] == "True")


@pytest.mark.parametrize(
    ("context", "says"),
    [
        ({"b": [{}] * 433_000}, "433,0"),
        (deep(200), "nested deeper than 100 levels"),
        (deep(300), "nested too deep"),
    ],
    ids=["empty objects", "deep", "deeper than JSON"],
)
async def test_a_context_that_cannot_be_kept_fails_its_run(context, says):
    body = run({"workflowSpec": {"nodes": [NODE]}, "context": context})
    async with operated(body) as (server, _):
        await until(server, lambda: server.phase == "Failed")
        assert says in server.condition("Valid")["message"]


async def test_conditions_full_of_texts_of_a_large_value_fail_their_nodes():
    condition = f"[{','.join(['str(context.b)'] * 64)}] == 0"
    body = run({"workflowSpec": {"nodes": wide(6, condition=condition)}, "context": {"b": EMPTY}})
    async with operated(body) as (server, operator):
        await until(server, lambda: server.phase == "Failed")
        assert server.body["status"]["nodes"]["n0"]["reason"] == "ConditionError"
        assert operator.judge.answered > 1


async def test_a_run_of_five_thousand_nodes_is_compiled_in_slices():
    body = run({"workflowSpec": {"nodes": wide(5000, condition="1 == 2")}})
    async with operated(body) as (server, operator):
        await until(server, lambda: server.phase == "Succeeded")
        assert operator.judge.answered >= 1


@pytest.mark.parametrize("count", [requests.MAX_PENDING + 1, 9000])
def test_more_accepted_requests_than_podium_writes_are_not_read(count):
    rows = [{"id": str(number), "nodes": ["a"]} for number in range(count)]
    assert requests.load_accepted({requests.ACCEPTED: json.dumps(rows)}) is None
    few = {requests.ACCEPTED: json.dumps(rows[: requests.MAX_PENDING])}
    assert len(requests.load_accepted(few)) == requests.MAX_PENDING


def test_an_accepted_request_that_is_larger_than_podium_writes_is_not_read():
    rows = [{"id": "1", "nodes": ["a"], "context": {"x": "y" * requests.MAX_PENDING_BYTES}}]
    assert requests.load_accepted({requests.ACCEPTED: json.dumps(rows)}) is None


async def test_no_step_is_made_while_a_status_is_made_of_the_last_one(monkeypatch):
    """Else it would count more than its nodes show, and would be believed after a crash."""
    monkeypatch.setattr(slices, "SLICE_SECONDS", 0)  # each piece is a slice of its own
    is_making, pieces, wrong = False, 0, []

    def made_of(*arguments, **more):
        nonlocal is_making, pieces
        is_making = True
        work = make(*arguments, **more)
        try:
            while True:
                next(work)
                pieces += 1
                yield
        except StopIteration as done:
            return done.value
        finally:
            is_making = False

    def step(self, *arguments, **more):
        if is_making:
            wrong.append(self)  # an error would have the run taken up again
        return step_of(self, *arguments, **more)

    make, step_of = status_writer._made_of, Engine.step
    monkeypatch.setattr(status_writer, "_made_of", made_of)
    monkeypatch.setattr(Engine, "step", step)
    body = run({"workflowSpec": {"nodes": wide(700, condition="1 == 2")}})
    async with operated(body) as (server, operator):

        async def wake():
            while True:
                operator.run_changed(("team", "r"), Priority.USER)
                await asyncio.sleep(0)

        waking = asyncio.create_task(wake())
        await until(server, lambda: server.phase == "Succeeded")
        waking.cancel()
    assert pieces > 2 * 700
    assert not wrong


VALID = {"type": "Valid", "status": "True", "lastTransitionTime": "2026-11-28T10:00:00Z"}


def begun(phase="Running"):
    """Return a run that has begun, with its Workflow inside it."""
    nodes = {"a": {"status": "Pending", "executionCount": 7}}
    status = {"phase": phase, "progress": "0/1", "conditions": [VALID], "nodes": nodes}
    body = run({"workflowSpec": {"nodes": [NODE]}, "suspend": True})
    return {**body, "status": status}


@asynccontextmanager
async def new_operator(server):
    operator = Operator(server, Settings(installation="t"), Metrics())
    operator._begun.set()
    tasks = [*operator.tasks(Idle()), asyncio.create_task(operator.recorder.run())]
    try:
        yield operator
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("phase", ["Pending", "Running", "Paused"])
async def test_what_has_begun_and_cannot_be_read_says_so_once_and_keeps_what_it_did(phase):
    """A tenant may make a run unreadable by what may change of it: its metadata."""
    server = Server(begun(phase))
    before = copy.deepcopy(server.body["status"])
    server.is_too_deep, server.problem = True, "metadata: has 160,010 values"
    for _ in range(2):  # the second one finds it said
        async with new_operator(server) as operator:
            operator.ingest.run_metadata_event("ADDED", told(server))
            await until(server, lambda: server.events)
            assert "metadata: has 160,010 values" in server.events.pop()
            operator.ingest.run_metadata_event("MODIFIED", told(server))
            await asyncio.sleep(0.2)
        assert server.writes == 1
        said = server.condition("Readable")
        assert (said["status"], said["reason"]) == ("False", "Unreadable")
        assert said["message"].startswith("metadata: has 160,010 values: nothing of the run goes")
        assert server.body["status"] == {
            **before, "reason": "Unreadable", "conditions": [VALID, said]
        }  # fmt: skip
    server.is_too_deep = False
    async with new_operator(server) as operator:
        server.version += 1
        server.body["metadata"]["resourceVersion"] = str(server.version)
        operator.ingest.run_metadata_event("MODIFIED", told(server))
        await until(server, lambda: not server.condition("Readable"))
    assert server.body["status"].get("reason") != "Unreadable"
    assert server.body["status"]["nodes"]["a"]["executionCount"] == 7


@pytest.mark.parametrize("is_loaded", [True, False])
async def test_what_has_begun_and_is_not_valid_any_more_says_so_once_and_is_kept(is_loaded):
    """Such as one that another version of Podium began; it is no failure of its nodes."""
    body = begun()
    server = Server(copy.deepcopy(body))
    server.body["spec"]["maxParallel"] = "many"
    before = copy.deepcopy(server.body["status"])
    async with new_operator(server) as operator:
        if is_loaded:
            operator.cache.put_run(copy.deepcopy(server.body))
            operator.run_changed(("team", "r"), Priority.NORMAL)
        else:
            operator.ingest.run_metadata_event("ADDED", told(server))
        await until(server, lambda: server.condition("Readable"))
        said = server.condition("Readable")
        assert "spec.maxParallel" in said["message"]
        operator.ingest.run_metadata_event("MODIFIED", told(server))
        await asyncio.sleep(0.2)
        assert server.writes == 1
        assert server.body["status"] == {
            **before, "reason": "Unreadable", "conditions": [VALID, said]
        }  # fmt: skip
        del server.body["spec"]["maxParallel"]
        server.annotate(touched="yes")
        operator.ingest.run_metadata_event("MODIFIED", told(server))
        await until(server, lambda: not server.condition("Readable"))
    assert server.body["status"].get("reason") != "Unreadable"


async def test_a_run_that_is_worked_on_loses_the_condition_when_it_can_be_read_again():
    server = Server(begun())
    async with new_operator(server) as operator:
        operator.ingest.run_metadata_event("ADDED", told(server))
        while not operator.runs.active():  # noqa: ASYNC110 - the operator is as it is
            await asyncio.sleep(0.01)
        server.is_too_deep, server.problem = True, "metadata: has 160,010 values"
        server.annotate(touched="yes")
        operator.ingest.run_metadata_event("MODIFIED", told(server))
        await until(server, lambda: server.condition("Readable"))
        server.is_too_deep = False
        server.annotate(touched="again")
        operator.ingest.run_metadata_event("MODIFIED", told(server))
        await until(server, lambda: not server.condition("Readable"))
    assert server.body["status"]["nodes"]["a"]["executionCount"] == 7


async def test_who_writes_a_status_meanwhile_loses_nothing_by_what_is_said():
    server = Server(begun())
    server.is_too_deep, server.problem = True, "metadata: has 160,010 values"
    was_told = told(server)

    async def patch(namespace, name, operations, change=server.patch_run_status):
        if operations[0]["value"] != server.body["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "it was modified")
        return await change(namespace, name, operations)

    server.patch_run_status = patch
    server.annotate(touched="yes")
    server.body["status"]["progress"] = "1/1"
    async with new_operator(server) as operator:
        operator.ingest.run_metadata_event("ADDED", was_told)
        await asyncio.sleep(0.3)
        assert not server.condition("Readable")
        operator.ingest.run_metadata_event("MODIFIED", told(server))
        await until(server, lambda: server.condition("Readable"))
    assert server.body["status"]["progress"] == "1/1"


@pytest.mark.parametrize("has_begun", [False, True])
async def test_a_run_that_becomes_unreadable_while_it_is_taken_up_is_left_alone(has_begun):
    """One that has begun keeps its phase; one that has not fails. Neither is tried again."""
    body = begun() if has_begun else run({"workflowSpec": {"nodes": [NODE]}})
    server = Server(copy.deepcopy(body))
    operator = Operator(server, Settings(installation="t"), Metrics())
    operator._begun.set()
    operator.cache.put_run(copy.deepcopy(server.body))  # as it was a moment ago
    server.is_too_deep, server.problem = True, "spec: has 433,010 values"
    tasks = [*operator.tasks(Idle()), asyncio.create_task(operator.recorder.run())]
    operator.run_changed(("team", "r"), Priority.NORMAL)
    await until(server, lambda: server.events if has_begun else server.phase == "Failed")
    said = server.events[0] if has_begun else server.condition("Valid")["message"]
    assert "spec: has 433,010 values" in said
    assert server.phase == ("Running" if has_begun else "Failed")
    assert has_begun or server.condition("Valid")["reason"] == "TooExpensive"
    reads = server.reads
    await asyncio.sleep(1)
    assert server.reads <= reads + 1
    assert not len(operator.queue)
    assert not operator.queue._due
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
