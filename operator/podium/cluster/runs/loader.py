"""Taking a run up: its definition, its first status, or why it cannot run."""

import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from podium.api.names import MAX_ITEMS
from podium.api.problems import InvalidError
from podium.api.reasons import RunReason
from podium.api.resources import WorkflowRun
from podium.api.run import ConditionStatus, RunPhase, WorkflowRunStatus
from podium.cluster.jobs.builder import Owner
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError, UnreadableError
from podium.cluster.kube.events import Recorder, Subject
from podium.cluster.kube.views import RunView, dig, mapping, text
from podium.cluster.runs.active_run import ActiveRun
from podium.cluster.runs.beginning import Beginning
from podium.cluster.runs.definition_finder import DefinitionFinder
from podium.cluster.runs.earlier_runs import EarlierRuns
from podium.cluster.runs.executor_resolver import NamedObjectNotFoundError
from podium.cluster.runs.map_jobs import UNMANAGED_ITEMS
from podium.cluster.runs.memory import (
    STATE_BYTES,
    Weight,
    weigh,
    weigh_outputs_in_slices,
    weigh_run,
)
from podium.cluster.runs.request_handler import RequestHandler
from podium.cluster.runs.revisions import Definitions, describe
from podium.cluster.runs.run_spec import SPEC_CHANGED, hash_of_spec, in_current_format
from podium.cluster.runs.shard_objects import MissingShardsError, has_node_states
from podium.cluster.runs.shards import read_nodes
from podium.cluster.runs.status_writer import StatusWriter
from podium.cluster.runs.turnstile import Closed, Turnstile
from podium.cluster.runs.unreadable import UnreadableRuns, clear_unreadable
from podium.cluster.runs.unstarted import UnstartedRuns, subject_of, without_contents
from podium.cluster.settings import Settings
from podium.cluster.watch.store import InformerCache, RunKey
from podium.cluster.worker import TerminalError
from podium.engine import (
    Changes,
    Engine,
    Plan,
    RunInfo,
    load_in_slices,
    set_condition,
)
from podium.judge.executors import NO_EXECUTORS, Resolved, names_others
from podium.judge.pool import OverBudgetError, Pool
from podium.judge.reader import Reader
from podium.judge.slices import in_slices
from podium.judge.verdicts import PooledVerdicts

__all__ = ["RunLoader"]

NO_PROGRESS = "0/0"
"""`status.progress` of a run without node states."""


