"""Documents of definition files, and where in the file what they hold was written."""

from dataclasses import dataclass, field, replace
from typing import Any

from podium.api import seed
from podium.api.problems import Path, Problem
from podium.api.resources import (
    ArtifactStore,
    ClusterExecutor,
    ContractSchema,
    Executor,
    ModelConfig,
    Persona,
    Workflow,
    WorkflowRun,
)
from podium.api.source.source_map import SourceMap

__all__ = ["Document", "File", "Resource"]

Resource = (
    Workflow
    | WorkflowRun
    | Executor
    | ClusterExecutor
    | ArtifactStore
    | ContractSchema
    | Persona
    | ModelConfig
)


@dataclass(slots=True)
class Document:
    """One object of a file."""

    file: str
    raw: dict[str, Any]
    """The object as it was written; for the seed's format what the file has."""
    source_map: SourceMap
    resource: Resource | None = None
    """None: another kind, or one with problems."""
    is_seed: bool = False
    remainder: Resource | None = None
    """Without a resource: what is left of it without what is refused, to look for more problems."""
    refused: list[Path] = field(default_factory=list)
    """Where the resource has what is refused."""

    def overlaps(self, path: Path) -> bool:
        """Return whether a path leads to, or into, something that is refused."""
        return any(path[: len(other)] == other[: len(path)] for other in self.refused)

    @property
    def kind(self) -> str:
        """Kind of the object; a file of the seed's format holds a Workflow."""
        return "Workflow" if self.is_seed else str(self.raw.get("kind", ""))

    def place(self, path: Path) -> Path:
        """Return where this file has what the resource has at `path`."""
        return seed.seed_path(path, self.raw) if self.is_seed else path

    def line_of(self, path: Path) -> int:
        """Return the line of a path of the resource, or of its nearest parent in the file."""
        return self.source_map.find(self.place(path))[0]

    def written(self, path: Path) -> str | None:
        """Return how the plain scalar at a path of the resource was written."""
        source_map = self.source_map.find(self.place(path))[1]
        return None if source_map is None else source_map.text

    def located(self, problem: Problem) -> Problem:
        """Add file and line to a problem of the resource."""
        line = self.line_of(problem.path) if problem.line is None else problem.line
        message = problem.message
        if problem.reworded is not None and self.source_map.keys is not None:
            message = problem.reworded(self.written(problem.path))
        place = self.place(problem.path)
        return replace(problem, path=place, message=message, line=line, file=self.file)


@dataclass(slots=True)
class File:
    """What a file holds, and all that is wrong with it but for its graphs."""

    name: str
    documents: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def workflows(self) -> list[tuple[Document, Workflow]]:
        """The sound Workflows of the file, in its order."""
        return [(d, d.resource) for d in self.documents if isinstance(d.resource, Workflow)]

    @property
    def runs(self) -> list[tuple[Document, WorkflowRun]]:
        """The sound WorkflowRuns of the file, in its order."""
        return [(d, d.resource) for d in self.documents if isinstance(d.resource, WorkflowRun)]

    @property
    def executors(self) -> list[tuple[Document, Executor | ClusterExecutor]]:
        """The sound Executors of the file, in its order."""
        kinds = (Executor, ClusterExecutor)
        return [(d, d.resource) for d in self.documents if isinstance(d.resource, kinds)]

    @property
    def contract_schemas(self) -> list[tuple[Document, ContractSchema]]:
        """The sound ContractSchemas of the file, in its order."""
        return [(d, d.resource) for d in self.documents if isinstance(d.resource, ContractSchema)]

    @property
    def personas(self) -> list[tuple[Document, Persona]]:
        """The sound Personas of the file, in its order."""
        return [(d, d.resource) for d in self.documents if isinstance(d.resource, Persona)]

    @property
    def model_configs(self) -> list[tuple[Document, ModelConfig]]:
        """The sound ModelConfigs of the file, in its order."""
        return [(d, d.resource) for d in self.documents if isinstance(d.resource, ModelConfig)]
