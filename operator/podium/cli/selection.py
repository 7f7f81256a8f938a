"""What a file asks to run: its one WorkflowRun, else its one Workflow."""

from pathlib import Path
from typing import Any, NamedTuple

from podium.api.resources import Workflow, WorkflowRun
from podium.api.run import WorkflowReference, WorkflowRunSpec
from podium.api.workflow import WorkflowSpec
from podium.cli.checked_file import CheckedFile
from podium.cli.commands.definitions import choose_workflow
from podium.cli.output import CliError

__all__ = ["RunSelection", "directory_of", "select_run"]


class RunSelection(NamedTuple):
    """A run that a file asks for."""

    name: str
    """Name of the run; empty: it is to be made of `prefix`."""
    prefix: str
    workflow_id: str
    workflow: WorkflowSpec
    spec: WorkflowRunSpec
    answers: str | None = None
    """Recorded answers from a ConfigMap of the same file."""


def select_run(file: CheckedFile, name: str | None) -> RunSelection:
    """Return what to run of a file, its executors resolved. `name`: of a Workflow or WorkflowRun.

    Raises `CliError` if the file leaves it open.
    """
    selection = _select(file, name)
    return selection._replace(workflow=file.resolved(selection.workflow))


def _select(file: CheckedFile, name: str | None) -> RunSelection:
    runs = [run for _, run in file.runs]
    if name is not None:
        named = [run for run in runs if run.metadata.name == name]
        if not named:
            _, workflow = choose_workflow(file, name)
            runs = [run for run in runs if _refers(run, workflow)]
            return _of_run(file, runs[0]) if len(runs) == 1 else _of_workflow(workflow)
        runs = named
    if len(runs) == 1:
        return _of_run(file, runs[0])
    if runs:
        called = [run.metadata.name for run in runs if run.metadata.name]
        called += [workflow.metadata.name for _, workflow in file.workflows]
        raise CliError(
            f"{file.name} has several WorkflowRuns: choose with --name, one of {', '.join(called)}"
        )
    return _of_workflow(choose_workflow(file, None)[1])


def _refers(run: WorkflowRun, workflow: Workflow) -> bool:
    reference = run.spec.workflow_ref
    known = (workflow.metadata.name, workflow.spec.id)
    return reference is not None and reference.name in known


def _of_workflow(workflow: Workflow) -> RunSelection:
    name = workflow.metadata.name
    spec = WorkflowRunSpec(workflow_ref=WorkflowReference(name=name))
    return RunSelection("", f"{name}-", workflow.spec.id or name, workflow.spec, spec)


def _of_run(file: CheckedFile, run: WorkflowRun) -> RunSelection:
    name, prefix = run.metadata.name, run.metadata.generate_name
    what = f"the WorkflowRun {name or prefix}"
    for field in ("suspend", "cancel", "terminate"):
        if getattr(run.spec, field):
            raise CliError(
                f"{file.name}: spec.{field} of {what} is true, so nothing would run: set it to"
                " false, or leave it out"
            )
    answers = _answers(file, run, what)
    if run.spec.workflow_spec is not None:
        workflow = run.spec.workflow_spec
        identity = workflow.id or name or prefix.rstrip("-") or "run"
        return RunSelection(name, prefix or "run-", identity, workflow, run.spec, answers)
    found = [workflow for _, workflow in file.workflows if _refers(run, workflow)]
    if len(found) != 1:
        reference = run.spec.workflow_ref
        wanted = reference.name if reference is not None else ""
        there = ", ".join(workflow.metadata.name for _, workflow in file.workflows) or "none"
        raise CliError(
            f"{file.name}: spec.workflowRef.name of {what} is {wanted!r}: on a laptop the Workflow"
            f" is in the same file, which has {there}"
        )
    base = found[0].metadata.name
    identity = found[0].spec.id or base
    return RunSelection(name, prefix or f"{base}-", identity, found[0].spec, run.spec, answers)


def _answers(file: CheckedFile, run: WorkflowRun, what: str) -> str | None:
    """Return the recorded answers that a run takes from a ConfigMap, if the file has that."""
    recorded = run.spec.recorded_answers
    if recorded is None or recorded.config_map_key_ref is None:
        return None
    selector = recorded.config_map_key_ref
    for document in file.documents:
        meta: Any = document.raw.get("metadata")
        data: Any = document.raw.get("data")
        if (
            document.raw.get("kind") == "ConfigMap"
            and isinstance(meta, dict)
            and meta.get("name") == selector.name
            and isinstance(data, dict)
            and isinstance(data.get(selector.key), str)
        ):
            return str(data[selector.key])
    raise CliError(
        f"{file.name}: spec.recordedAnswers.configMapKeyRef of {what}: the file has no ConfigMap"
        f" {selector.name} with the key {selector.key}: name a file with --recorded"
    )


def directory_of(file: str) -> Path:
    """Return the directory of a definition file; standard input: the current one."""
    return Path.cwd() if file == "-" else Path(file).resolve().parent
