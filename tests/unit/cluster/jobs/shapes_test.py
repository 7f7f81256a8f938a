"""A Job is interpreted by its own shape only."""

import pytest

from podium.cluster.jobs.shapes import SHAPES, ExecutionSnapshot, interpret
from podium.cluster.kube.views import job_view, pod_view
from podium.engine import AttemptPhase
from podium.kinds import JobShape
from tests.unit.cluster import support
from tests.unit.cluster.support import terminated

INDEX = {"batch.kubernetes.io/job-completion-index": "0"}


def phase_of(job, *pods):
    seen = ExecutionSnapshot(
        "build", "build-1", job and job_view(job), list(map(pod_view, pods)), 0.0, 0.0
    )
    (observation,) = interpret(seen).observations
    return observation.phase


def ended(code, **changes):
    phase = "Failed" if code else "Succeeded"
    return support.pod(state=terminated(code), phase=phase, **changes)


def test_every_shape_has_its_two_methods():
    """A child run has no Job."""
    assert set(SHAPES) == {shape.value for shape in JobShape} - {JobShape.CHILD.value}


@pytest.mark.parametrize(("code", "phase"), [(0, AttemptPhase.SUCCEEDED), (1, AttemptPhase.FAILED)])
def test_a_single_job_ends_as_its_pod(code, phase):
    assert phase_of(support.job(), ended(code)) is phase


@pytest.mark.parametrize("code", [0, 1])
def test_the_first_pod_of_an_indexed_job_is_not_its_end(code):
    indexed = support.job(spec={"completionMode": "Indexed", "completions": 3})
    first = ended(code, metadata={"annotations": INDEX})
    assert phase_of(indexed, first) is AttemptPhase.LAUNCHED
    assert phase_of(None, first) is AttemptPhase.LAUNCHED
