"""Persona and ModelConfig: an LLM role, and the endpoint and model that answers for it.

Names of fields are kagent's (v1alpha2) where it has the field, Ark's for `outputSchema`.
"""

import re
from collections.abc import Iterator
from enum import StrEnum

from pydantic import Field

from podium import contracts
from podium.api.base import ApiModel, JsonObject, LongText, Name, Text
from podium.api.field_checks import no_object_name, no_users_host, server_url
from podium.api.names import is_object_name
from podium.api.persona_tools import PersonaTool, check_tools, parameter_problems
from podium.api.problems import Path, Problem, Severity

__all__ = [
    "DEFAULT_MODEL",
    "MAX_MODELS",
    "MAX_PERSONAS",
    "Limits",
    "ModelConfigSpec",
    "OpenAIConfig",
    "PersonaSpec",
    "Prices",
    "Provider",
    "ReasoningEffort",
    "SystemMessageSource",
    "TLSConfig",
    "ValueSourceType",
    "check_model_config",
    "check_persona",
    "output_schema_problems",
    "persona_object_name",
]

MAX_PERSONAS = 100
MAX_MODELS = 20
"""Personas and ModelConfigs that one definition may name."""
DEFAULT_MODEL = "default"
"""The ModelConfig of a persona that names none."""
_KEY = re.compile(r"[-._A-Za-z0-9]{1,253}", re.ASCII)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}", re.ASCII)
_WITH_SECRETS = (
    *("authorization", "proxy-authorization", "cookie", "api-key", "x-api-key"),
    "x-goog-api-key",
)
_OF_THE_REQUEST = ("host", "content-type", "content-length", "transfer-encoding", "connection")
_DECIMAL = re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?", re.ASCII)


class Provider(StrEnum):
    """How an endpoint is talked to."""

    OPENAI = "OpenAI"


class ReasoningEffort(StrEnum):
    """How long a model thinks before it answers."""

    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class OpenAIConfig(ApiModel):
    """Settings of an endpoint that is compatible with OpenAI's."""

    base_url: Text = "https://api.openai.com/v1"
    """URL of the endpoint, to which /chat/completions is added."""
    temperature: Text | None = None
    """Sampling temperature: a number from "0" to "2", written as a string."""
    max_tokens: int | None = Field(default=None, ge=1, le=10_000_000)
    """Maximum number of tokens of one answer."""
    top_p: Text | None = None
    """Nucleus sampling: a number from "0" to "1", written as a string."""
    seed: int | None = Field(default=None, ge=0, le=2**53)
    """Seed for endpoints that can repeat an answer."""
    timeout: int | None = Field(default=None, ge=1, le=86_400)
    """Maximum seconds of one request."""
    stream: bool = False
    """true: answers come in pieces, for endpoints behind proxies that close quiet connections."""
    reasoning_effort: ReasoningEffort | None = None
    """How long the model thinks before it answers."""


class TLSConfig(ApiModel):
    """How the endpoint's certificate is checked."""

    ca_cert_secret_ref: Name
    """Secret with certificates (PEM) of authorities to trust in addition to those of the image."""
    ca_cert_secret_key: Text
    """Key of that Secret."""


class Prices(ApiModel):
    """What a model costs for a million tokens, in any currency."""

    input: float = Field(ge=0, le=1_000_000)
    """Price of a million prompt tokens."""
    output: float = Field(ge=0, le=1_000_000)
    """Price of a million completion tokens."""


class ModelConfigSpec(ApiModel):
    """An endpoint, a model, and what it takes to ask it."""

    description: LongText | None = None
    """What it is for."""
    provider: Provider = Provider.OPENAI
    """OpenAI: any endpoint that is compatible with OpenAI's chat completions."""
    model: Text = Field(min_length=1)
    """Name of the model, as the endpoint knows it."""
    api_key_secret: Text = ""
    """Secret of the namespace with the key; default: the endpoint takes none. On a laptop one of
    the file that --secrets names."""
    api_key_secret_key: Text = ""
    """Key of that Secret. On a laptop, without --secrets, the environment variable of this name."""
    default_headers: dict[str, Text] = Field(default_factory=dict, max_length=50)
    """Further headers of each request. Whoever may read this object sees them."""
    open_ai: OpenAIConfig = Field(default_factory=OpenAIConfig, alias="openAI")
    """Settings of the endpoint."""
    tls: TLSConfig | None = None
    """How the endpoint's certificate is checked; default: by the authorities of the image."""
    max_input_tokens: int | None = Field(default=None, ge=1, le=100_000_000)
    """Maximum number of tokens in one request; a larger one is refused."""
    prices: Prices | None = None
    """What the model costs; default: no cost is computed."""


class ValueSourceType(StrEnum):
    """What a value is taken from."""

    CONFIG_MAP = "ConfigMap"
    SECRET = "Secret"  # noqa: S105 - a kind


class SystemMessageSource(ApiModel):
    """A key of a ConfigMap or Secret of the namespace; on a laptop of a file that -f names."""

    type: ValueSourceType
    """ConfigMap or Secret."""
    name: Name
    """Name of the object."""
    key: Text
    """Its key."""


class Limits(ApiModel):
    """What personas may spend, every attempt counted."""

    tokens: int | None = Field(default=None, ge=1, le=1_000_000_000)
    """Maximum number of tokens, prompt and completion together."""
    cost: float | None = Field(default=None, gt=0, le=1_000_000)
    """Maximum cost, by the prices of the ModelConfigs."""


