"""The first status of a run, or why it must not begin."""

import time
from collections.abc import Iterable
from typing import Any

from podium.api.problems import Problem
from podium.api.reasons import RunReason
from podium.api.resources import WorkflowRun
from podium.api.run import NodeState, Requester, WorkflowRunStatus
from podium.cluster.kube.views import RunView
from podium.cluster.runs.earlier_runs import EarlierRunError, EarlierRuns
from podium.cluster.runs.requests import requester
from podium.cluster.runs.run_spec import hash_of_spec
from podium.cluster.runs.unstarted import UnstartedRuns
from podium.cluster.settings import Settings
from podium.engine import Plan, check_start, copied_states_in_slices, initial_status_in_slices
from podium.judge.reader import Reader
from podium.judge.slices import in_slices

__all__ = ["Beginning"]

RECORDED_NOT_ALLOWED = (
    "spec.recordedAnswers: recorded answers are disabled on this cluster (allowRecordedAnswers):"
    " leave them out"
)
PARTS_NOT_ALLOWED = (
    "spec.only, spec.until, spec.from: this cluster runs workflows as they were approved, as a"
    " whole (allowInlineWorkflows: false): leave them out"
)


class Beginning:
    """Makes the first statuses of runs."""

    def __init__(
        self,
        reader: Reader,
        unstarted: UnstartedRuns,
        earlier: EarlierRuns,
        settings: Settings,
    ) -> None:
        self._reader = reader
        self._unstarted = unstarted
        self._earlier = earlier
        self._settings = settings

    async def status(
        self,
        view: RunView,
        body: dict[str, Any],
        resource: WorkflowRun,
        plan: Plan,
        context: dict[str, Any],
        problems: Iterable[Problem],
        known: dict[str, Any],
    ) -> WorkflowRunStatus | None:
        """Return the first status of a run; None: it must not begin, which its status says now.

        `problems` are those of its context, which is version 0. Raises `ApiError`, `JudgeError`.
        """
        spec = resource.spec
        if spec.recorded_answers and not self._settings.allows_recorded_answers:
            reason = RunReason.RECORDED_ANSWERS_NOT_ALLOWED
            await self._unstarted.fail(body, reason, RECORDED_NOT_ALLOWED, known)
            return None
        if (spec.only or spec.until or spec.from_) and not self._settings.allows_parts:
            reason = RunReason.PARTS_NOT_ALLOWED
            await self._unstarted.fail(body, reason, PARTS_NOT_ALLOWED, known)
            return None
        now = round(time.time(), 3)
        copied: dict[str, NodeState] = {}
        if spec.from_ is not None and spec.from_.run is not None:
            try:
                earlier = await self._earlier.read(view.namespace, spec.from_.run, plan)
            except EarlierRunError as error:
                message = f"spec.from.run: {error}"
                await self._unstarted.fail(body, RunReason.NOTHING_TO_COPY, message, known)
                return None
            work = copied_states_in_slices(plan, spec, context, earlier, now)
            copied = await in_slices(work)
        found = check_start(plan, spec, context_problems=problems, copied=copied)
        if found:
            text = "; ".join(str(problem) for problem in found)
            await self._unstarted.fail(body, RunReason.INVALID_CONTEXT, text, known)
            return None
        status = await in_slices(initial_status_in_slices(plan, now, spec, copied))
        status.spec_hash = await hash_of_spec(self._reader, body)
        if plan.keeps_artifacts or status.artifacts_of:
            status.artifact_store = self._settings.location_of(plan.spec.pinned_store)
        if self._settings.artifacts.keeps_logs(view.namespace):
            status.log_store = self._settings.location_of(None)
        if name := requester(view.annotations):
            verified = self._settings.requesters_are_verified
            status.requested_by = Requester(name=name, verified=verified)
        return status
