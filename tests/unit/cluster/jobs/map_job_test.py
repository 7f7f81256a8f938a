"""The Indexed Job of a map, and the Pods of its items."""

import copy
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.api.workflow import WorkflowSpec
from podium.cluster.jobs.adoption import is_job_as_built, is_pod_as_built
from podium.cluster.jobs.builder import Owner, build_job
from podium.cluster.jobs.map_job import (
    build_item_pod,
    build_map_job,
    is_item_pod_name,
    map_name,
)
from podium.cluster.jobs.pod_check import check_pod
from podium.cluster.kube.views import LABEL_INDEX, pod_view
from podium.cluster.settings import Settings
from podium.engine import Launch, Plan

OWNER = Owner("team", "release-x7", "uid-1", "release", None)
SCRIPT = {
    "executor": "script",
    "config": {
        "script": "echo $ITEM",
        "env": [{"name": "ITEM", "value": "${{ item }}"}],
    },
}
CONTAINER = {
    "executor": "container",
    "config": {"image": "busybox", "command": ["echo"], "args": ["${{ item }}"]},
}
EXECUTOR = {"script": SCRIPT, "container": CONTAINER}


def filled(value, item):
    """Return a config with its templates filled in."""
    if isinstance(value, dict):
        return {key: filled(each, item) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, item) for each in value]
    return value.replace("${{ item }}", item) if isinstance(value, str) else value


def node_job(node, execution="shards-1", item="${{ item }}", path="shards", given=None, **pod):
    """Build the Job that a node would have if it were not of a map."""
    node = {"id": "shards", **node, **({"pod": pod} if pod else {})}
    spec = WorkflowSpec.model_validate({"nodes": [node]})
    plan = Plan.build(spec, workflow_id="release", is_pinned=True)
    config = filled(node["config"], item)
    launch = Launch("shards", execution, 0, config, {"inputs": {}} if given is None else given)
    job = build_job(OWNER, plan, launch, Settings())
    job["metadata"]["annotations"]["podium.dev/node"] = path
    return job


def map_job(node, **more):
    facts = {"completions": 4, "parallelism": 2, "tries": 3, **more}
    return build_map_job(node_job(node), name=map_name("release-x7", "uid-1", "shards-1"), **facts)


def returned(job):
    """Return a Job as a server hands it back."""
    job = copy.deepcopy(job)
    job["metadata"]["uid"] = "job-uid"
    labels = job["spec"]["template"]["metadata"]["labels"]
    labels["batch.kubernetes.io/job-name"] = job["metadata"]["name"]
    labels["batch.kubernetes.io/controller-uid"] = "job-uid"
    return job


def item_job(node, index, item, attempt=1, **more):
    path = f"shards[{index}]"
    return node_job(node, f"{path}-{attempt}", item, path, given={"item": item}, **more)


def item_pod(node, index=2, item="two", number=0, job=None, **more):
    job = returned(map_job(node)) if job is None else job
    return build_item_pod(job, item_job(node, index, item, **more), index, number)


def own_container(pod):
    return next(each for each in pod["spec"]["containers"] if each["name"] == "node")


@pytest.mark.parametrize("kind", EXECUTOR)
def test_one_job_for_all_items(kind):
    spec = map_job(EXECUTOR[kind])["spec"]
    assert spec["completionMode"] == "Indexed"
    assert (spec["completions"], spec["parallelism"], spec["backoffLimitPerIndex"]) == (4, 2, 2)
    assert spec["managedBy"] == Settings().manager
    assert "podium.dev/input" not in spec["template"]["metadata"]["annotations"]


@pytest.mark.parametrize(("asked", "given"), [(0, 1), (1, 1), (4, 4), (100, 4)])
def test_no_more_run_side_by_side_than_there_are(asked, given):
    assert map_job(SCRIPT, parallelism=asked)["spec"]["parallelism"] == given


@pytest.mark.parametrize("kind", EXECUTOR)
def test_the_job_is_the_same_whichever_item_comes_first(kind):
    assert is_job_as_built(map_job(EXECUTOR[kind]), returned(map_job(EXECUTOR[kind])))
    other = returned(map_job(EXECUTOR[kind], completions=5))
    assert not is_job_as_built(map_job(EXECUTOR[kind]), other)


@given(st.text(max_size=300), st.text(max_size=60))
def test_a_hostname_has_room_for_the_index(run, execution):
    name = map_name(run, "uid-1", execution)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", f"{name}-99999")
    assert name != map_name(run, "uid-1", execution, 1)