class PersonaSpec(ApiModel):
    """An LLM role that nodes name in config.personas."""

    description: LongText | None = None
    """What it is for."""
    model_config_: Text = Field(default=DEFAULT_MODEL, alias="modelConfig", min_length=1)
    """ModelConfig of the namespace that answers for it."""
    system_message: LongText | None = None
    """Who it is, and how it works; default: its name."""
    system_message_from: SystemMessageSource | None = None
    """The same from a ConfigMap or Secret; at most one of the two is set."""
    output_schema: JsonObject | None = None
    """JSON Schema of its drafts in teams, and of its answer where a node has no outputContract."""
    max_repairs: int = Field(default=2, ge=0, le=10)
    """How often it is asked again after an answer that does not meet the schema."""
    limits: Limits | None = None
    """What it may spend in one execution of a node."""
    tools: list[PersonaTool] = Field(default_factory=list, max_length=20)
    """What it may call before it answers."""
    max_tool_calls: int = Field(default=20, ge=1, le=200)
    """Maximum number of calls of tools for one answer."""


def persona_object_name(persona: str) -> str:
    """Return the name of the Persona that a node names: of `qa_engineer` it is `qa-engineer`."""
    return persona.lower().replace("_", "-")


def check_persona(spec: PersonaSpec, base: Path = ("spec",)) -> Iterator[Problem]:
    """Check what the types cannot say of a Persona, except its schema."""
    if not is_object_name(spec.model_config_):
        yield Problem((*base, "modelConfig"), no_object_name(spec.model_config_))
    yield from check_tools(spec.tools, (*base, "tools"))
    source = spec.system_message_from
    if source is None:
        return
    if spec.system_message is not None:
        message = "has both systemMessage and systemMessageFrom: at most one, remove the other"
        yield Problem((*base, "systemMessageFrom"), message)
    if not is_object_name(source.name):
        yield Problem((*base, "systemMessageFrom", "name"), no_object_name(source.name))
    yield from _key((*base, "systemMessageFrom", "key"), source.key, source.type.value)


def output_schema_problems(spec: PersonaSpec, base: Path = ("spec",)) -> list[Problem]:
    """Return what is wrong with the schemas of a Persona, errors and warnings."""
    of_tools = list(parameter_problems(spec.tools, (*base, "tools")))
    if spec.output_schema is None:
        return of_tools
    return [
        *of_tools,
        *(
            Problem(
                (*base, "outputSchema", *problem.path),
                problem.message,
                Severity.WARNING if problem.is_warning else Severity.ERROR,
            )
            for problem in contracts.schema_problems(spec.output_schema)
        ),
    ]


def check_model_config(spec: ModelConfigSpec, base: Path = ("spec",)) -> Iterator[Problem]:
    """Check what the types cannot say of a ModelConfig."""
    secret, key = spec.api_key_secret, spec.api_key_secret_key
    if bool(secret) != bool(key):
        missing = "apiKeySecretKey" if secret else "apiKeySecret"
        message = "is missing: write the name of the Secret and its key, or neither of both"
        yield Problem((*base, missing), message)
    if secret and not is_object_name(secret):
        yield Problem((*base, "apiKeySecret"), no_object_name(secret))
    if key:
        yield from _key((*base, "apiKeySecretKey"), key, "Secret")
    if spec.tls is not None:
        name = spec.tls.ca_cert_secret_ref
        if not is_object_name(name):
            yield Problem((*base, "tls", "caCertSecretRef"), no_object_name(name))
        yield from _key((*base, "tls", "caCertSecretKey"), spec.tls.ca_cert_secret_key, "Secret")
    for header, text in spec.default_headers.items():
        if why := _wrong_header(header, text):
            yield Problem((*base, "defaultHeaders", header), why)
    if why := _wrong_url(spec.open_ai.base_url):
        message = f"{why}: write one such as https://api.openai.com/v1"
        yield Problem((*base, "openAI", "baseUrl"), message)
    for field, value, most in (
        ("temperature", spec.open_ai.temperature, 2),
        ("topP", spec.open_ai.top_p, 1),
    ):
        if value is not None and not (_DECIMAL.fullmatch(value) and float(value) <= most):
            message = f'must be a number from "0" to "{most}", not {value!r:.80}'
            yield Problem((*base, "openAI", field), message)


def _key(path: Path, key: str, kind: str) -> Iterator[Problem]:
    if not _KEY.fullmatch(key):
        message = f"{key!r:.80} is not a key of a {kind}: letters, digits, -, _ and ."
        yield Problem(path, message)


def _wrong_header(name: str, value: str) -> str:
    if not _HEADER.fullmatch(name):
        return f"{name!r:.80} is not the name of a header, such as X-Team"
    if name.lower() in _WITH_SECRETS:
        return "is shown to whoever may read this object: put the key in a Secret, apiKeySecret"
    if name.lower() in _OF_THE_REQUEST:
        return "is set for each request: remove it"
    return "" if value.isprintable() and value.isascii() else "has characters that no header has"


def _wrong_url(text: str) -> str:
    if not text.isascii() or not text.isprintable() or set(" \\#?") & set(text):
        return "has characters that the URL of an endpoint has not"
    if "@" in text:
        return "holds credentials, which would be shown: put the key in a Secret, apiKeySecret"
    url = server_url(text)
    if isinstance(url, str):
        return url
    return no_users_host(url.hostname or "")
