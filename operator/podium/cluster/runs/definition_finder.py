"""The definition of a run: its own, that of its Workflow, or the one that it is pinned to."""

import time
from collections.abc import Mapping
from typing import Any

from podium.api.base import parse_time
from podium.api.personas import persona_object_name
from podium.api.problems import InvalidError, Path, Problem
from podium.api.reasons import RunReason
from podium.api.resources import WorkflowRun
from podium.api.run import RunPhase, WorkflowRunSpec, WorkflowRunStatus
from podium.cluster.jobs.interpret import HOPELESS_SECONDS
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import dig
from podium.cluster.runs.executor_resolver import NamedObjectNotFoundError
from podium.cluster.runs.revisions import Definitions, WorkflowNotFoundError, describe
from podium.cluster.runs.unstarted import UnstartedRuns
from podium.cluster.settings import Settings
from podium.cluster.watch.store import RunKey
from podium.cluster.worker import TerminalError
from podium.engine import Plan, of_selected, selected_nodes
from podium.executors.persona_document import missing_models
from podium.judge.pool import OverBudgetError
from podium.judge.reader import Reader, Reading

__all__ = ["DefinitionFinder"]

STORE_SECONDS = 2.0
"""An ArtifactStore, ContractSchema or ModelConfig that is missing is looked for so often."""


class DefinitionFinder:
    """Finds the definition of a run, or says on the run what it waits for, or why it has none."""

    def __init__(
        self,
        definitions: Definitions,
        reader: Reader,
        unstarted: UnstartedRuns,
        settings: Settings,
    ) -> None:
        self._definitions = definitions
        self._reader = reader
        self._unstarted = unstarted
        self._settings = settings
        self.waiting: dict[str, set[RunKey]] = {}
        """Runs whose Workflow does not exist, by namespace."""
        self._look_again: set[RunKey] = set()
        """Runs whose ArtifactStore, ContractSchema or ModelConfig does not exist."""

    def forget(self, key: RunKey) -> None:
        """Drop what is kept of a run."""
        for names in self.waiting.values():
            names.discard(key)
        self._look_again.discard(key)

    def look_again(self, key: RunKey) -> float | None:
        """Return the seconds after which a run that could not go on is to be loaded again."""
        return STORE_SECONDS if key in self._look_again else None

    def begin(self, key: RunKey) -> None:
        """Note that a run is being loaded: it waits for nothing that it names any more."""
        self._look_again.discard(key)

    async def plan(
        self,
        body: dict[str, Any],
        reading: Reading,
        status: WorkflowRunStatus | None,
        known: dict[str, Any],
    ) -> Plan | None:
        """Return the definition of a run; None: it has no valid one, which its status says now."""
        resource = reading.resource
        assert isinstance(resource, WorkflowRun)  # noqa: S101 - for the type checker
        namespace, name = resource.metadata.namespace, resource.metadata.name
        spec = resource.spec
        try:
            plan = await self._plan(body, reading, status, known)
            if plan is not None and status is None:
                _require_models(plan, spec)
        except WorkflowNotFoundError as missing:
            if spec.cancel or spec.terminate:
                await self._unstarted.fail(
                    body, RunReason.CANCELLED, "the run was cancelled", known, RunPhase.CANCELLED
                )
                return None
            self.waiting.setdefault(namespace, set()).add((namespace, name))
            message = (
                f"spec.workflowRef.name: there is no Workflow {str(missing)!r} in the namespace"
                f" {namespace}: the run starts when it is applied"
            )
            await self._unstarted.say_pending(body, RunReason.WORKFLOW_NOT_FOUND, message, known)
        except NamedObjectNotFoundError as missing:
            await self.wait_for(body, missing, known)
        except InvalidError as problem:
            await self._unstarted.fail(body, RunReason.INVALID_WORKFLOW, describe(problem), known)
        except OverBudgetError as error:
            message = f"to check the definition {error}: make it smaller, or its schemas simpler"
            if status is not None:
                raise TerminalError(message) from None
            await self._unstarted.fail(body, RunReason.TOO_EXPENSIVE, message, known)
        else:
            return plan
        return None

    async def _plan(
        self,
        body: dict[str, Any],
        reading: Reading,
        status: WorkflowRunStatus | None,
        known: dict[str, Any],
    ) -> Plan | None:
        """Return the definition of a run; None: it may not have its own."""
        resource = reading.resource
        assert isinstance(resource, WorkflowRun)  # noqa: S101 - for the type checker
        namespace, name = resource.metadata.namespace, resource.metadata.name
        spec = resource.spec
        if status is not None and status.workflow_revision:
            return await self._pinned(namespace, status.workflow_revision, status.format_version)
        if spec.workflow_spec is not None:
            if not self._settings.allow_inline_workflows and status is None:
                message = (
                    "spec.workflowSpec: inline workflows are disabled on this cluster"
                    " (allowInlineWorkflows):"
                    " name a Workflow in spec.workflowRef"
                )
                await self._unstarted.fail(body, RunReason.INLINE_NOT_ALLOWED, message, known)
                return None
            own = spec.workflow_spec
            if own.has_pinned:
                return await self._definitions.pin_inline(namespace, name, reading)
            return await self._reader.plan_of(
                reading,
                workflow_id=spec.workflow_spec.id or name,
                base=("spec", "workflowSpec"),
            )
        assert spec.workflow_ref is not None  # noqa: S101 - parse() saw to it
        return await self._definitions.latest(namespace, spec.workflow_ref.name)

    async def wait_for(
        self, body: dict[str, Any], missing: NamedObjectNotFoundError, known: dict[str, Any]
    ) -> None:
        """Say that a run waits for what it names; fail it after as long as for a Secret."""
        reason, message = missing.reason, describe(missing)
        if any(dig(body, "spec", asked) is True for asked in ("cancel", "terminate")):
            message = "the run was cancelled"
            await self._unstarted.fail(
                body, RunReason.CANCELLED, message, known, RunPhase.CANCELLED
            )
            return
        since = _waits_since(known, reason)
        if since is not None and time.time() - since > HOPELESS_SECONDS:
            await self._unstarted.fail(body, reason, message, known)
            return
        await self._unstarted.say_pending(body, reason, message, known)
        meta = body["metadata"]
        self._look_again.add((meta["namespace"], meta["name"]))

    async def _pinned(self, namespace: str, revision: str, format_version: int | None) -> Plan:
        try:
            return await self._definitions.pinned(namespace, revision, format_version)
        except ApiError as error:
            if error.status != 404:
                raise
            message = f"the ControllerRevision {revision}, which the run is pinned to, is gone"
            raise InvalidError([Problem(("status", "workflowRevision"), message)]) from None


