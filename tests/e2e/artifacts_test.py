"""Artifacts on a real cluster when something goes wrong: stored and found, or failed with a reason."""

import contextlib
import copy
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from podium.artifacts.pod import Task
from podium.cluster.settings import Settings
from tests import buckets
from tests.conformance.cluster_shell import connect
from tests.conformance.own_operator import apply_crds, own_namespace, own_operator
from tests.e2e.release import crds, job, kubectl, refused, release, render
from tests.e2e.support import (
    ROOT,
    Kubectl,
    require_cluster,
    script,
    until,
    workflow_run,
)
from tests.unit.artifacts.pod_test import stored
from tests.unit.artifacts.support import make
from tests.unit.cluster.jobs import artifacts_test as built
from tests.unit.cluster.jobs import builder_test as builder
from tests.unit.cluster.jobs.input_carrier_test import carrier
from tests.volumes import volumes_for

# Beside chart_test: one worker has both.
__all__ = ["crds", "kubectl", "release", "render"]  # fixtures
pytestmark = pytest.mark.cluster

LEAVE = 'head -c {size} /dev/urandom >$PODIUM_ARTIFACTS_OUT/f; cd $PODIUM_ARTIFACTS_OUT; sum=$(sha256sum f); echo "{{\\"sum\\": \\"${{sum%% *}}\\"}}" >$PODIUM_OUTPUT'
FIND = 'sum=$(sha256sum $PODIUM_ARTIFACTS_IN/make/f); echo "{\\"sum\\": \\"${sum%% *}\\"}" >$PODIUM_OUTPUT'


def leaves(size=1 << 20, **more):
    text = LEAVE.format(size=size)
    return script("make", text, artifacts={"out": [{"name": "f", "path": "f"}]}, **more)


FINDS = script("use", FIND, "make")


class Place:
    """A namespace, its bucket, and an operator that can be killed."""

    def __init__(self, k, server, directory):
        self.k, self.server, self._directory = k, server, directory
        self._stack = contextlib.ExitStack()

    def operator(self, **more):
        settings = {"artifacts": buckets.settings_of(self.server, **more)}
        started = own_operator(self.k.namespace, self._directory, settings)
        return self._stack.enter_context(started)

    def secret(self, **keys):
        buckets.make_secret(connect(), self.k.namespace, **keys)

    def close(self):
        self._stack.close()


@pytest.fixture
def place(tmp_path):
    require_cluster()
    api = connect()
    apply_crds(api)
    with own_namespace(api) as namespace, buckets.server_for(api) as server:
        made = Place(Kubectl(namespace), server, tmp_path)
        yield made
        made.close()


def uploading(k):
    """Wait until a program has ended and its artifacts are being stored."""

    def is_so():
        for pod in k.items("pods", "-l", "podium.dev/node=make"):
            for each in pod["status"].get("containerStatuses", ()):
                if each["name"] == "node" and each["state"].get("terminated"):
                    assert pod["status"]["phase"] == "Running"
                    return pod
        return None

    is_so.__doc__ = "make has ended and its artifacts are being stored"
    return until(is_so, 120)


def same(k, run="r"):
    nodes = k.nodes(run)
    assert nodes["make"]["output"]["sum"] == nodes["use"]["output"]["sum"]
    assert len(nodes["make"]["artifacts"]) == 64


def test_a_server_that_is_killed_and_an_operator_too(place):
    """In mid-upload; the server is away for longer than the usual grace period of 30 seconds."""
    place.secret()
    operator = place.operator()
    place.server.freeze()
    place.k.apply(workflow_run("r", leaves(64 << 20), FINDS))
    uploading(place.k)
    begin = time.monotonic()
    place.server.kill()
    os.kill(operator.pid, signal.SIGKILL)
    operator.process.wait()
    place._stack.pop_all()
    place.operator()
    while time.monotonic() - begin < 40:
        assert place.k.nodes("r")["make"]["status"] == "Running"
        time.sleep(2)
    place.server.start()
    place.k.wait("r")
    same(place.k)
    assert place.k.nodes("r")["make"]["executionCount"] == 1


