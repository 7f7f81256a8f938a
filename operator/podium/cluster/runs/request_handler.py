"""Requests of a run, from the annotations of users to the engine and out again.

They are accepted by one patch, given to the engine, and taken out once the status that carries
them out is written: exactly once, whatever crashes in between (semantics.md 8).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from podium import kinds
from podium.api.child_runs import refused_rerun
from podium.api.problems import InvalidError, Problem, errors
from podium.api.resources import WorkflowRun
from podium.api.run import Requester, WorkflowRunSpec
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.events import Recorder, Subject
from podium.cluster.kube.views import RunView, dig
from podium.cluster.runs import requests
from podium.cluster.runs.active_run import ActiveRun
from podium.cluster.runs.child_objects import has_parent
from podium.cluster.runs.decisions import Decision
from podium.cluster.runs.references import ReferenceChecker
from podium.cluster.runs.requests import Accepted
from podium.cluster.runs.revisions import (
    Definitions,
    WorkflowNotFoundError,
    describe,
)
from podium.cluster.runs.run_spec import SPEC_CHANGED, unchanging
from podium.cluster.settings import Settings
from podium.cluster.watch.store import InformerCache, RunKey
from podium.engine import (
    ApprovalRequest,
    ContextCheck,
    Plan,
    Request,
    RequestRefusedError,
    RerunRequest,
    ResetRequest,
    RestoreRequest,
    VersionGoneError,
    check_start,
    context_at,
    context_check,
    former_definition,
    plan_request,
)
from podium.judge.pool import OverBudgetError
from podium.judge.reader import Reader

__all__ = ["RequestHandler"]


class RequestHandler:
    """Accepts requests, hands them on, and clears them."""

    def __init__(
        self,
        client: KubernetesClient,
        cache: InformerCache,
        recorder: Recorder,
        definitions: Definitions,
        references: ReferenceChecker,
        settings: Settings,
        reader: Reader,
    ) -> None:
        self._client = client
        self._cache = cache
        self._recorder = recorder
        self._definitions = definitions
        self._references = references
        self._only_declared = not settings.allow_inline_workflows
        self._reader = reader
        self._are_verified = settings.requesters_are_verified
        self._approvers_are_verified = settings.approvers_are_verified
        self._parsed: dict[RunKey, tuple[str, list[Accepted] | None]] = {}
        """The accepted requests of runs, with the text that they were parsed from."""

    def forget(self, key: RunKey) -> None:
        """Drop what is kept of a run."""
        self._parsed.pop(key, None)

    def pending(self, view: RunView) -> bool:
        """Return whether a run has accepted requests."""
        return requests.ACCEPTED in view.annotations

    async def accept(self, view: RunView, run: ActiveRun | None) -> RunView:
        """Turn requests in annotations into accepted ones; refuse what cannot be understood."""
        subject = Subject("WorkflowRun", view.namespace, view.name, view.uid)
        loaded = self._accepted(view)
        if loaded is None:
            self._recorder.warn(
                subject,
                requests.REFUSED["rerun"],
                f"annotation {requests.ACCEPTED} was damaged and is removed: it is Podium's own,"
                f" set {requests.RERUN} instead",
            )
            view = await self._patch(
                view, run, requests.drop_patch(view.annotations, view.version, [])
            )
        accepted = list(loaded or ())
        new = requests.parse_annotations(view.annotations, view.uid, view.version)
        if new is None:
            return view
        for reason, refusal in new.refusals:
            self._recorder.warn(subject, reason, refusal)
        for request in new.requests:
            if any(request.id == each.id for each in accepted):
                continue
            if not requests.within_limits([*accepted, request]):
                message = (
                    f"{len(accepted)} requests wait already, with this one they are too many or too"
                    f" long (at most {requests.MAX_PENDING}, of {requests.MAX_PENDING_BYTES}"
                    " bytes): ask again when they are carried out"
                )
                self._recorder.warn(subject, requests.REFUSED[request.kind], message)
                continue
            accepted.append(request)
        operations = requests.accept_patch(view.annotations, view.version, accepted)
        return await self._patch(view, run, operations)

    async def for_engine(self, run: ActiveRun, view: RunView) -> list[Request]:
        """Return the accepted requests as the engine takes them.

        What cannot be one is refused after the next write.
        """
        found: list[Request] = []
        run.held_requests.clear()
        refused = {identity for identity, _, _ in run.after_write.refusals}
        for request in self._accepted(view) or []:
            if request.id in run.engine.status.handled_requests or request.id in refused:
                run.urgent = True  # it is to be taken out, which a crash may have prevented
                continue
            try:
                if request.decision is None and has_parent(self._cache, view):
                    self._refuse(run, request, refused_rerun(view.name, view.parent))
                    continue
                if request.decision is not None:
                    found.append(await self._decided(run, request.id, request.decision))
                    continue
                made = await self._for_engine(run, view, request)
            except (InvalidError, WorkflowNotFoundError, OverBudgetError) as error:
                message = describe(error)
                if isinstance(error, OverBudgetError):
                    message = f"to check it {message}"
                self._refuse(run, request, f"{_what(request)}: {message}")
                continue
            if view.suspend or view.cancel:  # the engine carries out none of them
                found.append(made)
                continue
            engine = run.engine
            check = context_check(engine.plan, engine.status, engine.initial_context, made)
            if check is not None and check.plan.spec.inputs is not None:
                if found:  # what comes before it may change the context
                    run.held_requests.add(request.id)
                    run.look_again = 0.0
                    break
                try:
                    made = await self._checked(run, made, check)
                except OverBudgetError as error:
                    message = (
                        f"to check the context {error}: make the context smaller, or the schema"
                        " in inputs simpler"
                    )
                    self._refuse(run, request, message)
                    continue
            message, wait = await self._hold(run, made)
            if not message:
                found.append(made)
            elif wait is not None:
                run.held_requests.add(request.id)
                run.look_again = wait
                break  # those after it wait for their turn
            else:
                self._refuse(run, request, message)
        return found

    def _refuse(self, run: ActiveRun, request: Accepted, message: str) -> None:
        """Refuse a request after the next write."""
        run.after_write.refusals.append((request.id, requests.REFUSED[request.kind], message))

    async def _checked(
        self, run: ActiveRun, request: ResetRequest, check: ContextCheck
    ) -> ResetRequest:
        """Return a request with what is wrong with its context, checked by the judge."""
        problems = await self._reader.check_context(check, asker=run.owner.namespace)
        if isinstance(request, RestoreRequest):
            return request._replace(context_problems=problems)
        return replace(request, context_problems=problems)

    async def _hold(self, run: ActiveRun, request: ResetRequest) -> tuple[str, float | None]:
        """Return why what is to run again must not, for now or (no seconds) for good."""
        engine = run.engine
        try:
            planned = plan_request(engine.plan, engine.status, engine.initial_context, request)
        except RequestRefusedError:
            return "", None  # the engine says why
        plan = engine.plan
        if isinstance(request, RerunRequest) and request.plan is not None:
            plan = request.plan
        nodes = [name for name in planned.reset if name in plan.nodes]
        return await self._references.hold_request(run, request.id, plan, nodes)

    async def _decided(self, run: ActiveRun, identity: str, decision: Decision) -> ApprovalRequest:
        """Return a decision as the engine takes it, its values checked by the judge."""
        node = run.engine.plan.nodes.get(decision.node)
        fields = None if node is None else node.definition.config.get("fields")
        checked = None
        if isinstance(fields, Mapping):
            asker = run.owner.namespace
            checked = await self._reader.check_values(fields, decision.values, asker=asker)
        shown = str(Requester(name=decision.by, verified=self._approvers_are_verified))
        answer = kinds.Answer(
            decision.is_approved,
            decision.by,
            shown,
            decision.groups,
            decision.comment,
            decision.values,
            checked,
        )
        return ApprovalRequest(identity, decision.node, decision.execution, answer)

    async def _for_engine(self, run: ActiveRun, view: RunView, request: Accepted) -> ResetRequest:
        if request.kind == "restore":
            context = await self._former_context(run, request.version)
            return RestoreRequest(request.id, request.version, context, self._who(request))
        plan = context = None
        if request.latest:
            plan = await self._latest(run, view)
            spec = await self._spec(run)
            context, context_problems = await self._reader.context(
                plan, spec, asker=run.owner.namespace, only_declared=self._only_declared
            )
            if problems := errors(check_start(plan, spec, context_problems=context_problems)):
                raise InvalidError(problems)
        return RerunRequest(
            request.id,
            request.nodes,
            request.cascade,
            request.context,
            plan,
            context,
            failed=request.failed,
            requested_by=self._who(request),
            only_declared=self._only_declared,
            is_outdated=plan is None and await self._has_changed(run, view),
        )

    def _who(self, request: Accepted) -> str:
        if not request.by:
            return ""
        return str(Requester(name=request.by, verified=self._are_verified))

    async def _spec(self, run: ActiveRun) -> WorkflowRunSpec:
        body = await self._client.get_run(*run.key)
        asker, began_as = run.owner.namespace, run.engine.status.spec_hash
        if began_as is not None:
            now = await self._reader.digest(unchanging(body), asker=asker)
            if now != began_as:
                raise InvalidError([Problem((), SPEC_CHANGED)])
        # It has begun: its own graph was checked, with the executors that it is pinned with.
        resource = (await self._reader.read(body, asker=asker, is_pinned=True)).resource
        assert isinstance(resource, WorkflowRun)  # noqa: S101 - for the type checker
        return resource.spec

    async def _former_context(self, run: ActiveRun, version: int) -> Mapping[str, Any] | None:
        """Return the context of a version that an earlier definition made, None for any other."""
        status = run.engine.status
        former = former_definition(status, version)
        if former is None:
            return None
        try:
            plan = await self._definitions.pinned(
                run.owner.namespace, former.revision, former.format_version
            )
            spec = await self._spec(run)
            initial, _ = await self._reader.context(
                plan, spec, asker=run.owner.namespace, is_pinned=True
            )
            found = context_at(status, initial, version, constants=plan.fixed_context)
        except (ApiError, VersionGoneError) as error:
            if isinstance(error, ApiError) and error.status != 404:
                raise
            return None  # the engine says what is no longer kept
        context: Mapping[str, Any] = found["context"]
        return context

    async def _has_changed(self, run: ActiveRun, view: RunView) -> bool:
        if not view.workflow:
            return False
        return await self._definitions.has_changed(
            run.owner.namespace, view.workflow, run.engine.plan.revision
        )

    async def _latest(self, run: ActiveRun, view: RunView) -> Plan:
        if not view.workflow:
            raise WorkflowNotFoundError("")
        return await self._definitions.latest(run.owner.namespace, view.workflow)

    async def clear(
        self, run: ActiveRun, view: RunView, refusals: list[tuple[str, str, str]]
    ) -> None:
        """Take out of the accepted requests what was carried out or refused."""
        accepted = self._accepted(view)
        if not accepted:
            return
        done = {*(run.persisted_status.get("handledRequests") or [])}
        for identity, reason, message in refusals:
            done.add(identity)
            self._recorder.warn(run.subject, reason, message)
        left = [request for request in accepted if request.id not in done]
        if len(left) < len(accepted):
            operations = requests.drop_patch(view.annotations, view.version, left)
            await self._patch(view, run, operations)

    async def refuse_all(self, view: RunView, message: str) -> None:
        """Refuse all accepted requests of a run that cannot carry out any."""
        subject = Subject("WorkflowRun", view.namespace, view.name, view.uid)
        kinds = dict.fromkeys(each.kind for each in self._accepted(view) or ()) or {"rerun": None}
        for kind in kinds:
            self._recorder.warn(subject, requests.REFUSED[kind], message)
        await self._patch(view, None, requests.drop_patch(view.annotations, view.version, []))

    def _accepted(self, view: RunView) -> list[Accepted] | None:
        """Return the accepted requests, parsed once as long as they stay the same."""
        text = view.annotations.get(requests.ACCEPTED)
        key = (view.namespace, view.name)
        if text is None:
            self._parsed.pop(key, None)
            return []
        known = self._parsed.get(key)
        if known is None or known[0] != text:
            known = self._parsed[key] = (text, requests.load_accepted(view.annotations))
        return known[1]

    async def _patch(
        self, view: RunView, run: ActiveRun | None, operations: list[dict[str, Any]]
    ) -> RunView:
        body = await self._client.patch_run(view.namespace, view.name, operations)
        if run is not None and run.version == view.version:
            run.version = str(dig(body, "metadata", "resourceVersion"))
        return self._cache.put_run(body) or view


def _what(request: Accepted) -> str:
    """Return in words what a request asks for, where that cannot be checked."""
    if request.decision is not None:
        return f"{request.decision.node}: values"
    return f"context version {request.version}" if request.kind == "restore" else "revision latest"
