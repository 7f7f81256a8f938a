"""The Pod of a node with artifacts, and what its containers' ends mean."""

import asyncio
import copy
import hashlib
import json
from pathlib import Path

import pytest

from podium.api.run import WorkflowRunStatus
from podium.api.workflow import PodOverrides, WorkflowSpec
from podium.artifacts.file_values import dump_values
from podium.artifacts.pod import Task, load_store
from podium.artifacts.reach import reach_of
from podium.artifacts.settings import S3Settings
from podium.cluster.jobs.adoption import is_job_as_built
from podium.cluster.jobs.artifacts import left_by
from podium.cluster.jobs.builder import BuildError, Owner, build_job
from podium.cluster.jobs.controller import ManagedJobController
from podium.cluster.jobs.executor_pod import merged
from podium.cluster.jobs.large_values import large_values
from podium.cluster.jobs.pod_check import check_pod
from podium.cluster.kube.views import pod_view
from podium.cluster.settings import Settings
from podium.cluster.watch.ingest import Ingest
from podium.cluster.watch.store import InformerCache
from podium.contracts import AskedOutput, OutputVerdict
from podium.engine import LargeInput, Launch, Plan, StoredOutput
from tests.unit.cluster import support
from tests.unit.cluster.jobs.interpret_test import COMPLETE, RUNS, deleted, look, told
from tests.unit.cluster.support import condition, running, terminated

BUCKET = {"bucket": "artifacts", "endpoint": "http://s3:1", "credentialsSecret": "keys"}
STORES = {
    "s3": {"s3": BUCKET},
    "role": {"s3": {"bucket": "artifacts", "roleARN": "arn:aws:iam::1:role/r"}},
    "pvc": {"pvc": {"claimName": "store"}},
}
SCRIPT = {"executor": "script", "config": {"script": "true"}}
CONTAINER = {"executor": "container", "config": {"image": "busybox", "command": ["true"]}}
DIGEST = "a" * 64


def node(id_, *after, base=SCRIPT, **more):
    return {"id": id_, **base, "dependsOn": list(after), **more}


MAKE = node("make", artifacts={"out": [{"name": "a", "path": "a"}]})
USE = node("use", "make", artifacts={"in": [{"name": "a", "from": "make.a"}]})


def settings_of(store="s3", **more):
    return Settings(artifacts=STORES[store], **more)


def build(*nodes, of=None, settings=None, states=None, restart=0, store=None, large=(), asked=None):
    spec = {"nodes": list(nodes), **({"pinnedStore": store} if store else {})}
    plan = Plan.build(WorkflowSpec.model_validate(spec), workflow_id="w")
    id_ = of or nodes[-1]["id"]
    found = {
        name: {"status": "Completed", "executionId": f"{name}-1", "artifacts": DIGEST}
        for name in plan.nodes
        if name != id_
    }
    found = {**found, **(states or {}), id_: {"status": "Ready"}}
    status = WorkflowRunStatus.model_validate({"phase": "Running", "nodes": found})
    outputs = {n: {} for n, s in found.items() if s["status"] == "Completed" and n != id_}
    launch = Launch(id_, f"{id_}-1", restart, plan.nodes[id_].definition.config,
                    {"dependencyOutputs": outputs}, large=tuple(large))  # fmt: skip
    left = left_by(plan, status.nodes, id_, outputs)
    values = large_values(launch, status.nodes, asked)
    owner = Owner("team", "r", "uid", "w", None, found=left, large=values)
    return build_job(owner, plan, launch, settings or settings_of())


def pod_of(*nodes, **facts):
    return build(*nodes, **facts)["spec"]["template"]


def helpers(pod):
    return {each["name"]: each for each in pod["spec"].get("initContainers", ())}


def task_of(pod):
    return Task.load(pod["metadata"]["annotations"]["podium.dev/artifacts"])


@pytest.mark.parametrize("base", [SCRIPT, CONTAINER])
def test_without_artifacts_a_pod_is_what_it_was(base):
    plain, after = node("a", base=base), node("b", "a", base=base)
    for nodes, of in (((plain, after), "a"), ((plain, after), "b")):
        assert build(*nodes, of=of) == build(*nodes, of=of, settings=Settings())


@pytest.mark.parametrize("of", ["a", "make"])
def test_a_pod_whose_log_is_kept_is_what_it_was(of):
    logs = {"logs": {"enabled": True}}
    kept = Settings(artifacts={**STORES["s3"], **logs})
    assert build(MAKE, node("a"), node("b", "make", artifacts={}), of=of, settings=kept) == build(
        MAKE, node("a"), node("b", "make", artifacts={}), of=of
    )


