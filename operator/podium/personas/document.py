"""What the shell says of a node's personas: who they are, whom they ask, what they may spend.

It holds no secret: keys come in variables that it names, and these are taken out of the
environment when it is read, so that no program that is started later finds them.
"""

import json
import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from podium.api.reasons import NodeReason
from podium.personas.errors import PersonaError

__all__ = ["Contract", "Document", "Limits", "Model", "Persona"]

MAX_REPAIRS = 2
MAX_TOOL_CALLS = 20
CALL_SECONDS = 300.0
_SECRET = ("PODIUM_KEY_", "PODIUM_CA_", "PODIUM_MESSAGE_")
"""How the variables begin that only this process is to have."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be spent; None: no bound."""

    tokens: int | None = None
    cost: float | None = None

    @classmethod
    def read(cls, data: Mapping[str, Any] | None) -> Self:
        """Read it from JSON."""
        return cls(**{name: (data or {}).get(name) for name in ("tokens", "cost")})


@dataclass(frozen=True, slots=True)
class Contract:
    """What the node promises of its output, as `contracts.check_output` takes it."""

    produces: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    quality_threshold: float | None = None
    own_threshold: bool = False
    quality_field: str = "quality_score"

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """Read it from JSON."""
        return cls(
            tuple(data.get("produces") or ()),
            data.get("schema"),
            data.get("qualityThreshold"),
            bool(data.get("ownThreshold")),
            data.get("qualityField") or "quality_score",
        )


@dataclass(frozen=True, slots=True)
class Model:
    """A model, and where it is asked."""

    name: str
    base_url: str
    key: str | None = field(default=None, repr=False)
    ca: str | None = None
    """Certificates of further authorities, PEM."""
    headers: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """temperature, top_p, seed, reasoning_effort: as the API names them."""
    max_tokens: int | None = None
    max_input_tokens: int | None = None
    call_seconds: float = CALL_SECONDS
    stream: bool = False
    """Whether answers are to come in pieces, as they are made."""
    prices: Mapping[str, float] | None = None
    """Of a million tokens: input, output, cachedInput."""

    @classmethod
    def read(cls, data: Mapping[str, Any], env: Mapping[str, str]) -> Self:
        """Read it from JSON, and its key from the environment."""
        names = {
            "temperature": "temperature",
            "topP": "top_p",
            "seed": "seed",
            "reasoningEffort": "reasoning_effort",
        }
        settings = {name: data[key] for key, name in names.items() if data.get(key) is not None}
        return cls(
            name=data["model"],
            base_url=str(data["baseUrl"]).rstrip("/"),
            key=_variable(data.get("keyVariable"), env),
            ca=_variable(data.get("caVariable"), env),
            headers=data.get("headers") or {},
            settings=settings,
            max_tokens=data.get("maxTokens"),
            max_input_tokens=data.get("maxInputTokens"),
            call_seconds=float(data.get("timeoutSeconds") or CALL_SECONDS),
            stream=bool(data.get("stream")),
            prices=data.get("prices"),
        )


@dataclass(frozen=True, slots=True)
class Persona:
    """A role."""

    name: str
    system_message: str
    model: Model
    output_schema: Mapping[str, Any] | None = None
    max_input_tokens: int | None = None
    max_repairs: int = MAX_REPAIRS
    limits: Limits = Limits()
    tools: tuple[Mapping[str, Any], ...] = ()
    max_tool_calls: int = MAX_TOOL_CALLS
    """For one reply."""
    is_message_secret: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """All of it."""

    personas: Mapping[str, Persona]
    contract: Contract
    limits: Limits
    run_limits: Limits = Limits()
    """What is left for it of the limits of its run."""
    title: str = ""
    description: str = ""
    timeout_seconds: float | None = None

    @classmethod
    def load(cls, path: Path, env: MutableMapping[str, str] = os.environ) -> Self:
        """Read the file. Raises `PersonaError`."""
        try:
            data = json.loads(path.read_bytes())
            models = {name: Model.read(each, env) for name, each in data["models"].items()}
            personas = {
                name: _persona(name, each, models, env) for name, each in data["personas"].items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            message = f"what Podium hands over of its personas cannot be read: {error!r:.200}"
            raise PersonaError(NodeReason.CONFIG, message) from None
        for name in [name for name in env if name.startswith(_SECRET)]:
            del env[name]
        node = data.get("node") or {}
        return cls(
            personas,
            Contract.read(data.get("contract") or {}),
            Limits.read(data.get("limits")),
            Limits.read(data.get("runLimits")),
            node.get("title") or "",
            node.get("description") or "",
            data.get("timeoutSeconds"),
        )

    def secrets(self) -> list[str]:
        """Return what may stand in no message and no transcript."""
        models = {id(each.model): each.model for each in self.personas.values()}.values()
        messages = [
            # As the prompt has it.
            each.system_message.encode("utf-8", "replace").decode()
            for each in self.personas.values()
            if each.is_message_secret
        ]
        return [*(model.key for model in models if model.key), *messages]

    def persona(self, name: str) -> Persona:
        """Return a persona. Raises `PersonaError`: there is none of that name."""
        if name not in self.personas:
            message = f"config.personas: there is no persona {name!r:.100}"
            raise PersonaError(NodeReason.CONFIG, message)
        return self.personas[name]


def _persona(
    name: str, data: Mapping[str, Any], models: Mapping[str, Model], env: Mapping[str, str]
) -> Persona:
    message = _variable(data.get("systemMessageVariable"), env) or data.get("systemMessage")
    repairs = data.get("maxRepairs")
    return Persona(
        name,
        message or f"You are {name.replace('_', ' ').replace('-', ' ')}.",
        models[data["model"]],
        data.get("outputSchema"),
        data.get("maxInputTokens"),
        MAX_REPAIRS if repairs is None else repairs,
        Limits.read(data.get("limits")),
        tuple(data.get("tools") or ()),
        data.get("maxToolCalls") or MAX_TOOL_CALLS,
        bool(data.get("isMessageSecret")),
    )


def _variable(name: str | None, env: Mapping[str, str]) -> str | None:
    """Return a variable that the document names. Raises `PersonaError`."""
    if name is None:
        return None
    value = env.get(name)
    if not value:
        raise PersonaError(NodeReason.CONFIG, f"the variable {name} is not set, or is empty")
    return value