def test_the_example(place):
    place.secret()
    place.operator()
    place.k("apply", "-f", str(ROOT / "examples/artifacts/workflow.yaml"))
    place.k.apply(workflow_run("r", workflow="artifacts"))
    place.k.wait("r")
    nodes = place.k.nodes("r")
    assert nodes["measure"]["output"] == {"total": 47840}
    assert all(len(nodes[each]["artifacts"]) == 64 for each in ("fetch", "measure", "report"))


def test_programs_that_end_at_once(place):
    place.secret()
    place.operator()
    out = {"out": [{"name": "f", "path": "f"}]}
    nodes = [script(f"make{i}", "echo x >$PODIUM_ARTIFACTS_OUT/f", artifacts=out) for i in range(6)]
    quick = {"executor": "container", "config": {"image": "busybox", "command": ["true"]}}
    nodes.append({"id": "quick", **quick, "artifacts": {}})
    place.k.apply(workflow_run("r", *nodes))
    place.k.wait("r")  # gives up long before the 600 seconds of an upload: SIGTERM was heard


def test_credentials_that_are_wrong_and_a_bucket_that_is_missing(place):
    place.secret(secret="wrong-canary-wrong")
    operator = place.operator()
    place.k.apply(workflow_run("r", leaves(retryPolicy={"maxAttempts": 3})))
    place.k.wait("r", "Failed")
    state = place.k.nodes("r")["make"]
    assert (state["reason"], state.get("retryCount", 0)) == ("Upload", 0)
    assert "check the credentials" in state["message"]
    everything = place.k("get", "workflowruns,jobs,pods,events", "-o", "yaml").stdout
    assert "canary" not in everything + operator.log.read_text()
    place.server.root.joinpath(buckets.BUCKET).rename(place.server.root / "away")
    place.k("delete", "secret", buckets.SECRET)
    place.secret()
    place.k.apply(workflow_run("gone", leaves()))
    place.k.wait("gone", "Failed")
    state = place.k.nodes("gone")["make"]
    assert (state["reason"], "no such bucket" in state["message"]) == ("Upload", True)


def test_a_collector_without_memory_and_one_that_gets_it_in_the_next_try(place):
    place.secret()
    place.operator(resources={"limits": {"memory": "40Mi"}})
    place.k.apply(workflow_run("r", leaves(64 << 20)))
    place.k.wait("r", "Failed")
    state = place.k.nodes("r")["make"]
    assert state["reason"] == "Upload"
    assert "artifacts.resources" in state["message"] or "was killed" in state["message"]
    assert "artifacts" not in state


def test_what_is_stored_is_checked_when_it_is_found(place):
    place.secret()
    place.operator()
    place.k.apply(workflow_run("r", leaves(), script("use", FIND, "make")))
    place.k.wait("r")
    bucket = place.server.root / buckets.BUCKET
    for blob in bucket.glob(f"{place.k.namespace}/blobs/sha256/*/*"):
        blob.write_bytes(blob.read_bytes()[::-1])
    place.k("annotate", "workflowrun", "r", "podium.dev/rerun=use")
    until(lambda: place.k.nodes("r")["use"].get("executionCount") == 2)
    place.k.wait("r", "Failed")
    state = place.k.nodes("r")["use"]
    assert (state["reason"], "is not what was stored" in state["message"]) == ("Download", True)


def test_a_run_that_is_deleted_does_not_wait_for_the_upload(place):
    """The operator shortens the grace period, mostly before the garbage collector deletes the Pod.

    A kubelet that has begun to wait does not hear of it, so one such run may wait; not all three.
    """
    place.secret()
    place.operator()
    deaf = "trap '' TERM; while :; do sleep 1; done"
    runs = ["r0", "r1", "r2"]
    for run in runs:
        place.k.apply(workflow_run(run, script("make", deaf, artifacts={})))
        until(lambda run=run: place.k.nodes(run).get("make", {}).get("startedAt"), 120)
        place.k("delete", "workflowrun", run, "--wait=false")

    def one_is_gone():
        """a Pod is gone"""
        return len(place.k.items("pods")) < len(runs)

    until(one_is_gone, 90)  # not the 600 seconds that an upload has


