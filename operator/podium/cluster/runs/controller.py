"""The loop of cluster runs: a turn takes in what was seen, steps the engine, launches what is due.

What turns changed is written by a flush, which runs beside them: a status patch when one is due,
and after it what may be done only once it is recorded. A crash between any two is repaired by the
next turn: names are derived, so nothing starts twice, and a run that is loaded is told of all that
is alive.
"""

import time
from functools import partial

from podium.api.reasons import NodeReason, RunReason
from podium.cluster.jobs.controller import ManagedJobController
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.events import Recorder, Subject
from podium.cluster.kube.views import JobView, RunView
from podium.cluster.metrics import Metrics
from podium.cluster.runs.active_run import ActiveRun, has_gone
from podium.cluster.runs.child_runs import ChildRuns
from podium.cluster.runs.closer import JobCloser
from podium.cluster.runs.launcher import JobLauncher
from podium.cluster.runs.loader import RunLoader
from podium.cluster.runs.map_progress import take_after_write
from podium.cluster.runs.observer import JobObserver
from podium.cluster.runs.request_handler import RequestHandler
from podium.cluster.runs.revisions import Definitions
from podium.cluster.runs.run_reader import RunReader
from podium.cluster.runs.status_writer import StatusWriter, TooLargeError
from podium.cluster.runs.turnstile import Turnstile
from podium.cluster.settings import Settings
from podium.cluster.watch.store import InformerCache, RunKey
from podium.cluster.worker import ObjectKey, Result, TerminalError
from podium.cluster.workqueue import KeyQueue
from podium.engine import Action, Control, Emit, Launch, Stop, WakeAt
from podium.judge.pool import Pool
from podium.judge.reader import Reader
from podium.kinds import JobShape

__all__ = ["RunController"]

TURN_SECONDS = 30.0
"""How often a run that waits for another one's end looks by itself."""
EARLY_SECONDS = 1.0
"""How often a large run looks whether all that have begun were taken up."""
LAUNCH_SECONDS = 0.2
"""A write that can wait waits for launches, at most this long."""


