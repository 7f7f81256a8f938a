"""Executors of a cluster: which one a name means, and that a run keeps it."""

import copy
from types import SimpleNamespace

import pytest

from podium.api.problems import InvalidError
from podium.cluster.kube.errors import ApiError
from podium.cluster.runs.executor_resolver import ExecutorResolver
from podium.cluster.runs.revisions import Definitions
from podium.cluster.watch.store import InformerCache
from podium.cluster.worker import ObjectKey
from podium.cluster.workflow_controller import WorkflowController
from podium.judge.pool import Pool
from podium.judge.reader import Reader
from tests.unit.judge.pool_test import running


def executor(image, name="dbt", kind="Executor", **spec):
    return {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "uid": f"{kind}-{name}", "generation": 1},
        "spec": {
            "config": {"properties": {"x": {"type": "integer", "default": 1}}},
            "template": {"spec": {"containers": [{"name": "node", "image": image}]}},
            **spec,
        },
    }


class Server:
    """Has Executors, one Workflow that names one, and takes revisions in."""

    def __init__(self):
        self.executors = {}
        self.workflow = {
            "apiVersion": "podium.dev/v1alpha1",
            "kind": "Workflow",
            "metadata": {"name": "release", "namespace": "team", "uid": "w", "generation": 1},
            "spec": {"nodes": [{"id": "build", "executor": "dbt"}]},
        }
        self.revisions = {}
        self.refuse = 0

    def put(self, namespace, body):
        self.executors[namespace, body["metadata"]["name"]] = body

    async def get_executor(self, namespace, name):
        if self.refuse and not namespace:
            raise ApiError(self.refuse, "Forbidden", "no")
        if (namespace, name) not in self.executors:
            raise ApiError(404, "NotFound", "none")
        return copy.deepcopy(self.executors[namespace, name])

    async def list_executors(self, namespace, limit):
        if self.refuse and not namespace:
            raise ApiError(self.refuse, "Forbidden", "no")
        return [body for (place, _), body in self.executors.items() if place == namespace][:limit]

    async def get_workflow(self, namespace, name):
        return copy.deepcopy(self.workflow)

    async def create_revision(self, namespace, revision):
        self.revisions[namespace, revision["metadata"]["name"]] = copy.deepcopy(revision)

    async def get_revision(self, namespace, name):
        return copy.deepcopy(self.revisions[namespace, name])


def definitions_of(server):
    return Definitions(server, InformerCache(), Reader(Pool()))


def image_of(plan):
    return plan.nodes["build"].executor.template["spec"]["containers"][0]["image"]


async def test_an_executor_of_the_namespace_comes_before_one_of_the_cluster():
    server = Server()
    server.put("", executor("cluster", kind="ClusterExecutor"))
    definitions = definitions_of(server)
    assert image_of(await definitions.latest("team", "release")) == "cluster"
    server.put("team", executor("own"))
    assert image_of(await definitions.latest("team", "release")) == "own"
    server.put("other", executor("other"))
    assert image_of(await definitions.latest("team", "release")) == "own"


async def test_a_run_keeps_the_executor_that_it_began_with():
    server = Server()
    server.put("team", executor("one"))
    plan = await definitions_of(server).latest("team", "release")
    changed = executor("two")
    changed["metadata"]["generation"] = 2
    server.put("team", changed)
    newer = await definitions_of(server).latest("team", "release")
    assert newer.revision != plan.revision
    assert await definitions_of(server).has_changed("team", "release", plan.revision)
    server.executors.clear()
    assert image_of(await definitions_of(server).pinned("team", plan.revision)) == "one"
    assert image_of(await definitions_of(server).pinned("team", newer.revision)) == "two"


async def test_a_graph_of_a_runs_own_is_pinned_with_its_executors():
    server = Server()
    server.put("team", executor("one"))
    definitions = definitions_of(server)
    spec = {"workflowSpec": server.workflow["spec"]}
    body = {**server.workflow, "kind": "WorkflowRun", "spec": spec}
    base = ("spec", "workflowSpec")
    resolved = await definitions.executors.resolve("team", spec["workflowSpec"], base)
    reading = await Reader(Pool()).read(body, asker="team", executors=resolved)
    plan = await definitions.pin_inline("team", "release", reading)
    assert image_of(plan) == "one"
    server.executors.clear()
    assert image_of(await definitions_of(server).pinned("team", plan.revision)) == "one"