@contextlib.contextmanager
def claim_of(k, *, megabytes=None):
    """Make the claim that is the store, in a directory that holds so much, if it has a limit."""
    body = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "store"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            "resources": {"requests": {"storage": "10Mi"}},
        },
    }
    with volumes_for(connect(), k.namespace) as directory, contextlib.ExitStack() as stack:
        k.apply(body)
        until(lambda: k.get("pvc", "store")["status"]["phase"] == "Bound")
        if megabytes is not None:
            place = directory / "store"
            size = f"size={megabytes}m,mode=777"
            subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", place], check=True)
            stack.callback(subprocess.run, ["umount", "-l", place], check=True)
        yield directory / "store"


@pytest.fixture
def volume_place(tmp_path):
    require_cluster()
    api = connect()
    apply_crds(api)
    with own_namespace(api) as namespace:
        yield Kubectl(namespace), tmp_path


def with_claim(**more):
    return {"artifacts": {"pvc": {"claimName": "store", **more}}}


def test_a_volume_is_a_store_too_where_all_pods_are_on_one_machine(volume_place):
    k, directory = volume_place
    with own_operator(k.namespace, directory, with_claim()):
        k.apply(workflow_run("none", leaves()))
        k.wait("none", "Failed")
        assert "there is no PersistentVolumeClaim 'store'" in k.nodes("none")["make"]["message"]
    with claim_of(k) as place, contextlib.ExitStack() as stack:
        with own_operator(k.namespace, directory, with_claim()):
            k.apply(workflow_run("once", leaves()))
            k.wait("once", "Failed")
            state = k.nodes("once")["make"]
            assert (state["reason"], "singleNode" in state["message"]) == ("Config", True)
        stack.enter_context(own_operator(k.namespace, directory, with_claim(singleNode=True)))
        mine = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "store"}}]}
        k.apply(workflow_run("thief", script("make", "true", pod=mine)))
        k.wait("thief", "Failed")
        assert k.nodes("thief")["make"]["reason"] == "Forbidden"
        k.apply(workflow_run("r", leaves(), FINDS))
        k.wait("r")
        same(k)
        assert list(place.glob("runs/*/make/make-1.*/manifest.json"))


def test_a_volume_that_is_full(volume_place):
    k, directory = volume_place
    settings = with_claim(singleNode=True)
    with own_operator(k.namespace, directory, settings), claim_of(k, megabytes=8):
        k.apply(workflow_run("r", leaves(32 << 20)))
        k.wait("r", "Failed")
        state = k.nodes("r")["make"]
        assert state["reason"] == "Upload", state
        assert "full" in state["message"] or "space" in state["message"]
        assert "artifacts" not in state
        k.apply(workflow_run("small", leaves(1 << 16), FINDS))
        k.wait("small")


def test_the_chart_sweeps_the_bucket(release, tmp_path):
    api = connect()
    with buckets.server_for(api) as server:
        release.apply(
            *(
                "--set",
                f"artifacts.s3.bucket={buckets.BUCKET},artifacts.s3.endpoint={server.endpoint}",
            ),
            *("--set", f"artifacts.s3.credentialsSecret={buckets.SECRET}"),
            *("--set", "artifacts.sweep.schedule=0 0 1 1 *"),
        )
        buckets.make_secret(api, release.namespace)
        root = server.root / buckets.BUCKET / release.tenants
        for name, contents in (("in", b"kept"), ("out", b"not kept")):
            place = server.settings(buckets.BUCKET, prefix=release.tenants)
            out = make(tmp_path / name, {"f": contents})
            stored(Task("gone", name, f"{name}-1"), place, out)
        old = next(root.rglob("manifest.json")).parents[2]
        assert old.name == "gone"
        for path in root.rglob("*"):
            if path.is_file():
                os.utime(path, (1_700_000_000, 1_700_000_000))
        cron = f"cronjob/{release.name}-sweep"
        k = Kubectl(release.namespace)
        k("create", "job", "now", f"--from={cron}")
        done = k("wait", "job/now", "--for=condition=Complete", "--timeout=120s", ok=False)
        assert done.returncode == 0, k("logs", "job/now", ok=False)
        assert "removed 2 manifests and 2 objects" in k("logs", "job/now").stdout
        assert not [path for path in root.rglob("*") if path.is_file()]
    release.apply()


