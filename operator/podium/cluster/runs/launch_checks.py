"""What is checked before a Job or Pod is made, and what a refusal of the server means."""

from typing import Any

from podium.api.reasons import NodeReason
from podium.cluster.jobs.errors import BuildError
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import dig
from podium.cluster.runs.active_run import ActiveRun
from podium.cluster.runs.claim_maker import ClaimMaker
from podium.cluster.runs.job_maker import refused_for_now
from podium.cluster.runs.references import ReferenceChecker, wait_for_missing
from podium.cluster.settings import Settings
from podium.cluster.workqueue import backoff
from podium.engine import Launch, Observation, not_started

__all__ = ["LaunchChecks"]

UNAVAILABLE_SECONDS = 2.0
QUOTA_SECONDS = (5.0, 60.0)


class LaunchChecks:
    """Checks launches."""

    def __init__(
        self, client: KubernetesClient, settings: Settings, references: ReferenceChecker
    ) -> None:
        self._client = client
        self._settings = settings
        self._references = references
        self._claims = ClaimMaker(client)

    def not_created(self, run: ActiveRun, launch: Launch, error: ApiError) -> Observation:
        """Describe what a refused creation means (semantics.md 6)."""
        if error.namespace_terminating:
            return refused_for_now(
                launch, NodeReason.TERMINATING, "the namespace is being deleted", 5.0
            )
        if error.exceeded_quota:
            times = run.refusals[launch.node] = run.refusals.get(launch.node, 0) + 1
            wait = backoff(times, QUOTA_SECONDS)
            return refused_for_now(launch, NodeReason.QUOTA_EXCEEDED, error.message, wait)
        if error.transient or error.status == 404:  # 404: taken away between 409 and GET
            wait = error.retry_after if error.retry_after is not None else UNAVAILABLE_SECONDS
            return refused_for_now(launch, NodeReason.API_UNAVAILABLE, str(error), wait)
        reason = NodeReason.FORBIDDEN if error.status == 403 else NodeReason.INVALID
        return not_started(launch, reason, error.message)

    async def references(
        self, run: ActiveRun, launch: Launch, job: dict[str, Any]
    ) -> Observation | None:
        """Return why a Pod must not be made of a Job because of what it names; None: it may."""
        spec = dig(job, "spec", "template", "spec") or {}
        try:
            findings = await self._references.check_pod(run, launch.node, spec)
        except ApiError as error:
            return self.not_created(run, launch, error)
        if not findings:
            run.missing.pop(launch.execution_id, None)
            return None
        words = "; ".join(map(str, [each for each in findings if each.is_final] or findings))
        if final := next((each.reason for each in findings if each.is_final), None):
            return not_started(launch, final, words)
        wait = wait_for_missing(run, launch.execution_id)
        if wait is None:
            return not_started(launch, NodeReason.CONFIG, words)
        return refused_for_now(launch, NodeReason.CONFIG, words, wait)

    async def claims(self, run: ActiveRun, launch: Launch) -> Observation | None:
        """Return why a node cannot start because of a volume that it mounts; None: it can."""
        try:
            return await self._claims.make(run, launch)
        except ApiError as error:
            return self.not_created(run, launch, error)

    async def service_account(self, run: ActiveRun, launch: Launch) -> None:
        """Raise `BuildError` if a node may not use its ServiceAccount, or `ApiError`."""
        pod = run.engine.plan.nodes[launch.node].definition.pod
        name = pod.service_account_name if pod is not None else None
        if name is None and launch.template is not None:  # of its Executor
            name = launch.template["template"]["spec"].get("serviceAccountName")
        if name is None or not self._settings.require_usable_service_accounts:
            return
        try:
            account = await self._client.get_service_account(run.owner.namespace, name)
        except ApiError as error:
            if error.transient:
                raise
            if error.status != 404:
                raise BuildError(
                    NodeReason.SERVICE_ACCOUNT, f"pod.serviceAccountName: {error}"
                ) from None
            message = f"pod.serviceAccountName: there is no ServiceAccount {name!r}"
            raise BuildError(NodeReason.SERVICE_ACCOUNT, message) from None
        if dig(account, "metadata", "labels", "podium.dev/usable") != "true":
            raise BuildError(
                NodeReason.SERVICE_ACCOUNT,
                f"pod.serviceAccountName: nodes may not use {name!r}: it would have to carry the"
                ' label podium.dev/usable: "true"',
            )