class RunController:
    """Reconciles runs."""

    def __init__(
        self,
        client: KubernetesClient,
        cache: InformerCache,
        queue: KeyQueue[ObjectKey],
        recorder: Recorder,
        definitions: Definitions,
        jobs: ManagedJobController,
        settings: Settings,
        metrics: Metrics,
        judge: Pool,
    ) -> None:
        self._client = client
        self._cache = cache
        self._queue = queue
        self._recorder = recorder
        self._metrics = metrics
        self._writer = StatusWriter(client, cache)
        self._launcher = JobLauncher(client, cache, settings, metrics)
        self._references = self._launcher.references
        self._requests = RequestHandler(
            client,
            cache,
            recorder,
            definitions,
            self._references,
            settings,
            Reader(judge, settings.offered),
        )
        self._turnstile = Turnstile(cache, settings)
        self._loader = RunLoader(
            client,
            cache,
            recorder,
            definitions,
            self._writer,
            self._requests,
            settings,
            judge,
            self._turnstile,
        )
        self._reader = RunReader(client, cache, self._loader, self._turnstile)
        self._closer = JobCloser(client, cache, jobs)
        self._observer = JobObserver(client, cache, jobs, self._launcher, self._closer)
        self._runs: dict[RunKey, ActiveRun] = {}
        self._children = ChildRuns(client, cache, self._launcher, settings, self._runs.get)

    # What the rest of the operator calls

    def job_changed(self, job: JobView) -> None:
        """Note that something of a Job changed."""
        key = self._cache.keys.get(job.run_uid)
        if key is None:
            return
        run = self._runs.get(key)
        if run is not None:
            run.dirty.add(job.name)
        self._queue.add(ObjectKey("WorkflowRun", *key))

    def workflow_appeared(self, namespace: str) -> None:
        """Look again at runs whose Workflow was not there."""
        for key in self._loader.finder.waiting.pop(namespace, ()):
            self._queue.add(ObjectKey("WorkflowRun", *key))

    def active(self) -> int:
        """Count the runs that are worked on."""
        return len(self._runs)

    def has_pending_writes(self, key: RunKey) -> bool | None:
        """Return whether something of a run waits to be written; None: it is not worked on."""
        run = self._runs.get(key)
        return run.has_pending_writes if run is not None else None

    def begin(self) -> None:
        """Take up what is there: runs that have begun come before large ones that have not."""
        self._turnstile.expect(key for key, run in self._cache.runs.items() if not run.is_known)

    def settle(self, seconds: float) -> None:
        """Launch nothing for a while: what an earlier leader sent may still arrive."""
        self._launcher.launch_after = time.monotonic() + seconds

    def forget(self, key: RunKey) -> None:
        """Drop what is kept of a run."""
        run = self._runs.pop(key, None)
        if run is not None:
            run.close()
            self._children.forget(run)
            self._recorder.forget(run.subject.uid)
        self._turnstile.forget(key)
        if run is not None:
            self._let_next(key[0])
        self._loader.finder.forget(key)
        self._requests.forget(key)

    def _wake(self, key: RunKey) -> None:
        if key in self._runs:
            self._queue.add(ObjectKey("WorkflowRun", *key))

    # The reconciler

    async def reconcile(self, key: ObjectKey) -> Result:
        """Do what there is to do for a run. Raises `ApiError`, `ConflictError`."""
        run_key = (key.namespace, key.name)
        before = self._runs.get(run_key)
        try:
            wait = await self._reconcile(run_key)
        except TerminalError:
            self.forget(run_key)  # its status says so now: it is loaded again with that
            raise
        finally:
            self._turnstile.has_seen(run_key)
            self._children.has_seen(run_key)
        # A failure is overcome only when what the run owes could be written, what comes of the
        # launches under way included: else each one resets the back-off of a refused status.
        run, view = self._runs.get(run_key), self._cache.runs.get(run_key)
        launches = run is not None and bool(run.tasks or run.launch_results)
        lost = before is not None and run is None and not has_gone(view, before)
        pending = self.has_pending_writes(run_key) or launches or lost
        return Result(wait, recovered=not pending)

    def failed(self, key: ObjectKey, error: Exception, wait: float | None) -> None:
        """Record on the run that it cannot go on."""
        view = self._cache.runs.get((key.namespace, key.name))
        if view is None:
            return
        message = f"the operator cannot reconcile this run: {type(error).__name__}: {error}"
        if wait is not None:
            message += f"; retrying in {wait:g} s"
        subject = Subject("WorkflowRun", view.namespace, view.name, view.uid)
        self._recorder.warn(subject, NodeReason.STALLED, message)

    async def _reconcile(self, key: RunKey) -> float | None:
        view = self._cache.runs.get(key)
        if view is None or view.deleting:
            self.forget(key)
            self._turnstile.drop(key)
            return None
        run = self._runs.get(key)
        if run is not None and run.owner.uid != view.uid:  # deleted and made again
            self.forget(key)
            run = None
        body = None
        if not view.is_whole:
            whole, body = await self._reader.read(key, run)
            if whole is None:
                return None
            view, run = whole, self._runs.get(key)
        if run is not None and view.generation not in (run.generation, run.checked_generation):
            if await self._loader.has_changed(run):
                self.forget(key)
                run = None
            else:
                run.checked_generation = view.generation
        view = await self._requests.accept(view, run)
        try:
            if run is None:
                if view.ended and not self._requests.pending(view):
                    self._turnstile.forget(key)
                    return await self._closer.close_ended_run(view)
                if self._turnstile.is_early(view):
                    return EARLY_SECONDS
                if closed := self._turnstile.why_closed(view):
                    if self._turnstile.wait(key, closed):
                        await self._loader.say_closed(view, closed)
                        self._let_next(key[0])  # it may have left the other line
                    return TURN_SECONDS
                with self._turnstile.entering(key):
                    run = await self._loader.load(view, body)
                    body = None  # it may be large
                    if run is None:
                        self._turnstile.memory.release(key)
                self._let_next(key[0])  # there may be room for more
                if run is None:
                    if self._turnstile.waits(key):
                        return TURN_SECONDS
                    return self._loader.finder.look_again(key)
                run.wake = partial(self._wake, key)
                self._runs[key] = run
                self._observer.resume_tracking(run)
                self._children.resume_tracking(run)
            return await self._turn(run, view)
        except BaseException:
            # The engine may be ahead of the status: what is read next time is the truth.
            self.forget(key)
            raise

    def _let_next(self, namespace: str) -> None:
        """Look again at the runs that have waited longest."""
        for waiting in self._turnstile.next(namespace):
            self._queue.add(ObjectKey("WorkflowRun", *waiting))

    async def _turn(self, run: ActiveRun, view: RunView) -> float | None:
        """Step the engine once; return the seconds after which it is due again."""
        run.look_again = None
        asked = await self._requests.for_engine(run, view)
        control = await self._control(run, view)
        if asked:  # what was launched before is looked at with them: it may have to stop
            run.dirty.update(run.executions)
        children = []
        if run.children:
            await self._children.pass_on(run, view)
            children = await self._children.collect(run)
        batch = await self._observer.collect_observations(run)
        async with run.stepping:
            if self._runs.get(run.key) is not run:
                return None  # a flush failed meanwhile: what loads the run again looks again
            seen = self._turnstile.memory.take_outputs(
                run.key, run.outputs, [*children, *batch.observations]
            )
            actions = run.engine.step(
                time.time(), observations=seen, requests=asked, control=control
            )
            batch.commit()
            wake = self._carry_out(run, actions)
        after = run.after_write
        if asked or after.refusals or after.stops or after.remove or after.remove_pods:
            run.urgent = True
        if view.generation != run.generation:
            run.urgent = True
        self._plan_flush(run)
        if not run.has_pending_writes and self._release(run):
            return await self._closer.close_ended_run(self._cache.runs.get(run.key, view))
        due = [run.look_again, wake - time.time() if wake is not None else None]
        return min((seconds for seconds in due if seconds is not None), default=None)

    async def _control(self, run: ActiveRun, view: RunView) -> Control:
        """Return what is asked of a run; one that has not begun is held back where it must be."""
        status = run.engine.status
        if status.started_at is not None or status.phase.ended or view.suspend or view.cancel:
            return Control(view.suspend, view.cancel, terminate=view.terminate)
        hold, run.look_again = await self._references.hold(run)
        return Control(hold=hold)

    def _carry_out(self, run: ActiveRun, actions: list[Action]) -> float | None:
        """Begin what the engine asks for; return when it is due again."""
        wake: float | None = None
        for action in actions:
            match action:
                case Launch(shape=JobShape.CHILD):
                    self._children.launch(run, action)
                case Launch():
                    self._launcher.launch(run, action)
                case Stop():
                    run.after_write.stops.append(action)
                case Emit():
                    run.after_write.events.append(action)
                case WakeAt():
                    wake = action.at
        return wake

    def _plan_flush(self, run: ActiveRun) -> None:
        """Queue the next write for when it is due."""
        if not run.has_pending_writes:
            return
        key = ObjectKey("Status", *run.key)
        if run.urgent or run.engine.status.phase.ended:
            self._queue.add(key)
            return
        due = self._writer.due(run)
        if run.tasks:  # what is being launched is written as running, once
            due = max(due, time.monotonic() + LAUNCH_SECONDS)
        self._queue.add_at(key, due)

    async def flush(self, key: RunKey) -> None:
        """Write what changed of a run, then do what had to wait for it.

        Raises `ApiError`, `ConflictError`.
        """
        run, view = self._runs.get(key), self._cache.runs.get(key)
        if run is None or view is None or view.uid != run.owner.uid:
            return
        try:
            await self._flush(run, view)
        except TooLargeError as error:
            self.forget(key)
            self._recorder.warn(run.subject, RunReason.STATUS_TOO_LARGE, str(error))
            self._queue.add(ObjectKey("WorkflowRun", *key))
        except BaseException:
            self.forget(key)
            raise

    async def _flush(self, run: ActiveRun, view: RunView) -> None:
        work = take_after_write(run, self._cache)
        changes = run.engine.take_changes()
        if changes or view.generation != run.generation:
            before = run.persisted_status
            async with run.writing:
                await self._writer.write(run, view.generation, changes)
            self._metrics.count_spent(before, run.persisted_status)
            # As it is now: a request may have been accepted meanwhile, which must stay.
            view = self._cache.runs.get(run.key, view)
        for event in work.events:
            self._recorder.record(run.subject, event)
        await self._requests.clear(run, view, work.refusals)
        await self._closer.apply_after_write(run, work)
        if work.stops:
            self._wake(run.key)  # perhaps nothing of them ran any more
        self._plan_flush(run)
        if self._release(run):
            self._queue.add(ObjectKey("WorkflowRun", *run.key))

    def _release(self, run: ActiveRun) -> bool:
        """Let a run go that has ended and has nothing under way; return whether it went."""
        ended = run.idle and run.engine.status.phase.ended
        if not ended or self._runs.get(run.key) is not run:
            return False
        self.forget(run.key)
        self._metrics.ended.labels(run.engine.status.phase.value).inc()
        return True
