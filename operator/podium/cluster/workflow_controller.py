"""Workflows: whether runs of them can start, and how many do."""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from podium.api.problems import InvalidError
from podium.api.reasons import RunReason
from podium.api.run import Condition, ConditionStatus, WorkflowStatus
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError, UnreadableError
from podium.cluster.kube.events import Recorder, Subject
from podium.cluster.kube.views import RunView, dig
from podium.cluster.runs.executor_resolver import ExecutorResolver
from podium.cluster.turns import GroupSlots
from podium.cluster.watch.store import InformerCache, RunKey
from podium.cluster.worker import ObjectKey, Result
from podium.judge.executors import names_others
from podium.judge.pool import OverBudgetError
from podium.judge.reader import Reader

__all__ = ["WorkflowController"]

MESSAGE_CHARACTERS = 8000
EXECUTOR_SECONDS = 60.0
"""After so long, up to twice that, executors that a Workflow names are looked at again."""
IN_HAND = 3
"""Workflows of a namespace that are checked at a time: each may be 20 MB meanwhile."""


class WorkflowController:
    """Writes the status of Workflows."""

    def __init__(
        self,
        client: KubernetesClient,
        cache: InformerCache,
        recorder: Recorder,
        reader: Reader,
        executors: ExecutorResolver,
        appeared: Callable[[str], None],
    ) -> None:
        """`appeared` hears of the namespace of a Workflow whose id became known."""
        self._client = client
        self._cache = cache
        self._recorder = recorder
        self._reader = reader
        self._appeared = appeared
        self._executors = executors
        self._in_hand = GroupSlots(IN_HAND)

    async def reconcile(self, key: ObjectKey) -> Result:
        """Check a Workflow and write what is found, if it is news. Raises `ApiError`."""
        async with self._in_hand.slot(key.namespace):
            names_others = await self._reconcile((key.namespace, key.name))
        return Result(EXECUTOR_SECONDS * (1 + random.random()) if names_others else None)  # noqa: S311 - only to spread them

    def failed(self, key: ObjectKey, error: Exception, wait: float | None) -> None:
        """Leave it at the log."""

    async def _reconcile(self, key: RunKey) -> bool:
        """Return whether it names other resources: these may change meanwhile."""
        if key not in self._cache.workflows:
            return False
        try:
            body = await self._client.get_workflow(*key)
        except UnreadableError as error:
            await self._refuse_unreadable(key, error.problem)
            return False
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        meta = body["metadata"]
        has_others = names_others(body.get("spec"))
        before_it = self._cache.workflows.get(key)
        view = self._cache.put_workflow(body)
        if view is not None and view.id and (before_it is None or before_it.id != view.id):
            self._appeared(key[0])
        try:
            known = WorkflowStatus.model_validate(body.get("status") or {})
        except ValueError:
            known = WorkflowStatus()
        before = next((c for c in known.conditions if c.type == "Valid"), None)
        is_known = before is not None and before.observed_generation == meta.get("generation")
        if before is not None and is_known and not has_others:
            # As it was found: what was too expensive is not tried again before it changes.
            nodes, value = known.nodes, before.status
            reason, message = before.reason, before.message
        else:
            nodes, value, reason, message = await self._check(key[0], body)
        condition = Condition(
            type="Valid",
            status=value,
            reason=reason,
            message=message,
            last_transition_time=round(time.time(), 3),
            observed_generation=meta.get("generation"),
        )
        if before is not None and before.status is value:
            condition.last_transition_time = before.last_transition_time
        runs = self._runs(key[0], key[1], str(dig(body, "spec", "id") or ""))
        status = WorkflowStatus(
            observed_generation=meta.get("generation"),
            conditions=[condition, *(c for c in known.conditions if c.type != "Valid")],
            nodes=nodes,
            runs=len(runs),
            active_runs=sum(not run.ended for run in runs),
        )
        if status == known:
            return has_others
        document = status.model_dump(mode="json", by_alias=True)
        await self._client.patch_workflow_status(*key, document)
        self._cache.put_workflow({**body, "status": document})
        if value is ConditionStatus.FALSE and (before is None or before.message != message):
            subject = Subject("Workflow", key[0], key[1], str(meta.get("uid")))
            self._recorder.warn(subject, reason, message)
        return has_others

    async def _refuse_unreadable(self, key: RunKey, message: str) -> None:
        """Write that a Workflow is larger than it can be read, once."""
        view = self._cache.workflows[key]
        if view.observed_generation == view.generation:
            return
        condition = Condition(
            type="Valid",
            status=ConditionStatus.FALSE,
            reason=RunReason.TOO_EXPENSIVE,
            message=message,
            last_transition_time=round(time.time(), 3),
            observed_generation=view.generation,
        )
        status = WorkflowStatus(observed_generation=view.generation, conditions=[condition])
        with suppress(UnreadableError):  # so is the answer, and it was written
            document = status.model_dump(mode="json", by_alias=True, exclude_unset=True)
            await self._client.patch_workflow_status(*key, document)
        self._cache.workflows[key] = replace(view, observed_generation=view.generation)
        self._recorder.warn(Subject("Workflow", *key, view.uid), RunReason.TOO_EXPENSIVE, message)

    async def _check(
        self, namespace: str, body: dict[str, Any]
    ) -> tuple[int, ConditionStatus, str, str]:
        """Return the number of nodes, and the condition Valid."""
        parts = (dig(body, "spec", "nodes"), dig(body, "spec", "finally"))
        count = sum(len(nodes) for nodes in parts if isinstance(nodes, list))
        value = ConditionStatus.FALSE
        try:
            executors = await self._executors.resolve(namespace, body.get("spec"))
            checked = await self._reader.check(body, asker=namespace, executors=executors)
        except InvalidError as invalid:
            reason = RunReason.INVALID_WORKFLOW
            message = "; ".join(str(problem) for problem in invalid.problems)
        except OverBudgetError as error:
            reason = RunReason.TOO_EXPENSIVE
            message = (
                f"spec: to check the definition {error}: make it smaller, or its schemas simpler"
            )
        else:
            count, value, reason = checked.nodes, ConditionStatus.TRUE, RunReason.VALID
            message = "; ".join(str(problem) for problem in checked.problems)
        return count, value, reason, message[:MESSAGE_CHARACTERS]

    def _runs(self, namespace: str, name: str, identifier: str) -> list[RunView]:
        """Return the runs of a Workflow, which they name by its name or its id."""
        names = {name, identifier or name}
        return [
            run
            for run in self._cache.runs.values()
            if run.namespace == namespace and run.workflow in names
        ]
