"""podium run."""

import os
import random
import string
import time
import uuid
from pathlib import Path

import click

from podium.api.child_runs import CHILD_EXECUTOR
from podium.api.names import is_object_name
from podium.api.run import RecordedAnswers, WorkflowRunSpec
from podium.api.workflow import WorkflowSpec
from podium.cli import graphs
from podium.cli.checked_file import CheckedFile, sound_file
from podium.cli.describe import counted
from podium.cli.execution import carry_on, require_runnable, require_startable
from podium.cli.live import stream_for
from podium.cli.members import needed
from podium.cli.options import (
    context_options,
    env_options,
    executor_files_option,
    part_of,
    part_options,
    personas_option,
    result_option,
    secrets_option,
    state_dir_option,
)
from podium.cli.output import CliError, ExitCode
from podium.cli.selection import RunSelection, directory_of, select_run
from podium.cli.session import OpenRun, document_text, run_directory
from podium.cli.tables import columns
from podium.cli.values import context_of
from podium.engine import Plan, initial_status
from podium.local.files import is_unicode
from podium.local.store import RunDirectory, RunRecord

__all__ = ["run"]


@click.command()
@click.argument("file")
@executor_files_option
@personas_option
@context_options
@result_option
@click.option(
    "--recorded",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File of recorded answers for personas, instead of asking a model.",
)
@click.option(
    "--record",
    "record_to",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what models answered to a file, for --recorded.",
)
@secrets_option
@env_options
@click.option(
    "--name", metavar="WORKFLOW", help="The WorkflowRun or Workflow, if the file has several."
)
@click.option(
    "--run-name", metavar="NAME", help="Name of the run; default: derived from the workflow's"
)
@click.option(
    "--workdir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Directory in which scripts run; default: the file's.",
)
@state_dir_option
@click.option(
    "--max-parallel",
    type=click.IntRange(1, 10_000),
    help="Maximum of nodes that run at the same time.",
)
@click.option("--dry-run", is_flag=True, help="Only print what would run, in its order.")
@part_options
@click.option("--fail-fast", is_flag=True, help="Cancel everything else after the first failure.")
def run(
    file: str,
    more: tuple[str, ...],
    personas: tuple[str, ...],
    values: tuple[str, ...],
    strings: tuple[str, ...],
    context_file: str | None,
    output: str | None,
    recorded: Path | None,
    record_to: Path | None,
    secrets: Path | None,
    env: tuple[str, ...],
    env_files: tuple[Path, ...],
    name: str | None,
    run_name: str | None,
    workdir: Path | None,
    state_dir: Path,
    max_parallel: int | None,
    dry_run: bool,
    only: tuple[str, ...],
    until: tuple[str, ...],
    fail_fast: bool,
) -> int:
    """Run a workflow on this machine, - for standard input."""
    more += personas
    checked = sound_file(file, more)
    selection = select_run(checked, name)
    spec = selection.spec.model_copy(
        update={
            "context": context_of(
                selection.spec.context,
                context_file,
                values,
                strings,
                below=selection.workflow.global_context,
            ),
            "max_parallel": max_parallel or selection.spec.max_parallel,
            **part_of(selection.spec, only, until),
            "fail_fast": fail_fast or selection.spec.fail_fast,
        }
    )
    name_of_run = run_name if run_name is not None else _free_name(state_dir, selection)
    directory = run_directory(state_dir, name_of_run)
    answers = _recorded_file(spec, recorded, file)
    if record_to is not None:
        _require_live(record_to, is_recorded=bool(answers or selection.answers))
    if answers is not None:
        spec.recorded_answers = RecordedAnswers(file=str(answers))
    elif selection.answers is not None:
        spec.recorded_answers = RecordedAnswers(file=str(directory.path / "recorded.yaml"))
    dag = checked.graph_of(selection.workflow)
    plan = Plan.build(selection.workflow, workflow_id=selection.workflow_id, dag=dag)
    require_startable(plan, spec)
    if answers is not None and plan.uses_personas():
        _check_answers(answers)
    record = RunRecord(
        name=directory.name,
        uid=str(uuid.uuid4()),
        created_at=round(time.time(), 3),
        workflow_id=selection.workflow_id,
        workdir=_recorded(workdir or directory_of(file)),
        workflow=selection.workflow,
        spec=spec,
        secrets=None if secrets is None else _recorded(secrets),
        source=None if file == "-" else _recorded(Path(file)),
        choice=name,
        env=env,
        env_files=tuple(_recorded(path) for path in env_files),
        more=tuple(_recorded(Path(path)) for path in more),
        workflows=_of_children(checked, plan),
    )
    status = initial_status(plan, record.created_at, spec)
    opened = OpenRun(directory, record, status, plan)
    require_runnable(opened, plan)
    if dry_run:
        directory.require_free()
        _preview(opened, output)
        return ExitCode.OK
    directory.create(record, status)
    if answers is None and selection.answers is not None:
        (directory.path / "recorded.yaml").write_text(selection.answers)
    with directory.locked():
        code = carry_on(opened, output)
    if record_to is not None:
        from podium.cli.recording import write_recording  # noqa: PLC0415 - few runs are recorded

        click.echo(write_recording(opened, record_to), err=True)
    return code