@pytest.mark.parametrize(
    ("nodes", "of", "expected"),
    [
        ((MAKE, USE), "make", ["podium-collector"]),
        ((MAKE, USE), "use", ["podium-collector", "podium-fetcher"]),
        ((MAKE, node("all", "make")), "all", ["podium-fetcher"]),
        ((MAKE, node("x", "make"), node("far", "x")), "far", ["podium-fetcher"]),
        ((MAKE, node("none", "make", artifacts={"in": []})), "none", ["podium-collector"]),
        ((node("quiet"), node("asks", "quiet", artifacts={})), "quiet", ["podium-collector"]),
        ((node("x"), node("y", "x"), MAKE), "y", []),
    ],
)
def test_who_stores_and_who_fetches(nodes, of, expected):
    assert list(helpers(pod_of(*nodes, of=of))) == expected


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("base", [SCRIPT, CONTAINER])
def test_its_pod_is_on_the_closed_list_and_keeps_the_store_from_the_program(store, base):
    use = {**USE, **base, "id": "use"}
    pod = pod_of(MAKE, use, settings=settings_of(store))
    assert check_pod(pod, settings_of(store)) == []
    (program,) = pod["spec"]["containers"]
    assert "podium-store" not in [mount["name"] for mount in program["volumeMounts"]]
    assert not {"PODIUM_STORE", "AWS_ROLE_ARN"} & {each["name"] for each in program["env"]}
    paths = {m["mountPath"]: m.get("readOnly") for m in program["volumeMounts"]}
    assert paths["/podium/artifacts/in"] is True
    assert paths["/podium/artifacts/out"] is False
    for helper in helpers(pod).values():
        assert "podium-store" in [mount["name"] for mount in helper["volumeMounts"]]
        assert all(set(each) == {"name", "value"} for each in helper["env"])
    assert check_pod(pod, Settings()), "without a store nothing of it is on the list"


@pytest.mark.parametrize("store", STORES)
def test_a_run_with_a_store_of_its_own_mounts_that_and_neither_is_within_a_programs_reach(store):
    own = {"s3": {"bucket": "team", "credentialsSecret": "team-keys"}}
    pod = pod_of(MAKE, USE, settings=settings_of(store), store=own)
    pinned = WorkflowSpec.model_validate({"nodes": [MAKE], "pinnedStore": own}).pinned_store
    assert check_pod(pod, settings_of(store), pinned) == []
    (volume,) = [v for v in pod["spec"]["volumes"] if v["name"] == "podium-store"]
    assert volume["secret"]["secretName"] == "team-keys"
    for helper in helpers(pod).values():
        told = {each["name"]: each["value"] for each in helper["env"]}
        assert json.loads(told["PODIUM_STORE"])["bucket"] == "team"
        assert "AWS_ROLE_ARN" not in told
    for secret in {"team-keys", settings_of(store).artifacts.secret} - {""}:
        reached = copy.deepcopy(pod)
        reached["spec"]["volumes"].append({"name": "v", "secret": {"secretName": secret}})
        assert check_pod(reached, settings_of(store), pinned)


def test_the_collector_is_first_and_has_time():
    pod = pod_of(MAKE, USE)
    first = pod["spec"]["initContainers"][0]
    assert (first["name"], first["restartPolicy"]) == ("podium-collector", "Always")
    assert pod["spec"]["terminationGracePeriodSeconds"] == 600
    assert pod_of(MAKE, node("all", "make"))["spec"]["terminationGracePeriodSeconds"] == 5


def test_what_it_is_told():
    task = task_of(pod_of(MAKE, USE))
    assert (task.run, task.node, task.execution) == ("uid", "use", "use-1")
    (wanted,) = task.wanted
    assert (wanted.execution, wanted.digest, wanted.name, wanted.path) == (
        "make-1",
        DIGEST,
        "a",
        "a",
    )
    told = {e["name"]: e["value"] for e in helpers(pod_of(MAKE))["podium-collector"]["env"]}
    with pytest.raises(ValueError, match="needs the keys"):
        load_store(told, Path("/nowhere"))
    web = helpers(pod_of(MAKE, settings=settings_of("role")))["podium-collector"]["env"]
    told = {each["name"]: each["value"] for each in web}
    found = load_store(told, Path("/nowhere"))
    assert isinstance(found, S3Settings)
    assert (found.bucket, found.prefix) == ("artifacts", "team")
    assert told["AWS_WEB_IDENTITY_TOKEN_FILE"] == "/podium/store/token"


BIG = node("big", largeOutput=True)


def variables(pod):
    return {each["name"]: each.get("value") for each in pod["spec"]["containers"][0]["env"]}


def mounted(container):
    return {each["mountPath"]: each["readOnly"] for each in container["volumeMounts"]}


@pytest.mark.parametrize("base", [SCRIPT, CONTAINER])
@pytest.mark.parametrize("store", STORES)
def test_a_large_output_is_a_file_that_the_collector_reads(store, base):
    asked = AskedOutput(read=(("n",),))
    settings = settings_of(store)
    pod = pod_of({**BIG, **base}, settings=settings, asked=asked)
    assert check_pod(pod, settings) == []
    assert variables(pod)["PODIUM_OUTPUT"] == "/podium/output/output.json"
    (program,) = pod["spec"]["containers"]
    assert mounted(program)["/podium/output"] is False
    assert mounted(helpers(pod)["podium-collector"])["/podium/output"] is True
    assert program["terminationMessagePath"] == "/dev/termination-log"
    assert task_of(pod).asked == json.loads(json.dumps(asked.dump()))
    assert "podium-fetcher" not in helpers(pod)


