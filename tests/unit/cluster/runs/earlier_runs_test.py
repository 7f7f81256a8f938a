"""Runs that others copy from: read as they are, or refused in words (semantics.md 3)."""

import copy

import pytest

from podium.api.artifact_stores import ArtifactLocation
from podium.api.run import NodeStatus
from podium.cluster.kube.errors import ApiError, UnreadableError
from podium.cluster.runs.earlier_runs import EarlierRunError, EarlierRuns
from podium.cluster.runs.run_spec import spec_hash
from podium.cluster.settings import Settings
from podium.engine import Plan, dump_status
from podium.judge.pool import Pool
from podium.judge.reader import Reader
from tests.unit.cluster.runs.pinning import PinningServer, definitions_of
from tests.unit.engine.support import Run, node

SPEC = {"nodes": [{"id": "a", "executor": "script", "config": {"script": "true"}}]}


class Server(PinningServer):
    """Has the Workflow `release` and the run `first` of it, which has ended."""

    def __init__(self):
        super().__init__(SPEC)
        self.asked = []
        run = Run(node("a")).step().ok("a-1", {"n": 1})
        self.body = {
            "apiVersion": "podium.dev/v1alpha1",
            "kind": "WorkflowRun",
            "metadata": {"name": "first", "namespace": "team", "uid": "uid-first"},
            "spec": {"workflowRef": {"name": "release"}, "context": {"k": 1}},
            "status": dump_status(run.engine.status),
        }

    async def get_run(self, namespace, name):
        self.asked.append((namespace, name))
        if name != "first":
            raise ApiError(404, "NotFound", "none")
        return copy.deepcopy(self.body)

    async def get_revision(self, namespace, name):
        if name not in self.revisions:
            raise ApiError(404, "NotFound", "none")
        return await super().get_revision(namespace, name)

    async def list_run_nodes(self, namespace, selector):
        return []


@pytest.fixture
async def server():
    server = Server()
    plan = await definitions_of(server).latest("team", "release")
    server.body["status"]["workflowRevision"] = plan.revision
    server.plan = plan
    return server


async def read(server, name="first", **settings):
    reader = Reader(Pool())
    runs = EarlierRuns(server, definitions_of(server), reader, Settings(**settings))
    return await runs.read("team", name, server.plan)


async def test_a_run_is_read_with_its_definition_and_context(server):
    earlier = await read(server)
    assert (earlier.name, earlier.uid, earlier.initial_context) == ("first", "uid-first", {"k": 1})
    assert isinstance(earlier.plan, Plan)
    assert earlier.plan.revision == server.plan.revision
    assert earlier.status.nodes["a"].status is NodeStatus.COMPLETED
    assert (earlier.has_artifacts, earlier.are_recorded) == (True, True)
    assert server.asked == [("team", "first")], "of the run's own namespace, once"


async def test_a_run_with_a_graph_of_its_own_is_read_by_that(server):
    server.body["spec"] = {"workflowSpec": SPEC}
    del server.body["status"]["workflowRevision"]
    assert list((await read(server)).plan.nodes) == ["a"]


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda body: body.pop("status"), "has not begun"),
        (lambda body: body["status"].pop("startedAt"), "has not begun"),
        (lambda body: body["status"].update(nodes={}), "has not begun"),
        (lambda body: body["status"].update(specHash="other"), "is not what the run began with"),
        (lambda body: body["status"].update(nodes={"a": {"status": "Odd"}}), "is damaged"),
        (lambda body: body["status"].update(nodes={"a": 7}), "is damaged"),
        (lambda body: body["status"]["nodes"]["a"].update(items={"count": 10**12}), "is damaged"),
        (lambda body: body["status"]["nodes"]["a"].update(items={"completed": "0"}), "is damaged"),
        (lambda body: body["status"].update(phase="Odd"), "is damaged"),
        (lambda body: body["status"].update(shards=[{"name": "s", "nodes": 1}]), "s of the run"),
        (lambda body: body["status"].update(workflowRevision="gone"), "gone with the definition"),
        (lambda body: body["status"].pop("workflowRevision"), "does not say which definition"),
        (lambda body: body.update(spec={"workflowSpec": {"nodes": 1}}), "cannot be read"),
    ],
)
async def test_what_cannot_be_read_is_said(server, break_it, message):
    break_it(server.body)
    with pytest.raises(EarlierRunError, match=message):
        await read(server)


async def test_a_run_that_is_not_there_or_too_large_is_said(server):
    with pytest.raises(EarlierRunError, match="there is no run named 'second'"):
        await read(server, "second")

    async def refuses(namespace, name):
        raise UnreadableError("too deep")

    server.get_run = refuses
    with pytest.raises(EarlierRunError, match="the run first cannot be read"):
        await read(server)


async def test_the_server_is_asked_again_when_it_does_not_answer(server):
    async def fails(namespace, name):
        raise ApiError(500, "InternalError", "no")

    server.get_run = fails
    with pytest.raises(ApiError):
        await read(server)


async def test_a_spec_as_it_was_is_accepted(server):
    server.body["status"]["specHash"] = spec_hash(server.body)
    assert (await read(server)).uid == "uid-first"


@pytest.mark.parametrize(("bucket", "is_there"), [("artifacts", True), ("others", False)])
async def test_artifacts_are_copied_from_the_same_store_alone(server, bucket, is_there):
    s3 = {"bucket": bucket, "endpoint": "http://s3", "credentialsSecret": "keys"}
    location = ArtifactLocation(s3=s3, image="podium")
    server.body["status"]["artifactStore"] = location.model_dump(
        mode="json", by_alias=True, exclude_defaults=True
    )
    earlier = await read(server, artifacts={"s3": {**s3, "bucket": "artifacts"}})
    assert earlier.has_artifacts is is_there
