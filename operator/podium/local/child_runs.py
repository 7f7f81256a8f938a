"""Child runs of a laptop run: each is a run of its own, with a directory of its own.

The same podium works on it, beside its parent. Its name follows from the execution that it carries
out: after a crash the parent finds it, and it goes on where it was.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from podium.api.child_runs import MAX_BELOW, MAX_DEPTH, Parent, too_deep, too_many_below
from podium.api.problems import errors
from podium.api.reasons import NodeReason, RunReason
from podium.api.run import RunPhase, WorkflowReference, WorkflowRunSpec
from podium.api.workflow import WorkflowSpec
from podium.engine import (
    AttemptPhase,
    Changes,
    ChildState,
    Control,
    Emit,
    Launch,
    Observation,
    Plan,
    Stop,
    check_start,
    child_state,
    initial_status,
    not_started,
    observe_child,
)
from podium.local.attending import attend
from podium.local.child_names import child_directory, children_of
from podium.local.run_record import RunRecord
from podium.local.store import RunDirectory, StoreError

if TYPE_CHECKING:
    from podium.local.shell import LocalRun

__all__ = ["ChildRuns", "find_workflow"]


Taken = tuple[Observation, Coroutine[Any, Any, None] | None]
"""What is known of a child, and what carries it out; None: nothing is left to do."""


@dataclass(slots=True)
class _Child:
    node: str
    run: "LocalRun"
    is_stopping: bool = False
    shown: tuple[str, str] = ("", "")
    """Phase and reason that were reported."""


def find_workflow(workflows: dict[str, WorkflowSpec], name: str) -> tuple[str, WorkflowSpec] | None:
    """Return name and definition of a Workflow, by its name or its spec.id."""
    if name in workflows:
        return name, workflows[name]
    return next((each for each in workflows.items() if each[1].id == name), None)


class ChildRuns:
    """Carries out the nodes of a run whose executor is `workflow`."""

    def __init__(
        self, run: "LocalRun", report: Callable[[Observation | BaseException | None], None]
    ) -> None:
        self._run = run
        self._report = report
        self._children: dict[str, _Child] = {}
        """By execution."""
        self._asked = Control()

    def control(self, asked: Control) -> None:
        """Pass on what is asked of the run."""
        self._asked = asked
        for child in self._children.values():
            self._pass_on(child)

    def _pass_on(self, child: _Child) -> None:
        directory, is_stopping = child.run.directory, child.is_stopping
        child.run.control(
            suspend=self._asked.suspend,
            cancel=is_stopping or directory.is_cancel_requested,
            terminate=(is_stopping and self._asked.terminate) or directory.is_terminate_requested,
        )

    def interrupt(self) -> None:
        """End what runs and leave the children to be resumed; asked again: at once."""
        for child in self._children.values():
            child.run.interrupt()

    def launch(self, launch: Launch) -> Taken:
        """Begin a child, or find it; return what is known, and what carries it out.

        Raises `StoreError`.
        """
        node, execution = launch.node, launch.execution_id
        child = self._children.get(execution)
        if child is not None:  # it was found before the engine launched it again
            name = child.run.directory.name
            return observe_child(node, execution, name, child_state(child.run.status)), None
        own = self._run.record
        depth = 1 + (own.parent.depth if own.parent is not None else 0)
        if depth > MAX_DEPTH:
            return not_started(launch, NodeReason.TOO_DEEP, too_deep(own.workflow_id)), None
        directory = self._directory(execution)
        if not directory.exists:
            if self._run.below.count >= MAX_BELOW:
                reason, message = NodeReason.TOO_MANY_CHILD_RUNS, too_many_below()
                return not_started(launch, reason, message), None
            name = launch.config["workflowRef"]["name"]
            found = find_workflow(self._run.workflows, name)
            if found is None:
                message = f"config.workflowRef.name: there is no Workflow {name!r:.80} here"
                return not_started(launch, NodeReason.CONFIG, message), None
            spec = WorkflowRunSpec(
                workflow_ref=WorkflowReference(name=name),
                context=dict(launch.config.get("context") or {}),
                recorded_answers=own.spec.recorded_answers,
            )
            plan = Plan.build(found[1], workflow_id=found[1].id or found[0])
            if problems := errors(check_start(plan, spec)):
                why = "; ".join(str(problem) for problem in problems)
                state = ChildState(
                    RunPhase.FAILED, reason=RunReason.INVALID_CONTEXT.value, message=why
                )
                return observe_child(node, execution, "", state), None
            root = own.uid if own.parent is None else own.parent.top
            parent = Parent(own.name, own.uid, node, execution, depth, root)
            self._create(directory, plan, spec, parent)
            self._run.below.count += 1
        return self._take_up(node, execution, directory)

    def adopt(self, current: Mapping[str, str]) -> list[Taken]:
        """Take up the children that an earlier podium worked on. Raises `StoreError`.

        `current` are nodes by execution. Others may have been asked to stop, or were launched and
        not recorded: what the engine is told of it ends, or launches again.
        """
        found = [self._take_up(node, each, self._directory(each)) for each, node in current.items()]
        for node, execution, directory in children_of(self._run.directory, self._run.record):
            if execution not in current and directory.exists and not directory.has_ended:
                taken = self._take_up(node, execution, directory)
                if taken[1] is not None:
                    found.append(taken)
        return found

    def stop(self, stop: Stop) -> bool:
        """Have the child of an execution cancelled; False: there is none that runs."""
        child = self._children.get(stop.execution_id)
        if child is None:
            return False
        child.is_stopping = True
        self._pass_on(child)
        return True

    def _directory(self, execution: str) -> RunDirectory:
        return child_directory(self._run.directory, self._run.record, execution)

    def _create(
        self, directory: RunDirectory, plan: Plan, spec: WorkflowRunSpec, parent: Parent
    ) -> None:
        own, now = self._run.record, round(time.time(), 3)
        record = RunRecord(
            name=directory.name,
            uid=str(uuid.uuid4()),
            created_at=now,
            workflow_id=plan.workflow_id,
            workdir=own.workdir,
            workflow=plan.spec,
            spec=spec,
            secrets=own.secrets,
            env=own.env,
            env_files=own.env_files,
            kept_answers=own.kept_answers,
            parent=parent,
        )
        try:
            self._run.directory.note_child(parent.execution)
        except OSError as error:
            raise self._run.directory.unwritable(error) from None
        directory.create(record, initial_status(plan, now, spec))

    def _take_up(self, node: str, execution: str, directory: RunDirectory) -> Taken:
        name, own = directory.name, self._run.record
        try:
            record, status = directory.load()
        except StoreError:
            if directory.exists:
                raise
            return _deleted(node, execution, name), None
        parent = record.parent
        if parent is None or (parent.uid, parent.execution) != (own.uid, execution):
            message = f"the run {name} is not its child: delete that"
            taken = Observation(node, execution, AttemptPhase.FAILED, reason=NodeReason.NAME_TAKEN)
            taken.message, taken.retryable = message, False
            return taken, None
        seen = observe_child(node, execution, name, child_state(status))
        if status.phase.ended:
            return seen, None
        plan = Plan.build(record.workflow, workflow_id=record.workflow_id, is_pinned=True)
        run = type(self._run)(
            directory,
            record,
            plan,
            status,
            secrets=self._run.secrets,
            passed=self._run.passed,
            workflows=self._run.workflows,
        )
        run.below = self._run.below
        child = _Child(node, run)
        run.watch = lambda events, changes: self._changed(child, execution, events, changes)
        self._children[execution] = child
        self._pass_on(child)
        return seen, self._carry(child, execution)

    def _changed(self, child: _Child, execution: str, _: list[Emit], changes: Changes) -> None:
        status = child.run.status
        shown = (status.phase.value, status.reason)
        # That it has ended counts once nothing of it runs any more.
        if changes.run and not status.phase.ended and shown != child.shown:
            child.shown = shown
            state = child_state(status)
            self._report(observe_child(child.node, execution, child.run.directory.name, state))

    async def _carry(self, child: _Child, execution: str) -> None:
        """Run a child to its end, or until interrupted, and tell of it."""
        run = child.run
        name = run.directory.name
        try:
            with run.directory.locked():
                attending = asyncio.get_running_loop().create_task(attend(run))
                try:
                    await run.run()
                finally:
                    attending.cancel()
                    with suppress(asyncio.CancelledError):
                        await attending
                if run.status.phase.ended:
                    run.directory.clear_cancel()
        finally:
            self._children.pop(execution, None)
        if child.is_stopping:
            self._report(Observation(child.node, execution, AttemptPhase.GONE))
        elif run.status.phase.ended:
            self._report(observe_child(child.node, execution, name, child_state(run.status)))


def _deleted(node: str, execution: str, name: str) -> Observation:
    return Observation(
        node,
        execution,
        AttemptPhase.FAILED,
        reason=NodeReason.CHILD_RUN_DELETED,
        message="its child run was deleted before it had ended",
        child_run=name,
    )
