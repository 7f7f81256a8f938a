"""Personas and ModelConfigs of a cluster: found and pinned when a run begins, waited for, refused."""

import copy

import pytest

from podium.api.problems import InvalidError
from podium.cluster.kube.errors import ApiError
from podium.cluster.runs import definition_finder, references
from podium.cluster.runs.revisions import Definitions
from podium.judge.executors import names_in, personas_in
from podium.judge.reader import Reader
from tests.unit.cluster.runs import references_test
from tests.unit.cluster.runs.pinning import PinningServer, definitions_of
from tests.unit.engine.support import node
from tests.unit.judge.pool_test import running

ASKS = {"executor": "persona", "config": {"personas": ["qa_engineer"]}}
MODEL = {"model": "gpt", "apiKeySecret": "llm", "apiKeySecretKey": "KEY"}


def resource(kind, name, spec, generation=1):
    return {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "uid": f"uid-of-{name}", "generation": generation},
        "spec": spec,
    }


class Server(PinningServer):
    """Has Personas and ModelConfigs, and its Workflow asks one."""

    def __init__(self, **persona):
        super().__init__({"nodes": [{"id": "ask", **ASKS}]})
        self.personas, self.models = {}, {}
        if persona:
            self.personas["qa-engineer"] = resource("Persona", "qa-engineer", persona)

    async def get_persona(self, namespace, name):
        return self._get(self.personas, name)

    async def get_model_config(self, namespace, name):
        return self._get(self.models, name)

    @staticmethod
    def _get(of, name):
        if name not in of:
            raise ApiError(404, "NotFound", "none")
        return copy.deepcopy(of[name])


async def test_a_run_keeps_the_persona_and_the_model_that_it_began_with():
    server = Server(systemMessage="You test.", modelConfig="big")
    server.models["big"] = resource("ModelConfig", "big", MODEL)
    async with running(seconds=20) as pool:
        plan = await definitions_of(server, pool).latest("team", "release")
        assert plan.spec.pinned_personas["qa-engineer"].system_message == "You test."
        assert plan.spec.pinned_models["big"].model == "gpt"
        newer = definitions_of(server, pool)
        assert not await newer.has_changed("team", "release", plan.revision)
        server.models["big"] = resource("ModelConfig", "big", {**MODEL, "model": "new"}, 2)
        assert await newer.has_changed("team", "release", plan.revision)
        server.models.clear()
        again = await definitions_of(server, pool).pinned("team", plan.revision)
        assert again.spec.pinned_models["big"].model == "gpt"
        assert again.spec.pinned_personas["qa-engineer"].model_config_ == "big"


async def test_without_them_a_workflow_is_valid_all_the_same():
    """Its runs may have recorded answers."""
    async with running(seconds=20) as pool:
        plan = await definitions_of(Server(), pool).latest("team", "release")
        assert not plan.spec.has_pinned
        plan = await definitions_of(Server(modelConfig="gone"), pool).latest("team", "release")
        assert not plan.spec.pinned_models


@pytest.mark.parametrize(
    ("persona", "model", "words"),
    [
        ({"maxRepairs": 99}, MODEL, "the Persona 'qa-engineer' is not valid: spec.maxRepairs"),
        ({"outputSchema": {"type": 7}}, MODEL, "the Persona 'qa-engineer' is not valid"),
        ({"title": "x"}, {"model": ""}, "the Persona 'qa-engineer' is not valid"),
        ({"description": "x"}, {"model": ""}, "the ModelConfig 'default' is not valid: spec.model"),
    ],
)
async def test_what_is_wrong_with_one_is_said_at_the_node(persona, model, words):
    server = Server(**persona)
    server.models["default"] = resource("ModelConfig", "default", model)
    async with running(seconds=20) as pool:
        with pytest.raises(InvalidError, match=r"spec.nodes.0..config.personas") as error:
            await definitions_of(server, pool).latest("team", "release")
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("kind", "right"),
    [("Persona", "get on personas.podium.dev"), ("ModelConfig", "get on modelconfigs.podium.dev")],
)
async def test_one_that_may_not_be_read_is_not_taken_for_missing(kind, right):
    """Without its Persona a node would be answered by another one, unnoticed."""
    server = Server(systemMessage="You test.")

    async def refused(namespace, name):
        raise ApiError(403, "Forbidden", "no")

    server.get_persona = refused if kind == "Persona" else server.get_persona
    server.get_model_config = refused if kind == "ModelConfig" else server.get_model_config
    resolver = Definitions(server, None, None).executors
    with pytest.raises(InvalidError, match=f"lacks the right to {right} in the namespace team"):
        await resolver.resolve("team", {"nodes": [{"executor": "persona", **ASKS}]})


