"""What older versions wrote is read as it was meant, and names are made as they made them."""

import importlib.metadata

import pytest

from podium.api.run import NodeState, NodeStatus
from podium.api.source.files import parse
from podium.api.workflow import WorkflowSpec
from podium.cluster.jobs.adoption import is_job_as_built
from podium.cluster.jobs.artifacts import left_by
from podium.cluster.jobs.builder import Owner, build_job, job_name
from podium.cluster.jobs.large_values import large_values
from podium.cluster.kube.views import job_view, pod_view, run_view
from podium.cluster.runs.revisions import revision_name
from podium.cluster.settings import Settings
from podium.engine import Engine, Launch, Plan, RunInfo, dump_status, load_status
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


def test_a_saved_run_with_large_outputs_goes_on():
    """Its status is as it was, and what was made for it is what would be made today."""
    state = states.load("unreleased", states.LARGE_OUTPUTS)
    (run,) = state.of("WorkflowRun")
    (revision,) = state.of("ControllerRevision")
    status = load_status(run["status"])
    assert dump_status(status) == run["status"]
    spec = WorkflowSpec.model_validate(revision["data"]["spec"])
    assert revision_name("flow", spec) == revision["metadata"]["name"]
    plan = Plan.build(spec, workflow_id=revision["data"]["workflowId"])
    store = status.artifact_store
    settings = Settings(runner_image=store.image, artifacts={"s3": store.s3}, installation="podium")
    metadata = run["metadata"]
    for name, to_run in (("make", ("make", "held", "last")), ("held", ("held", "last"))):
        before = load_status(run["status"])
        for node in to_run:
            before.nodes[node] = NodeState(status=NodeStatus.PENDING)
        if name == "make":
            before.context_version = 0
        engine = Engine(plan, RunInfo(metadata["name"], metadata["uid"]), {}, before)
        actions = engine.step(state.saved_at)
        (launch,) = [action for action in actions if isinstance(action, Launch)]
        assert launch.execution_id == f"{name}-1"
        owner = Owner(
            metadata["namespace"],
            metadata["name"],
            metadata["uid"],
            "flow",
            None,
            found=left_by(plan, before.nodes, name, launch.delivered),
            large=large_values(launch, before.nodes, engine.asked_of_output(name)),
        )
        made = build_job(owner, plan, launch, settings)
        (saved,) = [job for job in state.of("Job") if job_view(job).node == name]
        assert is_job_as_built(made, saved), name
