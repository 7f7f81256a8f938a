"""The loop of a laptop run: step the engine, carry its actions out, keep its state."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from podium.api.run import WorkflowRunStatus
from podium.api.workflow import WorkflowSpec
from podium.engine import (
    Changes,
    Control,
    Emit,
    Engine,
    Launch,
    Observation,
    Plan,
    Request,
    RunInfo,
    Stop,
    WakeAt,
    initial_context,
)
from podium.local.commands import Commands
from podium.local.executions import Executions
from podium.local.outcomes import OUTPUT_LIMIT
from podium.local.store import RunDirectory, RunRecord

if TYPE_CHECKING:
    from podium.local.child_runs import ChildRuns

__all__ = ["OUTPUT_LIMIT", "LocalRun"]


@dataclass(slots=True)
class Below:
    """The child runs below a run."""

    count: int = 0
    """Those that this podium made."""


_BEAT_SECONDS = 2.0
"""How closely it is known when a podium that was killed last worked on its run."""


class LocalRun:
    """One run on this machine.

    `watch` is called after each step that changed something, with the events and the changes.
    `passed` are variables that programs get in addition to what they inherit, `workflows` the
    Workflows that nodes may run as child runs, by name.
    """

    def __init__(
        self,
        directory: RunDirectory,
        record: RunRecord,
        plan: Plan,
        status: WorkflowRunStatus,
        *,
        secrets: Mapping[str, Mapping[str, str]] | None = None,
        passed: Mapping[str, str] | None = None,
        workflows: Mapping[str, WorkflowSpec] | None = None,
        watch: Callable[[list[Emit], Changes], None] = lambda _events, _changes: None,
    ) -> None:
        self.directory = directory
        self.record = record
        self.plan = plan
        self.below = Below()
        """Shared with the runs below it."""
        self.passed = passed or {}
        self.workflows = dict(workflows or {})
        self._commands = Commands(directory, record, secrets or {}, self.passed)
        self.watch = watch
        info = RunInfo(
            name=record.name,
            uid=record.uid,
            max_parallel=record.spec.max_parallel,
            fail_fast=record.spec.fail_fast,
            recorded=record.spec.recorded_answers is not None,
            limits=record.spec.limits,
        )
        _leave_out_gap(status, directory.last_beat)
        self.engine = Engine(plan, info, initial_context(plan, record.spec), status)
        self._control = Control()
        self._requests: list[Request] = []
        self.saved_requests = status.handled_requests
        """Ids of the requests whose outcome is kept."""
        self._interrupted = False
        self._seen: asyncio.Queue[Observation | BaseException | None] = asyncio.Queue()
        """None: look at what is asked. An exception: the run cannot go on."""
        self.executions = Executions(directory, self._commands, self.engine, self._seen.put_nowait)
        self.executions.make_children = self._make_children

    def _make_children(self) -> "ChildRuns":
        from podium.local.child_runs import ChildRuns  # noqa: PLC0415 - few runs have some

        children = ChildRuns(self, self._seen.put_nowait)
        children.control(self._control)
        return children

    @property
    def secrets(self) -> Mapping[str, Mapping[str, str]]:
        """Values by secret and key."""
        return self._commands.secrets

    @secrets.setter
    def secrets(self, values: Mapping[str, Mapping[str, str]]) -> None:
        self._commands.secrets = values

    @property
    def status(self) -> WorkflowRunStatus:
        """The run's status."""
        return self.engine.status

    @property
    def interrupted(self) -> bool:
        """Whether it was asked to leave the run as it is."""
        return self._interrupted

    def interrupt(self) -> None:
        """End what runs and leave the run to be resumed; asked again: at once."""
        if self._interrupted:
            self.executions.kill()
        self._interrupted = True
        self._seen.put_nowait(None)

    def control(
        self, *, suspend: bool = False, cancel: bool = False, terminate: bool = False
    ) -> None:
        """Ask for what the fields of these names in a run's spec ask for on a cluster."""
        self._control = Control(suspend=suspend, cancel=cancel, terminate=terminate)
        if self.executions.children is not None:
            self.executions.children.control(self._control)
        self._seen.put_nowait(None)

    def request(self, request: Request) -> None:
        """Ask for a re-run or a restore."""
        self._requests.append(request)
        self._seen.put_nowait(None)

    async def run(self, requests: Iterable[Request] = ()) -> None:
        """Run to the end, or until interrupted; then what runs is stopped, to be resumed."""
        self._requests += requests
        beating = asyncio.get_running_loop().create_task(self._beat())
        try:
            seen = await self.executions.adopt()
            while True:
                wake = await self._turn(seen)
                over = self.status.phase.ended and not self.executions.tasks and not self._requests
                if over or self._interrupted:
                    return
                seen = await self._next(wake)
        finally:
            beating.cancel()
            await self.executions.close()
            self.directory.beat()

    async def _beat(self) -> None:
        while True:
            self.directory.beat()
            await asyncio.sleep(_BEAT_SECONDS)

    async def _turn(self, seen: list[Observation]) -> float | None:
        """Step until nothing more is to be launched; return when to look again."""
        wake = None
        events: list[Emit] = []
        while True:
            actions = self.engine.step(
                time.time(), observations=seen, requests=self._requests, control=self._control
            )
            handled = self.status.handled_requests
            self._requests = [asked for asked in self._requests if asked.id not in handled]
            launches = [action for action in actions if isinstance(action, Launch)]
            for action in actions:
                if isinstance(action, Stop):
                    self.executions.stop(action)
                elif isinstance(action, Emit):
                    events.append(action)
                elif isinstance(action, WakeAt):
                    wake = action.at
            if launches:
                await self.executions.programs.ready()
            launched = [await self.executions.launch(each) for each in launches]
            seen = [each for each in launched if each is not None]
            if not seen:
                break
        changes = self.engine.take_changes()
        if changes:
            self.directory.save(self.status, changes, self._migrated())
            self.saved_requests = self.status.handled_requests
        if changes or events:
            self.watch(events, changes)
        return wake

    def _migrated(self) -> RunRecord | None:
        """Return the run's record if a re-run moved it to a newer definition."""
        if self.engine.plan is self.plan:
            return None
        self.plan = self.engine.plan
        self.record = replace(self.record, workflow=self.plan.spec)
        return self.record

    async def _next(self, wake: float | None) -> list[Observation]:
        timeout = None if wake is None else max(0.0, wake - time.time())
        try:
            async with asyncio.timeout(timeout):
                seen = [await self._seen.get()]
        except TimeoutError:
            return []
        while not self._seen.empty():
            seen.append(self._seen.get_nowait())
        for each in seen:
            if isinstance(each, BaseException):
                raise each
        return [each for each in seen if isinstance(each, Observation)]


def _leave_out_gap(status: WorkflowRunStatus, last_beat: float | None) -> None:
    """Move the run's deadline by the time in which no podium worked on the run (semantics.md 5)."""
    if last_beat is None or status.phase.ended:
        return
    gap = max(0.0, time.time() - last_beat)
    if status.deadline is not None:
        status.deadline = round(status.deadline + gap, 3)
    if status.active_since is not None:
        status.active_since = round(status.active_since + gap, 3)
