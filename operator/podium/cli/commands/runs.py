"""Verbs on runs of this machine: run, resume, rerun, restore, get, logs, context."""

import asyncio
import random
import shlex
import signal
import string
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from podium.api.base import format_duration, format_time
from podium.api.names import API_VERSION, is_object_name
from podium.api.problems import errors
from podium.api.run import (
    NodeStatus,
    RecordedAnswers,
    RunPhase,
    WorkflowRunSpec,
    WorkflowRunStatus,
)
from podium.cli.commands.definitions import sound_file
from podium.cli.documents import to_json, to_yaml
from podium.cli.live import stream_for, took, view_on
from podium.cli.log_output import print_logs
from podium.cli.output import CliError, ExitCode, plain, say_problems, warn
from podium.cli.selection import choose, folder_of
from podium.cli.values import context_of
from podium.engine.codec import dump_status
from podium.engine.engine import Engine
from podium.engine.history import VersionGoneError, context_at
from podium.engine.model import Emit, Request, RerunRequest, RestoreRequest, RunInfo
from podium.engine.plan import Plan
from podium.engine.start import check_start, initial_context, initial_status
from podium.local import containers
from podium.local.environment import load_secrets
from podium.local.shell import LocalRun
from podium.local.store import RunFolder, RunRecord, StoreError, list_runs
from podium.runner import personas

__all__ = ["context", "get", "logs", "rerun", "restore", "resume", "run"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _options(*decorators: Callable[[Any], Any]) -> Callable[[_Command], _Command]:
    def decorate(command: Any) -> Any:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


_STATE_DIR = Path(".podium")
_state_dir = click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=_STATE_DIR,
    show_default=True,
    help="Where runs are kept.",
)
_json = click.option(
    "-o",
    "--output",
    type=click.Choice(["json"]),
    help="Print the WorkflowRun at the end; progress goes to standard error.",
)
_secrets = click.option(
    "--secrets",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File of secrets: SECRET: {KEY: value}. Default: the environment, by key.",
)
_context = _options(
    click.option(
        "-c",
        "--context",
        "values",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set a context key; the value is YAML 1.2: true, 3, [a, b]. a.b=1 nests.",
    ),
    click.option(
        "--context-string",
        "strings",
        multiple=True,
        metavar="KEY=TEXT",
        help="Set a context key to a text, whatever it looks like.",
    ),
    click.option(
        "--context-file", metavar="FILE", help="YAML or JSON file of context keys; -c comes after."
    ),
)


@click.command()
@click.argument("file")
@_context
@_json
@click.option(
    "--recorded",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File of recorded answers: personas take them instead of asking a model.",
)
@_secrets
@click.option("--name", metavar="WORKFLOW", help="What to run, where the file has several.")
@click.option("--run-name", metavar="NAME", help="Name of the run; default: made of the workflow's")
@click.option(
    "--workdir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder in which scripts run; default: the file's.",
)
@_state_dir
@click.option("--max-parallel", type=click.IntRange(1, 10_000), help="Nodes at the same time.")
@click.option("--fail-fast", is_flag=True, help="Let the first failure stop everything else.")
def run(
    file: str,
    values: tuple[str, ...],
    strings: tuple[str, ...],
    context_file: str | None,
    output: str | None,
    recorded: Path | None,
    secrets: Path | None,
    name: str | None,
    run_name: str | None,
    workdir: Path | None,
    state_dir: Path,
    max_parallel: int | None,
    fail_fast: bool,
) -> int:
    """Run a workflow on this machine, - for standard input."""
    chosen = choose(sound_file(file), name)
    spec = chosen.spec.model_copy(
        update={
            "context": context_of(chosen.spec.context, context_file, values, strings),
            "max_parallel": max_parallel or chosen.spec.max_parallel,
            "fail_fast": fail_fast or chosen.spec.fail_fast,
        }
    )
    if run_name is None:
        run_name = chosen.name or _new_name(chosen.prefix)
    folder = _folder(state_dir, run_name)
    answers = _recorded_file(spec, recorded, file)
    if answers is not None:
        spec.recorded_answers = RecordedAnswers(file=str(answers))
    elif chosen.answers is not None:
        spec.recorded_answers = RecordedAnswers(file=str(folder.path / "recorded.yaml"))
    plan = Plan.build(chosen.workflow, workflow_id=chosen.workflow_id)
    _check_start(plan, spec)
    if answers is not None and plan.uses_personas():
        _check_answers(answers)
    containers.check(plan)
    record = RunRecord(
        name=folder.name,
        uid=str(uuid.uuid4()),
        created_at=round(time.time(), 3),
        workflow_id=chosen.workflow_id,
        workdir=str((workdir or folder_of(file)).resolve()),
        workflow=chosen.workflow,
        spec=spec,
        secrets=None if secrets is None else str(secrets.resolve()),
        source=None if file == "-" else str(Path(file).resolve()),
        choice=name,
    )
    given = _secrets_of(record)
    status = initial_status(plan, record.created_at)
    folder.create(record, status)
    if answers is None and chosen.answers is not None:
        (folder.path / "recorded.yaml").write_text(chosen.answers)
    with folder.locked():
        return _carry_on(LocalRun(folder, record, plan, status, secrets=given), output)


