"""What was found of a ContractSchema, as the operator writes it."""

from enum import StrEnum

from pydantic import Field

from podium.api.base import ApiModel, LongText, Text
from podium.api.contract_schemas import MAX_VERSIONS
from podium.api.run import Condition

__all__ = ["ContractSchemaStatus", "VersionState", "VersionStatus"]


class VersionState(StrEnum):
    """What was found of a version."""

    COMPATIBLE = "Compatible"
    INCOMPATIBLE = "Incompatible"


class VersionStatus(ApiModel):
    """What was found of one version."""

    version: Text
    """Name of the version."""
    state: VersionState
    """Compatible, or Incompatible: then no run begins that names it."""
    message: LongText = ""
    """Of an incompatible one: what is wrong."""


class ContractSchemaStatus(ApiModel):
    """Observed state of a ContractSchema."""

    observed_generation: int | None = None
    """The metadata.generation that this was found for."""
    conditions: list[Condition] = Field(default_factory=list, max_length=20)
    """Valid and Compatible."""
    latest: Text = ""
    """The newest version that is compatible."""
    versions: list[VersionStatus] = Field(default_factory=list, max_length=MAX_VERSIONS)
    """What was found of each version."""
