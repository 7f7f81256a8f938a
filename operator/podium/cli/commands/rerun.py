"""podium rerun."""

import uuid
from collections.abc import Iterable
from pathlib import Path

import click

from podium.api.names import item_path
from podium.api.problems import InvalidError, UserError
from podium.cli.checked_file import sound_file
from podium.cli.describe import counted
from podium.cli.execution import (
    carry_on,
    require_accepted,
    require_runnable,
    require_startable,
)
from podium.cli.forks import fork_of, forked_context, require_fork
from podium.cli.live import stream_for
from podium.cli.new_run import NewRun, free_name, start_run
from podium.cli.options import (
    context_options,
    env_options,
    names_in,
    rerun_options,
    rerun_targets,
    result_option,
    run_argument,
    secrets_option,
    state_dir_option,
)
from podium.cli.output import CliError, ExitCode, escape_control, warn
from podium.cli.run_end import run_code
from podium.cli.selection import RunSelection, select_run
from podium.cli.session import OpenRun, hold_run, open_run, require_no_child, run_directory
from podium.cli.values import context_of
from podium.engine import (
    Plan,
    RerunPlan,
    RerunRequest,
    context_at,
    definition_digest,
    failed_nodes,
    initial_context,
)
from podium.local.store import RunRecord

__all__ = ["rerun"]


@click.command()
@run_argument
@rerun_options
@click.option("--latest", is_flag=True, help="Move to the definition as its file has it now.")
@click.option("--dry-run", is_flag=True, help="Only print what would run again.")
@context_options
@result_option
@secrets_option
@env_options
@state_dir_option
def rerun(
    name: str,
    nodes: tuple[str, ...],
    failed: bool,
    no_cascade: bool,
    fork: bool,
    latest: bool,
    dry_run: bool,
    values: tuple[str, ...],
    strings: tuple[str, ...],
    context_file: str | None,
    output: str | None,
    secrets: Path | None,
    env: tuple[str, ...],
    env_files: tuple[Path, ...],
    state_dir: Path,
) -> int:
    """Run nodes of a run again and, by default, all downstream nodes.

    --failed takes what Failed, was Cancelled, or was Skipped because of a failure before it. --fork
    makes a new run, which copies the results of nodes that completed, have the same definition, and
    are not downstream of --node.
    """
    if fork:
        node = require_fork(names_in(nodes), no_cascade=no_cascade, latest=latest)
        opened = open_run(state_dir, name).with_secrets(secrets).with_env(env, env_files)
        require_no_child(opened)
        new = _forked(opened, node, (context_file, values, strings))
        return start_run(new, output, dry_run=dry_run)
    named = rerun_targets(nodes, failed=failed, no_cascade=no_cascade, latest=latest)
    with hold_run(state_dir, name) as held:
        require_no_child(held)
        run = held.with_secrets(secrets).with_env(env, env_files)
        newer = _latest(run.record) if latest else None
        if newer is None:
            _warn_of_changes(run)
        targets = _targets(run, newer or run.plan, named, failed=failed)
        request = RerunRequest(
            id=str(uuid.uuid4()),
            nodes=tuple(named),
            failed=failed,
            cascade=not no_cascade,
            context=_edits(run, newer or run.plan, context_file, values, strings),
            plan=newer,
            initial_context=None if newer is None else initial_context(newer, run.record.spec),
        )
        if not targets and newer is None:
            print(f"run {name} has no node that failed", file=stream_for(output))
            return run_code(run.status)
        planned = require_accepted(run, request)
        if dry_run and isinstance(planned, RerunPlan):
            for line in _preview(run, planned):
                click.echo(escape_control(line))
            return ExitCode.OK
        if newer is not None and newer.digest == run.plan.digest and not targets:
            print(f"{run.record.source} has not changed", file=stream_for(output))
            return run_code(run.status)
        require_runnable(run, newer or run.plan, planned.reset)
        return carry_on(run, output, [request])


