"""Evaluations: a persona node over a list of inputs, what was expected, and what came out."""

import asyncio
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from podium import contracts, executors
from podium.api.base import ApiModel, JsonObject, Text
from podium.api.messages import translate
from podium.api.personas import PersonaSpec, persona_object_name
from podium.api.problems import InvalidError
from podium.api.source import source_map
from podium.api.workflow import Node, WorkflowSpec
from podium.cli.checked_file import CheckedFile
from podium.cli.file_personas import FilePersonas
from podium.cli.output import CliError
from podium.executors.persona_document import live_personas, personas_of
from podium.local.environment import ConfigError, inherited, value_of
from podium.local.preflight import missing_value
from podium.personas.document import Document
from podium.personas.errors import PersonaError
from podium.personas.live import Live
from podium.personas.team import Team, answer
from podium.personas.transcript import Transcript
from podium.personas.usage import Counts

__all__ = ["Case", "Evaluation", "Outcome", "Subject", "evaluate", "read_evaluation", "subjects"]

MAX_BYTES = 5_000_000
AS_WRITTEN = "as written"
"""Name of the column where no models are named."""

Secrets = Mapping[str, Mapping[str, str]]


class Case(ApiModel):
    """One input, and what is expected of the answer."""

    name: Text = Field(min_length=1)
    """Its name."""
    context: JsonObject = Field(default_factory=dict)
    """What the run's context has, over the Workflow's globalContext."""
    outputs: JsonObject = Field(default_factory=dict)
    """Outputs of nodes before, by their ids."""
    expect: JsonObject = Field(default_factory=dict)
    """Values of the answer, by dotted paths."""


class Evaluation(ApiModel):
    """A file of `podium eval`."""

    workflow: Text
    """File with the Workflow, its Personas and ModelConfigs, from this file's directory."""
    name: Text | None = None
    """The Workflow, if the file has several."""
    node: Text
    """The persona node."""
    models: list[Text] = Field(default_factory=list, max_length=20)
    """ModelConfigs to compare; default: those of the Personas."""
    cases: list[Case] = Field(min_length=1, max_length=1000)
    """Inputs."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is evaluated: the node, with the models of one column."""

    name: str
    node: Node
    spec: WorkflowSpec


@dataclass(slots=True)
class Outcome:
    """What came of one case."""

    case: Case
    output: Mapping[str, Any] | None = None
    reason: str | None = None
    message: str = ""
    usage: Counts = field(default_factory=Counts)
    fields: dict[str, bool] = field(default_factory=dict)
    """Whether each expected value was there."""

    @property
    def is_good(self) -> bool:
        """Whether all is as expected."""
        return self.reason is None and all(self.fields.values())

    def dump(self) -> dict[str, Any]:
        """Return it as JSON."""
        made: dict[str, Any] = {"case": self.case.name, "passed": self.is_good}
        if self.reason is not None:
            made |= {"reason": self.reason, "message": self.message}
        else:
            made |= {"output": self.output, "fields": self.fields}
        return {**made, "tokenUsage": self.usage.counts()}


def read_evaluation(path: Path) -> Evaluation:
    """Read a file. Raises `CliError` naming each field that is wrong."""
    try:
        data = path.read_bytes()
        if len(data) > MAX_BYTES:
            raise CliError(f"{path}: has more than {MAX_BYTES:,} bytes")
        documents = source_map.read(source_map.decode(data, str(path)), str(path))
        if len(documents) != 1:
            raise CliError(f"{path}: holds {len(documents)} documents: it must be one")
        found = Evaluation.model_validate(documents[0].data, by_alias=True, by_name=False)
    except OSError as error:
        raise CliError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        wrong = "\n".join(f"{path}: {each}" for each in translate(error, Evaluation))
        raise CliError(wrong) from None
    except InvalidError as error:
        raise CliError("\n".join(map(str, error.problems))) from None
    for names, what in (
        ([case.name for case in found.cases], "cases"),
        (found.models, "models"),
    ):
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise CliError(f"{path}: {what}: {twice!r:.80} is there twice: names are unique")
    return found


