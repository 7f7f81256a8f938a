"""Personas and ModelConfigs that a definition names: as they were found, and made a part of it."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from podium import executors
from podium.api.personas import (
    ModelConfigSpec,
    PersonaSpec,
    output_schema_problems,
    persona_object_name,
)
from podium.api.problems import InvalidError, Path, Problem, errors
from podium.api.resources import ModelConfig, Persona
from podium.api.source.files import parse
from podium.api.workflow import WorkflowSpec
from podium.executors.persona_document import personas_of

__all__ = [
    "NO_PERSONAS",
    "PinnedPersonas",
    "ResolvedPersonas",
    "load",
    "load_valid",
    "model_in",
    "names_in",
]


class ResolvedPersonas(NamedTuple):
    """What was found of the personas that one definition names, as the API server has it."""

    personas: Mapping[str, Mapping[str, Any]]
    """Personas by name."""
    models: Mapping[str, Mapping[str, Any]]
    """ModelConfigs by name."""

    @property
    def bodies(self) -> list[Mapping[str, Any]]:
        """All of them."""
        return [*self.personas.values(), *self.models.values()]


NO_PERSONAS = ResolvedPersonas({}, {})


class PinnedPersonas(NamedTuple):
    """The same, checked."""

    personas: dict[str, PersonaSpec]
    models: dict[str, ModelConfigSpec]


def names_in(nodes: Iterator[Any]) -> list[str]:
    """Return the Personas that unchecked nodes name, whether they exist or not."""
    found: dict[str, None] = {}
    for node in nodes:
        executor = node.get("executor") if isinstance(node, Mapping) else None
        if isinstance(executor, str) and executor in executors.PERSONA_EXECUTORS:
            config = node.get("config")
            for name in personas_of(config) if isinstance(config, Mapping) else ():
                found[persona_object_name(name)] = None
    return list(found)


def model_in(persona: Mapping[str, Any]) -> str:
    """Return the ModelConfig that an unchecked Persona names; empty: it names none."""
    spec = persona.get("spec")
    name = spec.get("modelConfig") if isinstance(spec, Mapping) else None
    return name if isinstance(name, str) else ""


def load(
    definition: WorkflowSpec | None, resolved: ResolvedPersonas, base: Path
) -> tuple[PinnedPersonas, list[Problem]]:
    """Read what a definition names, and say at the node what is wrong with it."""
    made = PinnedPersonas({}, {})
    if definition is None:
        return made, []
    problems = []
    for name, body in resolved.personas.items():
        try:
            made.personas[name] = _persona(body, name)
        except InvalidError as invalid:
            problems.append(_problem(definition, base, "Persona", name, invalid))
    for name, body in resolved.models.items():
        try:
            made.models[name] = _model(body, name)
        except InvalidError as invalid:
            problems.append(_problem(definition, base, "ModelConfig", name, invalid))
    return made, problems


def load_valid(resolved: ResolvedPersonas) -> PinnedPersonas:
    """Read what a worker found valid."""
    return PinnedPersonas(
        {
            name: PersonaSpec.model_validate(each["spec"])
            for name, each in resolved.personas.items()
        },
        {
            name: ModelConfigSpec.model_validate(each["spec"])
            for name, each in resolved.models.items()
        },
    )


def _persona(body: Mapping[str, Any], name: str) -> PersonaSpec:
    made = parse({**body, "metadata": {"name": name}})
    if not isinstance(made, Persona):
        raise InvalidError([Problem(("kind",), "is not Persona")])
    if found := errors(output_schema_problems(made.spec)):
        raise InvalidError(found)
    return made.spec


def _model(body: Mapping[str, Any], name: str) -> ModelConfigSpec:
    made = parse({**body, "metadata": {"name": name}})
    if not isinstance(made, ModelConfig):
        raise InvalidError([Problem(("kind",), "is not ModelConfig")])
    return made.spec


def _problem(
    definition: WorkflowSpec, base: Path, kind: str, name: str, invalid: InvalidError
) -> Problem:
    """Return a problem at the first node that names it, or that may."""
    words = "; ".join(str(problem) for problem in invalid.problems[:5])
    asking = [
        (place, node)
        for place, node in definition.placed_nodes()
        if node.executor in executors.PERSONA_EXECUTORS
    ]
    named = (
        place
        for place, node in asking
        if kind != Persona.KIND or name in map(persona_object_name, personas_of(node.config))
    )
    place = next(named, ("nodes", 0))
    message = f"the {kind} {name!r:.80} is not valid: {words}"
    return Problem((*base, *place, "config", "personas"), message)
