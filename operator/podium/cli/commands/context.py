"""podium context."""

from pathlib import Path

import click

from podium.cli.contexts import context_options, record_of, show_contexts, wanted_versions
from podium.cli.options import run_argument, state_dir_option
from podium.cli.session import open_run

__all__ = ["context"]


@click.command()
@run_argument
@context_options
@state_dir_option
def context(
    name: str,
    version: int | None,
    diff: tuple[int, int] | None,
    output: str | None,
    state_dir: Path,
) -> None:
    """Print the context and outputs of a run, at the latest or an earlier version."""
    wanted = wanted_versions(version, diff)
    run = open_run(state_dir, name)
    plans = [run.plan if each is None else run.plan_at(each) for each in wanted]
    given = run.record.spec.context
    found = [
        record_of(run.status, plan.spec, given, each)
        for plan, each in zip(plans, wanted, strict=True)
    ]
    show_contexts(found, output)
