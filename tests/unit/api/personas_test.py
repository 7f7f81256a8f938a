"""Personas and ModelConfigs as teams write them: what is wrong with one is said at its field."""

import pytest
import yaml

from podium.api.personas import persona_object_name
from podium.api.source import files
from podium.cli.checked_file import check_file

SECRET = {"apiKeySecret": "openai", "apiKeySecretKey": "OPENAI_API_KEY"}

FORMS_OF_METADATA = [
    *("169.254.169.254", "169.254.169.254.", "2852039166", "0xA9FEA9FE", "169.254.43518"),
    *("0251.0376.0251.0376", "[fe80::1]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]"),
    *("[2002:a9fe:a9fe::]", "[fd00:ec2::254]", "100.100.100.200", "168.63.129.16", "0", "[::]"),
]


def problems(kind, spec, **document):
    whole = {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": "default"},
        "spec": spec,
        **document,
    }
    return [str(each) for each in check_file(files.read_text(yaml.safe_dump(whole))).problems]


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("ModelConfig", {"model": "gpt-x"}),
        # As kagent has it, v1alpha2.
        (
            "ModelConfig",
            {
                "provider": "OpenAI",
                "model": "gpt-x",
                **SECRET,
                "defaultHeaders": {"X-Team": "a"},
                "openAI": {
                    "baseUrl": "http://llm.models.svc:8000/v1",
                    "temperature": "0.7",
                    "maxTokens": 4096,
                    "topP": "0.9",
                    "seed": 7,
                    "timeout": 60,
                    "reasoningEffort": "low",
                },
                "tls": {"caCertSecretRef": "ca", "caCertSecretKey": "ca.crt"},
            },
        ),
        (
            "ModelConfig",
            {"model": "m", "maxInputTokens": 8000, "prices": {"input": 1, "output": 2.5}},
        ),
        ("Persona", {}),
        ("Persona", {"systemMessage": "You test.", "modelConfig": "small", "maxRepairs": 0}),
        (
            "Persona",
            {
                "systemMessageFrom": {"type": "ConfigMap", "name": "prompts", "key": "qa"},
                "outputSchema": {"type": "object", "required": ["risks"]},
                "limits": {"tokens": 5000, "cost": 0.5},
            },
        ),
    ],
)
def test_what_is_right(kind, spec):
    assert problems(kind, spec) == []


@pytest.mark.parametrize(
    ("spec", "path", "words"),
    [
        ({}, "spec.model", "is missing"),
        ({"model": ""}, "spec.model", "at least 1 character"),
        ({"provider": "Anthropic"}, "spec.provider", "must be OpenAI"),
        ({"apiKeySecret": "s"}, "spec.apiKeySecretKey", "is missing"),
        ({"apiKeySecretKey": "k"}, "spec.apiKeySecret", "is missing"),
        ({**SECRET, "apiKeySecret": "My_Keys"}, "spec.apiKeySecret", "write my-keys"),
        ({**SECRET, "apiKeySecretKey": "a b"}, "spec.apiKeySecretKey", "not a key of a Secret"),
        ({"apiKey": "sk-1"}, "spec.apiKey", "unknown field"),
        ({"defaultHeaders": {"authorization": "Bearer x"}}, "spec.defaultHeaders", "in a Secret"),
        ({"defaultHeaders": {"X-API-Key": "x"}}, "spec.defaultHeaders", "in a Secret"),
        ({"defaultHeaders": {"Host": "x"}}, "spec.defaultHeaders", "set for each request"),
        ({"defaultHeaders": {"a b": "x"}}, "spec.defaultHeaders", "not the name of a header"),
        ({"defaultHeaders": {"a": "x\r\nb: c"}}, "spec.defaultHeaders", "no header has"),
        ({"openAI": {"baseUrl": "ftp://x"}}, "spec.openAI.baseUrl", "begin with https://"),
        ({"openAI": {"baseUrl": "https://u:p@x/v1"}}, "spec.openAI.baseUrl", "credentials"),
        ({"openAI": {"baseUrl": "https://x/v1?a=b"}}, "spec.openAI.baseUrl", "characters"),
        ({"openAI": {"baseUrl": "https://"}}, "spec.openAI.baseUrl", "no host"),
        ({"openAI": {"baseUrl": "http://x:99999"}}, "spec.openAI.baseUrl", "not a URL"),
        *(
            ({"openAI": {"baseUrl": f"http://{host}/v1"}}, "spec.openAI.baseUrl", "metadata")
            for host in FORMS_OF_METADATA
        ),
        ({"openAI": {"temperature": 0.7}}, "spec.openAI.temperature", "must be a string"),
        ({"openAI": {"temperature": "hot"}}, "spec.openAI.temperature", "must be a number"),
        ({"openAI": {"temperature": "2.1"}}, "spec.openAI.temperature", 'from "0" to "2"'),
        ({"openAI": {"topP": "1.5"}}, "spec.openAI.topP", 'from "0" to "1"'),
        ({"tls": {"caCertSecretRef": "ca"}}, "spec.tls.caCertSecretKey", "is missing"),
        ({"prices": {"input": -1, "output": 1}}, "spec.prices.input", "at least 0"),
    ],
)
def test_what_is_wrong_with_a_model_config(spec, path, words):
    whole = spec if not spec or "model" in spec else {"model": "m", **spec}
    (problem,) = problems("ModelConfig", whole)
    assert path in problem
    assert words in problem
    assert "Bearer" not in problem
    assert "u:p" not in problem


@pytest.mark.parametrize(
    ("spec", "path", "words"),
    [
        ({"modelConfig": "My Model"}, "spec.modelConfig", "not a Kubernetes name"),
        (
            {
                "systemMessage": "a",
                "systemMessageFrom": {"type": "Secret", "name": "s", "key": "k"},
            },
            "spec.systemMessageFrom",
            "remove the other",
        ),
        (
            {"systemMessageFrom": {"type": "File", "name": "s", "key": "k"}},
            "spec.systemMessageFrom.type",
            "ConfigMap",
        ),
        ({"outputSchema": {"type": "whole"}}, "spec.outputSchema", "type"),
        ({"maxRepairs": 100}, "spec.maxRepairs", "at most 10"),
        ({"limits": {"tokens": 0}}, "spec.limits.tokens", "at least 1"),
        ({"limits": {"cost": 0}}, "spec.limits.cost", "greater than 0"),
    ],
)
def test_what_is_wrong_with_a_persona(spec, path, words):
    (problem,) = problems("Persona", spec)
    assert path in problem
    assert words in problem


@pytest.mark.parametrize("kind", ["Persona", "ModelConfig"])
def test_they_are_named(kind):
    spec = {"model": "m"} if kind == "ModelConfig" else {}
    (problem,) = problems(kind, spec, metadata={"generateName": "x-"})
    assert "by its name" in problem


def test_names_of_personas_become_names_of_objects():
    assert persona_object_name("Solution_Architect") == "solution-architect"