def _require_models(plan: Plan, spec: WorkflowRunSpec) -> None:
    """Raise `NamedObjectNotFoundError` where a Persona's ModelConfig is not there.

    Personas that are no resources, and have no ModelConfig either, `check_start` tells of.
    """
    if spec.recorded_answers is not None:
        return
    for node in of_selected(plan.uses_personas(), selected_nodes(plan, spec)):
        for persona, model in missing_models(plan.nodes[node].definition, plan.spec):
            name = persona_object_name(persona)
            if name in plan.spec.pinned_personas:
                message = (
                    f"the Persona {name} is answered by the ModelConfig {model!r:.80}, and there is"
                    " none in the namespace: create it, or name another in its spec.modelConfig"
                )
                at: Path = ("spec", "nodes", node, "config", "personas")
                problem = Problem(at, message)
                raise NamedObjectNotFoundError(problem, RunReason.MODEL_CONFIG_NOT_FOUND)


def _waits_since(known: Mapping[str, Any], reason: str) -> float | None:
    """Return since when a run that has not begun says that it waits for this reason."""
    conditions = known.get("conditions")
    for condition in conditions if isinstance(conditions, list) else ():
        if dig(condition, "type") == "Valid" and dig(condition, "reason") == reason:
            return parse_time(dig(condition, "lastTransitionTime"))
    return None
