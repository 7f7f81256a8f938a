"""The two shells, as the cases drive them."""

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

from podium.api.problems import InvalidError, errors
from podium.api.resources import Workflow, WorkflowRun
from podium.api.run import (
    ConditionStatus,
    RecordedAnswers,
    RunPhase,
    WorkflowRunSpec,
    WorkflowRunStatus,
)
from podium.api.source.files import parse, read_text
from podium.api.workflow import WorkflowSpec
from podium.cli.checked_file import CheckedFile, check_file
from podium.cli.child_workflows import child_workflows
from podium.engine import (
    ApprovalRequest,
    Earlier,
    Emit,
    Plan,
    Request,
    RerunRequest,
    RestoreRequest,
    check_start,
    copied_states,
    dump_status,
    initial_context,
    initial_status,
    set_condition,
    set_end,
)
from podium.kinds import Answer
from podium.local.artifact_store import sweep
from podium.local.earlier import create_from, read_earlier
from podium.local.removal import remove_run
from podium.local.shell import LocalRun
from podium.local.store import RunDirectory, RunRecord, StoreError
from tests.conformance.harness import Case

REFUSED = ("RerunRefused", "RestoreRefused", "ApprovalRefused")
PERSON, GROUPS = "alice", ("release",)
"""Who decides about approvals."""


