"""podium logs."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click

from podium.api.run import NodeState, NodeStatus, WorkflowRunStatus
from podium.cli.child_runs import require_own_log
from podium.cli.describe import copied_text
from podium.cli.items import is_item, require_node, state_of
from podium.cli.log_output import LogOptions, print_logs
from podium.cli.members import is_of, needed
from podium.cli.options import log_options, require_one_log, run_argument, state_dir_option
from podium.cli.output import CliError, ExitCode
from podium.cli.session import OpenRun, open_run
from podium.local.processes import alive
from podium.local.secrets import (
    Mask,
    SecretsError,
    known_values,
    load_secrets,
    running_values,
    secret_variables,
)
from podium.local.store import RunDirectory

__all__ = ["logs"]

_NOTHING = NodeState(status=NodeStatus.COMPLETED)
"""Of an item that has no state of its own any more."""


@click.command()
@run_argument
@click.argument("node", required=False)
@log_options
@state_dir_option
def logs(
    name: str,
    node: str | None,
    follow: bool,
    tail: int | None,
    timestamps: bool,
    execution: str | None,
    previous: bool,
    state_dir: Path,
) -> int:
    """Print the logs of a run's nodes, or of one node.

    Of each node, the log of its newest execution; they come in the order in which these started.
    Values of secrets are masked.
    """
    run = open_run(state_dir, name)
    require_one_log(follow=follow, execution=execution, previous=previous)
    if node is not None:
        require_own_log(node, require_node(name, run.status, node))
    found = _executions(run, node)
    if execution is not None:
        shown = [_chosen(run, found, node, execution)]
    else:
        shown = _one_of_each(run, found, 1 if previous else 0)
        if node is not None and not shown and not follow:
            raise CliError(_nothing_to_show(run, node, found))
    options = LogOptions(
        named=execution is None and (node is None or len(found) > 1),
        timestamps=timestamps,
        tail=tail,
        mask=_mask_for(run),
    )
    if not follow:
        print_logs(run.directory, shown, options)
        return ExitCode.OK
    before = set(run.directory.executions())
    try:
        if execution is not None:
            directory = run.directory.execution(execution)
            print_logs(run.directory, shown, options, goes_on=lambda: alive(directory))
        else:
            print_logs(
                run.directory,
                shown,
                options,
                newer=lambda: _newer(run.directory, before, node),
                goes_on=_Going(run.directory, node),
            )
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return ExitCode.OK


def _executions(run: OpenRun, node: str | None) -> dict[str, list[str]]:
    """Return the executions of each node, or of one, the newest first."""
    found: dict[str, list[str]] = {
        name: [] for name in needed(run.status.nodes) if is_of(name, node)
    }
    if node is not None:
        found.setdefault(node, [])
    for execution in run.directory.executions():
        name = execution.rpartition("-")[0]
        if is_item(name) and is_of(name, node) and state_of(run.status, name) is not None:
            found.setdefault(name, [])
        if name in found:
            found[name].append(execution)
    for executions in found.values():
        executions.sort(key=_number, reverse=True)
    return found


def _number(execution: str) -> int:
    number = execution.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def _one_of_each(run: OpenRun, found: dict[str, list[str]], place: int) -> list[str]:
    chosen = [executions[place] for executions in found.values() if len(executions) > place]
    return sorted(chosen, key=lambda execution: _began(run, execution))


def _began(run: OpenRun, execution: str) -> float:
    """Return when an execution started."""
    state = run.status.nodes.get(execution.rpartition("-")[0], _NOTHING)
    times = {record.execution_id: record.started_at for record in state.history}
    if state.execution_id is not None:
        times[state.execution_id] = state.started_at
    if (time := times.get(execution)) is not None:
        return time
    try:
        return (run.directory.execution(execution) / "input.json").stat().st_mtime
    except OSError:
        return 0.0


def _chosen(run: OpenRun, found: dict[str, list[str]], node: str | None, execution: str) -> str:
    known = [each for executions in found.values() for each in executions]
    if execution not in known:
        subject = f"run {run.record.name}" if node is None else f"node {node}"
        shown = ", ".join(known[:10]) or "none so far"
        raise CliError(f"{subject} has no execution {execution!r:.80}: executions are {shown}")
    return execution


def _nothing_to_show(run: OpenRun, node: str, found: dict[str, list[str]]) -> str:
    if found[node]:
        return f"node {node} has no execution before {found[node][0]}"
    if any(found.values()):
        what = "item" if run.status.nodes[node].items is not None else "member"
        return f"no {what} of {node} has an execution before its newest one"
    state = require_node(run.record.name, run.status, node)
    if copied := copied_text(run.status, node, state):
        return copied
    if state.execution_id is not None:
        return f"the log of node {node} ({state.execution_id}) was removed from this machine"
    return f"node {node} has not started: it is {state.status.value}"


def _mask_for(run: OpenRun) -> Callable[[str], Mask]:
    variables = secret_variables(run.record.workflow)
    secrets: dict[str, dict[str, str]] = {}
    if run.record.secrets is not None:
        with suppress(SecretsError):  # the file is gone: what has ended is masked in its log
            secrets = load_secrets(Path(run.record.secrets))
    values = known_values(variables, secrets)
    names = {variable.name for variable in variables}

    def mask(execution: str) -> Mask:
        if not names:
            return Mask(())
        return Mask([*values, *running_values(run.directory.execution(execution), names)])

    return mask


def _newer(directory: RunDirectory, before: set[str], node: str | None) -> list[str]:
    """Return the executions that were started since."""
    new = [each for each in directory.executions() if each not in before]
    return [each for each in new if is_of(each.rpartition("-")[0], node)]


class _Going:
    """Returns whether more may come: the run goes on, and so does the node if there is one."""

    def __init__(self, directory: RunDirectory, node: str | None) -> None:
        self._directory = directory
        self._node = node
        self._size = -1
        self._status: WorkflowRunStatus | None = None

    def __call__(self) -> bool:
        if not self._directory.is_held:
            return False
        if self._node is None:
            return True
        size = self._directory.log_size
        if size != self._size:
            self._size, self._status = size, self._directory.load()[1]
        state = None if self._status is None else state_of(self._status, self._node)
        return state is None or not state.status.ended