def subjects(asked: Evaluation, file: CheckedFile, spec: WorkflowSpec) -> list[Subject]:
    """Return what is to be evaluated, a column each. Raises `CliError`: it cannot be."""
    nodes = {node.id: node for _, node in spec.placed_nodes()}
    node = nodes.get(asked.node)
    if node is None or node.executor not in executors.PERSONA_EXECUTORS:
        words = "is not a persona node" if node is not None else f"is not a node of {file.name}"
        raise CliError(f"node: {asked.node!r:.80} {words}")
    if "${{" in json.dumps(node.config, default=str):
        raise CliError(f"the config of {node.id} has ${{{{ }}}}, which only a run fills in")
    if not asked.models:
        return [Subject(AS_WRITTEN, node, spec)]
    known = file.known_personas
    names = list(map(persona_object_name, personas_of(node.config)))
    made = []
    for model in asked.models:
        if model not in known.models:
            there = ", ".join(sorted(known.models)) or "none"
            raise CliError(f"models: there is no ModelConfig {model!r:.80}; there are {there:.300}")
        personas = {
            name: (known.personas.get(name) or PersonaSpec()).model_copy(
                update={"model_config_": model}
            )
            for name in names
        }
        pinned = FilePersonas(personas, known.models, known.texts).pinned(spec)
        made.append(Subject(model, node, spec.model_copy(update=pinned)))
    return made


async def evaluate(
    of: Sequence[Subject], cases: Iterable[Case], secrets: Secrets, parallel: int
) -> dict[str, list[Outcome]]:
    """Ask for each case and subject; the outcomes are in the order of the cases.

    Raises `CliError`, `ConfigError`: a key or variable is missing, and nothing was asked.
    """
    for each in of:
        _require_values(each, secrets)
    slots = asyncio.Semaphore(parallel)
    cases = list(cases)

    async def one(subject: Subject, case: Case) -> Outcome:
        async with slots:
            return await _asked(subject, case, secrets)

    found: dict[str, list[Outcome]] = {}
    pairs = [(subject, case) for case in cases for subject in of]
    outcomes = await asyncio.gather(*(one(*pair) for pair in pairs))
    for (subject, _), outcome in zip(pairs, outcomes, strict=True):
        found.setdefault(subject.name, []).append(outcome)
    return found


async def _asked(subject: Subject, case: Case, secrets: Secrets) -> Outcome:
    outcome = Outcome(case)
    node = subject.node
    context = contracts.merged(subject.spec.global_context, case.context)
    given = {"nodeId": node.id, "globalContext": context, "dependencyOutputs": case.outputs}
    with tempfile.TemporaryDirectory() as scratch:
        try:
            live = _live(subject, given, secrets, Path(scratch))
        except PersonaError as error:
            outcome.reason, outcome.message = error.reason, str(error)
            return outcome
        try:
            replies = await answer(Team.of(node.config), node.id, live)
            outcome.output = replies[-1].output
        except PersonaError as error:
            outcome.reason, outcome.message = error.reason, str(error)
        finally:
            outcome.usage = live.usage
            await live.close()
    if outcome.output is not None:
        outcome.fields = {
            path: _has(outcome.output, path, wanted) for path, wanted in case.expect.items()
        }
    return outcome


def _live(subject: Subject, given: Mapping[str, Any], secrets: Secrets, scratch: Path) -> Live:
    """Return who answers. Raises `PersonaError`."""
    node = subject.node
    told = live_personas(node, node.config, subject.spec)
    place = scratch / "personas.json"
    place.write_text(json.dumps(told.document))
    env = {each.variable.name: value_of(each.variable, secrets) or "" for each in told.variables}
    document = Document.load(place, env)
    transcript = Transcript(None, document.secrets())
    return Live(
        document, node.config, given, transcript, scratch / "out", _variables(subject, secrets)
    )


def _require_values(subject: Subject, secrets: Secrets) -> None:
    try:
        told = live_personas(subject.node, subject.node.config, subject.spec)
    except ValueError as error:
        raise CliError(str(error)) from None
    for wanted in told.variables:
        try:
            value_of(wanted.variable, secrets)
        except ConfigError:
            raise CliError(missing_value(wanted)) from None
    _variables(subject, secrets)


def _variables(subject: Subject, secrets: Secrets) -> dict[str, str]:
    """Return what tools find in their environment: as in a run, and no key of a model."""
    pods = (subject.spec.defaults.pod, subject.node.pod)
    own = {each.name: value_of(each, secrets) for pod in pods if pod for each in pod.env}
    return inherited() | {name: value for name, value in own.items() if value is not None}


def _has(output: Mapping[str, Any], path: str, wanted: Any) -> bool:
    try:
        found = contracts.get_path(output, path)
    except KeyError:
        return False
    return contracts.canonical(found) == contracts.canonical(wanted)