@pytest.mark.parametrize("base", [SCRIPT, CONTAINER])
def test_an_input_with_parts_in_the_store_is_written_by_the_fetcher(base):
    large = [LargeInput("inputs", "x", "big", "big-1", "a.b")]
    after = node("b", base=base, artifacts={"in": []})
    pod = pod_of(BIG, after, large=large)
    assert variables(pod)["PODIUM_INPUT"] == "/podium/input/input.json"
    assert "PODIUM_INPUT_JSON" not in variables(pod)
    (program,) = pod["spec"]["containers"]
    assert mounted(program)["/podium/input"] is True
    assert mounted(helpers(pod)["podium-fetcher"])["/podium/input"] is False
    (part,) = task_of(pod).inputs
    assert (part.name, part.digest, part.path) == ("x", DIGEST, "a.b")
    assert task_of(pod).wanted == ()
    (told,) = [v for v in pod["spec"]["volumes"] if v["name"] == "podium-task"]
    assert [each["path"] for each in told["downwardAPI"]["items"]] == [
        "artifacts.json",
        "input.json",
    ]


def test_a_fan_in_of_1000_large_outputs_fits_into_a_pod():
    names = [f"shard_number_{number}" for number in range(1000)]
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in names}
    states = {
        name: {"status": "Completed", "executionId": f"{name}-1", "artifacts": digest}
        for name, digest in digests.items()
    }
    large = [LargeInput("dependencyOutputs", name, name, f"{name}-1") for name in names]
    nodes = [node(name, largeOutput=True) for name in names]
    pod = pod_of(*nodes, node("all", *names), states=states, large=large)
    task = task_of(pod)
    assert {each.name: each.digest for each in task.inputs} == digests
    assert {each.node: each.digest for each in task.wanted} == digests
    assert len(pod["metadata"]["annotations"]["podium.dev/artifacts"]) < 200_000


def test_a_node_before_a_small_output_of_such_a_node_has_its_input_as_any():
    pod = pod_of(BIG, node("b", "big", artifacts={"in": []}))
    assert list(helpers(pod)) == ["podium-collector"]
    assert "PODIUM_INPUT_JSON" in variables(pod)


def test_absolute_paths_are_directories_of_the_pod():
    out = [
        {"name": "r", "path": "/work/r.xml"},
        {"name": "s", "path": "/work/s.xml"},
        {"name": "d", "path": "/data", "type": "Directory"},
    ]
    pod = pod_of(node("n", base=CONTAINER, artifacts={"out": out}))
    (program,) = pod["spec"]["containers"]
    assert [m["mountPath"] for m in program["volumeMounts"]][-2:] == ["/work", "/data"]
    assert task_of(pod).absolute == {
        "/work/r.xml": ("/podium/at/0", "r.xml"),
        "/work/s.xml": ("/podium/at/0", "s.xml"),
        "/data": ("/podium/at/1", ""),
    }
    at = {m["name"]: m for m in helpers(pod)["podium-collector"]["volumeMounts"]}
    assert at["podium-at-1"] == {
        "name": "podium-at-1", "mountPath": "/podium/at/1", "readOnly": True,
    }  # fmt: skip
    assert check_pod(pod, settings_of()) == []
    needs = {"in": [{"name": "a", "from": "make.a", "path": "/etc/a"}]}
    found = pod_of(MAKE, node("use", "make", base=CONTAINER, artifacts=needs))
    mount = found["spec"]["containers"][0]["volumeMounts"][-1]
    assert mount == {
        "name": "podium-found", "mountPath": "/etc/a", "readOnly": True, "subPath": "a",
    }  # fmt: skip
    skipped = pod_of(
        MAKE,
        node("use", "make", base=CONTAINER, artifacts=needs),
        states={"make": {"status": "Skipped"}},
    )
    mounts = skipped["spec"]["containers"][0]["volumeMounts"]
    assert "/etc/a" not in [each["mountPath"] for each in mounts]


def refusal(*nodes, **facts):
    with pytest.raises(BuildError) as caught:
        build(*nodes, **facts)
    return caught.value.reason, str(caught.value)


