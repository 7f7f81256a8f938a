"""Which Jobs and Pods are of the items of a run's maps, and what the run's status says of them.

An item's share of its map's Indexed Job is seen as a Job (`kube.views.item_view`).
"""

from collections.abc import Mapping

from podium.api.names import split_item
from podium.api.run import NodeState
from podium.cluster.jobs.builder import NAMES_OF_JOB
from podium.cluster.jobs.map_job import is_item_pod_name, map_name
from podium.cluster.kube.views import ITEM, JobView, PodView, real_job, real_name
from podium.cluster.runs.active_run import ActiveRun, MapJob
from podium.engine import recorded_outcome

__all__ = [
    "is_item_job",
    "is_item_pod",
    "is_map_name",
    "is_over",
    "is_recorded_item",
    "note_map_job",
    "outcome_of",
]


def is_map_name(name: str, run: ActiveRun, execution: str) -> bool:
    """Return whether Podium may have given this name to the Indexed Job of a map's execution."""
    numbers = range(NAMES_OF_JOB)
    owner = run.owner
    return any(map_name(owner.name, owner.uid, execution, number) == name for number in numbers)


def is_item_job(run: ActiveRun, job: JobView) -> bool:
    """Return whether an item's share is of the Indexed Job that its map has now."""
    found = split_item(job.node)
    state = run.engine.status.nodes.get(found[0]) if found is not None else None
    if state is None or state.execution_id is None:
        return False
    return is_map_name(real_name(job.name), run, state.execution_id)


def is_item_pod(pod: PodView, job: JobView) -> bool:
    """Return whether Podium may have made a Pod for an item's share of a Job."""
    found = split_item(job.node)
    if found is None or (pod.item, pod.execution) != (job.node, job.execution):
        return False
    where = real_name(job.name), real_job(job.uid)
    return is_item_pod_name(pod.name, *where, job.execution, found[1])


def note_map_job(run: ActiveRun, item: JobView) -> None:
    """Note the Indexed Job of a map that the status records with an item of it."""
    found = split_item(item.node)
    state = run.engine.status.nodes.get(found[0]) if found is not None else None
    if state is not None and state.execution_id is not None:
        known = run.maps.setdefault(state.execution_id, MapJob())
        if not known.uid:
            known.name, known.uid = real_name(item.name), real_job(item.uid)


def is_recorded_item(job: JobView, states: Mapping[str, NodeState]) -> bool | None:
    """Return whether an item succeeded of which only its map still says how it ended.

    None: it has not ended.
    """
    found = split_item(job.node)
    whole = states.get(found[0]) if found is not None else None
    state = states.get(job.node)
    if found is None or whole is None or whole.items is None:
        return None
    if state is not None and not state.status.ended:
        return None
    if found[1] in whole.items.completed:
        return True
    return False if found[1] in whole.items.failed or found[1] in whole.items.skipped else None


def outcome_of(job: JobView, states: Mapping[str, NodeState]) -> bool | None:
    """Return whether the execution of a Job succeeded; None: no end of it is recorded."""
    state = states.get(job.node)
    outcome = recorded_outcome(state, job.execution) if state is not None else None
    if outcome is None and job.shape == ITEM:
        outcome = is_recorded_item(job, states)
    return outcome


def is_over(job: JobView, states: Mapping[str, NodeState]) -> bool:
    """Return whether a map has ended, or has begun again, that an Indexed Job is of."""
    state = states.get(job.node)
    return state is None or state.execution_id != job.execution or state.status.ended
