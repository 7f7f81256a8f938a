"""What is written on a run that has no engine: why it has not begun, or never will."""

import time
from typing import Any

from podium.api.reasons import RunReason
from podium.api.run import ConditionStatus, RunPhase
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ConflictError
from podium.cluster.kube.events import Recorder, Subject
from podium.cluster.kube.views import dig, run_view, text
from podium.cluster.runs.request_handler import RequestHandler
from podium.cluster.runs.shard_objects import MissingShardsError
from podium.cluster.runs.status_writer import StatusWriter, bare_status
from podium.engine import set_condition, set_end

__all__ = ["UnstartedRuns", "subject_of", "without_contents"]

MESSAGE_CHARACTERS = 8000


class UnstartedRuns:
    """Writes the statuses of runs that cannot run, for now or at all."""

    def __init__(
        self,
        client: KubernetesClient,
        recorder: Recorder,
        writer: StatusWriter,
        requests: RequestHandler,
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._writer = writer
        self._requests = requests

    async def say_pending(
        self,
        body: dict[str, Any],
        reason: str,
        message: str,
        known: dict[str, Any],
        condition: tuple[str, ConditionStatus] = ("Valid", ConditionStatus.FALSE),
    ) -> None:
        """Say on a run that has not begun why not, if its status does not say so already."""
        status = bare_status(known, RunPhase.PENDING)
        status.reason, status.workflow = reason, _workflow_of(body)
        now = round(time.time(), 3)
        changed = set_condition(status, now, *condition, reason, message)
        if changed or not known:
            await self._writer.write_bare(body, status, known)
            self._recorder.warn(subject_of(body), reason, message)

    async def fail(
        self,
        body: dict[str, Any],
        reason: str,
        message: str,
        known: dict[str, Any],
        phase: RunPhase = RunPhase.FAILED,
    ) -> None:
        """End a run that cannot run; of one that has ended the requests are refused."""
        view = run_view(body)
        if view is not None and view.ended:
            await self._requests.refuse_all(view, message)
            return
        now = round(time.time(), 3)
        status = bare_status(known, phase)
        status.completed_at = now
        status.reason, status.workflow = reason, status.workflow or _workflow_of(body)
        message = message[:MESSAGE_CHARACTERS]
        if phase is RunPhase.FAILED and reason != RunReason.NODE_STATES_LOST:
            set_condition(status, now, "Valid", ConditionStatus.FALSE, reason, message)
        set_end(status, now, phase, reason, message)
        await self._writer.write_bare(body, status, known)
        self._recorder.warn(subject_of(body), reason, message)

    async def fail_lost(
        self, body: dict[str, Any], known: dict[str, Any], lost: MissingShardsError
    ) -> None:
        """End a run of whose nodes it is unknown whether they ran."""
        meta = body["metadata"]
        live = await self._client.get_run(meta["namespace"], meta["name"])
        if dig(live, "metadata", "resourceVersion") != meta["resourceVersion"]:
            raise ConflictError  # another status, which names other shards
        message = (
            f"the WorkflowRunNodes {lost} of the run, which hold the states of its nodes, are gone"
            " or were changed: make a new run"
        )
        await self.fail(body, RunReason.NODE_STATES_LOST, message, known)


def without_contents(body: dict[str, Any]) -> dict[str, Any]:
    """Return what is needed of a run to write why it has not begun."""
    spec = {
        "workflowRef": {"name": dig(body, "spec", "workflowRef", "name")},
        "workflowSpec": {"id": dig(body, "spec", "workflowSpec", "id")},
    }
    return {"metadata": body.get("metadata"), "spec": spec, "status": body.get("status")}


def _workflow_of(body: dict[str, Any]) -> str:
    """Return the name of the Workflow that a run refers to, or the id of its own graph."""
    name = text(dig(body, "spec", "workflowRef", "name"))
    return (
        name or text(dig(body, "spec", "workflowSpec", "id")) or text(dig(body, "metadata", "name"))
    )


def subject_of(body: dict[str, Any]) -> Subject:
    """Return what Events about a run are about."""
    meta = body["metadata"]
    return Subject("WorkflowRun", meta["namespace"], meta["name"], meta["uid"])
