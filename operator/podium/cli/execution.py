"""A run carried on to its end, as the verbs that run something do."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Collection, Coroutine, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from podium.api.problems import errors
from podium.api.run import WorkflowRunSpec
from podium.api.workflow import NodeType
from podium.cli.describe import counted, shell_quoted
from podium.cli.live import View, stream_for, view_on
from podium.cli.log_files import TICK_SECONDS, LogFiles
from podium.cli.output import (
    CliError,
    ExitCode,
    escape_control,
    say_problems,
    warn,
)
from podium.cli.run_end import run_code
from podium.cli.session import OpenRun, document_text
from podium.cli.summary import summary
from podium.engine import (
    Changes,
    Emit,
    Plan,
    Request,
    ResetRequest,
    check_start,
    initial_context,
)
from podium.local import preflight
from podium.local.attending import attend
from podium.local.environment import passed
from podium.local.secrets import Mask, known_values, load_secrets, secret_variables
from podium.local.shell import LocalRun
from podium.local.store import RunRecord

if TYPE_CHECKING:
    from podium.engine import RerunPlan, RestorePlan

__all__ = [
    "carry_on",
    "require_accepted",
    "require_runnable",
    "require_startable",
    "secrets_of",
]

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that stop what runs and leave the run to be resumed."""


def secrets_of(record: RunRecord) -> dict[str, dict[str, str]]:
    """Return the secrets of the file that --secrets named."""
    return {} if record.secrets is None else load_secrets(Path(record.secrets))


def _passed(record: RunRecord) -> dict[str, str]:
    return passed(record.env, map(Path, record.env_files))


def require_runnable(run: OpenRun, plan: Plan, again: Collection[str] = ()) -> None:
    """Refuse a run that lacks what its nodes need here; those of `again` run, ended or not.

    Raises `InvalidError`, `UserError`.
    """
    record, states = run.record, run.status.nodes
    nodes = {
        node
        for node in plan.nodes
        if node in again or node not in states or not states[node].status.ended
    }
    nodes.update(name for name, node in plan.compensations.items() if node in nodes)
    preflight.check(
        plan,
        Path(record.workdir),
        secrets_of(record),
        _passed(record),
        nodes,
        is_recorded=record.spec.recorded_answers is not None,
    )


def require_startable(plan: Plan, spec: WorkflowRunSpec, copied: Collection[str] = ()) -> None:
    """Refuse a run that cannot start, with everything that is wrong.

    `copied`: nodes that do not run, since it has their results from an earlier run.
    """
    problems = check_start(plan, spec, copied=copied)
    if not errors(problems):
        return
    say_problems(problems)
    if plan.spec.inputs is not None:
        given = initial_context(plan, spec)
        required = plan.spec.inputs.get("required")
        missing = [str(key) for key in required or () if key not in given]
        if missing:
            warn(f"podium: add {' '.join(f'-c {shell_quoted(key)}=…' for key in missing)}")
    raise click.exceptions.Exit(ExitCode.USAGE)


def require_accepted(run: OpenRun, request: ResetRequest) -> "RerunPlan | RestorePlan":
    """Return what a request would do. Raises `CliError` if it would be refused."""
    from podium.engine import (  # noqa: PLC0415 - a first run has no requests
        RequestRefusedError,
        plan_request,
    )

    context = initial_context(run.plan, run.record.spec)
    try:
        return plan_request(run.plan, run.status, context, request)
    except RequestRefusedError as refusal:
        raise CliError(str(refusal)) from None


def carry_on(run: OpenRun, output: str | None, requests: Iterable[Request] = ()) -> ExitCode:
    """Run to the end, show it, and return the exit code."""
    record, status = run.record, run.status
    local = LocalRun(
        run.directory,
        record,
        run.plan,
        status,
        secrets=secrets_of(record),
        passed=_passed(record),
        workflows=record.workflows,
    )
    stream = stream_for(output)
    view = view_on(stream)

    def say(text: str) -> None:
        with suppress(OSError):  # the run goes on, and the command's exit code tells
            print(escape_control(text), file=stream, flush=True)

    copied = sum(status.nodes[node].copied_from is not None for node in local.plan.nodes)
    is_from = record.spec.from_ is not None and record.spec.from_.run is not None
    before = ""
    if is_from and status.started_at is None:  # "none" tells of another workflow, say
        before = f", {copied or 'none'} of them copied"
    total = counted(len(local.plan.dag.nodes), "node")
    say(f"run {record.name} of {record.workflow_id}: {total}{before}")
    view.begin(status)
    values = known_values(secret_variables(record.workflow), local.secrets)
    logs = LogFiles(run.directory, status, Mask(values))

    def watch(events: list[Emit], changes: Changes) -> None:
        logs.update(changes.nodes)
        view.update(events, changes)

    local.watch = watch
    try:
        asyncio.run(_until_end(local, list(requests), view, logs, _asker(local, stream, view, say)))
    finally:
        view.close()
        logs.close()
        if status.phase.ended:
            run.directory.clear_cancel()
    for line in summary(local):
        say(line)
    if status.phase.ended and run.plan.spec.retention is not None:
        from podium.cli.retention import remove_other_runs  # noqa: PLC0415 - few have it

        for name in remove_other_runs(run, run.plan.spec.retention):
            say(f"run {name} deleted, as retention says")
    if output is not None:
        click.echo(document_text(OpenRun(local.directory, local.record, status), output), nl=False)
    if local.interrupted and not status.phase.ended:
        return ExitCode.INTERRUPTED
    return run_code(status)


def _asker(
    local: LocalRun, stream: TextIO, view: View, say: Callable[[str], None]
) -> Callable[[], Coroutine[Any, Any, None]] | None:
    """Return what asks on the terminal for approvals; None: there are none, or no one is there."""
    is_asked = any(node.definition.type is NodeType.APPROVAL for node in local.plan.nodes.values())
    if not is_asked or not _has_person(stream):
        return None
    from podium.cli.ask import ask_on_terminal  # noqa: PLC0415 - few runs have approvals

    return lambda: ask_on_terminal(local, view, say)


def _has_person(stream: TextIO) -> bool:
    """Return whether a person sees what is asked there, and can answer: not in the background."""
    if sys.stdin is None or not (sys.stdin.isatty() and stream.isatty()):
        return False
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:
        return False


async def _until_end(
    local: LocalRun,
    requests: list[Request],
    view: View,
    logs: LogFiles,
    ask: Callable[[], Coroutine[Any, Any, None]] | None,
) -> None:
    loop = asyncio.get_running_loop()
    # Under nohup a hang-up is ignored, and stays so.
    signals = [each for each in _STOPPING if signal.getsignal(each) is not signal.SIG_IGN]
    for number in signals:
        loop.add_signal_handler(number, local.interrupt)
    if requests:
        local.directory.clear_cancel()  # what is asked for now is meant to run
    elif local.directory.is_cancel_requested:
        local.control(cancel=True, terminate=local.directory.is_terminate_requested)
    attending = [
        loop.create_task(view.tick()),
        loop.create_task(attend(local, logs.note_sizes, TICK_SECONDS)),
    ]
    if ask is not None:
        attending.append(loop.create_task(ask()))
    try:
        await local.run(requests)
    finally:
        for task in attending:
            task.cancel()
        for number in signals:
            loop.remove_signal_handler(number)
