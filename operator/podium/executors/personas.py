"""persona, persona_team and team: LLM roles; a team drafts side by side and its lead merges."""

from collections.abc import Mapping
from typing import Any

from pydantic import AliasChoices, ConfigDict, Field

from podium.api.base import ApiModel, Id, Text
from podium.api.personas import Limits
from podium.api.problems import Problem
from podium.api.workflow import Node
from podium.executors.base import Runtime, Workload, config_problems

__all__ = ["Personas", "PersonasConfig"]


class PersonasConfig(ApiModel):
    """Config of the persona executors. Further keys are kept as data for the prompt."""

    model_config = ConfigDict(**{**ApiModel.model_config, "extra": "allow"})

    personas: list[Id] = Field(min_length=1, max_length=20)
    """Who works on it."""
    lead: Id | None = None
    """Who merges the drafts; default: the first persona."""
    rounds: int = Field(default=0, ge=0, le=5)
    """Rounds in which the lead criticises the drafts and the members revise them, at most."""
    min_members: int | None = Field(
        default=None,
        ge=1,
        le=20,
        validation_alias=AliasChoices("minMembers", "min_members"),
    )
    """How many members must have drafted, where some fail; default: all."""
    output_dir: Text | None = Field(
        default=None, validation_alias=AliasChoices("output_dir", "outputDir")
    )
    """Directory under $PODIUM_ARTIFACTS_OUT for the files they write."""
    limits: Limits | None = None
    """What one execution may spend, all its personas together."""


class Personas:
    """Asks personas."""

    runtime = Runtime.RUNNER
    config: type[ApiModel] = PersonasConfig

    def validate(self, node: Node) -> list[Problem]:
        """Check the config of a team."""
        problems = config_problems(PersonasConfig, node.config)
        if problems:
            return problems
        lead, personas = node.config.get("lead"), node.config.get("personas") or []
        for number, name in enumerate(personas):
            if name in personas[:number]:
                message = f"{name!r} is there twice: a persona is one member of a team"
                problems.append(Problem(("config", "personas", number), message))
        if lead is not None and lead not in personas:
            message = f"{lead!r} is not one of the personas {', '.join(personas)}"
            problems.append(Problem(("config", "lead"), message))
        needed = node.config.get("minMembers", node.config.get("min_members"))
        if isinstance(needed, int) and needed > len(personas):
            message = f"{needed} is more than the personas, of which there are {len(personas)}"
            problems.append(Problem(("config", "minMembers"), message))
        return problems

    def expandable(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the whole config."""
        return config

    def workload(self, node: Node, config: Mapping[str, Any]) -> Workload:  # noqa: ARG002
        """Make the workload of a team: the runner answers."""
        PersonasConfig.model_validate(config)
        return Workload(Runtime.RUNNER, command=("persona",), uses_recorded=True)
