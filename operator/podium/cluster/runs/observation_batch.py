"""What was seen of a run in one turn, and what may follow once the engine has taken it in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from podium.cluster.jobs.interpret import ExecutionReport
from podium.cluster.kube.views import PodView
from podium.cluster.runs.active_run import ActiveRun
from podium.engine import AttemptPhase, Observation, recorded_outcome

__all__ = ["ObservationBatch", "PendingJobUpdate", "update_of"]


@dataclass(frozen=True, slots=True)
class PendingJobUpdate:
    """What may be done with a Job once the engine has taken in what was seen of its execution."""

    node: str
    execution: str
    job: str
    succeeded: bool | None = None
    """Whether its program succeeded; None: it has not ended."""
    remove: bool = False
    """Whether it does not end by itself."""
    remove_pods: bool = False
    """Whether its Pods do not, although its program has ended."""
    disrupted_pods: tuple[PodView, ...] = ()


class ObservationBatch:
    """What was seen in one turn. `commit` it once the engine has taken it in."""

    def __init__(
        self,
        run: ActiveRun,
        observations: Sequence[Observation],
        updates: Sequence[PendingJobUpdate],
    ) -> None:
        self.observations = observations
        self._run = run
        self._updates = updates

    def commit(self) -> None:
        """Note what may be done once the status is written, for what the engine has taken in.

        What it has not must stay as it is. It is looked at again once the engine has: it will be
        launched, or its output is being judged.
        """
        run = self._run
        engine, after = run.engine, run.after_write
        for name in [each for each in run.unrecorded if self._is_recorded(each)]:
            run.unrecorded.discard(name)
            run.dirty.add(name)
            run.wake()
        for update in self._updates:
            if not engine.has_recorded_execution(update.node, update.execution):
                run.unrecorded.add(update.job)
                continue
            if update.remove:
                after.remove.add(update.job)
            if update.remove_pods:
                after.remove_pods.add(update.job)
            if update.succeeded is not None:
                state = engine.status.nodes.get(update.node)
                # A program that succeeded may have handed over what breaks its contract.
                outcome = recorded_outcome(state, update.execution) if state is not None else None
                succeeded = update.succeeded and outcome is not False
                after.outcomes[update.job] = succeeded or after.outcomes.get(update.job, False)
            after.disrupted_pods += update.disrupted_pods

    def _is_recorded(self, job: str) -> bool:
        execution = self._run.executions.get(job)
        return execution is None or self._run.engine.has_recorded_execution(
            execution.node, execution.id
        )


def update_of(
    report: ExecutionReport,
    node: str,
    execution_id: str,
    name: str,
    pods: Iterable[PodView],
) -> PendingJobUpdate:
    """Return what a report lets be done with a Job."""
    last = report.observations[-1]
    update = PendingJobUpdate(
        node, execution_id, name, remove=report.remove, remove_pods=report.remove_pods
    )
    if last.phase in (AttemptPhase.SUCCEEDED, AttemptPhase.FAILED):
        return replace(update, succeeded=last.phase is AttemptPhase.SUCCEEDED)
    if last.phase is AttemptPhase.DISRUPTED:
        disrupted = tuple(pod for pod in pods if not pod.alive and not pod.gone)
        return replace(update, disrupted_pods=disrupted)
    return update
