"""What the runner is told of the personas of a node that asks models: one document, no secret.

What only a machine of the cluster may read (keys, messages, authorities) comes in variables, which
the document names.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from podium import contracts
from podium.api.personas import (
    ModelConfigSpec,
    PersonaSpec,
    ValueSourceType,
    persona_object_name,
)
from podium.api.pod import EnvVar
from podium.api.workflow import Node, WorkflowSpec

__all__ = [
    "BOTH_WAYS",
    "PERSONAS_VARIABLE",
    "LivePersonas",
    "PersonaVariable",
    "live_personas",
    "missing_models",
    "personas_of",
    "what_answers",
]

PERSONAS_VARIABLE = "PODIUM_PERSONAS"
"""Variable with the file of the document."""
BOTH_WAYS = (
    "give recorded answers (on a laptop --recorded FILE, on a cluster"
    " spec.recordedAnswers.configMapKeyRef), or a ModelConfig with the name {model}"
)


class PersonaVariable(NamedTuple):
    """A variable of the runner, and the field that it is there for."""

    variable: EnvVar
    field: str


class LivePersonas(NamedTuple):
    """The work of one node's personas."""

    document: dict[str, Any]
    variables: tuple[PersonaVariable, ...]


def personas_of(config: Mapping[str, Any]) -> list[str]:
    """Return the personas that a node's config names; one that is not valid may be passed."""
    named = config.get("personas")
    found = [each for each in named if isinstance(each, str)] if isinstance(named, list) else []
    lead = config.get("lead")
    return list(dict.fromkeys([*found, *([lead] if isinstance(lead, str) else [])]))


def missing_models(node: Node, spec: WorkflowSpec) -> Iterator[tuple[str, str]]:
    """Return the personas of a node whose ModelConfig is not there, with its name."""
    for name in personas_of(node.config):
        persona = spec.pinned_personas.get(persona_object_name(name)) or PersonaSpec()
        if persona.model_config_ not in spec.pinned_models:
            yield name, persona.model_config_


def what_answers(node: Node, spec: WorkflowSpec) -> list[Any]:
    """Return what decides how the personas of a node answer, to compare definitions by."""
    found = []
    for name in personas_of(node.config):
        persona = spec.pinned_personas.get(persona_object_name(name))
        model = spec.pinned_models.get((persona or PersonaSpec()).model_config_)
        own = persona and persona.model_dump(
            mode="json", exclude={"description", "limits", "max_repairs"}
        )
        asked = model and model.model_dump(
            mode="json",
            include={
                "provider": True,
                "model": True,
                "open_ai": {
                    "base_url",
                    "temperature",
                    "max_tokens",
                    "top_p",
                    "seed",
                    "reasoning_effort",
                },
            },
        )
        if own or asked:
            found.append([name, own, asked])
    return found


def live_personas(
    node: Node,
    config: Mapping[str, Any],
    spec: WorkflowSpec,
    run_limits: Mapping[str, float] | None = None,
) -> LivePersonas:
    """Return what the runner is told to ask models. Raises `ValueError` naming what is missing.

    `config` is the node's, its templates filled in; `run_limits` what it may spend of the run's.
    """
    written = personas_of(node.config)
    if filled := [name for name in personas_of(config) if name not in written]:
        raise ValueError(
            f"config.personas: {filled[0]!r:.80} comes of an expression: write the names of"
            " personas that ask models as they are"
        )
    if missing := next(missing_models(node, spec), None):
        name, model = missing
        raise ValueError(f"the persona {name} has no answer: {BOTH_WAYS.format(model=model)}")
    variables: list[PersonaVariable] = []
    personas: dict[str, Any] = {}
    models: dict[str, Any] = {}
    for name in written:
        persona = spec.pinned_personas.get(persona_object_name(name)) or PersonaSpec()
        model = persona.model_config_
        if model not in models:
            models[model] = _model(model, spec.pinned_models[model], len(models), variables)
        personas[name] = _persona(name, persona, spec.pinned_models[model], variables)
    lead = str(config.get("lead") or written[0])
    document: dict[str, Any] = {
        "formatVersion": 1,
        "usage": True,
        "contract": _contract(node, spec.pinned_personas.get(persona_object_name(lead))),
        "node": {"title": node.title} if node.title else {},
        **({"timeoutSeconds": node.timeout_seconds} if node.timeout_seconds else {}),
        **({"limits": config["limits"]} if config.get("limits") else {}),
        **({"runLimits": dict(run_limits)} if run_limits is not None else {}),
        "personas": personas,
        "models": models,
    }
    return LivePersonas(document, tuple(variables))


