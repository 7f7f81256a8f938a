"""ArtifactStores of a cluster: found and pinned when a run begins, and kept from its nodes."""

import asyncio
import copy

import pytest

from podium.api.problems import InvalidError
from podium.cluster.kube.errors import ApiError
from podium.cluster.runs import definition_finder, references
from podium.cluster.runs.executor_resolver import NamedObjectNotFoundError
from podium.cluster.runs.named_objects import in_pod
from podium.cluster.runs.revisions import Definitions
from podium.judge.pool import Pool
from podium.judge.reader import Reader
from tests.unit.cluster.runs import references_test
from tests.unit.cluster.runs.pinning import PinningServer, definitions_of
from tests.unit.engine.support import node
from tests.unit.judge.pool_test import running

KEYS = {"s3": {"bucket": "team-data", "credentialsSecret": "team-keys"}}
CLAIM = {"pvc": {"claimName": "team-claim"}}


def store(spec=KEYS, name="team", generation=1):
    return {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "ArtifactStore",
        "metadata": {"name": name, "uid": f"uid-of-{name}", "generation": generation},
        "spec": copy.deepcopy(spec),
    }


class Server(PinningServer):
    """Has ArtifactStores, and its Workflow names one."""

    def __init__(self):
        build = {"id": "build", "executor": "script", "config": {"script": "true"}, "artifacts": {}}
        super().__init__({"artifacts": {"store": "team"}, "nodes": [build]})
        self.stores = {}

    async def get_artifact_store(self, namespace, name):
        if name not in self.stores:
            raise ApiError(404, "NotFound", "none")
        return copy.deepcopy(self.stores[name])


def bucket_of(plan):
    return plan.spec.pinned_store.s3.bucket


async def test_a_run_keeps_the_store_that_it_began_with():
    server = Server()
    server.stores["team"] = store()
    plan = await definitions_of(server).latest("team", "release")
    assert bucket_of(plan) == "team-data"
    other = {"s3": {**KEYS["s3"], "bucket": "another"}}
    server.stores["team"] = store(other, generation=2)
    assert await definitions_of(server).has_changed("team", "release", plan.revision)
    newer = await definitions_of(server).latest("team", "release")
    assert (newer.revision != plan.revision, bucket_of(newer)) == (True, "another")
    server.stores.clear()
    assert bucket_of(await definitions_of(server).pinned("team", plan.revision)) == "team-data"


async def test_a_definition_that_a_worker_reads_has_its_store_too():
    server = Server()
    server.stores["team"] = store()
    server.workflow["spec"]["metadata"] = {"big": ["x" * 100] * 5000}
    async with running() as pool:
        plan = await definitions_of(server, pool).latest("team", "release")
    assert bucket_of(plan) == "team-data"


async def test_a_store_that_is_missing_or_not_valid_is_named():
    server = Server()
    with pytest.raises(NamedObjectNotFoundError, match="there is no ArtifactStore 'team'"):
        await definitions_of(server).latest("team", "release")
    server.stores["team"] = store({"s3": {"bucket": "team-data"}})
    with pytest.raises(InvalidError) as invalid:
        await definitions_of(server).latest("team", "release")
    (problem,) = invalid.value.problems
    assert problem.path == ("spec", "artifacts", "store")
    assert "the ArtifactStore 'team' is not valid: spec.s3: has none" in problem.message


async def test_a_cluster_without_a_store_of_its_own_takes_a_workflow_that_names_one():
    server = Server()
    server.stores["team"] = store()
    await definitions_of(server).latest("team", "release")
    del server.workflow["spec"]["artifacts"]
    with pytest.raises(InvalidError, match="name an ArtifactStore"):
        await definitions_of(server).latest("team", "release")


# A run that waits for one


class World(references_test.World):
    """A run whose own graph names an ArtifactStore."""

    def __init__(self, *nodes, **more):
        super().__init__(*nodes, **more)
        self.server.body["spec"]["workflowSpec"]["artifacts"] = {"store": "team"}
        self.cache.put_run(self.server.body)
        self.stores = Server()
        for name in ("get_artifact_store", "create_revision", "get_revision"):
            setattr(self.server, name, getattr(self.stores, name))
        definitions = Definitions(self.server, self.cache, Reader(Pool()))
        loader = self.runs._loader
        loader._definitions = loader.finder._definitions = definitions
        loader._unstarted._recorder.warn = lambda _subject, *words: self.warned(*words)
        self.warnings = []

    def warned(self, *words):
        self.warnings.append(words)

    @property
    def condition(self):
        return next(each for each in self.status["conditions"] if each["type"] == "Valid")


