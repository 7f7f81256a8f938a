"""Workflows: whether runs of them can start, and how many do."""

import time

from podium.api.problems import InvalidError, errors
from podium.api.reasons import RunReason
from podium.api.resources import Workflow
from podium.api.run import Condition, ConditionStatus, WorkflowStatus
from podium.api.source.files import parse
from podium.cluster.kube.client import Gateway
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.events import Recorder, Subject
from podium.cluster.kube.views import RunView, dig
from podium.cluster.watch.store import Cache, RunKey
from podium.cluster.worker import ObjectKey, Result
from podium.dag import WorkflowDAG

__all__ = ["WorkflowController"]

MESSAGE_CHARACTERS = 8000


class WorkflowController:
    """Writes the status of Workflows."""

    def __init__(self, gateway: Gateway, cache: Cache, recorder: Recorder) -> None:
        self._gateway = gateway
        self._cache = cache
        self._recorder = recorder

    async def reconcile(self, key: ObjectKey) -> Result:
        """Check a Workflow and write what is found, if it is news. Raises `ApiError`."""
        await self._reconcile((key.namespace, key.name))
        return Result()

    def failed(self, key: ObjectKey, error: Exception, wait: float | None) -> None:
        """Leave it at the log."""

    async def _reconcile(self, key: RunKey) -> None:
        if key not in self._cache.workflows:
            return
        try:
            body = await self._gateway.get_workflow(*key)
        except ApiError as error:
            if error.status == 404:
                return
            raise
        meta = body["metadata"]
        try:
            known = WorkflowStatus.model_validate(body.get("status") or {})
        except ValueError:
            known = WorkflowStatus()
        nodes, value, reason, message = _check(body)
        condition = Condition(
            type="Valid",
            status=value,
            reason=reason,
            message=message,
            last_transition_time=round(time.time(), 3),
            observed_generation=meta.get("generation"),
        )
        before = next((c for c in known.conditions if c.type == "Valid"), None)
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
            return
        document = status.model_dump(mode="json", by_alias=True)
        await self._gateway.patch_workflow_status(*key, document)
        if value is ConditionStatus.FALSE and (before is None or before.message != message):
            subject = Subject("Workflow", key[0], key[1], str(meta.get("uid")))
            self._recorder.warn(subject, reason, message)

    def _runs(self, namespace: str, name: str, identifier: str) -> list[RunView]:
        """Return the runs of a Workflow, which they name by its name or its id."""
        names = {name, identifier or name}
        return [
            run
            for run in self._cache.runs.values()
            if run.namespace == namespace and run.workflow in names
        ]


def _check(body: dict[str, object]) -> tuple[int, ConditionStatus, str, str]:
    """Return the number of nodes, and the condition Valid."""
    try:
        resource = parse(body)
        assert isinstance(resource, Workflow)  # noqa: S101 - for the type checker
        problems = WorkflowDAG(resource.spec).problems()
        if errors(problems):
            raise InvalidError(problems)
    except InvalidError as invalid:
        text = "; ".join(str(problem) for problem in invalid.problems)
        nodes = dig(body, "spec", "nodes")
        count = len(nodes) if isinstance(nodes, list) else 0
        return count, ConditionStatus.FALSE, RunReason.INVALID_WORKFLOW, text[:MESSAGE_CHARACTERS]
    message = "; ".join(str(problem) for problem in problems)
    return (
        len(resource.spec.nodes),
        ConditionStatus.TRUE,
        RunReason.VALID,
        message[:MESSAGE_CHARACTERS],
    )