def _folder(state_dir: Path, name: str) -> RunFolder:
    """Return a run's folder. Raises `CliError` if the name is none."""
    if not is_object_name(name):
        raise CliError(
            f"{name!r:.80} is no name of a run: lower-case letters, digits, - and . between them,"
            " 253 characters at most"
        )
    return RunFolder(state_dir, name)


def _new_name(prefix: str) -> str:
    ending = "".join(random.choices(string.ascii_lowercase, k=5))  # noqa: S311 - only to be another
    return f"{prefix[:240]}{ending}"


def _recorded_file(spec: WorkflowRunSpec, option: Path | None, file: str) -> Path | None:
    if option is not None:
        return option.resolve()
    if spec.recorded_answers is not None and spec.recorded_answers.file is not None:
        return (folder_of(file) / spec.recorded_answers.file).resolve()
    return None


def _check_answers(path: Path) -> None:
    try:
        personas.RecordedAnswers.load(path)
    except personas.PersonaError as error:
        raise CliError(f"--recorded: {error}") from None


def _check_start(plan: Plan, spec: WorkflowRunSpec) -> None:
    """Refuse a run that cannot start, with everything that is wrong."""
    problems = check_start(plan, spec)
    if not errors(problems):
        return
    say_problems(problems)
    if plan.spec.inputs is not None:
        given = initial_context(plan, spec)
        required = plan.spec.inputs.get("required")
        missing = [str(key) for key in required or () if key not in given]
        if missing:
            warn(f"podium: add {' '.join(f'-c {key}=…' for key in missing)}")
    raise click.exceptions.Exit(ExitCode.USAGE)


def _secrets_of(record: RunRecord) -> dict[str, dict[str, str]]:
    return {} if record.secrets is None else load_secrets(Path(record.secrets))


# Carrying a run on


def _carry_on(local: LocalRun, output: str | None, requests: Iterable[Request] = ()) -> int:
    """Run to the end, show it, and return the exit code."""
    stream = stream_for(output)
    record, status = local.record, local.status
    view = view_on(stream)

    def say(text: str) -> None:
        with suppress(BrokenPipeError):
            print(plain(text), file=stream, flush=True)

    say(f"run {record.name} of {record.workflow_id}: {_nodes(len(status.nodes))}")
    view.begin(status)
    local.watch = view.update

    async def until_end() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, local.interrupt)
        ticking = loop.create_task(view.tick())
        try:
            await local.run(requests)
        finally:
            ticking.cancel()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    try:
        asyncio.run(until_end())
    finally:
        view.close()
    for line in _summary(local):
        say(line)
    if output is not None:
        click.echo(_document_text(local.record, status, output), nl=False)
    if local.interrupted and not status.phase.ended:
        return ExitCode.INTERRUPTED
    return _code(status)