class RunLoader:
    """Makes an `ActiveRun` of what the server has, or says on the run why not."""

    def __init__(
        self,
        client: KubernetesClient,
        cache: InformerCache,
        recorder: Recorder,
        definitions: Definitions,
        writer: StatusWriter,
        requests: RequestHandler,
        settings: Settings,
        judge: Pool,
        turnstile: Turnstile,
    ) -> None:
        self._client = client
        self._cache = cache
        self._recorder = recorder
        self._turnstile = turnstile
        self._definitions = definitions
        self._writer = writer
        self._unstarted = UnstartedRuns(client, recorder, writer, requests)
        self._unreadable = UnreadableRuns(client)
        self._requests = requests
        self._settings = settings
        self._judge = judge
        self._reader = Reader(judge, settings.offered)
        self.finder = DefinitionFinder(definitions, self._reader, self._unstarted, settings)
        earlier = EarlierRuns(client, definitions, self._reader, settings)
        self._beginning = Beginning(self._reader, self._unstarted, earlier, settings)

    async def load(self, view: RunView, read: dict[str, Any] | None) -> ActiveRun | None:
        """Build a run's engine from what the server has; None: it cannot go on for now.

        `read` is the run as it was read a moment ago: of this version it is not read again, which
        costs the server as much as the run is large. Raises `ApiError`, `ConflictError`,
        `TerminalError`.
        """
        is_current = text(dig(read, "metadata", "resourceVersion")) == view.version
        try:
            body = (read if is_current else None) or await self._client.get_run(*_key_of(view))
        except UnreadableError as error:
            await self.refuse_unreadable(_key_of(view), error.problem)
            return None
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        if dig(body, "metadata", "uid") != view.uid:
            return None
        self.finder.begin((view.namespace, view.name))
        known = dig(body, "status")
        known = known if isinstance(known, dict) else {}
        if view.ended and not has_node_states(known):
            await self._requests.refuse_all(view, "the run never started: make a new one")
            return None
        try:
            return await self._load(view, body, known)
        except TerminalError as error:  # it has begun: what it did must not be lost
            await self._unreadable.say(view, str(error), body)
            raise
        except OverBudgetError as error:
            if has_node_states(known):
                problem = f"to read the run {error}"
                await self._unreadable.say(view, problem, body)
                raise TerminalError(problem) from None
            message = f"spec: to check the run {error}: make its context or its schemas smaller"
            await self._unstarted.fail(body, RunReason.TOO_EXPENSIVE, message, known)
            return None

    async def _load(
        self, view: RunView, body: dict[str, Any], known: dict[str, Any]
    ) -> ActiveRun | None:
        began_as = known.get("specHash")
        if began_as is not None and await hash_of_spec(self._reader, body) != began_as:
            await self._unstarted.fail(body, RunReason.SPEC_CHANGED, SPEC_CHANGED, known)
            return None
        try:
            reading = await self._reader.read(
                in_current_format(body, known),
                asker=view.namespace,
                is_pinned=has_node_states(known),
                executors=await self._executors(body, known),
            )
        except NamedObjectNotFoundError as missing:
            await self.finder.wait_for(body, missing, known)
            return None
        except InvalidError as problem:
            if has_node_states(known) and not view.ended:
                raise TerminalError(describe(problem)) from None
            is_graph = all(each.path[:2] == ("spec", "workflowSpec") for each in problem.problems)
            reason = RunReason.INVALID_WORKFLOW if is_graph else RunReason.INVALID_RUN
            await self._unstarted.fail(body, reason, describe(problem), known)
            return None
        resource = reading.resource
        assert isinstance(resource, WorkflowRun)  # noqa: S101 - for the type checker
        try:
            nodes, shards = await read_nodes(
                self._client, view.namespace, view.name, view.uid, known
            )
        except MissingShardsError as lost:
            await self._unstarted.fail_lost(body, known, lost)
            return None
        status = None
        if has_node_states(known):
            status = await in_slices(load_in_slices({**known, "nodes": nodes}))
        plan = await self.finder.plan(body, reading, status, known)
        if plan is None:
            return None
        outputs = await in_slices(weigh_outputs_in_slices(nodes))
        weight = self._weigh(body, plan)
        weight = replace(weight, own=weight.own + sum(outputs.values()))
        closed = self._turnstile.admit(view, weight)
        if closed is not None:
            await self._say_closed(body, known, closed)
            return None
        context, problems = await self._reader.context(
            plan,
            resource.spec,
            asker=view.namespace,
            is_pinned=status is not None,
            only_declared=not self._settings.allow_inline_workflows,
        )
        fresh = status is None
        if status is None:
            status = await self._beginning.status(
                view, body, resource, plan, context, problems, known
            )
            if status is None:
                return None
            held = {name: {"output": state.output} for name, state in status.nodes.items()}
            outputs = await in_slices(weigh_outputs_in_slices(held))
            more = replace(weight, own=weight.own + sum(outputs.values()))
            closed = self._turnstile.admit(view, more) if outputs else None
            if closed is not None:
                await self._say_closed(body, known, closed)
                return None
        is_readable_again = clear_unreadable(status)
        run = await self._active(view, body, resource, plan, context, status, known)
        run.shards, run.outputs = shards, outputs
        if is_readable_again:
            run.engine.mark_changed()
        if fresh:
            status.workflow = run.owner.workflow
            set_condition(
                status, round(time.time(), 3), "Valid", ConditionStatus.TRUE, RunReason.VALID
            )
            # Written before anything is launched: from now on the run is pinned, and a run
            # without node states never had a Job.
            await self._writer.write(
                run, run.generation, Changes(frozenset(status.nodes), run=True)
            )
            run.write_at = 0.0
        return run

    async def _executors(self, body: dict[str, Any], known: dict[str, Any]) -> Resolved:
        """Return the resources that a graph of the run's own names; later they are pinned.

        Raises `InvalidError`, `ApiError`.
        """
        inline = dig(body, "spec", "workflowSpec")
        asks = dig(body, "spec", "recordedAnswers") is None
        if has_node_states(known) or not names_others(inline, personas=asks):
            return NO_EXECUTORS
        namespace = text(dig(body, "metadata", "namespace"))
        return await self._definitions.executors.resolve(
            namespace, inline, ("spec", "workflowSpec"), personas=asks
        )

    def _weigh(self, body: dict[str, Any], plan: Plan) -> Weight:
        """Return what a run takes of the operator's memory, with its definition."""
        alone = weigh_run(body)
        if not plan.revision:
            return alone
        own = alone.own + len(plan.nodes) * STATE_BYTES
        if plan.spec.inputs is not None:  # its context is a copy, made by a worker
            own += weigh(plan.spec.global_context)
        return Weight(own, self._definitions.weight(plan), plan.revision)

    async def say_closed(self, view: RunView, closed: Closed) -> None:
        """Say on a run what it waits for. Raises `ApiError`, `TerminalError`."""
        try:
            # Many may be told at the same time: what they hold must not be in memory meanwhile.
            body = without_contents(await self._client.get_run(view.namespace, view.name))
        except UnreadableError as error:
            await self.refuse_unreadable((view.namespace, view.name), error.problem)
            return
        if dig(body, "metadata", "uid") == view.uid:
            await self._say_closed(body, dict(mapping(dig(body, "status"))), closed)

    async def _say_closed(
        self, body: dict[str, Any], known: dict[str, Any], closed: Closed
    ) -> None:
        """Say it in the status; of a run that has ended and waits for a re-run by an Event."""
        if has_node_states(known):
            self._recorder.warn(subject_of(body), *closed)
            return
        condition = ("Succeeded", ConditionStatus.UNKNOWN)
        await self._unstarted.say_pending(body, *closed, known, condition)

    async def refuse_unreadable(self, key: RunKey, message: str) -> None:
        """Fail a run that is larger than it can be read, once.

        Raises `TerminalError` for one that has begun: what it did must not be lost. Of a run that
        this operator never read the server says whether that is so. Raises `ApiError`.
        """
        view = self._cache.runs.get(key)
        if view is not None and not view.is_known:
            shown = await self._client.get_run_columns(*key)
            begun = text(shown.get("Progress")) not in ("", NO_PROGRESS)
            view = replace(view, phase=text(shown.get("Phase")), started=begun)
            if self._cache.runs.get(key) is None:  # deleted meanwhile
                return
        if view is None or view.ended:
            return
        if view.started:
            await self._unreadable.say(view, message)
            raise TerminalError(message)
        meta = {
            "namespace": view.namespace,
            "name": view.name,
            "uid": view.uid,
            "resourceVersion": view.version,
            "generation": view.generation,
        }
        with suppress(UnreadableError):  # so is the answer, and it was written
            await self._unstarted.fail({"metadata": meta}, RunReason.TOO_EXPENSIVE, message, {})
        self._cache.runs[key] = replace(view, phase=RunPhase.FAILED.value)

    async def has_changed(self, run: ActiveRun) -> bool:
        """Return whether a run's context or graph is not what it began with.

        The API server refuses that, unless nothing checks it: a run must not go on with it.
        Raises `ApiError`, `TerminalError`.
        """
        try:
            body = await self._client.get_run(*run.key)
        except UnreadableError as error:
            await self.refuse_unreadable(run.key, error.problem)
            raise TerminalError(error.problem) from None
        same = dig(body, "metadata", "uid") == run.owner.uid
        began_as = run.engine.status.spec_hash
        return same and began_as is not None and await hash_of_spec(self._reader, body) != began_as

    async def _active(
        self,
        view: RunView,
        body: dict[str, Any],
        resource: WorkflowRun,
        plan: Plan,
        context: dict[str, Any],
        status: WorkflowRunStatus,
        known: dict[str, Any],
    ) -> ActiveRun:
        spec, meta = resource.spec, body["metadata"]
        recorded = spec.recorded_answers
        workflow = view.workflow or plan.workflow_id
        verdicts = PooledVerdicts(
            self._judge,
            view.namespace,
            lambda seen: run.tell(seen),  # noqa: PLW0108 - it is made below
        )
        info = RunInfo(
            view.name,
            view.uid,
            spec.max_parallel,
            spec.fail_fast,
            recorded is not None,
            whole_seconds=True,
            command=f"kubectl podium -n {view.namespace}",
            max_items=MAX_ITEMS if self._settings.manages else UNMANAGED_ITEMS,
            limits=spec.limits,
        )
        run = ActiveRun(
            owner=Owner(view.namespace, view.name, view.uid, workflow, recorded),
            subject=Subject("WorkflowRun", view.namespace, view.name, view.uid, len(plan.nodes)),
            engine=await in_slices(Engine.in_slices(plan, info, context, status, verdicts)),
            persisted_status=known,
            version=str(meta.get("resourceVersion")),
            generation=int(meta.get("generation") or 0),
            verdicts=verdicts,
        )
        return run


def _key_of(view: RunView) -> RunKey:
    return view.namespace, view.name
