"""Personas of definition files: which of them a definition gets, and what is said to be missing."""

import pytest
import yaml

from podium.api.problems import InvalidError
from podium.api.source.files import read_text
from podium.cli.checked_file import check_file
from podium.engine import Plan
from podium.local import preflight

HEAD = {"apiVersion": "podium.dev/v1alpha1"}
MODEL = {"model": "m", "apiKeySecret": "llm", "apiKeySecretKey": "TESTS_KEY"}
PROMPT = {"type": "ConfigMap", "name": "prompts", "key": "qa"}


def named(kind, name, spec):
    return {**HEAD, "kind": kind, "metadata": {"name": name}, "spec": spec}


def workflow(*personas):
    nodes = [{"id": "ask", "executor": "team", "config": {"personas": list(personas)}}]
    return named("Workflow", "w", {"nodes": nodes})


def resolved(*documents, more=()):
    file = check_file(
        read_text(yaml.safe_dump_all(documents)), others=[read_text(yaml.safe_dump_all(more))]
    )
    assert not file.problems, file.problems
    return file.resolved(file.workflows[0][1].spec)


def missing(spec, secrets=None):
    """Return what the run is told that it lacks on this machine."""
    with pytest.raises(InvalidError) as error:
        preflight.check(Plan.build(spec, workflow_id="w"), "/", secrets or {}, {})
    return str(error.value)


def test_a_definition_gets_what_its_nodes_name_and_nothing_else():
    spec = resolved(
        named("ModelConfig", "default", {"model": "m"}),
        named("ModelConfig", "unused", {"model": "m"}),
        named("Persona", "qa-engineer", {"systemMessage": "a"}),
        named("Persona", "other", {"modelConfig": "unused"}),
        workflow("qa_engineer"),
    )
    assert list(spec.pinned_personas) == ["qa-engineer"]
    assert list(spec.pinned_models) == ["default"]
    script = {"id": "ask", "executor": "script", "config": {"script": "true"}}
    plain = named("Workflow", "w", {"nodes": [script]})
    assert not resolved(named("ModelConfig", "default", {"model": "m"}), plain).has_pinned


def test_the_file_of_the_workflow_comes_before_others():
    more = [named("ModelConfig", "default", {"model": "theirs"})]
    assert resolved(workflow("a"), more=more).pinned_models["default"].model == "theirs"
    own = named("ModelConfig", "default", {"model": "own"})
    assert resolved(own, workflow("a"), more=more).pinned_models["default"].model == "own"


def test_a_message_from_a_config_map_of_the_file_is_pinned_too():
    persona = named("Persona", "qa", {"systemMessageFrom": PROMPT})
    prompts = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "prompts"}}
    spec = resolved(persona, {**prompts, "data": {"qa": "You test."}}, workflow("qa"))
    assert spec.pinned_personas["qa"].system_message == "You test."
    assert spec.pinned_personas["qa"].system_message_from is None


def test_what_is_missing_on_this_machine_is_named_once_with_its_field(monkeypatch):
    monkeypatch.delenv("TESTS_KEY", raising=False)
    persona = named("Persona", "qa", {"systemMessageFrom": PROMPT})
    spec = resolved(named("ModelConfig", "default", MODEL), persona, workflow("qa", "b"))
    said = missing(spec)
    assert "the ModelConfig default: spec.apiKeySecret: no value for key TESTS_KEY" in said
    assert "the Persona qa: spec.systemMessageFrom: there is no ConfigMap prompts" in said
    assert said.count("TESTS_KEY in podium's environment") == 1
    assert "apiKeySecret" not in missing(spec, {"llm": {"TESTS_KEY": "x"}})


def test_recorded_answers_need_no_key(monkeypatch):
    monkeypatch.delenv("TESTS_KEY", raising=False)
    spec = resolved(named("ModelConfig", "default", MODEL), workflow("qa"))
    plan = Plan.build(spec, workflow_id="w")
    preflight.check(plan, "/", {}, {}, is_recorded=True)
