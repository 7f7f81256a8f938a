"""A definition file with its graphs, each built and checked once however many verbs ask for it."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from podium import executors
from podium.api.child_runs import CHILD_EXECUTOR
from podium.api.contract_schemas import ContractSchemaSpec, schema_problems
from podium.api.executors import ExecutorSpec
from podium.api.personas import output_schema_problems
from podium.api.problems import InvalidError, Problem, Severity, UserError, errors
from podium.api.resources import ClusterExecutor, ContractSchema, Executor, Workflow, WorkflowRun
from podium.api.shape import closest
from podium.api.source.files import Document, File, read_file
from podium.api.workflow import TriggerRule, WorkflowSpec
from podium.cli.file_personas import FilePersonas
from podium.dag import WorkflowDAG
from podium.dag.contracts import pin_schemas, schema_references
from podium.executors.custom import definition_problems

__all__ = ["CheckedFile", "check_file", "sound_file"]


_SCHEMA_MISSING = "write it in the same file, or name its file too (podium run: with -f)"


@dataclass(slots=True)
class CheckedFile(File):
    """What a file holds, and all that is wrong with it."""

    graphs: dict[int, WorkflowDAG] = field(default_factory=dict)
    """By the identity of their definition, as it is written and with its executors."""
    known_executors: dict[str, ExecutorSpec | None] = field(default_factory=dict)
    """Executors that nodes may name; None: one that is not valid."""
    known_schemas: dict[str, ContractSchemaSpec | None] = field(default_factory=dict)
    """ContractSchemas that contracts may name; None: one that is not valid."""
    known_personas: FilePersonas = field(default_factory=FilePersonas)
    """Personas that nodes may name, and their models."""
    known_workflows: dict[str, WorkflowSpec] = field(default_factory=dict)
    """Workflows that nodes may run as child runs, by name."""
    unused_executors: list[str] = field(default_factory=list)
    """Names of further ones of this installation, where one that is named is not known."""

    def graph_of(self, spec: WorkflowSpec) -> WorkflowDAG:
        """Return the graph of a definition of this file, its executors resolved."""
        if id(spec) not in self.graphs:
            named = {node.executor for _, node in spec.placed_nodes() if node.executor is not None}
            for name in named - set(executors.names()) - self.known_executors.keys():
                self._look_for(name)
            found = {
                name: executor
                for name, executor in self.known_executors.items()
                if name in named and executor is not None
            }
            whole = spec.model_copy(update={"executors": found}) if found else spec
            problems: list[Problem] = []
            if next(schema_references(spec), None) is not None:
                pinned, problems = pin_schemas(spec, self.known_schemas, _SCHEMA_MISSING)
                whole = whole.model_copy(update={"pinned_schemas": pinned})
            if named & executors.PERSONA_EXECUTORS and (more := self.known_personas.pinned(spec)):
                whole = whole.model_copy(update=more)
            graph = WorkflowDAG(whole)
            graph.contract_problems = problems
            graph.other_executors = dict.fromkeys(self.unused_executors, True) | {
                name: executor is not None for name, executor in self.known_executors.items()
            }
            self.graphs[id(spec)] = self.graphs[id(whole)] = graph
        return self.graphs[id(spec)]

    def _look_for(self, name: str) -> None:
        """Look for an executor in this installation. Raises `UserError`: it is not valid."""
        from podium.executors import added  # noqa: PLC0415 - few workflows name one

        found = added.find(name)
        if found is not None:
            self.known_executors[name] = found.spec
        else:
            more = dict.fromkeys(added.names())
            self.unused_executors = [each for each in more if each not in self.known_executors]

    def resolved(self, spec: WorkflowSpec) -> WorkflowSpec:
        """Return a definition of this file with the executors that its nodes name."""
        whole = self.graph_of(spec).spec
        assert whole is not None  # noqa: S101 - the graph was made of it
        return whole

    def workflow_of(self, run: WorkflowRun) -> WorkflowSpec | None:
        """Return the definition of a run where the file has it."""
        reference = run.spec.workflow_ref
        if reference is None:
            return run.spec.workflow_spec
        for _, workflow in self.workflows:
            if reference.name in (workflow.metadata.name, workflow.spec.id):
                return workflow.spec
        return None


def sound_file(name: str, more: Iterable[str] = ()) -> CheckedFile:
    """Read a file. Raises `InvalidError` with all its problems, those of its graphs too.

    `more` are files, or directories of such, whose Executors, ContractSchemas and Personas its
    nodes may name.
    """
    others = [read_file(path) for each in more for path in definition_files(each)]
    file = check_file(read_file(name), others=others)
    problems = [*file.problems, *(problem for each in others for problem in each.problems)]
    if errors(problems):
        raise InvalidError(sorted(problems, key=lambda problem: problem.line or 0))
    return file


def definition_files(path: str) -> list[str]:
    """Return the definition files in a directory, in the order of their names; of a file, itself.

    Raises `UserError`.
    """
    directory = Path(path)
    if not directory.is_dir():
        return [path]
    found = sorted(
        str(each) for each in directory.iterdir() if each.suffix in (".yaml", ".yml", ".json")
    )
    if not found:
        raise UserError(f"{path}: no definition file (.yaml, .yml, .json) is in this directory")
    return found


def check_file(
    file: File, elsewhere: Collection[str] = (), others: Sequence[File] = ()
) -> CheckedFile:
    """Add what is wrong with the graphs of a file, and with what its runs refer to.

    Of a definition that has other problems too, what is left is looked at: all errors come at once.
    `elsewhere` are names of Workflows in files that are checked together with this one, `others`
    files whose Executors, ContractSchemas and (for child runs) Workflows it may name.
    """
    checked = CheckedFile(file.name, file.documents, list(file.problems))
    for each in (*others, file):
        checked.known_executors |= _executors(each)
        checked.known_schemas |= _schemas(each)
        checked.known_personas.add(each)
        checked.known_workflows |= {one.metadata.name: one.spec for _, one in each.workflows}
    for document, executor in file.executors:
        problems = [*_name_of_executor(executor), *definition_problems(executor.spec)]
        checked.problems += [document.located(problem) for problem in problems]
    for document, schema in file.contract_schemas:
        checked.problems += [document.located(each) for each in schema_problems(schema.spec)]
    for document, persona in file.personas:
        checked.problems += [
            document.located(each) for each in output_schema_problems(persona.spec)
        ]
    for document in file.documents:
        # A template where none is filled in is found by the checks of its field, too.
        known = {(each.path, each.message, each.line) for each in checked.problems}
        for problem in _graph_problems(checked, document):
            if (problem.path, problem.message, problem.line) not in known:
                checked.problems.append(problem)
    if any(
        node.executor == CHILD_EXECUTOR
        for _, workflow in file.workflows
        for _, node in workflow.spec.placed_nodes()
    ):
        from podium.cli.child_workflows import child_problems  # noqa: PLC0415 - few name one

        documents = [document for document, _ in file.workflows]
        checked.problems += [
            documents[number].located(problem) for number, problem in child_problems(checked)
        ]
    for document, run in file.runs:
        problems = [*_reference(checked, run, elsewhere), *_error_handlers(checked, run)]
        checked.problems += [document.located(problem) for problem in problems]
    return checked


def _executors(file: File) -> dict[str, ExecutorSpec | None]:
    """Return the Executors of a file by name; an Executor comes before a ClusterExecutor."""
    found: dict[str, ExecutorSpec | None] = {}
    sound = sorted(file.executors, key=lambda each: isinstance(each[1], Executor))
    for document in file.documents:
        metadata = document.raw.get("metadata")
        if document.kind in (Executor.KIND, ClusterExecutor.KIND) and isinstance(metadata, dict):
            found[str(metadata.get("name"))] = None
    for _, executor in sound:
        is_sound = not errors([*definition_problems(executor.spec)])
        found[executor.metadata.name] = executor.spec if is_sound else None
    return found


def _schemas(file: File) -> dict[str, ContractSchemaSpec | None]:
    """Return the ContractSchemas of a file by name."""
    found: dict[str, ContractSchemaSpec | None] = {}
    for document in file.documents:
        metadata = document.raw.get("metadata")
        if document.kind == ContractSchema.KIND and isinstance(metadata, dict):
            found[str(metadata.get("name"))] = None
    for _, schema in file.contract_schemas:
        is_sound = not errors(schema_problems(schema.spec))
        found[schema.metadata.name] = schema.spec if is_sound else None
    return found


def _name_of_executor(executor: Executor | ClusterExecutor) -> list[Problem]:
    name = executor.metadata.name
    if name not in executors.names():
        return []
    message = f"{name!r} is built in: give the {executor.kind} another name, such as my-{name}"
    return [Problem(("metadata", "name"), message)]


def _graph_problems(file: CheckedFile, document: Document) -> list[Problem]:
    resource = document.resource or document.remainder
    if isinstance(resource, Workflow):
        problems = file.graph_of(resource.spec).problems()
    elif isinstance(resource, WorkflowRun) and resource.spec.workflow_spec is not None:
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
    if spec is None:
        return []
    own = run.spec.fail_fast
    if not (spec.fail_fast if own is None else own):
        return []
    handlers = [node.id for node in spec.nodes if node.trigger_rule is TriggerRule.ONE_FAILED]
    if not handlers:
        return []
    shown = ", ".join(handlers[:5]) + (", …" if len(handlers) > 5 else "")
    message = (
        f"cancels {shown} at the first failure, before it can handle one (triggerRule: OneFailed):"
        " leave out failFast, or move it to `finally`, which runs whatever the end"
    )
    return [Problem(("spec", "failFast"), message, Severity.WARNING)]
