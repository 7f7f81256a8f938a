"""Child runs on a cluster: WorkflowRuns that carry out nodes of another one.

Names are derived, so what is made twice is found the second time. Only the run whose UID the
status records counts. The end of a child wakes its parent; what a child is asked (cancel, suspend)
is compared with what its parent is asked, so a crash in between repeats a request.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from podium.api.child_runs import parent_of
from podium.api.reasons import NodeReason, RunReason
from podium.api.run import NodeState, NodeStatus, RunPhase
from podium.cluster.jobs.builder import NAMES_OF_JOB, job_name
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError, UnreadableError
from podium.cluster.kube.views import RunView, dig, mapping, text
from podium.cluster.runs.active_run import ActiveRun, Child
from podium.cluster.runs.child_bounds import ChildBounds
from podium.cluster.runs.child_objects import (
    SUSPENDED,
    asked_of,
    build_child,
    control_change,
    deleted,
    is_child_as_built,
    is_recorded,
    may_have_child,
    state_of,
)
from podium.cluster.runs.job_maker import refused_for_now, tell_set_aside
from podium.cluster.runs.launcher import JobLauncher
from podium.cluster.settings import Settings
from podium.cluster.watch.store import InformerCache, RunKey
from podium.engine import (
    AttemptPhase,
    ChildState,
    Launch,
    Observation,
    not_started,
    observe_child,
)

__all__ = ["ChildRuns"]

AT_A_TIME = 8
"""Requests about the children of one run."""


class ChildRuns:
    """Makes, looks at and controls the child runs of runs."""

    def __init__(
        self,
        client: KubernetesClient,
        cache: InformerCache,
        launcher: JobLauncher,
        settings: Settings,
        find: Callable[[RunKey], ActiveRun | None],
    ) -> None:
        self._client = client
        self._cache = cache
        self._launcher = launcher
        self._bounds = ChildBounds(cache, settings.limits.max_active_runs_per_namespace)
        self._find = find
        """Finds a run that is worked on."""
        self._parents: dict[RunKey, tuple[RunKey, str]] = {}
        """Parent and execution by child."""

    # What comes from the children

    def has_seen(self, key: RunKey) -> None:
        """Note that a run was looked at: if it is a child, its parent looks at what changed."""
        known = self._parents.get(key)
        if known is None:
            return
        run = self._find(known[0])
        child = run.children.get(known[1]) if run is not None else None
        if run is None or child is None or child.has_ended:
            del self._parents[key]
        elif child.shown != self._shown(key, child):
            run.dirty_children.add(known[1])
            run.wake()

    def _shown(self, key: RunKey, child: Child) -> str | None:
        """Return the phase of a child as the cache has it; None: it is gone."""
        view = self._cache.runs.get(key)
        return None if view is None or view.uid != child.uid or view.deleting else view.phase

    async def collect(self, run: ActiveRun) -> list[Observation]:
        """Look at the children that changed. Raises `ApiError`."""
        due = [*run.dirty_children, *self._stopped_unseen(run)]
        children = [(each, run.children.get(each)) for each in dict.fromkeys(due)]
        changed = [
            (each, child)
            for each, child in children
            if child and not child.has_ended and _counts(run, each, child)
        ]
        run.dirty_children.clear()
        found: list[Observation] = []
        for begin in range(0, len(changed), AT_A_TIME):
            part = changed[begin : begin + AT_A_TIME]
            found += await asyncio.gather(*(self._look_at(run, *each) for each in part))
        return found

    def _stopped_unseen(self, run: ActiveRun) -> Iterator[str]:
        """Give executions that were stopped and of whose child nothing counted before."""
        for _, execution in run.stopping:
            child = run.children.get(execution)
            if child is None or child.is_known:
                continue
            if child.shown != self._shown((run.owner.namespace, child.name), child):
                yield execution

    def forget(self, run: ActiveRun) -> None:
        """Drop what is kept of the children of a run."""
        for child in run.children.values():
            self._parents.pop((run.owner.namespace, child.name), None)

    async def _look_at(self, run: ActiveRun, execution: str, child: Child) -> Observation:
        namespace = run.owner.namespace
        child.shown = self._shown((namespace, child.name), child)
        try:
            body = await self._client.get_run(namespace, child.name)
        except UnreadableError as error:
            # Nothing of it can be read, nor will it ever end as far as that can be known.
            state = ChildState(
                RunPhase.FAILED, 0.0, reason=RunReason.TOO_EXPENSIVE, message=error.problem
            )
            child.has_ended = True
            return observe_child(child.node, execution, child.name, state, child.uid)
        except ApiError as error:
            if error.status != 404:
                raise
            body = {}
        meta = mapping(body.get("metadata"))
        if meta.get("uid") != child.uid or meta.get("deletionTimestamp") is not None:
            child.has_ended = True
            return deleted(child, execution)
        state = state_of(mapping(body.get("status")))
        child.has_ended = state.phase.ended
        return observe_child(child.node, execution, child.name, state, child.uid)

    # What goes to the children

    async def pass_on(self, run: ActiveRun, view: RunView) -> None:
        """Ask the children what their parent is asked, and those that are stopped to end.

        Raises `ApiError`.
        """
        changes = []
        asked_of_run = view.suspend, view.terminate
        if asked_of_run != run.asked_of_children:
            executions = list(run.children)
        else:  # new ones, and those that are stopped
            executions = [*run.dirty_children, *(each for _, each in run.stopping)]
        for execution in dict.fromkeys(executions):
            child = run.children.get(execution)
            if child is None or child.has_ended:
                continue
            is_stopping = (child.node, execution) in run.stopping
            had = child.asked
            asked = {
                "suspend": view.suspend,
                "cancel": is_stopping or had.get("cancel", False),
                "terminate": (is_stopping and view.terminate) or had.get("terminate", False),
            }
            if change := control_change(asked, had):
                changes.append((execution, child, asked, change))
        for begin in range(0, len(changes), AT_A_TIME):
            part = changes[begin : begin + AT_A_TIME]
            await asyncio.gather(*(self._change(run, *each) for each in part))
        run.asked_of_children = asked_of_run

    async def _change(
        self,
        run: ActiveRun,
        execution: str,
        child: Child,
        asked: dict[str, bool],
        change: dict[str, Any],
    ) -> None:
        namespace = run.owner.namespace
        try:
            body = await self._client.control_run(namespace, child.name, child.uid, change)
        except ApiError as error:
            if error.status not in (404, 409):
                raise
            run.dirty_children.add(execution)  # gone, or another one: a look says so
            run.wake()
        else:
            self._cache.put_run(body)
            child.asked = asked

    # Making them

    def launch(self, run: ActiveRun, launch: Launch) -> None:
        """Begin to make the child run of an execution, or to find the one that is there."""
        if refused := self._bounds.too_deep(run, launch):
            self._launcher.answer(run, refused)
            return
        known = self._of_execution(run, launch.node, launch.execution_id)
        refused = None if known is not None else self._bounds.refusal(run, launch)
        if refused:
            self._launcher.answer(run, refused)
            return
        run.launching.add(launch.execution_id)
        free = self._bounds.count_making(run)

        async def make() -> None:
            seen = None
            try:
                if run.engine.is_execution_current(launch.node, launch.execution_id):
                    seen = await self._make(run, launch)
            finally:
                free()
                run.launching.discard(launch.execution_id)
                run.wake()  # it may have been stopped meanwhile
            if seen is not None:
                self._launcher.answer(run, seen)

        task = self._launcher.spawn(
            run, make, lambda message: refused_for_now(launch, NodeReason.STALLED, message, 5.0)
        )
        task.add_done_callback(free)  # it may be cancelled before it began

    async def _make(self, run: ActiveRun, launch: Launch) -> Observation:
        owner, execution = run.owner, launch.execution_id
        depth, root = self._bounds.depth_below(run), self._bounds.root(run)
        built = build_child(owner, "", launch, depth, root, run.engine.status.requested_by)
        for number in range(NAMES_OF_JOB):
            name = job_name(owner.name, owner.uid, execution, 0, number)
            built["metadata"]["name"] = name
            try:
                body = await self._make_or_find(built)
            except UnreadableError:
                tell_set_aside(run, launch.node, "WorkflowRun", name, name)
                continue
            except ApiError as error:
                return self._launcher.checks.not_created(run, launch, error)
            uid = text(dig(body, "metadata", "uid"))
            if not is_child_as_built(built, body):
                tell_set_aside(run, launch.node, "WorkflowRun", name, uid)
                continue
            if dig(body, "metadata", "deletionTimestamp") is not None:
                message = f"the run {name}, which was deleted, is not gone yet"
                return refused_for_now(launch, NodeReason.TERMINATING, message, 1.0)
            self._cache.put_run(body)
            run.refusals.pop(launch.node, None)
            child = Child(launch.node, name, uid, depth, asked_of(body))
            self._add(run, execution, child)
            return Observation(
                launch.node, execution, AttemptPhase.LAUNCHED, job_uid=uid, child_run=name
            )
        message = f"other objects have all {NAMES_OF_JOB} names of its child run: delete them"
        return not_started(launch, NodeReason.NAME_TAKEN, message)

    async def _make_or_find(self, built: dict[str, Any]) -> dict[str, Any]:
        """Create a child, or return the run that has its name. Raises `ApiError`."""
        try:
            return await self._client.create_run(built)
        except ApiError as error:
            if error.status != 409 or error.namespace_terminating:
                raise
        meta = built["metadata"]
        return await self._client.get_run(meta["namespace"], meta["name"])

    def _add(self, run: ActiveRun, execution: str, child: Child) -> None:
        run.children[execution] = child
        run.dirty_children.add(execution)
        self._parents[run.owner.namespace, child.name] = run.key, execution

    # After a start

    def resume_tracking(self, run: ActiveRun) -> None:
        """Take up the children of a run which was just loaded."""
        states = {**run.engine.status.removed_nodes, **run.engine.status.nodes}
        for node, state in states.items():
            if state.child_run and state.status is NodeStatus.RUNNING and state.execution_id:
                self._take_up(run, node, state.execution_id, state)
        # Others may be ending, or were made before a crash and are not recorded.
        for key in self._cache.children_of(run.owner.uid):
            view = self._cache.runs[key]
            if (parent := view.parent) is None or parent.execution in run.children:
                continue
            if is_recorded(states.get(parent.node), parent.execution):
                continue
            if (
                may_have_child(run.engine.plan, states, parent.node)
                and self._of_execution(run, parent.node, parent.execution) is view
            ):
                self._take_up_unrecorded(run, parent.node, parent.execution, view)

    def _take_up(self, run: ActiveRun, node: str, execution: str, state: NodeState) -> None:
        """Take up the child of the execution that a node has."""
        name = state.child_run or ""
        child = Child(node, name, state.job_uid or "", self._bounds.depth_below(run))
        view = self._cache.runs.get((run.owner.namespace, name))
        if view is not None and view.uid == child.uid:
            child.asked = {"suspend": view.annotations.get(SUSPENDED) == "true"}
        self._add(run, execution, child)

    def _take_up_unrecorded(self, run: ActiveRun, node: str, execution: str, view: RunView) -> None:
        """Take up a child that the status does not know of, or not any more."""
        child = Child(node, view.name, view.uid, view.depth, is_known=False)
        child.asked = {"suspend": view.annotations.get(SUSPENDED) == "true"}
        self._add(run, execution, child)
        seen = Observation(
            node, execution, AttemptPhase.LAUNCHED, job_uid=view.uid, child_run=view.name
        )
        run.launch_results.append(seen)

    def _of_execution(self, run: ActiveRun, node: str, execution: str) -> RunView | None:
        """Return the run that says that it is the child of an execution, as the cache has it."""
        owner = run.owner
        for number in range(NAMES_OF_JOB):
            name = job_name(owner.name, owner.uid, execution, 0, number)
            view = self._cache.runs.get((owner.namespace, name))
            if view is None:
                return None
            parent = parent_of(view.annotations)
            if parent is not None and (parent.uid, parent.node, parent.execution) == (
                owner.uid,
                node,
                execution,
            ):
                return view
        return None


def _counts(run: ActiveRun, execution: str, child: Child) -> bool:
    """Return whether what a run says counts: anyone may write that it is a child.

    Of what was stopped, its end is waited for, whoever made it.
    """
    return child.is_known or (child.node, execution) in run.stopping
