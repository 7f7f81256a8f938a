"""The Workflows that child runs of a definition run: found in its files, and checked."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from podium.api.child_runs import CHILD_EXECUTOR
from podium.api.problems import InvalidError, Path, Problem, Severity, errors
from podium.api.resources import Workflow
from podium.api.workflow import WorkflowSpec
from podium.dag import WorkflowDAG

__all__ = ["child_problems", "child_workflows"]


class Definitions(Protocol):
    """A file whose graphs are known, with the Workflows that it may name."""

    name: str
    known_workflows: dict[str, WorkflowSpec]

    @property
    def workflows(self) -> Sequence[tuple[Any, Workflow]]:
        """The Workflows of the file itself."""
        ...

    def graph_of(self, spec: WorkflowSpec) -> WorkflowDAG:
        """Return the graph of a definition."""
        ...

    def resolved(self, spec: WorkflowSpec) -> WorkflowSpec:
        """Return a definition with the executors that its nodes name."""
        ...


def child_workflows(file: Definitions, spec: WorkflowSpec) -> dict[str, WorkflowSpec]:
    """Return what a definition's child runs run, and theirs in turn, by name.

    Raises `InvalidError`: one is missing, or is not valid.
    """
    found: dict[str, WorkflowSpec] = {}
    waiting = [("", spec)]
    while waiting:
        user, definition = waiting.pop()
        for path, name in _named(definition):
            where = f"the Workflow {user}" if user else file.name
            known = _find(file.known_workflows, name)
            if known is None:
                message = (
                    f"{where}: there is no Workflow {name!r:.80}: write it in the same file, or"
                    " name its file too, with -f"
                )
                raise InvalidError([Problem(path, message)])
            if known not in found:
                child = file.known_workflows[known]
                if problems := errors(file.graph_of(child).problems()):
                    raise InvalidError(problems)
                found[known] = file.resolved(child)
                waiting.append((known, child))
    return found


def child_problems(file: Definitions) -> Iterator[tuple[int, Problem]]:
    """Find Workflows that are missing here, and ones that start themselves, with their number."""
    spaces = file.known_workflows
    uses = {
        name: {known for _, each in _named(spec) if (known := _find(spaces, each)) is not None}
        for name, spec in spaces.items()
    }
    for number, (_, workflow) in enumerate(file.workflows):
        for path, name in _named(workflow.spec):
            known = _find(spaces, name)
            if known is None:
                message = (
                    f"{name!r:.80} is not in this file: it must be on the cluster, and on a laptop"
                    " in the same file or one that -f names"
                )
                yield number, Problem(path, message, Severity.WARNING)
            elif workflow.metadata.name in _reached(uses, known):
                message = (
                    f"{name!r:.80} starts {workflow.metadata.name} again: child runs are nested 8"
                    " deep at most, then the node fails (TooDeep)"
                )
                yield number, Problem(path, message, Severity.WARNING)


def _named(spec: WorkflowSpec) -> Iterator[tuple[Path, str]]:
    for path, node in spec.placed_nodes():
        reference = node.config.get("workflowRef")
        if node.executor == CHILD_EXECUTOR and isinstance(reference, Mapping):
            name = reference.get("name")
            if isinstance(name, str):
                yield ("spec", *path, "config", "workflowRef", "name"), name


def _find(workflows: Mapping[str, WorkflowSpec], name: str) -> str | None:
    if name in workflows:
        return name
    return next((each for each, spec in workflows.items() if spec.id == name), None)


def _reached(uses: Mapping[str, Iterable[str]], start: str) -> set[str]:
    seen = {start}
    waiting = [start]
    while waiting:
        for each in uses.get(waiting.pop(), ()):
            if each not in seen:
                seen.add(each)
                waiting.append(each)
    return seen
