"""Pods of personas that ask models: the key by reference only, all else in a file of the Pod."""

import json

import pytest

from podium.api.workflow import WorkflowSpec
from podium.cluster.jobs.builder import BuildError, Owner, build_job
from podium.cluster.jobs.pod_check import check_pod
from podium.cluster.settings import Settings
from podium.engine import Launch, Plan
from tests.unit.cluster.jobs.builder_test import RECORDED

MODEL = {"model": "gpt", "apiKeySecret": "llm", "apiKeySecretKey": "KEY"}
NODE = {"id": "n", "executor": "persona", "config": {"personas": ["qa_engineer"]}}


def build(models, *, recorded=None, personas=None, **fields):
    pinned = {"pinnedModels": models, "pinnedPersonas": personas or {}}
    spec = WorkflowSpec.model_validate({"nodes": [{**NODE, **fields}], **pinned})
    plan = Plan.build(spec, workflow_id="w")
    launch = Launch("n", "n-1", 0, fields.get("config", NODE["config"]), {"inputs": {}})
    owner = Owner("team", "run", "uid", "w", recorded)
    return build_job(owner, plan, launch, Settings())["spec"]["template"]


def test_the_key_is_a_reference_and_the_document_a_file():
    made = build({"default": MODEL}, personas={"qa-engineer": {"systemMessage": "You $(test)."}})
    (container,) = made["spec"]["containers"]
    env = {each["name"]: each for each in container["env"]}
    assert env["PODIUM_KEY_0"]["valueFrom"] == {"secretKeyRef": {"name": "llm", "key": "KEY"}}
    assert env["PODIUM_PERSONAS"]["value"] == "/podium/given/personas.json"
    assert "PODIUM_RECORDED" not in env
    document = json.loads(made["metadata"]["annotations"]["podium.dev/personas"])
    assert document["personas"]["qa_engineer"]["systemMessage"] == "You $(test)."
    (given,) = [each for each in made["spec"]["volumes"] if each["name"] == "podium-given"]
    assert [each["path"] for each in given["downwardAPI"]["items"]] == [
        "input.json",
        "personas.json",
    ]
    assert container["terminationMessagePolicy"] == "File", "what it printed last is not shown"
    assert not check_pod(made, Settings())


def test_recorded_answers_come_before_models():
    made = build({"default": MODEL}, recorded=RECORDED)
    (container,) = made["spec"]["containers"]
    names = {each["name"] for each in container["env"]}
    assert "PODIUM_RECORDED" in names
    assert not [name for name in names if name.startswith(("PODIUM_KEY", "PODIUM_PERSONAS"))]
    assert "podium.dev/personas" not in made["metadata"]["annotations"]


def test_a_variable_of_the_nodes_own_does_not_hide_the_key():
    made = build({"default": MODEL}, pod={"env": [{"name": "PODIUM_KEY_0", "value": "x"}]})
    (key,) = [e for e in made["spec"]["containers"][0]["env"] if e["name"] == "PODIUM_KEY_0"]
    assert "valueFrom" in key


def test_a_node_that_has_neither_names_both_ways():
    with pytest.raises(BuildError, match="recorded answers") as error:
        build({})
    assert error.value.reason == "NoRecordedAnswer"
    assert "ModelConfig with the name default" in str(error.value)


def test_what_no_pod_carries_is_refused():
    message = {"systemMessage": "x" * 32_768}
    personas = {f"p{n}": message for n in range(9)}
    names = {"personas": list(personas)}
    with pytest.raises(BuildError) as error:
        build({"default": MODEL}, personas=personas, config=names)
    assert error.value.reason == "InputTooLarge"