async def test_a_workflow_becomes_valid_once_its_executor_is_there():
    """Nothing tells of an Executor: a Workflow that names one is looked at again and again."""
    server, cache = Server(), InformerCache()
    cache.put_workflow(server.workflow)

    async def patch_workflow_status(namespace, name, status):
        server.workflow["status"] = status

    server.patch_workflow_status = patch_workflow_status
    recorder = SimpleNamespace(warn=lambda *_: None)
    reader = Reader(Pool())
    resolver = ExecutorResolver(server)
    controller = WorkflowController(server, cache, recorder, reader, resolver, lambda _: None)
    key = ObjectKey("Workflow", "team", "release")

    async def valid():
        result = await controller.reconcile(key)
        assert 60 <= result.requeue_after <= 120
        (condition,) = server.workflow["status"]["conditions"]
        return condition["status"], condition["message"]

    status, message = await valid()
    assert status == "False"
    assert "unknown executor 'dbt'" in message
    server.put("team", executor("one"))
    assert await valid() == ("True", "")
    server.put("team", executor("one", config={"required": ["y"]}))
    status, message = await valid()
    assert status == "False"
    assert "'y' is missing" in message
    server.workflow["spec"]["nodes"][0] |= {"executor": "script", "config": {"script": "true"}}
    server.workflow["metadata"]["generation"] = 2
    assert (await controller.reconcile(key)).requeue_after is None


async def test_a_pinned_executor_cannot_be_another():
    server = Server()
    server.put("team", executor("one"))
    plan = await definitions_of(server).latest("team", "release")
    data = server.revisions["team", plan.revision]["data"]
    data["spec"]["executors"]["dbt"]["template"]["spec"]["hostNetwork"] = True
    with pytest.raises(InvalidError, match="does not hold what its name says"):
        await definitions_of(server).pinned("team", plan.revision)


async def test_an_unknown_executor_is_refused_with_those_that_there_are():
    server = Server()
    server.put("team", executor("x", "dbt-2"))
    server.put("", executor("x", "spark", "ClusterExecutor"))
    with pytest.raises(
        InvalidError, match=r"unknown executor 'dbt': known are script.*dbt-2, spark"
    ):
        await definitions_of(server).latest("team", "release")
    server.refuse = 403  # an operator of some namespaces
    with pytest.raises(InvalidError, match=r"known are script.*dbt-2;"):
        await definitions_of(server).latest("team", "release")


async def test_what_a_server_that_is_away_says_is_not_that_there_is_none():
    server = Server()
    server.refuse = 503
    with pytest.raises(ApiError):
        await definitions_of(server).latest("team", "release")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"template": {"spec": {"containers": []}}}, "spec.template.spec.containers: has no"),
        ({"template": {"spec": {"nodeName": "x", "containers": []}}}, "nodeName: may not be set"),
        ({"config": {"type": "objekt"}}, "the Executor 'dbt' is not valid: spec.config.type"),
        ({"command": ["${{ config.y }}"]}, r"spec.command\[0\]: config.y: unknown property"),
        ({"description": "x" * 70_000}, "at most"),
        ({"config": {"pattern": "x" * 66_000}}, "65,536 is the limit"),
    ],
)
async def test_a_broken_executor_is_named_at_the_node(change, message):
    server = Server()
    server.put("team", executor("x", **change))
    async with running() as pool:
        definitions = Definitions(server, InformerCache(), Reader(pool))
        with pytest.raises(InvalidError, match=message) as error:
            await definitions.latest("team", "release")
    assert error.value.problems[0].path == ("spec", "nodes", 0, "executor")


async def test_a_config_is_checked_against_the_schema():
    server = Server()
    server.put("team", executor("x"))
    server.workflow["spec"]["nodes"][0]["config"] = {"x": "one"}
    with pytest.raises(InvalidError, match=r"spec.nodes\[0\].config.x: \"one\" is not of type int"):
        await definitions_of(server).latest("team", "release")


async def test_a_cluster_may_allow_built_in_ones_only():
    server = Server()
    server.put("team", executor("x"))
    resolver = ExecutorResolver(server, allowed=False)
    with pytest.raises(InvalidError, match=r"executor 'dbt': .* allowExecutors\): script, contain"):
        await resolver.resolve("team", server.workflow["spec"])
    assert not (await resolver.resolve("team", {"nodes": [{"executor": "script"}]})).found


async def test_names_are_bounded_in_number_and_form():
    server = Server()
    resolver = ExecutorResolver(server)
    nodes = [{"id": f"n{i}", "executor": f"e{i}"} for i in range(51)]
    with pytest.raises(InvalidError, match="50 is the limit"):
        await resolver.resolve("team", {"nodes": nodes})
    for hostile in ("../x", "", "A", 3, None, ["x"]):
        assert not (await resolver.resolve("team", {"nodes": [{"executor": hostile}]})).found
    for hostile in (None, [], {"nodes": 3}, {"nodes": [3]}):
        assert not (await resolver.resolve("team", hostile)).found
