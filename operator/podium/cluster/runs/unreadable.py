"""Runs that have begun and cannot be read any more: their status says so, and keeps all else.

A tenant may make an object larger than the operator reads, or another version of Podium may not
take its spec. What the run did must not be lost, so it is left as it is until it changes.
"""

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from podium.api.reasons import RunReason
from podium.api.run import Condition, ConditionStatus, WorkflowRunStatus
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError, UnreadableError
from podium.cluster.kube.views import RunView, dig, items, mapping, text
from podium.cluster.runs.status_writer import at_version

__all__ = ["READABLE", "UnreadableRuns", "clear_unreadable"]

READABLE = "Readable"
"""Condition of a run that has begun: False while it cannot be read, else it is not there."""
MESSAGE_CHARACTERS = 8000
WHAT_TO_DO = ": nothing of the run goes on before that is mended; what it did is kept"

log = logging.getLogger(__name__)


class UnreadableRuns:
    """Writes the one condition, beside what the status has."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def say(self, view: RunView, problem: str, body: Mapping[str, Any] | None = None) -> None:
        """Say on a run what is wrong, if its status does not say so already.

        `body` is the run as it was read; None: it cannot be read. What another client writes
        meanwhile stays. Raises `ApiError`.
        """
        if view.ended:
            return
        version = view.version
        message = (problem + WHAT_TO_DO)[:MESSAGE_CHARACTERS]
        conditions = None
        if body is not None:
            version = text(dig(body, "metadata", "resourceVersion"))
            before = [mapping(each) for each in items(dig(body, "status", "conditions"))]
            if any(
                (each.get("type"), each.get("message")) == (READABLE, message) for each in before
            ):
                return
            conditions = [dict(each) for each in before if each.get("type") != READABLE]
        else:
            shown = await self._client.get_run_columns(view.namespace, view.name)
            if shown.get("Reason") == RunReason.UNREADABLE:
                return
        condition = Condition(
            type=READABLE,
            status=ConditionStatus.FALSE,
            reason=RunReason.UNREADABLE,
            message=message,
            last_transition_time=round(time.time(), 3),
            observed_generation=view.generation,
        ).model_dump(mode="json", by_alias=True, exclude_none=True)
        added: dict[str, Any] = {"op": "add", "path": "/status/conditions/-", "value": condition}
        if conditions is not None:
            value = [*conditions, condition]
            added = {"op": "add", "path": "/status/conditions", "value": value}
        operations = [
            at_version(version),
            added,
            {"op": "add", "path": "/status/reason", "value": RunReason.UNREADABLE.value},
        ]
        try:
            with suppress(UnreadableError):  # so is the answer, and it was written
                await self._client.patch_run_status(view.namespace, view.name, operations)
        except ApiError as error:
            if error.transient or error.status in (404, 409):
                raise
            # Such as an object that has no room for it: the Event says it.
            log.warning("%s/%s: %s", view.namespace, view.name, error)


def clear_unreadable(status: WorkflowRunStatus) -> bool:
    """Take the condition away from a run that can be read; return whether it was there."""
    left = [each for each in status.conditions if each.type != READABLE]
    if len(left) == len(status.conditions):
        return False
    status.conditions = left
    return True