OUT = {"artifacts": {"out": [{"name": "x", "path": "x"}]}}


async def test_a_run_waits_for_its_store_says_so_once_and_starts_when_it_is_there():
    here = World(node("a", **OUT))
    for _ in range(3):
        assert await here.turn() == definition_finder.STORE_SECONDS
    assert here.status["phase"] == "Pending"
    assert here.condition["reason"] == "ArtifactStoreNotFound"
    assert "there is no ArtifactStore 'team' in the namespace" in here.condition["message"]
    assert len(here.warnings) == 1
    here.stores.stores["team"] = store()
    here.server.objects["secrets/team-keys"] = {}
    await here.turn()
    assert here.status["nodes"]["a"]["status"] == "Running"
    assert here.status["artifactStore"] == {**KEYS, "image": "podium:dev"}


async def test_a_store_that_stays_missing_fails_the_run(monkeypatch):
    here = World(node("a", **OUT))
    await here.turn()
    later = definition_finder.time.time() + references.HOPELESS_SECONDS + 1
    monkeypatch.setattr(definition_finder.time, "time", lambda: later)
    await here.turn()
    assert here.status["phase"] == "Failed"
    assert here.status["reason"] == "ArtifactStoreNotFound"


@pytest.mark.parametrize(
    ("claim", "phase", "words"),
    [
        (None, "Pending", "there is no PersistentVolumeClaim 'team-claim'"),
        (["ReadWriteOnce"], "Failed", "not ReadWriteMany"),
        (["ReadWriteMany"], "Running", ""),
    ],
)
async def test_the_claim_of_a_store_is_looked_at_before_anything_starts(claim, phase, words):
    here = World(node("first"), node("a", "first", **OUT))
    here.stores.stores["team"] = store(CLAIM)
    if claim is not None:
        here.server.launches.claims["team-claim"] = {
            "metadata": {"name": "team-claim"},
            "spec": {"accessModes": claim},
        }
    await here.turn()
    assert here.status["phase"] == phase
    assert words in str(here.status)
    assert bool(here.server.launches.jobs) is (phase == "Running")


# Kept from nodes


@pytest.mark.parametrize(
    "spec",
    [
        {"volumes": [{"name": "v", "secret": {"secretName": "team-keys"}}]},
        {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "team-claim"}}]},
        {"containers": [{"env": [references_test.by_key("Secret", "team-keys")]}]},
        {"containers": [{"envFrom": [{"secretRef": {"name": "team-keys"}}]}]},
    ],
)
def test_no_node_of_the_namespace_may_name_what_a_store_is_made_of(spec):
    class Client:
        async def get_metadata(self, _namespace, _plural, _name):
            return {"metadata": {}}

        async def list_artifact_stores(self, namespace):
            return [store(KEYS), store(CLAIM, "other")] if namespace == "team" else []

    checker = references.ReferenceChecker(Client(), references.Settings())
    found = [("n", each) for each in in_pod(spec)]
    (finding,) = asyncio.run(checker._check("team", found))
    assert finding.is_final
    assert "the artifact store" in str(finding)
    other = references.ReferenceChecker(Client(), references.Settings())
    assert asyncio.run(other._check("elsewhere", found)) == []


@pytest.mark.parametrize(
    ("artifacts", "is_kept"),
    [
        ({"s3": KEYS["s3"], "logs": {"enabled": True}}, True),
        ({"s3": KEYS["s3"]}, False),
        ({"pvc": {"claimName": "c"}, "logs": {"enabled": True, "namespaces": ["team"]}}, True),
        ({"pvc": {"claimName": "c"}, "logs": {"enabled": True, "namespaces": ["other"]}}, False),
        ({"logs": {"enabled": True}}, False),
    ],
)
async def test_a_run_says_where_the_logs_of_its_nodes_are_kept(artifacts, is_kept):
    """In the store of the chart, whichever the run's own is."""
    here = references_test.World(node("a"), artifacts=artifacts)
    await here.turn()
    store = {key: artifacts[key] for key in ("s3", "pvc") if key in artifacts}
    expected = {**store, "image": "podium:dev"} if is_kept else None
    assert here.status.get("logStore") == expected
    assert here.status["nodes"]["a"]["status"] == "Running"