def artifact_store(server, namespace, **spec):
    bucket = buckets.settings_of(server)["s3"]
    return {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "ArtifactStore",
        "metadata": {"name": "team", "namespace": namespace},
        "spec": spec or {"s3": bucket},
    }


def test_a_store_that_the_workflow_names(place):
    k = place.k
    started = own_operator(k.namespace, place._directory, {})
    place._stack.enter_context(started)
    run = workflow_run("r", leaves(), FINDS)
    run["spec"]["workflowSpec"]["artifacts"] = {"store": "team"}
    k.apply(run)

    def waits():
        """The run says that it waits for its store"""
        return "ArtifactStoreNotFound" in json.dumps(k.get("workflowrun", "r").get("status", {}))

    until(waits)
    place.secret()
    k.apply(artifact_store(place.server, k.namespace))
    k.wait("r")
    same(k)
    there = ("@latest", "--cluster", "--namespace", k.namespace)
    for arguments in (("ls", *there), ("get", *there, "make.f"), ("rm", *there)):
        done = subprocess.run(
            [Path(sys.executable).parent / "podium", "artifacts", *arguments],
            cwd=place._directory,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    kept = hashlib.sha256((place._directory / "f").read_bytes()).hexdigest()
    assert kept == k.nodes("r")["make"]["output"]["sum"]
    secret = {"volumes": [{"name": "v", "secret": {"secretName": buckets.SECRET}}]}
    k.apply(workflow_run("thief", script("make", "true", pod=secret)))
    k.wait("thief", "Failed")
    assert k.nodes("thief")["make"]["reason"] == "Forbidden"


def test_the_chart_sweeps_a_store_of_a_team(release, tmp_path):
    api = connect()
    entry = {"namespace": release.tenants, "store": "team", "credentialsSecret": buckets.SECRET}
    with buckets.server_for(api) as server:
        release.apply(
            "--set-json",
            f"artifacts.sweep={json.dumps({'schedule': '0 0 1 1 *', 'stores': [entry]})}",
        )
        buckets.make_secret(api, release.tenants)
        k = Kubectl(release.tenants)
        k.apply(artifact_store(server, release.tenants))
        place = server.settings(buckets.BUCKET, prefix=release.tenants)
        stored(Task("gone", "n", "n-1"), place, make(tmp_path / "out", {"f": b"x"}))
        root = server.root / buckets.BUCKET / release.tenants
        for path in root.rglob("*"):
            if path.is_file():
                os.utime(path, (1_700_000_000, 1_700_000_000))
        k("create", "job", "now", f"--from=cronjob/{release.name}-sweep-team")
        done = k("wait", "job/now", "--for=condition=Complete", "--timeout=120s", ok=False)
        assert done.returncode == 0, k("logs", "job/now", ok=False)
        assert "removed 1 manifests and 1 objects" in k("logs", "job/now").stdout
        k("delete", "artifactstore", "team")
    release.apply()


def test_the_policies_know_its_containers(release):
    image = "docker.io/library/podium:dev"
    store = "artifacts.s3.bucket=artifacts,artifacts.s3.credentialsSecret=keys"
    release.apply("--set", store)
    bucket = {"bucket": "artifacts", "credentialsSecret": "keys"}
    settings = Settings(artifacts={"s3": bucket, "image": image})
    template = built.pod_of(built.MAKE, built.USE, settings=settings)
    good = job(template)
    assert release.try_out(good, release.user).returncode == 0
    bad = []
    for change in (
        lambda spec: spec["initContainers"][0].update(image="busybox"),
        lambda spec: spec["initContainers"][0].update(command=["sh"]),
        lambda spec: spec["initContainers"][1]["env"].append({"name": "LD_PRELOAD", "value": "x"}),
        lambda spec: spec["initContainers"][0]["volumeMounts"].append(
            {"name": "podium-out", "mountPath": "/opt/podium"}
        ),
        lambda spec: spec["containers"][0]["volumeMounts"].append(
            {"name": "podium-store", "mountPath": "/keys"}
        ),
        lambda spec: spec["volumes"].append({"name": "v", "secret": {"secretName": "keys"}}),
        lambda spec: spec["volumes"].append(
            {"name": "v", "projected": {"sources": [{"secret": {"name": "keys"}}]}}
        ),
        lambda spec: spec["containers"][0]["env"].append(
            {"name": "X", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}}
        ),
        lambda spec: spec["initContainers"].append(spec["initContainers"][0] | {"name": "other"}),
        lambda spec: spec["containers"].append(spec["initContainers"].pop()),
    ):
        other = copy.deepcopy(template)
        change(other["spec"])
        bad.append(job(other))
    carrying, *_ = carrier(settings=settings)
    del carrying["metadata"]["namespace"], carrying["spec"]["serviceAccountName"]
    assert release.try_out(carrying, release.user).returncode == 0
    for change in (
        lambda pod: pod["spec"]["containers"][0].update(
            volumeMounts=[{"name": "podium-store", "mountPath": "/keys"}]
        ),
        lambda pod: pod["spec"]["initContainers"][0].update(command=["sh"]),
        lambda pod: pod["spec"]["containers"][0].update(command=["sh"]),
        lambda pod: pod["metadata"]["labels"].update({"podium.dev/node": "n"}),
        lambda pod: pod["metadata"]["ownerReferences"][0].update(controller=False),
        lambda pod: pod["metadata"]["ownerReferences"][0].update(kind="Workflow"),
    ):
        other = copy.deepcopy(carrying)
        change(other)
        bad.append(other)
    outside = built.pod_of(built.OUTSIDE, settings=settings)
    assert release.try_out(job(outside), release.user).returncode == 0
    for place, volume in ((0, "podium-from-0"), (1, "podium-to-0")):
        other = copy.deepcopy(outside)
        mount = {"name": volume, "mountPath": "/podium/keys"}
        other["spec"]["initContainers"][place]["volumeMounts"].append(mount)
        bad.append(job(other))
        other = copy.deepcopy(outside)
        other["spec"]["containers"][0]["volumeMounts"].append(mount)
        bad.append(job(other))
    for each in bad:
        refused(release.try_out(each, release.user))
    web = {"bucket": "artifacts", "roleARN": "arn:aws:iam::1:role/r"}
    store = "artifacts.s3.bucket=artifacts,artifacts.s3.roleARN=arn:aws:iam::1:role/r"
    release.apply("--set", store)
    settings = Settings(artifacts={"s3": web, "image": image})
    template = built.pod_of(built.MAKE, settings=settings)
    assert release.try_out(job(template), release.user).returncode == 0
    stolen = json.loads(json.dumps(template).replace("sts.amazonaws.com", "https://kubernetes"))
    refused(release.try_out(job(stolen), release.user))
    release.apply("--set", "artifacts.s3.tokenAudience=other")  # which holds for every store
    refused(release.try_out(job(template), release.user))
    release.apply()
    given = {"x": builder.NOISE[:700_000]}  # too large for annotations: no store is needed for it
    template = builder.template(builder.SCRIPT, given=given, runner_image=image)
    assert release.try_out(job(template), release.user).returncode == 0
    for change in (
        lambda spec: spec["initContainers"][0].update(image="busybox"),
        lambda spec: spec["initContainers"][0]["env"].append({"name": "PODIUM_GIVEN_10"}),
    ):
        other = copy.deepcopy(template)
        change(other["spec"])
        refused(release.try_out(job(other), release.user))
