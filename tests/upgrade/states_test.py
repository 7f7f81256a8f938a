"""What older versions wrote is read as it was meant, and names are made as they made them."""

import importlib.metadata

import pytest

from podium.api.source.files import parse
from podium.api.workflow import WorkflowSpec
from podium.cluster.jobs.builder import job_name
from podium.cluster.kube.views import job_view, pod_view, run_view
from podium.cluster.runs.revisions import revision_name
from podium.engine import Plan, dump_status, load_status
from tests.upgrade import states

SAVED = {version: states.load(version) for version in states.versions()}


def test_this_version_is_saved():
    """Until the next one is made: `python -m tests.upgrade`."""
    version = importlib.metadata.version("podium")
    assert version in SAVED
    assert states.load(version, states.LARGE).of("WorkflowRunNodes")


@pytest.mark.parametrize("version", SAVED)
def test_a_saved_status_comes_back_as_it_was(version):
    runs = SAVED[version].of("WorkflowRun")
    assert runs
    for run in runs:
        status = load_status(run["status"])
        assert dump_status(status) == run["status"], run["metadata"]["name"]
        parse(run)
        assert run_view(run).started


@pytest.mark.parametrize("version", SAVED)
def test_a_saved_definition_has_the_name_that_it_would_get_today(version):
    """Else the runs that are pinned to it could not go on."""
    state = SAVED[version]
    (flow,) = state.of("Workflow")
    (revision,) = state.of("ControllerRevision")
    spec = WorkflowSpec.model_validate(revision["data"]["spec"])
    assert revision_name(flow["metadata"]["name"], spec) == revision["metadata"]["name"]
    assert Plan.build(spec, workflow_id=revision["data"]["workflowId"]).nodes
    assert parse(flow).spec == spec


@pytest.mark.parametrize("version", SAVED)
def test_saved_jobs_and_pods_have_the_names_that_they_would_get_today(version):
    """Else a newer operator would not find them, and start their nodes again."""
    state = SAVED[version]
    names = {run["metadata"]["uid"]: run["metadata"]["name"] for run in state.of("WorkflowRun")}
    jobs = {job["metadata"]["uid"]: job for job in state.of("Job")}
    pods = state.of("Pod")
    assert jobs
    assert pods
    for job in jobs.values():
        view = job_view(job)
        assert view.name == job_name(
            names[view.run_uid], view.run_uid, view.execution, view.restart
        )
    for pod in pods:
        assert states.pod_number(jobs[pod_view(pod).job_uid], pod) == 0