def _forked(
    run: OpenRun,
    node: str | None,
    options: tuple[str | None, tuple[str, ...], tuple[str, ...]],
) -> NewRun:
    """Return the run that is to begin from a run, of the definition as its file has it now."""
    record, file, answers = run.record, None, None
    if record.source is not None:
        file = sound_file(record.source, record.more)
        selection = select_run(file, record.choice)
    else:
        selection = RunSelection("", "", record.workflow_id, record.workflow, record.spec)
    recorded = record.spec.recorded_answers
    if selection.answers is None and recorded is not None and recorded.file is not None:
        answers = Path(recorded.file)
    named = selection.spec
    spec = record.spec.model_copy(
        update={"workflow_ref": named.workflow_ref, "workflow_spec": named.workflow_spec}
    )
    before = forked_context(record.workflow, record.spec.context, run.status)
    context_file, values, strings = options
    context = context_of(
        before, context_file, values, strings, below=selection.workflow.global_context
    )
    directory = run_directory(
        run.directory.state_dir, free_name(run.directory.state_dir, run.name, "")
    )
    return NewRun(
        directory=directory,
        selection=selection,
        spec=fork_of(spec, run.name, node, context),
        file=file,
        workdir=Path(record.workdir),
        answers=answers,
        secrets=None if record.secrets is None else Path(record.secrets),
        source=None if record.source is None else Path(record.source),
        choice=record.choice,
        env=record.env,
        env_files=tuple(map(Path, record.env_files)),
        more=tuple(map(Path, record.more)),
        workflows=record.workflows,
    )


def _targets(run: OpenRun, plan: Plan, named: list[str], *, failed: bool) -> list[str]:
    """Return the nodes that are named, and with `failed` those that it stands for."""
    return list(dict.fromkeys([*named, *(failed_nodes(plan, run.status) if failed else ())]))


def _warn_of_changes(run: OpenRun) -> None:
    """Say so if the definition's file has changed since: a run keeps what it began with."""
    source = run.record.source
    if source is None:
        return
    try:
        selection = select_run(sound_file(source, run.record.more), run.record.choice)
    except (UserError, InvalidError, OSError):
        return  # --latest would say what is wrong with it
    if definition_digest(selection.workflow) != run.plan.digest:
        warn(
            f"podium: {source} has changed since: nodes run as the run has them;"
            " --latest takes the definition that the file has now"
        )


def _edits(
    run: OpenRun,
    plan: Plan,
    context_file: str | None,
    values: tuple[str, ...],
    strings: tuple[str, ...],
) -> dict[str, object] | None:
    """Return the keys of the context that the options change, None if they change none."""
    initial = initial_context(plan, run.record.spec)
    current = context_at(run.status, initial, constants=plan.fixed_context)["context"]
    edited = context_of(current, context_file, values, strings)
    changed = {k: v for k, v in edited.items() if k not in current or current[k] != v}
    return changed or None


def _latest(record: RunRecord) -> Plan:
    """Compile the definition as its file has it now."""
    if record.source is None:
        raise CliError("--latest: this run's definition came from standard input, not from a file")
    file = sound_file(record.source, record.more)
    selection = select_run(file, record.choice)
    if selection.workflow_id != record.workflow_id:
        raise CliError(
            f"--latest: {record.source} now has the workflow {selection.workflow_id}, not"
            f" {record.workflow_id}: start a new run of it"
        )
    dag = file.graph_of(selection.workflow)
    plan = Plan.build(selection.workflow, workflow_id=record.workflow_id, dag=dag)
    require_startable(plan, record.spec)
    return plan


def _preview(run: OpenRun, planned: RerunPlan) -> Iterable[str]:
    reset = set(planned.reset)
    nodes = [node for node in planned.plan.nodes if node in reset]
    width = max((len(node) for node in nodes), default=0)
    total = counted(len(planned.plan.dag.nodes), "node")
    yield f"{len(nodes)} of {total} would be run again:"
    for node in nodes:
        state = run.status.nodes.get(node)
        yield f"  {node:<{width}}  {'new' if state is None else state.status.value}"
    for map_, indexes in planned.items.items():
        which = "those that did not complete"
        if indexes is not None:
            which = ", ".join(item_path(map_, index) for index in indexes[:10])
        yield f"  of the items of {map_}: {which}"
    for node in planned.stale:
        yield f"  {node}  would be marked stale"
    for node in planned.removed:
        yield f"  {node}  would be removed"