def _code(status: WorkflowRunStatus) -> ExitCode:
    if status.phase is RunPhase.SUCCEEDED:
        return ExitCode.OK
    timed_out = any(c.type == "Succeeded" and c.reason == "Timeout" for c in status.conditions)
    return ExitCode.TIMEOUT if timed_out else ExitCode.FAILED


def _summary(local: LocalRun) -> Iterable[str]:
    status, name = local.status, local.record.name
    root = local.folder.path.parent.parent
    default = root == _STATE_DIR.absolute()
    where = "" if default else f" --state-dir {shlex.quote(_short(root))}"
    yield ""
    if not status.phase.ended:
        yield f"Interrupted: what ran was stopped. Go on with: podium resume {name}{where}"
        return
    why = next((c.message for c in status.conditions if c.type == "Succeeded" and c.message), "")
    yield f"{status.phase.value} in {status.duration}" + (f": {why}" if why else "")
    failed = [n for n, s in status.nodes.items() if s.status is NodeStatus.FAILED]
    for node in failed[:10]:
        state = status.nodes[node]
        message = " ".join(state.message.split())
        yield f"  {node}: {state.reason}: {message}"
    warnings = Counter(text for s in status.nodes.values() for text in s.warnings)
    for text, number in warnings.most_common(5):
        yield f"  warning of {_nodes(number)}: {text}"
    yield f"outputs: podium get {name} -o yaml{where}"
    yield f"logs:    podium logs {name}{f' {failed[0]}' if failed else ''}{where}"
    yield f"files:   {_short(local.folder.path)}"
    if failed:
        yield f"again:   podium rerun {name} --node {','.join(failed[:10])}{where}"


def _nodes(number: int) -> str:
    return "1 node" if number == 1 else f"{number} nodes"


def _short(path: Path) -> str:
    with suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


# Runs that are there


def _open(state_dir: Path, name: str) -> tuple[RunFolder, RunRecord, WorkflowRunStatus]:
    folder = _folder(state_dir, name)
    return folder, *folder.load()


def _plan(record: RunRecord) -> Plan:
    return Plan.build(record.workflow, workflow_id=record.workflow_id)


@click.command()
@click.argument("name", metavar="RUN")
@_json
@_state_dir
def resume(name: str, output: str | None, state_dir: Path) -> int:
    """Go on with a run that was interrupted or killed; what still runs is found again."""
    folder = _folder(state_dir, name)
    folder.load()
    with folder.locked():
        record, status = folder.load()
        if status.phase.ended:
            print(
                f"run {name} has ended: {status.phase.value}; run nodes again with podium rerun",
                file=stream_for(output),
            )
            if output is not None:
                click.echo(_document_text(record, status, output), nl=False)
            return _code(status)
        plan = _plan(record)
        containers.check(plan)
        local = LocalRun(folder, record, plan, status, secrets=_secrets_of(record))
        return _carry_on(local, output)


@click.command()
@click.argument("name", metavar="RUN")
@click.option("--node", "nodes", multiple=True, metavar="N[,M]", help="Nodes to run again.")
@click.option("--no-cascade", is_flag=True, help="Leave what comes after as it is, marked stale.")
@click.option("--latest", is_flag=True, help="Move to the definition as its file has it now.")
@click.option("--dry-run", is_flag=True, help="Only print what would run again.")
@_context
@_json
@_secrets
@_state_dir
def rerun(
    name: str,
    nodes: tuple[str, ...],
    no_cascade: bool,
    latest: bool,
    dry_run: bool,
    values: tuple[str, ...],
    strings: tuple[str, ...],
    context_file: str | None,
    output: str | None,
    secrets: Path | None,
    state_dir: Path,
) -> int:
    """Run nodes of a run again and, unless told otherwise, all that comes after them."""
    chosen = tuple(dict.fromkeys(n.strip() for text in nodes for n in text.split(",") if n.strip()))
    if not chosen and not latest:
        raise CliError("say what to run again: --node N, or --latest for what changed in the file")
    if latest and no_cascade:
        raise CliError("--latest runs what changed and all after it: leave out --no-cascade")
    folder = _folder(state_dir, name)
    folder.load()
    with folder.locked():
        record, status = folder.load()
        if secrets is not None:
            record = replace(record, secrets=str(secrets.resolve()))
        plan = _plan(record)
        newer = _latest(record) if latest else None
        current = context_at(status, initial_context(newer or plan, record.spec))["context"]
        edited = context_of(current, context_file, values, strings)
        changed = {k: v for k, v in edited.items() if k not in current or current[k] != v}
        request = RerunRequest(
            id=str(uuid.uuid4()),
            nodes=chosen,
            cascade=not no_cascade,
            context=changed or None,
            plan=newer,
            initial_context=None if newer is None else initial_context(newer, record.spec),
        )
        _check_request(folder, plan, request)
        if dry_run:
            for line in _again(plan, status, request):
                click.echo(plain(line))
            return ExitCode.OK
        if newer is not None and newer.digest == plan.digest and not chosen:
            print(f"{record.source} has not changed", file=stream_for(output))
            return _code(status)
        containers.check(newer or plan)
        local = LocalRun(folder, record, plan, status, secrets=_secrets_of(record))
        return _carry_on(local, output, [request])