def test_what_cannot_be():
    taken = {"volumes": [{"name": "v", "emptyDir": {}}],
             "volumeMounts": [{"name": "v", "mountPath": "/work"}]}  # fmt: skip
    out = {"out": [{"name": "r", "path": "/work/r"}]}
    assert refusal(node("n", base=CONTAINER, artifacts=out, pod=taken)) == (
        "Config",
        (
            "artifacts.out: /work is mounted by pod.volumeMounts already: choose another path for"
            " this artifact"
        ),
    )
    mine = {"volumes": [{"name": "podium-store", "emptyDir": {}}]}
    reason, message = refusal(node("n", artifacts={}, pod=mine))
    assert (reason, "podium-store is reserved" in message) == ("Config", True)
    mine = {
        "volumes": [{"name": "podium-out", "emptyDir": {}}],
        "volumeMounts": [{"name": "podium-out", "mountPath": "/mine"}],
    }
    reason, message = refusal(node("n", base=CONTAINER, artifacts={}, pod=mine))
    assert (reason, "podium-out is reserved" in message) == ("Config", True)
    reason, message = refusal(MAKE, settings=Settings())
    assert (reason, "artifacts.s3 or artifacts.pvc" in message) == ("Config", True)
    old = {"make": {"status": "Completed", "executionId": "make-1"}}
    assert refusal(MAKE, USE, states=old) == (
        "Download", "make.a of make-1 was not kept: run make again",
    )  # fmt: skip


@pytest.mark.parametrize(
    "pod",
    [
        {"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}}]},
        {"volumes": [{"name": "v", "secret": {"secretName": "keys"}}]},
        {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "keys"}}]}}]},
    ],
)
def test_no_node_names_the_credentials_of_the_store(pod):
    for nodes in ((node("n", pod=pod),), (node("n", artifacts={}, pod=pod),)):
        reason, message = refusal(*nodes)
        assert reason == "Forbidden"
        assert "that of the artifact store" in message


def test_no_node_names_the_claim_of_the_store():
    pod = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "store"}}]}
    reason, message = refusal(node("n", pod=pod), settings=settings_of("pvc"))
    assert (reason, "that of the artifact store" in message) == ("Forbidden", True)
    build(node("n", pod=pod), settings=settings_of("s3"))


@pytest.mark.parametrize(
    "change",
    [
        lambda helper: helper.update(image="busybox"),
        lambda helper: helper.update(command=["sh"]),
        lambda helper: helper.update(args=["-c", "x"]),
        lambda helper: helper["env"].append({"name": "PYTHONPATH", "value": "/podium/at/0"}),
        lambda helper: helper["env"].append({"name": "PODIUM_STORE", "valueFrom": {}}),
        lambda helper: helper["volumeMounts"].append({"name": "x", "mountPath": "/opt/podium"}),
        lambda helper: helper["volumeMounts"].append({"name": "x", "mountPath": "/podium/../opt"}),
        lambda helper: helper["volumeMounts"][0].update(subPath="x"),
        lambda helper: helper["securityContext"].update(privileged=True),
        lambda helper: helper["lifecycle"]["postStart"].update(exec={"command": ["sh"]}),
        lambda helper: helper.update(restartPolicy="Never"),
        lambda helper: helper.update(ports=[{"containerPort": 1}]),
        lambda helper: helper.update(name="podium-other"),
        lambda helper: helper.update(envFrom=[]),
    ],
)
def test_its_containers_are_exactly_these(change):
    pod = copy.deepcopy(pod_of(MAKE))
    change(helpers(pod)["podium-collector"])
    assert check_pod(pod, settings_of())


def test_its_containers_are_no_programs():
    pod = copy.deepcopy(pod_of(MAKE))
    pod["spec"]["containers"].append(pod["spec"]["initContainers"][0])
    assert check_pod(pod, settings_of())
    twice = copy.deepcopy(pod_of(MAKE))
    twice["spec"]["initContainers"] *= 2
    assert check_pod(twice, settings_of())
    token = copy.deepcopy(pod_of(MAKE, settings=settings_of("role")))
    (volume,) = [v for v in token["spec"]["volumes"] if v["name"] == "podium-store"]
    volume["projected"]["sources"][0]["serviceAccountToken"]["audience"] = "api"
    assert check_pod(token, settings_of("role"))


def test_a_job_with_artifacts_is_found_again_and_no_other():
    built = build(MAKE, USE)
    assert is_job_as_built(built, copy.deepcopy(built))
    for change in (
        lambda spec: spec["initContainers"].pop(),
        lambda spec: spec["initContainers"][0].update(args=["x"]),
        lambda spec: spec["initContainers"][0].update(image="other"),
    ):
        other = copy.deepcopy(built)
        change(other["spec"]["template"]["spec"])
        assert not is_job_as_built(built, other)
    other = copy.deepcopy(built)
    notes = other["spec"]["template"]["metadata"]["annotations"]
    notes["podium.dev/artifacts"] = notes["podium.dev/artifacts"].replace(DIGEST, "b" * 64)
    assert not is_job_as_built(built, other)


# How it ended

STORED = json.dumps({"artifacts": {"digest": DIGEST, "files": 1, "bytes": 1}})
SLOW = json.dumps({"podiumError": {"reason": "Upload", "message": "away", "retryable": True}})
WRONG = json.dumps({"podiumError": {"reason": "Artifact", "message": "a is missing"}})