def _require_live(path: Path, *, is_recorded: bool) -> None:
    """Raise `CliError` if a run cannot be recorded in a file."""
    from podium.cli.recording import require_writable  # noqa: PLC0415 - few runs are recorded

    if is_recorded:
        raise CliError("--record: the answers of this run are recorded ones, no model is asked")
    require_writable(path)


def _of_children(file: CheckedFile, plan: Plan) -> dict[str, WorkflowSpec]:
    """Return the Workflows that its child runs run. Raises `InvalidError`."""
    if not any(node.definition.executor == CHILD_EXECUTOR for node in plan.nodes.values()):
        return {}
    from podium.cli.child_workflows import child_workflows  # noqa: PLC0415 - few have some

    return child_workflows(file, plan.spec)


def _recorded(path: Path) -> str:
    """Return a path as the run's record holds it. Raises `CliError`."""
    found = str(path.resolve())
    if not is_unicode(found):
        raise CliError(
            f"the path {os.fsencode(found)!r} is not UTF-8, which the record of a run is: rename it"
        )
    return found


def _preview(run: OpenRun, output: str | None) -> None:
    """Print what would run, by levels: nodes of one number can run side by side."""
    limit = run.record.spec.max_parallel or run.plan.max_parallel
    stream = stream_for(output)
    total = counted(len(run.plan.dag.nodes), "node")
    nodes = needed(run.status.nodes)
    left_out = {name: state for name, state in nodes.items() if state.status.ended}
    if left_out:
        total = f"{len(nodes) - len(left_out)} of {total}"
    print(f"{total} would be run, at most {limit} at the same time:", file=stream)
    for line in graphs.ascii_levels(run.plan.dag, left_out, columns()):
        print(line, file=stream)
    if output is not None:
        click.echo(document_text(run, output), nl=False)


def _free_name(state_dir: Path, selection: RunSelection) -> str:
    """Return the name that the file gives its run; where that is taken, with an ending.

    A file is run again and again, so only a name from the command line must be free.
    """
    name, prefix = selection.name, selection.prefix
    if name:
        if not (is_object_name(name) and RunDirectory(state_dir, name).path.exists()):
            return name
        prefix = f"{name}-"
    ending = "".join(random.choices(string.ascii_lowercase, k=5))  # noqa: S311 - only to be another
    return f"{prefix[:240]}{ending}"


def _recorded_file(spec: WorkflowRunSpec, option: Path | None, file: str) -> Path | None:
    if option is not None:
        return option.resolve()
    if spec.recorded_answers is not None and spec.recorded_answers.file is not None:
        return (directory_of(file) / spec.recorded_answers.file).resolve()
    return None


def _check_answers(path: Path) -> None:
    from podium.personas.errors import PersonaError  # noqa: PLC0415 - few runs have recorded answers
    from podium.personas.recorded import RecordedAnswers as Answers  # noqa: PLC0415 - as above

    try:
        Answers.load(path)
    except PersonaError as error:
        raise CliError(f"--recorded: {error}") from None