@pytest.mark.parametrize("kind", EXECUTOR)
def test_a_pod_says_which_item_it_is(kind):
    pod = item_pod(EXECUTOR[kind], 2)
    meta = pod["metadata"]
    assert meta["labels"][LABEL_INDEX] == meta["annotations"][LABEL_INDEX] == "2"
    assert meta["annotations"]["podium.dev/node"] == "shards[2]"
    assert meta["annotations"]["podium.dev/execution"] == "shards[2]-1"
    assert meta["labels"]["batch.kubernetes.io/job-name"] == map_job(SCRIPT)["metadata"]["name"]
    assert pod["spec"]["hostname"] == f"{map_job(SCRIPT)['metadata']['name']}-2"
    env = {each["name"]: each for each in own_container(pod)["env"]}
    where = f"metadata.annotations['{LABEL_INDEX}']"
    assert env["JOB_COMPLETION_INDEX"]["valueFrom"]["fieldRef"]["fieldPath"] == where
    assert env["PODIUM_EXECUTION"]["value"] == "shards[2]-1"
    assert check_pod(pod, Settings()) == []
    assert pod_view({**pod, "metadata": {**meta, "uid": "p"}}).is_indexed


def test_a_pod_gets_its_own_item():
    script, container = item_pod(SCRIPT, item="two"), item_pod(CONTAINER, item="two")
    env = {each["name"]: each.get("value") for each in own_container(script)["env"]}
    assert env["ITEM"] == "two"
    assert own_container(container)["args"] == ["two"]
    for pod in (script, container):
        assert pod["metadata"]["annotations"]["podium.dev/input"] == '{"item":"two"}'


def test_where_a_pod_runs_is_said_by_the_job_as_it_is_now():
    """A queue writes node selectors into the template; a webhook may add what is not of the item."""
    job = returned(map_job(SCRIPT))
    template = job["spec"]["template"]
    template["spec"]["nodeSelector"] = {"pool": "batch"}
    template["spec"]["containers"][0]["image"] = "mirror.local/podium:1"
    template["spec"]["containers"][0]["env"].append({"name": "REGION", "value": "north"})
    template["metadata"]["annotations"]["queue.example/name"] = "q"
    pod = item_pod(SCRIPT, item="two", job=job)
    assert pod["spec"]["nodeSelector"] == {"pool": "batch"}
    assert own_container(pod)["image"] == "mirror.local/podium:1"
    env = {each["name"]: each.get("value") for each in own_container(pod)["env"]}
    assert (env["REGION"], env["ITEM"]) == ("north", "two")
    assert pod["metadata"]["annotations"]["queue.example/name"] == "q"


def test_an_item_whose_input_is_large_has_a_file_of_it():
    plain = {"executor": "container", "config": {"image": "busybox"}}
    big = item_pod(plain, item="x" * 100_000)
    assert [each["name"] for each in big["spec"]["volumes"]] == ["podium-given"]
    assert "podium-given" in [each["name"] for each in own_container(big)["volumeMounts"]]
    assert "volumes" not in item_pod(plain, item="x")["spec"]


def test_a_retry_and_a_restart_are_other_pods_of_the_index():
    pods = [
        item_pod(SCRIPT),
        item_pod(SCRIPT, attempt=2),
        item_pod(SCRIPT, number=1),
        item_pod(SCRIPT, 3),
    ]
    names = [pod["metadata"]["name"] for pod in pods]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 63 for name in names)
    job = returned(map_job(SCRIPT))["metadata"]
    facts = job["name"], job["uid"]
    assert is_item_pod_name(names[0], *facts, "shards[2]-1", 2)
    assert is_item_pod_name(names[2], *facts, "shards[2]-1", 2)
    assert not is_item_pod_name(names[0], *facts, "shards[2]-2", 2)
    assert not is_item_pod_name(names[0], *facts, "shards[2]-1", 3)
    assert not is_item_pod_name(names[0], job["name"], "other", "shards[2]-1", 2)


def test_a_pod_is_found_again():
    made = item_pod(SCRIPT)
    assert is_pod_as_built(item_pod(SCRIPT), made, creators_are_verified=False)
    other = item_pod(SCRIPT, item="three")
    assert not is_pod_as_built(other, made, creators_are_verified=False)