def with_artifacts(collector, fetcher=None, *, program=0, phase="Succeeded", conditions=()):
    """A Pod whose containers are in these states."""
    state = terminated(program) if isinstance(program, int) else program
    statuses = [
        {"name": name, "state": state}
        for name, state in (("podium-collector", collector), ("podium-fetcher", fetcher))
        if state is not None
    ]
    body = support.pod(*conditions, phase=phase, state=state)
    body["status"]["initContainerStatuses"] = statuses
    body["spec"]["initContainers"] = [{"name": "podium-collector"}, {"name": "podium-fetcher"}]
    return body


def test_stored_is_completed_with_its_digest():
    (seen,) = look(COMPLETE, with_artifacts(terminated(0, message=STORED))).observations
    assert (seen.phase.value, seen.artifacts) == ("Succeeded", DIGEST)
    nothing = json.dumps({"artifacts": {"digest": ""}})
    (seen,) = look(COMPLETE, with_artifacts(terminated(0, message=nothing))).observations
    assert (seen.phase.value, seen.artifacts) == ("Succeeded", "")


def said(output):
    return json.dumps({"artifacts": {"digest": DIGEST}, "output": output})


def test_a_large_output_is_what_the_collector_says():
    whole = said({"read": {"n": 1}})
    (seen,) = look(COMPLETE, with_artifacts(terminated(0, message=whole))).observations
    assert (seen.output, seen.output_limit, seen.stored) == (b'{"n":1}', None, None)
    stored = said({"read": {"n": 1}, "size": 5000, "digest": "d", "score": 0.5})
    (seen,) = look(COMPLETE, with_artifacts(terminated(0, message=stored))).observations
    verdict = OutputVerdict(quality_score=0.5)
    assert (seen.output, seen.stored) == (b'{"n":1}', StoredOutput(5000, "d", verdict))
    broken = {"read": {}, "size": 5000, "digest": "d", "reason": "OutputContract"}
    broken = said({**broken, "breaches": [["a.b", "is missing"]]})
    (seen,) = look(COMPLETE, with_artifacts(terminated(0, message=broken))).observations
    assert [str(each) for each in seen.stored.verdict.breaches] == ["a.b: is missing"]
    assert told(COMPLETE, with_artifacts(terminated(0, message=said([]))))[:2] == (
        "Failed",
        "Upload",
    )


@pytest.mark.parametrize("reason", ["OutputTooLarge", "OutputNotJSON"])
def test_what_is_wrong_with_a_large_output_is_its_own_failure(reason):
    error = {"reason": reason, "message": "m", "retryable": reason == "OutputNotJSON"}
    end = terminated(0, message=json.dumps({"podiumError": error}))
    (seen,) = look(COMPLETE, with_artifacts(end)).observations
    assert (seen.phase.value, seen.reason, seen.message) == ("Failed", reason, "m")
    assert seen.retryable == error["retryable"]


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (None, "was not seen to end"),
        (running(), "was not seen to end"),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, "was not seen to end"),
        (terminated(137), "was killed before it was done"),
        (terminated(137, "OOMKilled"), "artifacts.resources"),
        (terminated(143), "ended with exit code 143 and without a word"),
        (terminated(0), "ended with exit code 0 and without a word"),
        (terminated(0, message="ok"), "without a word that says so (ok)"),
        (terminated(1, message=STORED), "ended with exit code 1"),
        (terminated(0, message='{"artifacts": {"digest": "x"}}'), "without a word"),
        (terminated(0, message='{"artifacts": {"digest": 1}}'), "without a word"),
        (terminated(0, message="[" * 4000), "without a word"),
        (terminated(1, message=SLOW), "away"),
    ],
)
def test_what_was_not_said_to_be_stored_was_not(end, words):
    phase, reason, message = told(COMPLETE, with_artifacts(end))
    assert (phase, reason) == ("Failed", "Upload")
    assert words in message


def test_what_the_program_left_wrong_is_its_own_failure():
    assert told(COMPLETE, with_artifacts(terminated(0, message=WRONG))) == (
        "Failed", "Artifact", "a is missing",
    )  # fmt: skip
    final = json.dumps({"podiumError": {"reason": "Upload", "message": "m", "retryable": False}})
    (seen,) = look(COMPLETE, with_artifacts(terminated(0, message=final))).observations
    assert not seen.retryable


def test_a_program_that_ended_runs_until_its_artifacts_are_stored():
    body = with_artifacts(running(), phase="Running")
    for stuck_for in (0.0, 300.0):
        assert look(RUNS, body, stuck_for=stuck_for).observations[0].phase.value == "Running"


def test_of_a_program_that_failed_nothing_is_waited_for():
    body = with_artifacts(running(), program=3, phase="Running")
    seen = look(RUNS, body, stuck_for=8.0)
    assert (seen.observations[0].reason, seen.remove) == ("Error", True)


