"""A run of this machine that begins: with what its file and the command line say, or not at all."""

import os
import random
import string
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from podium.api.child_runs import CHILD_EXECUTOR
from podium.api.names import is_object_name
from podium.api.run import NodeState, RecordedAnswers, WorkflowRunSpec
from podium.api.workflow import WorkflowSpec
from podium.cli import graphs
from podium.cli.checked_file import CheckedFile
from podium.cli.describe import counted
from podium.cli.execution import carry_on, require_runnable, require_startable
from podium.cli.live import stream_for
from podium.cli.members import needed
from podium.cli.output import CliError, ExitCode
from podium.cli.selection import RunSelection
from podium.cli.session import OpenRun, document_text
from podium.cli.tables import columns
from podium.engine import Plan, initial_context, initial_status
from podium.local.files import is_unicode
from podium.local.store import RunDirectory, RunRecord

if TYPE_CHECKING:
    from podium.engine import Earlier

__all__ = ["NewRun", "free_name", "start_run"]


@dataclass(frozen=True)
class NewRun:
    """What a run is to begin with."""

    directory: RunDirectory
    selection: RunSelection
    spec: WorkflowRunSpec
    file: CheckedFile | None
    """What the definition is from; None: another run has it."""
    workdir: Path
    answers: Path | None
    """File of recorded answers."""
    secrets: Path | None
    source: Path | None
    """File of the definition; None: standard input."""
    choice: str | None
    """What --name chose of the file."""
    env: tuple[str, ...]
    env_files: tuple[Path, ...]
    more: tuple[Path, ...]
    """Files and directories that -f named."""
    workflows: Mapping[str, WorkflowSpec] = field(default_factory=dict)
    """Of child runs, where there is no file."""
    kept_answers: Path | None = None
    """Directory of answers of models that are given again."""


def start_run(
    new: NewRun, output: str | None, *, dry_run: bool, record_to: Path | None = None
) -> int:
    """Run it to its end, show it, and return the exit code; `dry_run`: say what would be run.

    `record_to`: a file for what models answer. Raises `UserError`, `InvalidError`.
    """
    selection, spec, directory = new.selection, new.spec, new.directory
    if record_to is not None:
        _require_live(record_to, is_recorded=bool(new.answers or selection.answers))
    if new.answers is not None:
        spec.recorded_answers = RecordedAnswers(file=str(new.answers))
    elif selection.answers is not None:
        spec.recorded_answers = RecordedAnswers(file=str(directory.path / "recorded.yaml"))
    dag = None if new.file is None else new.file.graph_of(selection.workflow)
    plan = Plan.build(selection.workflow, workflow_id=selection.workflow_id, dag=dag)
    now = round(time.time(), 3)
    earlier, copied = _copied(plan, spec, directory.state_dir, now)
    require_startable(plan, spec, copied)
    if new.answers is not None and plan.uses_personas():
        _check_answers(new.answers)
    record = RunRecord(
        name=directory.name,
        uid=str(uuid.uuid4()),
        created_at=now,
        workflow_id=selection.workflow_id,
        workdir=_recorded(new.workdir),
        workflow=selection.workflow,
        spec=spec,
        secrets=None if new.secrets is None else _recorded(new.secrets),
        source=None if new.source is None else _recorded(new.source),
        choice=new.choice,
        env=new.env,
        env_files=_all_recorded(new.env_files),
        more=_all_recorded(new.more),
        kept_answers=None if new.kept_answers is None else _recorded(new.kept_answers),
        workflows=dict(new.workflows) if new.file is None else _of_children(new.file, plan),
    )
    status = initial_status(plan, now, spec, copied)
    opened = OpenRun(directory, record, status, plan)
    require_runnable(opened, plan)
    if dry_run:
        directory.require_free()
        _preview(opened, output)
        return ExitCode.OK
    if earlier is None:
        directory.create(record, status)
    else:
        from podium.local.earlier import create_from  # noqa: PLC0415 - few runs have one

        create_from(directory, record, status, earlier)
    if new.answers is None and selection.answers is not None:
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


def _copied(
    plan: Plan, spec: WorkflowRunSpec, state_dir: Path, now: float
) -> tuple["Earlier | None", dict[str, NodeState]]:
    """Return the run that a run copies from, and the states that it copies."""
    if spec.from_ is None or spec.from_.run is None:
        return None, {}
    from podium.engine import copied_states  # noqa: PLC0415 - few runs have one
    from podium.local.earlier import read_earlier  # noqa: PLC0415

    earlier = read_earlier(state_dir, spec.from_.run)
    return earlier, copied_states(plan, spec, initial_context(plan, spec), earlier, now)


def _all_recorded(paths: Iterable[Path]) -> tuple[str, ...]:
    return tuple(map(_recorded, paths))


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


def free_name(state_dir: Path, name: str, prefix: str) -> str:
    """Return the name that the file gives its run; where that is taken, with an ending.

    A file is run again and again, so only a name from the command line must be free.
    """
    if name:
        if not (is_object_name(name) and RunDirectory(state_dir, name).path.exists()):
            return name
        prefix = f"{name}-"
    ending = "".join(random.choices(string.ascii_lowercase, k=5))  # noqa: S311 - only to be another
    return f"{prefix[:240]}{ending}"


def _check_answers(path: Path) -> None:
    from podium.personas.errors import PersonaError  # noqa: PLC0415 - few runs have recorded answers
    from podium.personas.recorded import RecordedAnswers as Answers  # noqa: PLC0415 - as above

    try:
        Answers.load(path)
    except PersonaError as error:
        raise CliError(f"--recorded: {error}") from None