def _latest(record: RunRecord) -> Plan:
    """Compile the definition as its file has it now."""
    if record.source is None:
        raise CliError("--latest: this run's definition came from standard input, not from a file")
    chosen = choose(sound_file(record.source), record.choice)
    if chosen.workflow_id != record.workflow_id:
        raise CliError(
            f"--latest: {record.source} now has the workflow {chosen.workflow_id}, not"
            f" {record.workflow_id}: run it anew"
        )
    plan = Plan.build(chosen.workflow, workflow_id=record.workflow_id)
    _check_start(plan, record.spec)
    return plan


def _check_request(folder: RunFolder, plan: Plan, request: Request) -> None:
    """Raise `CliError` if a request would be refused: the engine is asked, on a copy."""
    record, status = folder.load()
    engine = Engine(
        plan, RunInfo(record.name, record.uid), initial_context(plan, record.spec), status
    )
    for action in engine.step(time.time(), requests=[request]):
        if isinstance(action, Emit) and action.reason in ("RerunRefused", "RestoreRefused"):
            raise CliError(action.message)


def _affected(plan: Plan, request: RerunRequest) -> list[str]:
    """Return the nodes that a re-run takes back, in the definition's order."""
    after = request.plan or plan
    again = set(request.nodes)
    if request.plan is not None:
        again |= {
            node.id
            for node in after.nodes.values()
            if node.id not in plan.nodes or plan.nodes[node.id].digest != node.digest
        }
    if request.cascade:
        again |= {below for node in again for below in after.dag.descendants(node)}
    return [node for node in after.nodes if node in again]


def _again(plan: Plan, status: WorkflowRunStatus, request: RerunRequest) -> Iterable[str]:
    affected = _affected(plan, request)
    width = max((len(node) for node in affected), default=0)
    yield f"{len(affected)} of {len((request.plan or plan).nodes)} nodes would be run again:"
    for node in affected:
        state = status.nodes.get(node)
        yield f"  {node:<{width}}  {'new' if state is None else state.status.value}"
    if request.plan is not None:
        for node in plan.nodes:
            if node not in request.plan.nodes:
                yield f"  {node}  would be removed"


@click.command()
@click.argument("name", metavar="RUN")
@click.option("--version", type=click.IntRange(0), required=True, help="The context version.")
@_json
@_state_dir
def restore(name: str, version: int, output: str | None, state_dir: Path) -> int:
    """Take a run back to a context version, and run again what came after it."""
    folder = _folder(state_dir, name)
    folder.load()
    with folder.locked():
        record, status = folder.load()
        plan = _plan(record)
        request = RestoreRequest(id=str(uuid.uuid4()), version=version)
        _check_request(folder, plan, request)
        containers.check(plan)
        local = LocalRun(folder, record, plan, status, secrets=_secrets_of(record))
        return _carry_on(local, output, [request])


# Looking at runs


