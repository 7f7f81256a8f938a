"""What older versions wrote is read as it was meant, and names are made as they made them."""

import importlib.metadata

import pytest

from podium.api.names import split_item
from podium.api.run import NodeState, NodeStatus
from podium.api.source.files import parse
from podium.api.workflow import WorkflowSpec
from podium.cluster.jobs.adoption import is_job_as_built
from podium.cluster.jobs.artifacts import left_by
from podium.cluster.jobs.builder import Owner, build_job, job_name
from podium.cluster.jobs.large_values import large_values
from podium.cluster.jobs.map_job import is_item_pod_name, map_name
from podium.cluster.kube.views import INDEXED, job_view, pod_view, real_job, run_view
from podium.cluster.runs.revisions import revision_name
from podium.cluster.settings import Settings
from podium.engine import (
    AttemptPhase,
    Engine,
    Launch,
    Observation,
    Plan,
    RunInfo,
    dump_status,
    load_status,
)
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


@pytest.mark.parametrize("version", states.versions(states.MAPS))
def test_a_saved_map_goes_on_with_its_items(version):
    """Item 1 has ended since, 3 still runs, 4 is to begin; its Job and Pods are found by name."""
    state = states.load(version, states.MAPS)
    (run,) = state.of("WorkflowRun")
    status = load_status(run["status"])
    assert dump_status(status) == run["status"]
    items = status.nodes["each"].items
    assert (items.count, str(items.completed), str(items.failed)) == (5, "0", "2")
    name, uid = (run["metadata"][key] for key in ("name", "uid"))
    (job,) = [each for each in map(job_view, state.of("Job")) if each.shape == INDEXED]
    assert job.name == map_name(name, uid, "each-1")
    pods = [each for each in map(pod_view, state.of("Pod")) if real_job(each.job_uid) == job.uid]
    assert {each.item for each in pods} >= {"each[1]", "each[3]"}
    for pod in pods:
        index = split_item(pod.item)[1]
        assert is_item_pod_name(pod.name, job.name, job.uid, pod.execution, index)
        if pod.item in ("each[1]", "each[3]"):
            open_item = status.nodes[pod.item]
            assert (open_item.job_uid, open_item.pod_uid) == (pod.job_uid, pod.uid)
    plan = Plan.build(WorkflowSpec.model_validate(run["spec"]["workflowSpec"]), workflow_id=name)
    engine = Engine(plan, RunInfo(name, uid), {}, status)
    output = status.nodes["each[0]"].output
    assert output == {"n": 2}
    ended = Observation("each[1]", "each[1]-1", AttemptPhase.SUCCEEDED, output='{"n": 2}')
    actions = engine.step(state.saved_at, observations=[ended])
    (launch,) = [action for action in actions if isinstance(action, Launch)]
    assert (launch.execution_id, launch.item.execution) == ("each[4]-1", "each-1")
    assert str(engine.status.nodes["each"].items.completed) == "0,1"
