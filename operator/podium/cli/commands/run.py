"""podium run."""

from pathlib import Path

import click

from podium.api.run import WorkflowRunSpec
from podium.cli.checked_file import sound_file
from podium.cli.new_run import NewRun, free_name, start_run
from podium.cli.options import (
    context_options,
    env_options,
    executor_files_option,
    keep_answers_option,
    part_of,
    part_options,
    personas_option,
    resolve_latest,
    result_option,
    secrets_option,
    state_dir_option,
)
from podium.cli.selection import directory_of, select_run
from podium.cli.session import run_directory
from podium.cli.values import context_of

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
@keep_answers_option
@secrets_option
@env_options
@click.option(
    "--name", metavar="WORKFLOW", help="The WorkflowRun or Workflow, if the file has several."
)
@click.option(
    "--run-name", metavar="NAME", help="Name of the run; default: derived from the workflow's name."
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
    help="Maximum number of nodes that run at the same time.",
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
    keep_answers: Path | None,
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
    from_run: str | None,
    from_node: str | None,
    fail_fast: bool,
) -> int:
    """Run a workflow on this machine, - for standard input."""
    more += personas
    checked = sound_file(file, more)
    selection = select_run(checked, name)
    if from_run is not None:
        from_run = resolve_latest(from_run, state_dir)
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
            **part_of(selection.spec, only, until, from_run, from_node),
            "fail_fast": fail_fast or selection.spec.fail_fast,
        }
    )
    name_of_run = (
        run_name if run_name is not None else free_name(state_dir, selection.name, selection.prefix)
    )
    directory = run_directory(state_dir, name_of_run)
    return start_run(
        NewRun(
            directory=directory,
            selection=selection,
            spec=spec,
            file=checked,
            workdir=workdir or directory_of(file),
            answers=_recorded_file(spec, recorded, file),
            secrets=secrets,
            source=None if file == "-" else Path(file),
            choice=name,
            env=env,
            env_files=env_files,
            more=tuple(map(Path, more)),
            kept_answers=keep_answers,
        ),
        output,
        dry_run=dry_run,
        record_to=record_to,
    )


def _recorded_file(spec: WorkflowRunSpec, option: Path | None, file: str) -> Path | None:
    if option is not None:
        return option.resolve()
    if spec.recorded_answers is not None and spec.recorded_answers.file is not None:
        return (directory_of(file) / spec.recorded_answers.file).resolve()
    return None
