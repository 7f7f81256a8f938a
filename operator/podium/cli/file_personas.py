"""Personas and ModelConfigs of definition files, and which of them a definition names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from podium import executors
from podium.api.personas import (
    ModelConfigSpec,
    PersonaSpec,
    ValueSourceType,
    output_schema_problems,
    persona_object_name,
)
from podium.api.problems import errors
from podium.api.source.files import File
from podium.api.workflow import WorkflowSpec
from podium.executors.persona_document import personas_of

__all__ = ["FilePersonas"]


@dataclass(slots=True)
class FilePersonas:
    """What files have of personas, the later ones first."""

    personas: dict[str, PersonaSpec] = field(default_factory=dict)
    models: dict[str, ModelConfigSpec] = field(default_factory=dict)
    texts: dict[tuple[str, str], str] = field(default_factory=dict)
    """Values of ConfigMaps, by name and key."""

    def add(self, file: File) -> None:
        """Take in what is sound of a file."""
        for _, persona in file.personas:
            if not errors(output_schema_problems(persona.spec)):
                self.personas[persona.metadata.name] = persona.spec
        for _, model in file.model_configs:
            self.models[model.metadata.name] = model.spec
        if self.personas:
            self.texts |= _texts(each.raw for each in file.documents)

    def pinned(self, spec: WorkflowSpec) -> dict[str, Any]:
        """Return what a definition names of them, as fields of it."""
        names = {
            persona_object_name(name): None
            for _, node in spec.placed_nodes()
            if node.executor in executors.PERSONA_EXECUTORS
            for name in personas_of(node.config)
        }
        if not names:
            return {}
        found = {name: self._whole(self.personas[name]) for name in names if name in self.personas}
        asked = [found.get(name) or PersonaSpec() for name in names]
        models = {
            each.model_config_: self.models[each.model_config_]
            for each in asked
            if each.model_config_ in self.models
        }
        more: dict[str, Any] = {"pinned_personas": found} if found else {}
        return more | ({"pinned_models": models} if models else {})

    def _whole(self, persona: PersonaSpec) -> PersonaSpec:
        """Return a persona with its message, where a ConfigMap of the files has that."""
        source = persona.system_message_from
        if source is None or source.type is not ValueSourceType.CONFIG_MAP:
            return persona
        text = self.texts.get((source.name, source.key))
        if text is None:
            return persona
        return persona.model_copy(update={"system_message": text, "system_message_from": None})


def _texts(documents: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for raw in documents:
        meta, data = raw.get("metadata"), raw.get("data")
        if raw.get("kind") == "ConfigMap" and isinstance(meta, dict) and isinstance(data, dict):
            name = meta.get("name")
            found |= {(str(name), str(key)): v for key, v in data.items() if isinstance(v, str)}
    return found