def _contract(node: Node, lead: PersonaSpec | None) -> dict[str, Any]:
    """Return what the node's output must meet (semantics.md 9)."""
    contract = node.output_contract
    if contract is None:
        schema = lead.output_schema if lead is not None else None
        return {"produces": [], "schema": contracts.effective_output_schema((), schema)}
    return {
        "produces": contract.produces,
        "schema": contracts.effective_output_schema(contract.produces, contract.schema_),
        **_given(qualityThreshold=contract.quality_threshold),
        "ownThreshold": contract.quality_threshold is not None,
        "qualityField": contract.quality_field,
    }


def _persona(
    name: str, persona: PersonaSpec, model: ModelConfigSpec, variables: list[PersonaVariable]
) -> dict[str, Any]:
    limits = persona.limits
    told = {
        "model": persona.model_config_,
        "maxRepairs": persona.max_repairs,
        **_given(
            systemMessage=persona.system_message,
            outputSchema=persona.output_schema,
            maxInputTokens=model.max_input_tokens,
            limits=None if limits is None else _given(tokens=limits.tokens, cost=limits.cost),
        ),
    }
    if persona.tools:
        told["maxToolCalls"] = persona.max_tool_calls
        told["tools"] = [
            tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in persona.tools
        ]
    source = persona.system_message_from
    if source is not None:
        variable = f"PODIUM_MESSAGE_{len(variables)}"
        key = "secretKeyRef" if source.type is ValueSourceType.SECRET else "configMapKeyRef"
        field = f"the Persona {persona_object_name(name)}: spec.systemMessageFrom"
        variables.append(_variable(variable, key, source.name, source.key, field))
        told["systemMessageVariable"] = variable
        if source.type is ValueSourceType.SECRET:
            told["isMessageSecret"] = True
    return told


def _model(
    name: str, model: ModelConfigSpec, number: int, variables: list[PersonaVariable]
) -> dict[str, Any]:
    own = model.open_ai
    told = {
        "provider": model.provider.value,
        "model": model.model,
        "baseUrl": own.base_url.rstrip("/"),
        "headers": model.default_headers,
        **_given(
            temperature=None if own.temperature is None else float(own.temperature),
            maxTokens=own.max_tokens,
            topP=None if own.top_p is None else float(own.top_p),
            seed=own.seed,
            reasoningEffort=own.reasoning_effort and own.reasoning_effort.value,
            timeoutSeconds=own.timeout,
            stream=own.stream or None,
            prices=model.prices and model.prices.model_dump(mode="json", by_alias=True),
        ),
    }
    if model.api_key_secret:
        told["keyVariable"] = f"PODIUM_KEY_{number}"
        where = f"the ModelConfig {name}: spec.apiKeySecret"
        secret = model.api_key_secret, model.api_key_secret_key
        variables.append(_variable(told["keyVariable"], "secretKeyRef", *secret, where))
    if model.tls is not None:
        told["caVariable"] = f"PODIUM_CA_{number}"
        where = f"the ModelConfig {name}: spec.tls.caCertSecretRef"
        secret = model.tls.ca_cert_secret_ref, model.tls.ca_cert_secret_key
        variables.append(_variable(told["caVariable"], "secretKeyRef", *secret, where))
    return told


def _variable(name: str, kind: str, of: str, key: str, field: str) -> PersonaVariable:
    source = {kind: {"name": of, "key": key}}
    return PersonaVariable(EnvVar.model_validate({"name": name, "valueFrom": source}), field)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
