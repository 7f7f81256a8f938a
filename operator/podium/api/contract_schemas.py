"""ContractSchema: a schema that contracts name, in versions that never change."""

import re
from collections.abc import Iterator
from enum import StrEnum

import orjson
from pydantic import Field

from podium import contracts
from podium.api.base import ApiModel, JsonObject, LongText, Name, Text
from podium.api.problems import Path, Problem, Severity
from podium.contracts import Compatibility

__all__ = [
    "MAX_SCHEMAS",
    "MAX_SCHEMA_BYTES",
    "MAX_VERSIONS",
    "ContractSchemaSpec",
    "ContractVersion",
    "Direction",
    "PinnedSchema",
    "SchemaReference",
    "check_contract_schema",
    "judge_versions",
    "schema_problems",
]

MAX_VERSIONS = 50
MAX_SCHEMA_BYTES = 64 * 1024
"""Size of one version as JSON: each definition that names it is pinned with a copy."""
MAX_SPEC_BYTES = 512 * 1024
MAX_SCHEMAS = 50
"""Versions of ContractSchemas that one definition may name."""
MAX_FIELDS = 200
_VERSION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)


class Direction(StrEnum):
    """What contracts may name a ContractSchema."""

    INPUT = "Input"
    OUTPUT = "Output"
    BOTH = "Both"


class SchemaReference(ApiModel):
    """A version of a ContractSchema."""

    name: Name
    """Name of the ContractSchema, of the run's namespace; on a laptop of the same file or of one
    that -f names."""
    version: Text
    """One of its versions."""

    @property
    def key(self) -> str:
        """How a definition that is pinned names it."""
        return f"{self.name}/{self.version}"


class ContractVersion(ApiModel):
    """One version of a ContractSchema."""

    version: Text
    """Name of the version: letters, digits, -, _ and ., 63 at most."""
    description: LongText | None = None
    """What is new in it."""
    schema_: JsonObject = Field(alias="schema")
    """JSON Schema (2020-12, or draft-07 by $schema) of the whole input or output."""
    required_fields: list[Text] = Field(default_factory=list, max_length=MAX_FIELDS)
    """Dotted paths that must be there: of an input a context key, or NODE.field of an ancestor."""


class PinnedSchema(ApiModel):
    """A version of a ContractSchema as it was when a run began."""

    schema_: JsonObject = Field(alias="schema")
    required_fields: list[Text] = Field(default_factory=list)


class ContractSchemaSpec(ApiModel):
    """Versions of one schema, the oldest first."""

    title: Text | None = None
    """Display name."""
    description: LongText | None = None
    """What it is for."""
    direction: Direction = Direction.BOTH
    """Which contracts may name it: Input those of inputs, Output those of outputs."""
    compatibility: Compatibility = Compatibility.BACKWARD
    """What a version must keep to. Backward: it accepts what was made for the version before.
    Forward: the version before accepts what is made for it. Full: both. None: nothing."""
    versions: list[ContractVersion] = Field(min_length=1, max_length=MAX_VERSIONS)
    """The versions, the oldest first. A published one is neither changed nor removed."""


def check_contract_schema(spec: ContractSchemaSpec, base: Path = ("spec",)) -> Iterator[Problem]:
    """Check what the types cannot say, except the schemas themselves."""
    size = len(orjson.dumps(spec.model_dump(mode="json", by_alias=True, exclude_unset=True)))
    if size > MAX_SPEC_BYTES:
        message = (
            f"has {size:,} bytes as JSON, and {MAX_SPEC_BYTES:,} is the limit: begin another"
            " ContractSchema for newer versions"
        )
        yield Problem((*base, "versions"), message)
        return
    known: dict[str, int] = {}
    for position, version in enumerate(spec.versions):
        here: Path = (*base, "versions", position)
        name = version.version
        if not _VERSION.fullmatch(name):
            message = (
                f"{name!r:.80} is not the name of a version: letters, digits, -, _ and ., 63 at"
                ' most, such as "2" or 1.4.0'
            )
            yield Problem((*here, "version"), message)
        elif name in known:
            message = f"duplicate version {name!r}: entry {known[name]} has it too"
            yield Problem((*here, "version"), message)
        known.setdefault(name, position)
        size = len(orjson.dumps(version.schema_))
        if size > MAX_SCHEMA_BYTES:
            message = f"has {size:,} bytes as JSON, and {MAX_SCHEMA_BYTES:,} is the limit"
            yield Problem((*here, "schema"), f"{message}: shorten it")
        yield from _fields(version, here)


def schema_problems(spec: ContractSchemaSpec, base: Path = ("spec",)) -> list[Problem]:
    """Return what is wrong with the schemas of the versions, errors and warnings."""
    return [
        Problem(
            (*base, "versions", position, "schema", *problem.path),
            problem.message,
            Severity.WARNING if problem.is_warning else Severity.ERROR,
        )
        for position, version in enumerate(spec.versions)
        for problem in contracts.schema_problems(version.schema_)
    ]


def _fields(version: ContractVersion, here: Path) -> Iterator[Problem]:
    for position, field in enumerate(version.required_fields):
        steps = field.split(".")
        if "" in steps or len(steps) > 32:
            message = f"{field!r:.80} is not a path: write keys with dots between them, as in a.b"
            yield Problem((*here, "requiredFields", position), message)
        elif any(step.isdigit() for step in steps):
            message = (
                f"{field!r:.80} has a position in a list: name the list here, and write minItems in"
                " the schema"
            )
            yield Problem((*here, "requiredFields", position), message)


def judge_versions(spec: ContractSchemaSpec) -> Iterator[contracts.Verdict]:
    """Give a verdict on each version: whether it is compatible with the one before it."""
    versions = (
        contracts.Version(each.version, each.schema_, each.required_fields)
        for each in spec.versions
    )
    return contracts.judge_versions(versions, spec.compatibility)
