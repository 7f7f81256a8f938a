"""ContractSchemas of a cluster: found and pinned when a run begins, waited for, refused."""

import copy

import pytest

from podium.api.problems import InvalidError
from podium.cluster.kube.errors import ApiError
from podium.cluster.runs import definition_finder, executor_resolver, references
from podium.cluster.runs.executor_resolver import NamedObjectNotFoundError
from podium.cluster.runs.revisions import Definitions
from podium.judge.executors import names_in, schemas_in
from podium.judge.reader import Reader
from tests.unit.cluster.runs import references_test
from tests.unit.cluster.runs.pinning import PinningServer, definitions_of
from tests.unit.engine.support import node
from tests.unit.judge.pool_test import running

INTEGER, STRING, NUMBER = {"type": "integer"}, {"type": "string"}, {"type": "number"}


def contract(*sizes, generation=1, name="sizes", **spec):
    versions = [
        {
            "version": str(n),
            "schema": {"type": "object", "properties": {"size": size}},
            "requiredFields": ["size"],
        }
        for n, size in enumerate(sizes, 1)
    ]
    return {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "ContractSchema",
        "metadata": {"name": name, "uid": f"uid-of-{name}", "generation": generation},
        "spec": {**spec, "versions": versions},
    }


def promises(version):
    return {"outputContract": {"schemaRef": {"name": "sizes", "version": version}}}


class Server(PinningServer):
    """Has ContractSchemas, and its Workflow names one."""

    def __init__(self, version="1"):
        build = {"id": "build", "executor": "script", "config": {"script": "true"}}
        super().__init__({"nodes": [{**build, **promises(version)}]})
        self.contracts, self.asked = {}, 0

    async def get_contract_schema(self, namespace, name):
        self.asked += 1
        if name not in self.contracts:
            raise ApiError(404, "NotFound", "none")
        return copy.deepcopy(self.contracts[name])


def size_of(plan):
    promised = plan.nodes["build"].definition.output_contract
    assert promised.produces == ["size"]
    return promised.schema_["properties"]["size"]


async def test_a_run_keeps_the_version_that_it_began_with():
    server = Server()
    server.contracts["sizes"] = contract(INTEGER)
    async with running(seconds=20) as pool:
        plan = await definitions_of(server, pool).latest("team", "release")
        assert size_of(plan) == INTEGER
        newer = definitions_of(server, pool)
        server.contracts["sizes"] = contract(INTEGER, NUMBER, generation=2)
        assert not await newer.has_changed("team", "release", plan.revision), "it names the old one"
        server.contracts["sizes"] = contract(STRING, generation=3)
        assert await newer.has_changed("team", "release", plan.revision)
        server.contracts.clear()
        pinned = await definitions_of(server, pool).pinned("team", plan.revision)
        assert size_of(pinned) == INTEGER


@pytest.mark.parametrize(
    ("version", "spec", "words"),
    [
        ("2", contract(INTEGER, STRING), "version '2' of the ContractSchema 'sizes' is not compat"),
        ("3", contract(INTEGER), "has no version '3': it has 1"),
        ("1", contract(INTEGER, direction="Input"), "is for direction: Input"),
        ("1", contract({"type": "whole"}), "the ContractSchema 'sizes' is not valid"),
    ],
)
async def test_what_must_not_be_pinned_is_told_at_the_contract(version, spec, words):
    server = Server(version)
    server.contracts["sizes"] = spec
    async with running(seconds=20) as pool:
        with pytest.raises(InvalidError) as invalid:
            await definitions_of(server, pool).latest("team", "release")
    assert words in str(invalid.value)
    assert server.revisions == {}


async def test_schemas_that_are_missing_or_too_large_together_are_named(monkeypatch):
    server = Server()
    async with running(seconds=20) as pool:
        with pytest.raises(NamedObjectNotFoundError, match="no ContractSchema 'sizes' in the name"):
            await definitions_of(server, pool).latest("team", "release")
        server.contracts["sizes"] = contract(INTEGER)
        monkeypatch.setattr(executor_resolver, "MOST_SCHEMA_BYTES", 20)
        with pytest.raises(InvalidError, match="of more than 20 bytes together"):
            await definitions_of(server, pool).latest("team", "release")


async def test_a_definition_that_names_none_asks_for_none_and_for_no_worker():
    server = Server()
    del server.workflow["spec"]["nodes"][0]["outputContract"]
    async with running(seconds=20) as pool:
        await definitions_of(server, pool).latest("team", "release")
        assert (server.asked, pool.answered) == (0, 0)


def test_members_of_groups_name_resources_as_other_nodes_do():
    member = {"id": "m", "executor": "models", **promises("1")}
    inner = {"id": "inner", "type": "parallel_group", "nodes": [member, None]}
    definition = {"nodes": [{"id": "g", "type": "parallel_group", "nodes": [inner]}]}
    assert (schemas_in(definition), names_in(definition)) == (["sizes"], ["models"])
    deep = {"nodes": [member]}
    for _ in range(90):
        deep = {"nodes": [deep]}
    assert schemas_in(deep) == []


class World(references_test.World):
    """A run whose own graph names a ContractSchema."""

    def __init__(self, pool):
        super().__init__(node("a"))
        self.server.body["spec"]["workflowSpec"]["nodes"][0] |= promises("1")
        self.cache.put_run(self.server.body)
        self.contracts = Server()
        for name in ("get_contract_schema", "create_revision", "get_revision"):
            setattr(self.server, name, getattr(self.contracts, name))
        loader = self.runs._loader
        definitions = Definitions(self.server, self.cache, Reader(pool))
        loader._reader = loader.finder._reader = Reader(pool)
        loader._definitions = loader.finder._definitions = definitions
        self.warnings = []
        self.runs._loader._unstarted._recorder.warn = lambda _, *words: self.warnings.append(words)

    @property
    def condition(self):
        return next(each for each in self.status["conditions"] if each["type"] == "Valid")


async def test_a_run_waits_for_its_schema_says_so_once_and_starts_when_it_is_there(monkeypatch):
    async with running(seconds=20) as pool:
        here = World(pool)
        for _ in range(3):
            assert await here.turn() == definition_finder.STORE_SECONDS
        assert here.status["phase"] == "Pending"
        assert here.condition["reason"] == "ContractSchemaNotFound"
        assert "no ContractSchema 'sizes' in the namespace" in here.condition["message"]
        assert len(here.warnings) == 1
        here.contracts.contracts["sizes"] = contract(INTEGER)
        await here.turn()
        assert here.status["nodes"]["a"]["status"] == "Running"
        other = World(pool)
        await other.turn()
        later = definition_finder.time.time() + references.HOPELESS_SECONDS + 1
        monkeypatch.setattr(definition_finder.time, "time", lambda: later)
        await other.turn()
        ended = (other.status["phase"], other.status["reason"])
        assert ended == ("Failed", "ContractSchemaNotFound")
        assert not other.server.launches.jobs
