"""What the runner is told of personas that ask models: all that decides the answer, and no secret."""

import json

import pytest

from podium.api.workflow import WorkflowSpec
from podium.executors.persona_document import live_personas, missing_models, what_answers

KEY = {"apiKeySecret": "llm", "apiKeySecretKey": "KEY"}


def made(personas=None, models=None, config=None, **fields):
    node = {"id": "n", "executor": "team", "config": config or {"personas": ["qa_engineer"]}}
    spec = WorkflowSpec.model_validate({"nodes": [{**node, **fields}]})
    pinned = {"pinnedPersonas": personas or {}, "pinnedModels": models or {}}
    return spec.nodes[0], WorkflowSpec.model_validate({"nodes": [node], **pinned})


def live(*args, **fields):
    node, spec = made(*args, **fields)
    return live_personas(node, node.config, spec)


def test_a_persona_without_a_resource_is_asked_by_its_name():
    found = live(models={"default": {"model": "m"}})
    assert found.variables == ()
    assert found.document["personas"] == {"qa_engineer": {"model": "default", "maxRepairs": 2}}
    assert found.document["models"]["default"]["baseUrl"] == "https://api.openai.com/v1"
    assert found.document["contract"]["schema"] == {"type": "object"}


def test_keys_messages_and_authorities_come_in_variables_that_are_named():
    tls = {"caCertSecretRef": "ca", "caCertSecretKey": "ca.crt"}
    source = {"type": "ConfigMap", "name": "prompts", "key": "qa"}
    found = live(
        {"qa-engineer": {"systemMessageFrom": source, "modelConfig": "m"}},
        {"m": {"model": "gpt", **KEY, "tls": tls, "openAI": {"baseUrl": "http://x/v1/"}}},
    )
    model, persona = found.document["models"]["m"], found.document["personas"]["qa_engineer"]
    assert model["baseUrl"] == "http://x/v1"
    told = {
        each.variable.name: (each.variable.value_from.model_dump(exclude_none=True), each.field)
        for each in found.variables
    }
    secret = {"name": "llm", "key": "KEY", "optional": False}
    assert told[model["keyVariable"]] == (
        {"secret_key_ref": secret},
        "the ModelConfig m: spec.apiKeySecret",
    )
    assert told[model["caVariable"]][0]["secret_key_ref"]["key"] == "ca.crt"
    assert told[persona["systemMessageVariable"]][0]["config_map_key_ref"]["key"] == "qa"
    assert len(told) == 3
    assert "systemMessage" not in persona


@pytest.mark.parametrize(("kind", "is_secret"), [("Secret", True), ("ConfigMap", None)])
def test_a_message_from_a_secret_is_said_to_be_secret(kind, is_secret):
    source = {"type": kind, "name": "prompts", "key": "qa"}
    found = live({"qa-engineer": {"systemMessageFrom": source}}, {"default": {"model": "m"}})
    assert found.document["personas"]["qa_engineer"].get("isMessageSecret") is is_secret


def test_a_stream_is_asked_for_where_the_model_config_says_so():
    for given, told in ({}, None), ({"stream": True}, True):
        found = live(models={"default": {"model": "m", "openAI": given}})
        assert found.document["models"]["default"].get("stream") is told


def test_each_model_is_told_once_and_its_settings_as_numbers():
    config = {"personas": ["a", "b"], "lead": "b", "limits": {"tokens": 900}}
    own = {
        "temperature": "0.5",
        "topP": "1",
        "maxTokens": 7,
        "reasoningEffort": "low",
        "timeout": 9,
    }
    model = {"model": "x", "openAI": own, "maxInputTokens": 50, "prices": {"input": 1, "output": 2}}
    found = live(
        {"b": {"limits": {"cost": 2}, "maxRepairs": 0}},
        {"default": model},
        config,
        timeoutSeconds=60,
    )
    (told,) = found.document["models"].values()
    assert (told["temperature"], told["topP"], told["maxTokens"]) == (0.5, 1.0, 7)
    assert (told["reasoningEffort"], told["timeoutSeconds"]) == ("low", 9)
    assert told["prices"] == {"input": 1, "output": 2}
    assert found.document["limits"] == {"tokens": 900}
    assert found.document["timeoutSeconds"] == 60
    b = found.document["personas"]["b"]
    assert (b["limits"], b["maxRepairs"], b["maxInputTokens"]) == ({"cost": 2}, 0, 50)
    json.dumps(found.document)


@pytest.mark.parametrize(
    ("contract", "schema"),
    [
        ({"produces": ["a"]}, {"type": "object", "properties": {"a": {}}, "required": ["a"]}),
        (
            {
                "produces": ["a"],
                "schema": {"required": ["b"], "properties": {"b": {"type": "null"}}},
            },
            {
                "type": "object",
                "properties": {"b": {"type": "null"}, "a": {}},
                "required": ["b", "a"],
            },
        ),
    ],
)
def test_what_a_model_must_meet_is_the_contract_with_all_it_produces(contract, schema):
    """semantics.md 9: what is produced and absent from the schema could never be met else."""
    found = live(models={"default": {"model": "m"}}, outputContract=contract)
    assert found.document["contract"]["schema"] == schema


def test_without_a_contract_the_leads_own_schema_holds():
    own = {"type": "object", "required": ["risks"]}
    config = {"personas": ["a", "b"], "lead": "b"}
    found = live({"b": {"outputSchema": own}}, {"default": {"model": "m"}}, config)
    assert found.document["contract"]["schema"] == own
    assert found.document["personas"]["b"]["outputSchema"] == own


def test_what_is_missing_is_said_with_both_ways():
    node, spec = made({"qa-engineer": {"modelConfig": "big"}})
    assert list(missing_models(node, spec)) == [("qa_engineer", "big")]
    with pytest.raises(ValueError, match=r"recorded answers.*ModelConfig with the name big"):
        live_personas(node, node.config, spec)


def test_names_of_personas_are_written_not_made():
    node, spec = made(models={"default": {"model": "m"}})
    with pytest.raises(ValueError, match="'other' comes of an expression"):
        live_personas(node, {"personas": ["other"]}, spec)


def test_what_decides_the_answer_is_compared_and_nothing_else():
    def of(persona, model):
        return what_answers(*made({"qa-engineer": persona}, {"default": model}))

    base = of({"systemMessage": "a"}, {"model": "m"})
    assert base != of({"systemMessage": "b"}, {"model": "m"})
    assert base != of({"systemMessage": "a"}, {"model": "n"})
    assert base != of({"systemMessage": "a"}, {"model": "m", "openAI": {"seed": 1}})
    price = {"model": "m", **KEY, "prices": {"input": 1, "output": 1}, "openAI": {"timeout": 5}}
    assert base == of({"systemMessage": "a", "limits": {"tokens": 5}}, price)