def test_a_disruption_in_the_upload_is_one():
    evicted = condition("DisruptionTarget", reason="EvictionByEvictionAPI", message="drained")
    body = with_artifacts(terminated(137), conditions=[evicted])
    managed = support.changed(RUNS, {"spec": {"managedBy": "podium.dev/x"}})
    assert look(managed, body).observations[0].phase.value == "Disrupted"
    other = with_artifacts(terminated(0, message=STORED))
    other["metadata"] |= {"uid": "other", "creationTimestamp": support.at(60)}
    assert look(managed, body, other).observations[0].artifacts == DIGEST


def test_what_cannot_be_fetched_fails_before_the_program():
    away = json.dumps(
        {"podiumError": {"reason": "Download", "message": "gone", "retryable": False}}
    )
    body = with_artifacts(
        terminated(143), terminated(1, message=away), program=support.waiting("PodInitializing"),
        phase="Failed",
    )  # fmt: skip
    (seen,) = look(RUNS, body).observations
    assert (seen.phase.value, seen.reason, seen.message) == ("Failed", "Download", "gone")
    assert not seen.retryable
    body["status"]["initContainerStatuses"][1]["state"] = terminated(137, "OOMKilled")
    phase, reason, message = told(RUNS, body)
    assert (phase, reason) == ("Failed", "Download")
    assert "artifacts.resources" in message


def test_a_pod_that_is_deleted_is_not_waited_for_as_long_as_an_upload():
    slow = pod_view(
        deleted(with_artifacts(running(), program=running(), phase="Running"), grace=600)
    )
    assert slow.ends_slowly
    for body in (
        deleted(with_artifacts(running(), program=running(), phase="Running"), grace=5),
        deleted(with_artifacts(running(), phase="Running"), grace=600),
        with_artifacts(running(), program=running(), phase="Running"),
    ):
        assert not pod_view(body).ends_slowly


# Executors that a team adds


def executor_pod(*more):
    """The template of an Executor with containers of its own."""
    return {
        "spec": {
            "containers": [{"name": "node", "image": "busybox"}, *more],
            "initContainers": [{"name": "prepare", "image": "busybox"}],
        }
    }


def merged_pod(template, store="s3"):
    made = copy.deepcopy(pod_of(MAKE, USE, settings=settings_of(store)))
    return merged(made, template, "dbt", PodOverrides(), has_own_resources=False)


def test_an_executors_pod_carries_artifacts_too():
    pod = merged_pod(executor_pod({"name": "beside", "image": "busybox"}))
    names = [each["name"] for each in pod["spec"]["initContainers"]]
    assert names == ["podium-collector", "podium-fetcher", "prepare"]
    assert check_pod(pod, settings_of()) == []