@pytest.mark.parametrize("hostile", [None, 7, [], {}, [[]], ["x" * 9000, {}, "../a", ""]])
async def test_names_that_are_none_lead_nowhere(hostile):
    definition = {
        "nodes": [{"executor": "team", "config": {"personas": hostile}}, {"executor": []}]
    }
    personas_in(definition)
    resolver = Definitions(Server(), None, None).executors
    assert not (await resolver.resolve("team", definition)).personas.personas


def test_members_of_groups_and_compensations_name_personas_as_other_nodes_do():
    undo = {"config": {"personas": ["Undo_It"]}}
    member = {"executor": "team", "config": {"personas": ["a"], "lead": "b"}, "compensation": undo}
    script = {"executor": "script", "config": {"personas": ["no"]}}
    other = {"executor": "mine", "compensation": {"executor": "theirs"}}
    definition = {"nodes": [{"id": "g", "nodes": [member]}, script], "finally": [other]}
    assert personas_in(definition) == ["a", "b", "undo-it"]
    assert names_in(definition) == ["mine", "theirs"]


async def test_many_are_refused():
    many = {"nodes": [{"executor": "team", "config": {"personas": [f"p{n}" for n in range(101)]}}]}
    with pytest.raises(InvalidError, match="101 personas, and 100 is the limit"):
        await Definitions(Server(), None, None).executors.resolve("team", many)


class World(references_test.World):
    """A run whose own graph asks a persona."""

    def __init__(self, pool, **persona):
        super().__init__(node("a", **ASKS))
        self.personas = Server(**persona)
        for name in ("get_persona", "get_model_config", "create_revision", "get_revision"):
            setattr(self.server, name, getattr(self.personas, name))
        loader = self.runs._loader
        definitions = Definitions(self.server, self.cache, Reader(pool))
        loader._reader = loader.finder._reader = Reader(pool)
        loader._definitions = loader.finder._definitions = definitions
        self.runs._loader._unstarted._recorder.warn = lambda *_: None

    @property
    def condition(self):
        return next(each for each in self.status["conditions"] if each["type"] == "Valid")


async def test_a_run_waits_for_the_model_of_its_persona(monkeypatch):
    async with running(seconds=20) as pool:
        here = World(pool, modelConfig="big")
        assert await here.turn() == definition_finder.STORE_SECONDS
        assert (here.status["phase"], here.condition["reason"]) == (
            "Pending",
            "ModelConfigNotFound",
        )
        said = here.condition["message"]
        assert "the Persona qa-engineer is answered by the ModelConfig 'big'" in said
        assert "create it" in said
        here.personas.models["big"] = resource("ModelConfig", "big", {"model": "gpt"})
        await here.turn()
        assert here.status["nodes"]["a"]["status"] == "Running"
        other = World(pool, modelConfig="big")
        await other.turn()
        later = definition_finder.time.time() + references.HOPELESS_SECONDS + 1
        monkeypatch.setattr(definition_finder.time, "time", lambda: later)
        await other.turn()
        assert (other.status["phase"], other.status["reason"]) == ("Failed", "ModelConfigNotFound")
        assert not other.server.launches.jobs


async def test_a_run_that_has_neither_answers_nor_a_model_is_told_of_both_ways():
    async with running(seconds=20) as pool:
        here = World(pool)
        await here.turn()
        assert here.status["phase"] == "Failed"
        said = str(here.status["conditions"])
        assert "recorded answers" in said
        assert "a ModelConfig with the name default" in said


async def test_a_run_waits_for_the_secret_with_the_key_and_names_its_field():
    async with running(seconds=20) as pool:
        here = World(pool)
        here.personas.models["default"] = resource("ModelConfig", "default", MODEL)
        await here.turn()
        assert here.status["reason"] == "ReferenceNotFound"
        said = str(here.status)
        assert "the ModelConfig default: spec.apiKeySecret: there is no Secret 'llm'" in said
