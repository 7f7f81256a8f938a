"""ContractSchemas: whether each version keeps to what the ContractSchema promises."""

import time
from typing import Any

from podium.api.contract_schemas import MAX_VERSIONS
from podium.api.contract_status import ContractSchemaStatus, VersionState, VersionStatus
from podium.api.problems import InvalidError
from podium.api.reasons import RunReason
from podium.api.run import Condition, ConditionStatus
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError, UnreadableError
from podium.cluster.kube.events import Recorder, Subject
from podium.cluster.turns import GroupSlots
from podium.cluster.worker import ObjectKey, Result
from podium.contracts import Verdict
from podium.judge.pool import OverBudgetError
from podium.judge.reader import Reader

__all__ = ["ContractController"]

MESSAGE_CHARACTERS = 4000
VERSION_CHARACTERS = 1000
IN_HAND = 2
"""ContractSchemas of a namespace that are judged at a time."""
VALID, COMPATIBLE = "Valid", "Compatible"


class ContractController:
    """Writes the status of ContractSchemas, once for each generation."""

    def __init__(self, client: KubernetesClient, recorder: Recorder, reader: Reader) -> None:
        self._client = client
        self._recorder = recorder
        self._reader = reader
        self._in_hand = GroupSlots(IN_HAND)

    async def reconcile(self, key: ObjectKey) -> Result:
        """Judge a ContractSchema that was not judged yet, and write it down. Raises `ApiError`."""
        async with self._in_hand.slot(key.namespace):
            await self._reconcile(key.namespace, key.name)
        return Result()

    def failed(self, key: ObjectKey, error: Exception, wait: float | None) -> None:
        """Leave it at the log."""

    async def _reconcile(self, namespace: str, name: str) -> None:
        try:
            body = await self._client.get_contract_schema(namespace, name)
        except UnreadableError:
            return  # runs that name it say so; to write its status would need what cannot be read
        except ApiError as error:
            if error.status == 404:
                return
            raise
        meta = body["metadata"]
        generation = meta.get("generation")
        try:
            known = ContractSchemaStatus.model_validate(body.get("status") or {})
        except ValueError:
            known = ContractSchemaStatus()
        if known.observed_generation == generation and known.conditions:
            return
        status, warning = await self._judge(namespace, body)
        status.observed_generation = generation
        for condition in status.conditions:
            before = next((c for c in known.conditions if c.type == condition.type), None)
            if before is not None and before.status is condition.status:
                condition.last_transition_time = before.last_transition_time
        document = status.model_dump(mode="json", by_alias=True)
        await self._client.patch_contract_schema_status(namespace, name, document)
        if warning:
            subject = Subject("ContractSchema", namespace, name, str(meta.get("uid")))
            self._recorder.warn(subject, *warning)

    async def _judge(
        self, namespace: str, body: dict[str, Any]
    ) -> tuple[ContractSchemaStatus, tuple[str, str] | None]:
        """Return what is found, and what an Event warns of."""
        generation = body["metadata"].get("generation")

        def status(
            valid: ConditionStatus,
            compatible: ConditionStatus,
            reason: str,
            message: str = "",
            verdicts: list[Verdict] | None = None,
        ) -> ContractSchemaStatus:
            now = round(time.time(), 3)
            message = message[:MESSAGE_CHARACTERS]
            found = (verdicts or [])[:MAX_VERSIONS]
            good = [each.version for each in found if each.is_compatible]
            return ContractSchemaStatus(
                conditions=[
                    Condition(
                        type=kind,
                        status=value,
                        reason=reason,
                        message=message,
                        last_transition_time=now,
                        observed_generation=generation,
                    )
                    for kind, value in ((VALID, valid), (COMPATIBLE, compatible))
                ],
                latest=good[-1] if good else "",
                versions=[_version(each) for each in found],
            )

        yes, no, unknown = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
        try:
            verdicts = await self._reader.judge_contract_schema(body, asker=namespace)
        except InvalidError as invalid:
            reason = RunReason.INVALID_CONTRACT_SCHEMA
            message = "; ".join(str(problem) for problem in invalid.problems)
            return status(no, unknown, reason, message), (reason, message)
        except OverBudgetError as error:
            reason = RunReason.TOO_EXPENSIVE
            message = f"spec: to judge the versions {error}: make the schemas simpler"
            return status(no, unknown, reason, message), (reason, message)
        bad = [each for each in verdicts if not each.is_compatible]
        if not bad:
            return status(yes, yes, RunReason.COMPATIBLE, verdicts=verdicts), None
        reason = RunReason.INCOMPATIBLE
        message = "; ".join(f"version {each.version}: {each.problems[0]}" for each in bad)
        return status(yes, no, reason, message, verdicts), (reason, message)


def _version(verdict: Verdict) -> VersionStatus:
    if verdict.is_compatible:
        return VersionStatus(version=verdict.version, state=VersionState.COMPATIBLE)
    return VersionStatus(
        version=verdict.version,
        state=VersionState.INCOMPATIBLE,
        message="; ".join(verdict.problems)[:VERSION_CHARACTERS],
    )
