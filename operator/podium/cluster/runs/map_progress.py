"""What the status of an Indexed Job is told of its map, once the run's status has it."""

from podium.api.run import NodeState
from podium.cluster.jobs.controller import ManagedJobController
from podium.cluster.jobs.map_status import MapProgress
from podium.cluster.kube.views import INDEXED, JobView
from podium.cluster.runs.active_run import ActiveRun, AfterWrite, MapJob, MapUpdate
from podium.cluster.runs.item_objects import is_map_name, is_over, outcome_of
from podium.cluster.watch.store import InformerCache

__all__ = ["carry_out_maps", "progress_of", "take_after_write", "take_up_maps"]


def take_after_write(run: ActiveRun, cache: InformerCache) -> AfterWrite:
    """Return what follows the write of the status that is about to be made.

    How the items of its maps stand is noted now: what becomes of them meanwhile is not in it.
    """
    work = run.take_after_write()
    states = run.engine.status.nodes
    known = cache.jobs(run.owner.namespace, run.owner.uid)
    for execution, held in list(run.maps.items()):
        job = known.get(held.name)
        if job is None or job.uid != held.uid:
            continue
        update = MapUpdate(job.name, job.uid)
        state = states.get(job.node)
        if state is not None and state.execution_id == execution and state.items is not None:
            items = state.items
            counts = len(items.completed), len(items.failed), len(items.skipped)
            if counts != held.told:
                held.told = counts
                update.progress = progress_of(state)
        if is_over(job, states):
            del run.maps[execution]
            update.is_over, update.outcome = True, outcome_of(job, states)
        if update.progress is not None or update.is_over:
            work.maps.append(update)
    return work


def progress_of(state: NodeState) -> MapProgress | None:
    """Return how the items of a map stand: as they are now, whatever becomes of them later."""
    items = state.items
    if items is None:
        return None
    completed = items.completed.copy()
    for index in items.skipped:
        completed.add(index)
    return MapProgress(completed, items.failed.copy(), len(items.completed))


def carry_out_maps(
    run: ActiveRun, work: AfterWrite, cache: InformerCache, jobs: ManagedJobController
) -> list[JobView]:
    """Tell Jobs what the status has of their maps; return those that never end by themselves.

    These are Jobs of maps that were stopped, or run again: nothing of them is waited for.
    """
    over = []
    for update in work.maps:
        job = cache.jobs(run.owner.namespace, run.owner.uid).get(update.job)
        if job is None or job.uid != update.uid or job.deleting:
            continue
        if update.progress is not None:
            jobs.set_progress(job, update.progress)
        if update.outcome is not None:
            jobs.set_outcome(job, succeeded=update.outcome)
        elif update.is_over:
            over.append(job)
    return over


def take_up_maps(run: ActiveRun, cache: InformerCache) -> None:
    """Have the Jobs end of maps that ended, or began again, under an earlier operator.

    One that goes on is known by the items that the status records, or is found by a launch.
    """
    for job in cache.jobs(run.owner.namespace, run.owner.uid).values():
        if job.shape == INDEXED and is_map_name(job.name, run, job.execution):
            known = run.maps.setdefault(job.execution, MapJob())
            if not known.uid and is_over(job, run.engine.status.nodes):
                known.name, known.uid = job.name, job.uid