class LaptopShell:
    """Processes of this machine, as `podium run` starts them; what a run is asked while it runs
    comes by the calls that the command line makes."""

    poll = 0.02
    address = "127.0.0.1"

    def __init__(self, directory: Path) -> None:
        self._root = directory
        self._run: LocalRun
        self._task: asyncio.Task[None] | None = None
        self._never: dict[str, Any] | None = None
        self._control = {"suspend": False, "cancel": False}
        self._asked: list[str] = []
        self._others: list[dict[str, Any]] = []
        """As the file has them now."""
        self._newer: WorkflowSpec | None = None
        self._refused: list[str] = []

    async def start(self, case: Case) -> None:
        self._root.mkdir(parents=True)
        for document in case.earlier:
            self._set_up(case, document)
            assert self._task is not None, self._never
            await self._task
        self._set_up(case, case.run)

    def _set_up(self, case: Case, document: dict[str, Any]) -> None:
        run = parse(document)
        assert isinstance(run, WorkflowRun)
        workflow_id, spec = case.name, run.spec.workflow_spec
        if spec is None:
            found = case.find("Workflow")
            assert found is not None
            workflow = parse(found)
            assert isinstance(workflow, Workflow)
            workflow_id, spec = workflow.spec.id or case.name, workflow.spec
        kinds = ("Executor", "ContractSchema", "Persona", "ModelConfig", "Workflow")
        self._others = [each for each in case.documents if each["kind"] in kinds]
        file = self._file()
        spec = file.resolved(spec)
        answers = case.find("ConfigMap")
        if answers is not None:
            (text,) = answers["data"].values()
            (self._root / "answers.yaml").write_text(text)
            run.spec.recorded_answers = RecordedAnswers(file=str(self._root / "answers.yaml"))
        try:
            inline = run.spec.workflow_spec is not None
            base = ("spec", "workflowSpec") if inline else ("spec",)
            plan = Plan.build(spec, workflow_id=workflow_id, base=base, dag=file.graph_of(spec))
        except InvalidError as problem:
            self._refuse("InvalidWorkflow", str(problem))
            return
        earlier: Earlier | None = None
        if run.spec.from_ is not None and run.spec.from_.run is not None:
            try:
                earlier = read_earlier(self._root / "state", run.spec.from_.run)
            except StoreError as error:
                message, _, _ = str(error).partition(" in ")  # its directory
                self._refuse("NothingToCopy", f"spec.from.run: {message}")
                return
        copied = {}
        if earlier is not None:
            copied = copied_states(plan, run.spec, initial_context(plan, run.spec), earlier, 1.0)
        problems = errors(check_start(plan, run.spec, copied=copied))
        if problems:
            self._refuse("InvalidContext", "; ".join(str(problem) for problem in problems))
            return
        status = initial_status(plan, 1.0, run.spec, copied)
        name = document["metadata"]["name"]
        self._begin(name, workflow_id, spec, run.spec, plan, status, earlier)

    def _begin(
        self,
        name: str,
        workflow_id: str,
        spec: WorkflowSpec,
        run: WorkflowRunSpec,
        plan: Plan,
        status: WorkflowRunStatus,
        earlier: Earlier | None,
    ) -> None:
        uid = str(uuid.uuid4())
        children = child_workflows(self._file(), spec)
        record = RunRecord(
            name, uid, 1.0, workflow_id, str(self._root), spec, run, workflows=children
        )
        directory = RunDirectory(self._root / "state", name)
        if earlier is None:
            directory.create(record, status)
        else:
            create_from(directory, record, status, earlier)
        self._control["suspend"], self._control["cancel"] = run.suspend, run.cancel
        self._go(LocalRun(directory, record, plan, status, workflows=record.workflows))

    def _file(self) -> CheckedFile:
        """Return what a definition may name, as the command line knows it."""
        listed = {"apiVersion": "v1", "kind": "List", "items": self._others}
        return check_file(read_text(json.dumps(listed)))

    def _resolved(self, spec: WorkflowSpec) -> WorkflowSpec:
        """Return a definition with what it names."""
        return self._file().resolved(spec)

    def _refuse(self, reason: str, message: str) -> None:
        """Say what a laptop tells at the terminal in the words of a status."""
        status = WorkflowRunStatus(phase=RunPhase.FAILED, reason=reason)
        set_condition(status, 1.0, "Valid", ConditionStatus.FALSE, reason, message)
        set_end(status, 1.0, RunPhase.FAILED, reason, message)
        self._never = dump_status(status)

    def _go(self, run: LocalRun, *requests: Request) -> None:
        self._run = run
        run.watch = lambda events, _changes: self._note(events)
        run.control(**self._control)
        self._task = asyncio.get_running_loop().create_task(run.run(requests))

    def _note(self, events: list[Emit]) -> None:
        self._refused += [event.message for event in events if event.reason in REFUSED]

    async def status(self) -> dict[str, Any]:
        if self._never is not None:
            return self._never
        if self._task is not None and self._task.done():
            self._task.result()
        return dump_status(self._run.status)

    async def control(self, **asked: bool) -> None:
        self._control = asked
        self._run.control(**self._control)

    async def rerun(self, request: dict[str, Any]) -> None:
        identity = uuid.uuid4().hex
        plan = context = None
        if request.get("revision") == "latest":
            assert self._newer is not None
            record = self._run.record
            plan = Plan.build(self._newer, workflow_id=record.workflow_id)
            context = initial_context(plan, record.spec)
        self._ask(
            RerunRequest(
                identity,
                tuple(request.get("nodes", ())),
                request.get("cascade", True),
                request.get("context"),
                plan,
                context,
                failed=request.get("failed", False),
            )
        )

    async def restore(self, version: int) -> None:
        self._ask(RestoreRequest(uuid.uuid4().hex, version))

    def _ask(self, request: Request) -> None:
        """Ask the run; one that ended is opened again, as `podium rerun` does."""
        self._asked.append(request.id)
        assert self._task is not None
        if not self._task.done():
            self._run.request(request)
            return
        self._task.result()
        record, status = self._run.directory.load()
        plan = Plan.build(record.workflow, workflow_id=record.workflow_id)
        run = LocalRun(self._run.directory, record, plan, status, workflows=record.workflows)
        self._go(run, request)

    async def approve(self, decision: dict[str, Any]) -> None:
        """Decide as on a cluster, where the names are verified."""
        answer = Answer(
            decision.get("decision", "Approve") == "Approve",
            PERSON,
            PERSON,
            GROUPS,
            decision.get("comment", ""),
            decision.get("values", {}),
        )
        identity = uuid.uuid4().hex
        self._ask(ApprovalRequest(identity, decision["node"], decision["executionId"], answer))

    async def apply(self, spec: dict[str, Any]) -> None:
        self._newer = self._resolved(WorkflowSpec.model_validate(spec))

    async def delete_run(self, name: str) -> None:
        remove_run(RunDirectory(self._root / "state", name))
        sweep(self._root / "state")

    async def delete_executor(self, name: str) -> None:
        self._others = [each for each in self._others if each["metadata"]["name"] != name]

    async def pending(self) -> bool:
        if self._never is not None:
            return False
        handled = self._run.status.handled_requests
        return any(identity not in handled for identity in self._asked)

    async def refused(self) -> list[str]:
        return self._refused

    async def close(self) -> None:
        if self._task is not None:
            if not self._task.done():
                self._run.interrupt()
                self._run.interrupt()
            await asyncio.gather(self._task, return_exceptions=True)
