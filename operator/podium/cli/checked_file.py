"""A definition file with its graphs, each built and checked once however many verbs ask for it."""

from collections.abc import Collection
from dataclasses import dataclass, field

from podium.api.problems import InvalidError, Problem, Severity, errors
from podium.api.resources import Workflow, WorkflowRun
from podium.api.shape import closest
from podium.api.source.files import Document, File, read_file
from podium.api.workflow import TriggerRule, WorkflowSpec
from podium.dag import WorkflowDAG

__all__ = ["CheckedFile", "check_file", "sound_file"]


@dataclass(slots=True)
class CheckedFile(File):
    """What a file holds, and all that is wrong with it."""

    graphs: dict[int, WorkflowDAG] = field(default_factory=dict)
    """By the identity of their definition."""

    def graph_of(self, spec: WorkflowSpec) -> WorkflowDAG:
        """Return the graph of a definition of this file."""
        if id(spec) not in self.graphs:
            self.graphs[id(spec)] = WorkflowDAG(spec)
        return self.graphs[id(spec)]

    def workflow_of(self, run: WorkflowRun) -> WorkflowSpec | None:
        """Return the definition of a run where the file has it."""
        reference = run.spec.workflow_ref
        if reference is None:
            return run.spec.workflow_spec
        for _, workflow in self.workflows:
            if reference.name in (workflow.metadata.name, workflow.spec.id):
                return workflow.spec
        return None


def sound_file(name: str) -> CheckedFile:
    """Read a file. Raises `InvalidError` with all its problems, those of its graphs too."""
    file = check_file(read_file(name))
    if errors(file.problems):
        raise InvalidError(sorted(file.problems, key=lambda problem: problem.line or 0))
    return file


def check_file(file: File, elsewhere: Collection[str] = ()) -> CheckedFile:
    """Add what is wrong with the graphs of a file, and with what its runs refer to.

    Of a definition that has other problems too, what is left is looked at: all errors come at once.
    `elsewhere` are names of Workflows in files that are checked together with this one.
    """
    checked = CheckedFile(file.name, file.documents, list(file.problems))
    for document in file.documents:
        # A template where none is filled in is found by the checks of its field, too.
        known = {(each.path, each.message, each.line) for each in checked.problems}
        for problem in _graph_problems(checked, document):
            if (problem.path, problem.message, problem.line) not in known:
                checked.problems.append(problem)
    for document, run in file.runs:
        problems = [*_reference(checked, run, elsewhere), *_error_handlers(checked, run)]
        checked.problems += [document.located(problem) for problem in problems]
    return checked


def _graph_problems(file: CheckedFile, document: Document) -> list[Problem]:
    resource = document.resource or document.remainder
    if isinstance(resource, Workflow):
        problems = file.graph_of(resource.spec).problems()
    elif resource is not None and resource.spec.workflow_spec is not None:
        problems = file.graph_of(resource.spec.workflow_spec).problems(("spec", "workflowSpec"))
    else:
        return []
    if document.resource is None:
        problems = [each for each in errors(problems) if not document.overlaps(each.path)]
    return [document.located(problem) for problem in problems]


def _reference(file: CheckedFile, run: WorkflowRun, elsewhere: Collection[str]) -> list[Problem]:
    """Find a reference to a Workflow that the file lacks: an error where it has others."""
    reference = run.spec.workflow_ref
    if reference is None or reference.name in elsewhere or file.workflow_of(run) is not None:
        return []
    path = ("spec", "workflowRef", "name")
    named = [each.metadata.name for _, each in file.workflows]
    named += [each.spec.id for _, each in file.workflows if each.spec.id is not None]
    broken = [each for each in file.documents if each.resource is None and each.kind == "Workflow"]
    if not named or broken:
        message = "is not in this file: it must be on the cluster, and on a laptop in the same file"
        return [] if broken else [Problem(path, message, Severity.WARNING)]
    close = closest(reference.name, named)
    hint = f"; did you mean {close!r}?" if close else ""
    known = ", ".join(dict.fromkeys(named))
    message = f"{reference.name!r:.80} is not in this file, which has {known:.200}{hint}"
    return [Problem(path, message)]


def _error_handlers(file: CheckedFile, run: WorkflowRun) -> list[Problem]:
    """Warn of nodes that handle errors in a run that cancels everything at the first one."""
    spec = file.workflow_of(run)
    if spec is None or not run.spec.fail_fast:
        return []
    handlers = [node.id for node in spec.nodes if node.trigger_rule is TriggerRule.ONE_FAILED]
    if not handlers:
        return []
    shown = ", ".join(handlers[:5]) + (", …" if len(handlers) > 5 else "")
    message = (
        f"cancels {shown} at the first failure, before it can handle one (triggerRule: OneFailed):"
        " leave out failFast; `finally`, which runs whatever the end, comes in a later version"
    )
    return [Problem(("spec", "failFast"), message, Severity.WARNING)]