def _document(record: RunRecord, status: WorkflowRunStatus) -> dict[str, Any]:
    """Return a run as the API server has runs."""
    return {
        "apiVersion": API_VERSION,
        "kind": "WorkflowRun",
        "metadata": {
            "name": record.name,
            "uid": record.uid,
            "creationTimestamp": format_time(int(record.created_at)),
        },
        "spec": record.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        "status": dump_status(status),
    }


def _document_text(record: RunRecord, status: WorkflowRunStatus, output: str) -> str:
    return _text(_document(record, status), output)


def _text(document: Any, output: str) -> str:
    if output == "yaml":
        return to_yaml(document)
    return to_json(document) + "\n"


_either = click.option("-o", "--output", type=click.Choice(["json", "yaml"]), help="The whole.")


@click.command()
@click.argument("name", metavar="[RUN]", required=False)
@_either
@_state_dir
def get(name: str | None, output: str | None, state_dir: Path) -> None:
    """List the runs of this machine, or show one with its nodes."""
    if name is not None:
        folder, record, status = _open(state_dir, name)
        if output is not None:
            click.echo(_document_text(record, status, output), nl=False)
            return
        _print_table([_HEADER, _row(folder, record, status)])
        click.echo()
        _print_table(_node_rows(status))
        return
    found = []
    for each in list_runs(state_dir):
        try:
            found.append(_open(state_dir, each))
        except StoreError as error:
            warn(f"podium: {error}")
    if output is not None:
        items = [_document(record, status) for _, record, status in found]
        document = {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}
        click.echo(_text(document, output), nl=False)
    elif found:
        _print_table([_HEADER, *(_row(*each) for each in found)])
    else:
        warn(f"no runs in {state_dir}")


_HEADER = ("NAME", "WORKFLOW", "PHASE", "PROGRESS", "CURRENT", "DURATION", "AGE")


def _row(folder: RunFolder, record: RunRecord, status: WorkflowRunStatus) -> tuple[str, ...]:
    phase = status.phase.value
    if not status.phase.ended and not folder.is_held:
        phase = "Interrupted"
    return (
        record.name,
        record.workflow_id,
        phase,
        status.progress,
        status.current,
        status.duration or "",
        format_duration(max(0.0, time.time() - record.created_at)),
    )


def _node_rows(status: WorkflowRunStatus) -> Iterable[tuple[str, ...]]:
    yield "NODE", "STATUS", "REASON", "TRIES", "DURATION"
    now = time.time()
    for node, state in status.nodes.items():
        word = f"{state.status.value} (stale)" if state.stale else state.status.value
        yield node, word, state.reason, str(state.execution_count), took(state, now)


def _print_table(rows: Iterable[tuple[str, ...]]) -> None:
    lines = [[plain(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in lines) for column in range(len(lines[0]))]
    for row in lines:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        click.echo("   ".join(cells).rstrip())


@click.command()
@click.argument("name", metavar="RUN")
@click.argument("node", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
@_state_dir
def logs(name: str, node: str | None, follow: bool, state_dir: Path) -> None:
    """Print what the programs of a run wrote, each node's latest execution."""
    folder, record, status = _open(state_dir, name)
    known = [each.id for each in record.workflow.nodes]
    if node is not None and node not in known:
        raise CliError(f"run {name} has no node {node!r:.80}: nodes are {', '.join(known[:10])}")
    if node is not None and not follow and not status.nodes[node].execution_count:
        raise CliError(f"node {node} has not started: it is {status.nodes[node].status.value}")
    with suppress(KeyboardInterrupt):
        print_logs(folder, known if node is None else [node], follow=follow, named=node is None)


@click.command()
@click.argument("name", metavar="RUN")
@click.option("--version", type=click.IntRange(0), help="Which version; default: the latest.")
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), default="yaml")
@_state_dir
def context(name: str, version: int | None, output: str, state_dir: Path) -> None:
    """Print the context of a run and the outputs of its nodes, also as they once were."""
    _, record, status = _open(state_dir, name)
    try:
        found = context_at(status, initial_context(_plan(record), record.spec), version)
    except VersionGoneError as error:
        raise CliError(str(error)) from None
    click.echo(_text(found, output), nl=False)