@pytest.mark.parametrize(
    "more",
    [
        {"volumeMounts": [{"name": "podium-store", "mountPath": "/keys"}]},
        {"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}}]},
        {"envFrom": [{"secretRef": {"name": "keys"}}]},
        {"name": "podium-collector"},
        {"name": "podium-fetcher"},
    ],
)
def test_an_executor_is_kept_from_the_store_as_well(more):
    for part in ("containers", "initContainers"):
        template = executor_pod()
        template["spec"][part].append({"name": "beside", "image": "busybox", **more})
        assert check_pod(merged_pod(template), settings_of())


class Listener:
    """Notes of which Jobs it hears."""

    def __init__(self):
        self.jobs = []

    def managed_job_changed(self, uid):
        self.jobs.append(uid)

    def __getattr__(self, name):
        return lambda *_: None


def test_a_pod_that_ends_slowly_is_looked_after_whoever_made_it():
    """The built-in Job controller gives it no finalizer, and its Job may be gone."""
    listener = Listener()
    ingest = Ingest(InformerCache(), listener)
    body = with_artifacts(running(), program=running(), phase="Running")
    ingest.pod_event("MODIFIED", body)
    assert listener.jobs == []
    slow = deleted(body, grace=600)
    slow["metadata"]["resourceVersion"] = "103"
    ingest.pod_event("MODIFIED", slow)
    assert listener.jobs == [support.JOB_UID]


class Deletes:
    """A server that is asked to delete Pods."""

    def __init__(self):
        self.asked = []

    async def delete_pod(self, _namespace, name, _uid, **more):
        self.asked.append((name, more))


def test_a_run_that_is_deleted_takes_its_pods_along_at_once():
    """Before the garbage collector does, with the Pod's own grace period."""
    client, cache, listener = Deletes(), InformerCache(), Listener()
    ingest = Ingest(cache, listener)
    controller = ManagedJobController(client, cache, Settings())
    ingest.job_event("ADDED", support.job())
    ingest.pod_event("ADDED", with_artifacts(running(), program=running(), phase="Running"))
    asyncio.run(controller.reconcile(support.JOB_UID))
    assert client.asked == []
    listener.jobs.clear()
    ingest.run_event("DELETED", support.run())
    assert listener.jobs == [support.JOB_UID]
    asyncio.run(controller.reconcile(support.JOB_UID))
    assert [more for _, more in client.asked] == [{"seconds": 5}]


def test_a_pod_that_ends_slowly_gets_the_usual_grace_period():
    client, cache = Deletes(), InformerCache()
    cache.put_job(support.job())
    controller = ManagedJobController(client, cache, Settings())
    body = with_artifacts(running(), program=running(), phase="Running")
    for grace, expected in ((600, [(body["metadata"]["name"], {"seconds": 5})]), (5, [])):
        client.asked.clear()
        again = deleted(body, grace=grace)
        again["metadata"]["resourceVersion"] = str(1000 - grace)
        cache.put_pod(again)
        asyncio.run(controller.reconcile(support.JOB_UID))
        assert client.asked == expected


def test_what_comes_from_no_node_is_fetched_without_a_collector_of_others():
    inputs = [
        {"name": "x", "raw": {"content": "t"}, "path": "config/x"},
        {"name": "y", "http": {"url": "https://example.com/y"}, "path": "/etc/y"},
    ]
    pod = pod_of(node("a", base=CONTAINER, artifacts={"in": inputs}))
    told = task_of(pod)
    assert [(each.name, each.source, each.root, each.path) for each in told.outside] == [
        ("x", {"raw": {"content": "t"}}, "/podium/artifacts/in", "config/x"),
        ("y", {"http": {"url": "https://example.com/y"}}, "/podium/found", "y"),
    ]
    assert told.wanted == ()
    mounts = {each["mountPath"]: each for each in pod["spec"]["containers"][0]["volumeMounts"]}
    assert mounts["/etc/y"]["subPath"] == "y"
    assert mounts["/etc/y"]["readOnly"] is True


REPOSITORY = {"repository": "https://example.com/a", "ref": "v1", "secretRef": {"name": "robot"}}
OBJECT = {"bucket": "team", "key": "k", "secretRef": {"name": "bucket"}}
PUT = {"url": "https://example.com/r", "secretRef": {"name": "robot"}}
OUTSIDE = node(
    "n",
    artifacts={
        "in": [
            {"name": "g", "git": REPOSITORY},
            {"name": "s", "s3": OBJECT},
            {"name": "h", "http": {"url": "https://example.com/", "secretRef": {"name": "robot"}}},
        ],
        "out": [{"name": "r", "path": "r", "type": "File", "to": {"http": PUT}}],
    },
)


def secrets_in(pod, container):
    """Paths of the Secrets that a container mounts, beside that of the store."""
    volumes = {
        v["name"]: v["secret"]["secretName"] for v in pod["spec"]["volumes"] if "secret" in v
    }
    return {
        volumes[each["name"]]: each["mountPath"]
        for each in container["volumeMounts"]
        if each["name"] in volumes and each["name"] != "podium-store"
    }


def test_secrets_of_sources_and_targets_are_mounted_by_one_container_each():
    pod = pod_of(OUTSIDE)
    made = helpers(pod)
    assert secrets_in(pod, made["podium-fetcher"]) == {
        "robot": "/podium/secrets/0", "bucket": "/podium/secrets/1",
    }  # fmt: skip
    assert secrets_in(pod, made["podium-collector"]) == {"robot": "/podium/secrets/0"}
    (program,) = pod["spec"]["containers"]
    assert secrets_in(pod, program) == {}
    assert not any("secretKeyRef" in (e.get("valueFrom") or {}) for e in program["env"])
    told = task_of(pod)
    assert [each.secret for each in told.outside] == [
        "/podium/secrets/0", "/podium/secrets/1", "/podium/secrets/0",
    ]  # fmt: skip
    assert [dict(each.source) for each in told.outside][:2] == [{"git": REPOSITORY}, {"s3": OBJECT}]
    assert [(e.name, dict(e.target), e.secret) for e in told.leaving] == [
        ("r", {"http": PUT}, "/podium/secrets/0")
    ]
    assert check_pod(pod, settings_of()) == []


@pytest.mark.parametrize("volume", ["podium-from-0", "podium-to-0"])
def test_no_other_container_mounts_them(volume):
    own, other = ("podium-fetcher", "podium-collector")[:: 1 if "from" in volume else -1]
    for place in ("node", other):
        pod = copy.deepcopy(pod_of(OUTSIDE))
        into = pod["spec"]["containers"][0] if place == "node" else helpers(pod)[place]
        into["volumeMounts"].append({"name": volume, "mountPath": "/podium/keys"})
        (problem,) = check_pod(pod, settings_of())
        assert f"only {own} may have" in str(problem)
    mine = {"volumes": [{"name": volume, "emptyDir": {}}]}
    reason, message = refusal({**OUTSIDE, "pod": mine})
    assert (reason, f"{volume} is reserved" in message) == ("Config", True)


def test_a_source_does_not_name_the_credentials_of_the_store():
    stolen = {"in": [{"name": "s", "s3": {**OBJECT, "secretRef": {"name": "keys"}}}]}
    reason, message = refusal(node("n", artifacts=stolen))
    assert (reason, "that of the artifact store" in message) == ("Forbidden", True)


def test_the_chart_says_where_urls_may_lead():
    more = {"allowedHosts": ["*.example.com"], "caBundle": "PEM"}
    settings = Settings(artifacts={**STORES["s3"], **more})
    pod = pod_of(OUTSIDE, settings=settings)
    for helper in helpers(pod).values():
        told = {each["name"]: each["value"] for each in helper["env"]}
        assert reach_of(told).hosts == ("*.example.com",)
        assert told["PODIUM_AUTHORITIES"] == "PEM"
    assert check_pod(pod, settings) == []
    assert reach_of({}).hosts == ()


VALUES = {
    "text": {"path": "/tmp/text"},
    "data": {"path": "/data/result.json", "format": "Json"},
}


def test_several_values_in_files_are_read_by_the_collector():
    pod = pod_of(node("n", base=CONTAINER, outputs=VALUES))
    assert list(helpers(pod)) == ["podium-collector"]
    (program,) = pod["spec"]["containers"]
    mounts = {m["mountPath"]: m for m in program["volumeMounts"]}
    assert set(mounts) == {"/tmp/text", "/data/result.json"}, "and nothing of artifacts"
    assert mounts["/data/result.json"] == {
        "name": "podium-values", "mountPath": "/data/result.json", "readOnly": False, "subPath": "1",
    }  # fmt: skip
    names = {each["name"] for each in program["env"]}
    assert not names & {"PODIUM_OUTPUT", "PODIUM_ARTIFACTS_IN", "PODIUM_ARTIFACTS_OUT"}
    assert program["terminationMessagePath"] == "/dev/termination-log"
    collector = helpers(pod)["podium-collector"]
    assert {"name": "PODIUM_VALUES", "value": "2"} in collector["env"]
    assert "/podium/values" in [each["mountPath"] for each in collector["volumeMounts"]]
    assert task_of(pod).values == ("text", "data")
    assert check_pod(pod, settings_of()) == []
    one = pod_of(node("n", base=CONTAINER, outputs={"text": VALUES["text"]}))
    assert one == pod_of(
        node("n", base=CONTAINER, outputs={"text": VALUES["text"]}), settings=Settings()
    ), "one costs nothing"
    follower = pod_of(node("n", outputs=VALUES), node("after", "n"))
    assert helpers(follower) == {}, "its files are not kept"
    both = pod_of(node("n", outputs=VALUES, artifacts={}))
    paths = [m["mountPath"] for m in both["spec"]["containers"][0]["volumeMounts"]]
    assert {"/tmp/text", "/podium/artifacts/out"} <= set(paths)


def test_a_value_at_a_path_that_is_mounted_already_is_refused():
    mine = {"volumes": [{"name": "v", "emptyDir": {}}],
            "volumeMounts": [{"name": "v", "mountPath": "/tmp/text"}]}  # fmt: skip
    reason, message = refusal(node("n", base=CONTAINER, outputs=VALUES, pod=mine))
    assert (reason, "outputs.text: /tmp/text is mounted" in message) == ("Config", True)


def test_values_arrive_with_the_end_of_the_program():
    values = {"text": b"a\n", "data": b"\xff", "none": b""}
    words = json.dumps({"artifacts": {"digest": ""}, "values": dump_values(values)})
    (seen,) = look(COMPLETE, with_artifacts(terminated(0, message=words))).observations
    assert (seen.phase.value, seen.values) == ("Succeeded", values)
    for wrong in ("x", "", 1, None.__class__.__name__, dump_values({})[:-3]):
        words = json.dumps({"artifacts": {"digest": ""}, "values": wrong})
        (seen,) = look(COMPLETE, with_artifacts(terminated(0, message=words))).observations
        assert (seen.phase.value, seen.reason) == ("Failed", "Upload")
    large = {"reason": "OutputTooLarge", "message": "less", "retryable": False}
    words = json.dumps({"podiumError": large})
    (seen,) = look(COMPLETE, with_artifacts(terminated(0, message=words))).observations
    assert (seen.reason, seen.message, seen.retryable) == ("OutputTooLarge", "less", False)


def test_the_chart_says_where_tokens_are_exchanged():
    settings = Settings(artifacts={**STORES["role"], "stsEndpoint": "https://sts.example.com"})
    pod = pod_of(MAKE, settings=settings)
    told = {each["name"]: each["value"] for each in helpers(pod)["podium-collector"]["env"]}
    assert told["AWS_ENDPOINT_URL_STS"] == "https://sts.example.com"
    assert check_pod(pod, settings) == []
    names = {each["name"] for each in pod["spec"]["containers"][0]["env"]}
    assert not [name for name in names if name.startswith("AWS_")]
    with pytest.raises(ValueError, match="stsEndpoint"):
        Settings(artifacts={**STORES["role"], "stsEndpoint": "http://sts.example.com"})
