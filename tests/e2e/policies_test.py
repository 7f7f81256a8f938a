"""Attacks on the API server in the names of the operator, of tenants and of an administrator.

Each is one request that the policies or roles of the chart must refuse, beside one like it that must
pass, so that nothing is refused for another reason.
"""

import copy
import json
import uuid

import pytest

from podium.api.child_runs import CHILD_ANNOTATIONS
from tests import pods
from tests.e2e.release import (
    crds,
    job,
    kubectl,
    owner,
    people,
    pod,
    refused,
    release,
    render,
    workflow_run,
)
from tests.e2e.requests_as import PATHS, RequestsAs
from tests.e2e.support import until

# Beside chart_test: one worker has both.
__all__ = ["crds", "kubectl", "people", "release", "render"]  # fixtures
pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("policies")]


def fresh(thing):
    thing = copy.deepcopy(thing)
    thing["metadata"]["name"] = f"{thing['kind'].lower()}-{uuid.uuid4().hex[:8]}"
    return thing


def uid(release, kind, name):
    path = f"{PATHS[kind].format(release.tenants)}/{name}"
    return until(lambda: release.requests("GET", path).body)["metadata"]["uid"]


@pytest.fixture
def made(release, kubectl):
    """Make an object as an administrator, and return its name."""
    kubectl("create", "serviceaccount", "default", "-n", release.tenants, ok=False)
    there = {"ServiceAccount": ("default", uid(release, "ServiceAccount", "default"))}
    for owned in (workflow_run(), job()):  # else the garbage collector removes what names them
        owned["metadata"].pop("ownerReferences", None)
        owned["metadata"]["name"] = f"owner-{uuid.uuid4().hex[:8]}"
        if owned["kind"] == "Job":
            owned["spec"]["managedBy"] = "podium.dev/tests"
        done = release.create(owned)
        assert done.returncode == 0, done.stderr
        meta = done.body["metadata"]
        there[owned["kind"]] = meta["name"], meta["uid"]

    def make(thing, user=None):
        thing = fresh(thing)
        for reference in thing["metadata"].get("ownerReferences", []):
            reference["name"], reference["uid"] = there[reference["kind"]]
        done = release.create(thing, user)
        assert done.returncode == 0, done.stderr
        return thing["metadata"]["name"]

    return make


def revision(owners=(), labels=None, data=None):
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": "w-1",
            "labels": labels or {"podium.dev/pinned": "true", "podium.dev/workflow": "w",
                                 "app.kubernetes.io/managed-by": "podium"},
            "ownerReferences": list(owners),
        },
        "revision": 1,
        "data": data or {"spec": {"nodes": []}, "workflowId": "w"},
    }  # fmt: skip


def shard(owners=None):
    return {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "WorkflowRunNodes",
        "metadata": {
            "name": "r-1",
            "labels": {"podium.dev/run": "r"},
            "ownerReferences": owners or [owner("WorkflowRun", "podium.dev/v1alpha1")],
        },
        "nodes": {"a": {"status": "Completed", "output": {"kept": 1}}},
    }


def claim(owners=None):
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "r-work",
            "labels": {"podium.dev/run": "r", "podium.dev/run-uid": "u", "podium.dev/volume": "w",
                       "app.kubernetes.io/managed-by": "podium",
                       "app.kubernetes.io/part-of": "w"},
            "ownerReferences": [owner("WorkflowRun", "podium.dev/v1alpha1")]
            if owners is None
            else owners,
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Mi"}},
            "storageClassName": "fast",
        },
    }  # fmt: skip


# --- the operator's account ---------------------------------------------------------------------


def without_owner(thing):
    thing = copy.deepcopy(thing)
    del thing["metadata"]["ownerReferences"]
    return thing


@pytest.mark.parametrize(
    "change",
    [
        [{"op": "replace", "path": "/spec/containers/0/image", "value": "evil:1"}],
        [{"op": "add", "path": "/metadata/labels/app", "value": "db"}],
        [{"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}}],
        [{"op": "add", "path": "/metadata/labels/podium.dev~1recorded", "value": "true"}],
        [{"op": "add", "path": "/metadata/finalizers", "value": ["example.com/forever"]}],
    ],
)
def test_the_operator_changes_no_pod_of_others(release, made, change):
    name = made(without_owner(pod()))
    refused(
        release.requests.patch(release.tenants, "Pod", name, change, release.user, dry_run=True)
    )
    assert (
        release.requests.patch(release.tenants, "Pod", name, change, None, dry_run=True).returncode
        == 0
    )


def test_the_operator_only_releases_its_own_pods(release, made):
    thing = pod()
    thing["metadata"]["finalizers"] = ["podium.dev/result"]
    name = made(thing, release.user)

    def patch(*operations):
        return release.requests.patch(
            release.tenants, "Pod", name, list(operations), release.user, dry_run=True
        )

    release_it = {"op": "remove", "path": "/metadata/finalizers/0"}
    recorded = {"op": "add", "path": "/metadata/labels/podium.dev~1recorded", "value": "true"}
    image = {"op": "replace", "path": "/spec/containers/0/image", "value": "evil:1"}
    node = {"op": "replace", "path": "/metadata/labels/podium.dev~1node", "value": "b"}
    assert patch(release_it, recorded).returncode == 0
    assert patch(release_it).returncode == 0
    for operations in ((image,), (release_it, image), (release_it, node), (recorded,)):
        refused(patch(*operations))
    done = release.requests.patch(release.tenants, "Pod", name, [release_it], release.user)
    assert done.returncode == 0, done.stderr
    release.requests.delete(release.tenants, "Pod", name)


def test_the_operator_changes_of_a_job_its_ttl_only(release, made):
    name = made(job(), release.user)

    def patch(change):
        return release.requests.patch(
            release.tenants, "Job", name, change, release.user, dry_run=True
        )

    assert patch({"spec": {"ttlSecondsAfterFinished": 60}}).returncode == 0
    for change in (
        {"spec": {"suspend": True}},
        {"spec": {"parallelism": 0}},
        {"spec": {"activeDeadlineSeconds": 5}},
        {"metadata": {"labels": {"podium.dev/run": "other"}}},
        {"metadata": {"ownerReferences": []}},
        {"metadata": {"finalizers": ["example.com/forever"]}},
    ):
        refused(patch(change))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.manualSelector", True),
        ("spec.parallelism", 5),
        ("spec.completions", 5),
        ("spec.backoffLimit", 6),
        ("spec.activeDeadlineSeconds", 5),
        ("spec.template.metadata.finalizers", ["example.com/forever"]),
        ("metadata.finalizers", ["example.com/forever"]),
    ],
)
def test_a_job_is_a_closed_list_too(release, path, value):
    assert release.try_out(job(), release.user).returncode == 0
    thing = pods.changed(path, value, job())
    if path == "spec.manualSelector":
        thing["spec"]["selector"] = {"matchLabels": {"podium.dev/run": "r"}}
    refused(release.try_out(thing, release.user))


def indexed(**fields):
    """Return the Job of a map."""
    thing = job()
    thing["spec"] |= {
        "managedBy": "podium.dev/podium",
        "completionMode": "Indexed",
        "completions": 100_000,
        "parallelism": 50,
        "backoffLimitPerIndex": 2,
        **fields,
    }
    return thing


def test_a_job_of_several_pods_is_a_maps_whose_pods_podium_makes(release):
    assert release.try_out(indexed(), release.user).returncode == 0
    for fields in (
        {"managedBy": None},
        {"managedBy": "example.com/other"},
        {"completionMode": "NonIndexed", "backoffLimitPerIndex": None},
        {"completionMode": "NonIndexed", "backoffLimitPerIndex": None, "completions": 1},
        {"backoffLimitPerIndex": 101},
    ):
        thing = indexed(**fields)
        thing["spec"] = {key: value for key, value in thing["spec"].items() if value is not None}
        refused(release.try_out(thing, release.user))


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (pod(), without_owner(pod())),
        (job(), without_owner(job())),
        (revision(), revision(owners=[owner("ServiceAccount", "v1")])),
        (revision(), revision(labels={"app": "db"})),
        (shard(), without_owner(shard())),
    ],
)
def test_the_operator_makes_and_deletes_only_its_own(release, made, mine, theirs):
    assert release.try_out(fresh(mine), release.user).returncode == 0
    refused(release.try_out(fresh(theirs), release.user))
    for thing, passes in ((mine, True), (theirs, False)):
        name = made(thing)
        done = release.requests.delete(
            release.tenants, thing["kind"], name, release.user, dry_run=True
        )
        if passes:
            assert done.returncode == 0, done.stderr
        else:
            refused(done)


@pytest.mark.parametrize(
    "forged",
    [
        revision(labels={"podium.dev/pinned": "true", "app": "db"}),
        revision(data={"spec": {"template": {"spec": {"hostPID": True}}}}),
        revision(data={"workflowId": "w", "spec": {"nodes": [], "template": {}}, "x": 1}),
    ],
)
def test_the_operator_forges_no_revision_for_another_controller(release, forged):
    refused(release.try_out(forged, release.user))


def child_run(annotations=None, **spec):
    """Return a run as the operator makes it for a node of another one."""
    run = workflow_run({"podium.dev/parent-run-uid": "u", **(annotations or {})})
    run["metadata"]["ownerReferences"] = [
        {"apiVersion": "podium.dev/v1alpha1", "kind": "WorkflowRun", "name": "p", "uid": "u",
         "controller": True}
    ]  # fmt: skip
    run["spec"] = {"workflowRef": {"name": "none"}, **spec}
    return run


@pytest.mark.parametrize("thing", [pod(), job(), revision(), shard()])
def test_kube_system_and_the_operators_own_namespace_are_closed(release, kubectl, thing):
    """Here with a right of its own there: the role of this release ends at the tenants' namespace."""
    for namespace in ("kube-system", release.namespace):
        binding = f"{release.name}-test"
        kubectl("create", "rolebinding", binding, "--clusterrole=cluster-admin", "-n", namespace,
                f"--user={release.user}", ok=False)  # fmt: skip
        kubectl("create", "serviceaccount", "default", "-n", namespace, ok=False)
        try:

            def answered(namespace=namespace):
                done = release.try_out(fresh(thing), release.user, namespace)
                return (
                    done
                    if "RBAC" not in done.stderr and "cannot create" not in done.stderr
                    else None
                )

            refused(until(answered), "kube-system")
        finally:
            kubectl("delete", "rolebinding", binding, "-n", namespace, ok=False)


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("PATCH", "/apis/apps/v1/namespaces/{own}/deployments/{name}"),
        ("PATCH", "/api/v1/namespaces/{tenants}/pods/x/ephemeralcontainers"),
        ("PATCH", "/api/v1/namespaces/{tenants}/pods/x/resize"),
        ("PATCH", "/api/v1/namespaces/{tenants}/pods/x/status"),
        ("POST", "/api/v1/namespaces/{tenants}/pods/x/binding"),
        ("GET", "/api/v1/namespaces/{tenants}/secrets"),
        ("PUT", "/api/v1/namespaces/{tenants}/pods/x"),
        ("DELETE", "/api/v1/namespaces/{tenants}/pods"),
        ("DELETE", "/apis/batch/v1/namespaces/{tenants}/jobs"),
        ("DELETE", "/apis/apps/v1/namespaces/{tenants}/controllerrevisions"),
        ("DELETE", "/apis/podium.dev/v1alpha1/namespaces/{tenants}/workflowruns"),
        ("GET", "/api/v1/namespaces/{tenants}/persistentvolumeclaims"),
        ("PATCH", "/api/v1/namespaces/{tenants}/persistentvolumeclaims/x"),
        ("DELETE", "/api/v1/namespaces/{tenants}/persistentvolumeclaims/x"),
        ("POST", "/api/v1/namespaces/{tenants}/pods/x/eviction"),
        ("POST", "/api/v1/namespaces/{tenants}/pods/x/exec"),
        ("PUT", "/api/v1/namespaces/{tenants}/pods/x/ephemeralcontainers"),
        ("POST", "/api/v1/namespaces/{tenants}/serviceaccounts/default/token"),
        ("PATCH", "/api/v1/namespaces/{tenants}/serviceaccounts/default"),
        ("PUT", "/apis/batch/v1/namespaces/{tenants}/jobs/x"),
        ("PATCH", "/apis/apps/v1/namespaces/{tenants}/controllerrevisions/x"),
        ("PATCH", "/apis/podium.dev/v1alpha1/namespaces/{tenants}/workflowrunnodes/x"),
        ("PATCH", "/apis/podium.dev/v1alpha1/namespaces/{tenants}/workflows/x"),
        ("PUT", "/apis/apps/v1/namespaces/{own}/deployments/{name}"),
        ("PATCH", "/apis/apps/v1/namespaces/{own}/deployments/other/scale"),
        ("DELETE", "/apis/apps/v1/namespaces/{own}/deployments/{name}"),
        ("PATCH", "/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}-operator"),
        ("PATCH", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/{name}-pods"),
    ],
)
def test_what_the_policies_do_not_see_the_role_refuses(release, verb, path):
    path = path.format(own=release.namespace, name=release.name, tenants=release.tenants)
    body = {} if verb != "GET" else None
    content = "application/merge-patch+json" if verb == "PATCH" else None
    done = release.requests(verb, path, body, release.user, content=content)
    assert done.returncode
    assert "cannot" in done.stderr, done.stderr


@pytest.mark.parametrize("make", [pod, job, revision, shard])
def test_what_is_applied_is_looked_at_as_what_is_created(release, make):
    """A server-side apply makes what is not there yet, with the verb patch."""
    good, bad = fresh(make()), fresh(make())
    if make is revision:
        bad["metadata"]["labels"]["app"] = "db"
    else:
        bad["metadata"]["ownerReferences"] = []

    def apply(body):
        path = f"{PATHS[body['kind']].format(release.tenants)}/{body['metadata']['name']}"
        content = "application/apply-patch+yaml"
        return release.requests(
            "PATCH", f"{path}?fieldManager=x&force=true", body, release.user, True, content
        )

    done = apply(bad)
    assert done.returncode, "it was let through"
    if make in (pod, job):  # of the others the account may patch none
        assert "ValidatingAdmissionPolicy" in done.stderr
        assert apply(good).returncode == 0


def test_a_pod_names_only_a_labelled_service_account(release, kubectl):
    for name, label in (("usable", "true"), ("unlabelled", None), ("unusable", "yes")):
        kubectl("create", "serviceaccount", name, "-n", release.tenants)
        if label:
            kubectl(
                "label", "serviceaccount", name, f"podium.dev/usable={label}", "-n", release.tenants
            )
    for make in (job, pod):

        def ask(name, make=make):
            return release.try_out(
                make(pods.changed("spec.serviceAccountName", name)), release.user
            )

        until(lambda ask=ask: ask("unlabelled").returncode)  # the server has heard of it
        refused(ask("unlabelled"), "podium.dev/usable")
        refused(ask("unusable"), "podium.dev/usable")
        assert until(lambda ask=ask: ask("usable").returncode == 0)


LABEL = "metadata.labels.podium~dev/executor"
BESIDE = {"name": "beside", "image": "busybox"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.hostNetwork", True),
        ("spec.automountServiceAccountToken", True),
        ("spec.volumes", [{"name": "v", "hostPath": {"path": "/data"}}]),
        ("spec.securityContext", {"runAsUser": 0}),
        ("spec.schedulerName", "own"),
        ("spec.initContainers", [{**BESIDE, "restartPolicy": "Always"}]),
        (f"{pods.NODE}.securityContext", {"privileged": True}),
        (f"{pods.NODE}.envFrom", [{"configMapRef": {"name": "c"}}]),
    ],
)
def test_an_executor_brings_what_a_node_may_not(release, path, value):
    """The label is the operator's word: it sets it on what an Executor shapes alone."""
    thing = pods.changed(path, value)
    shaped = pods.changed(LABEL, "dbt", thing)
    for make in (job, pod):
        done = release.try_out(make(shaped), release.user)
        assert done.returncode == 0, done.stderr
        refused(release.try_out(make(thing), release.user))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.restartPolicy", "OnFailure"),
        ("spec.enableServiceLinks", True),
        ("spec.nodeName", "machine"),
        ("spec.activeDeadlineSeconds", 5),
        ("spec.priorityClassName", "system-node-critical"),
        (f"{pods.NODE}.name", "main"),
        ("metadata.labels.podium~dev/other", "x"),
        ("metadata.labels", {"podium.dev/executor": "dbt"}),
    ],
)
def test_an_executors_pod_is_held_against_a_list_too(release, path, value):
    shaped = pods.changed(LABEL, "dbt")
    assert release.try_out(job(shaped), release.user).returncode == 0
    refused(release.try_out(job(pods.changed(path, value, shaped)), release.user))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.ownerReferences", [owner("Pod", "v1")]),
        ("metadata.ownerReferences", [{**owner("WorkflowRun", "podium.dev/v1alpha1"),
                                       "controller": False}]),
        ("metadata.ownerReferences", [owner("WorkflowRun", "podium.dev/v1alpha1"),
                                       {**owner("Pod", "v1"), "controller": False}]),
        ("metadata.labels", {"podium.dev/run": "r"}),
        ("metadata.labels.app", "db"),
        ("metadata.annotations", {"volume.kubernetes.io/storage-provisioner": "x"}),
        ("metadata.finalizers", ["example.com/forever"]),
        ("spec.volumeName", "of-another"),
        ("spec.selector", {"matchLabels": {"of": "another"}}),
        ("spec.dataSource", {"kind": "PersistentVolumeClaim", "name": "of-another"}),
        ("spec.dataSourceRef", {"kind": "PersistentVolumeClaim", "name": "of-another"}),
        ("spec.volumeMode", "Block"),
        ("spec.resources.limits", {"storage": "1Gi"}),
    ],
)  # fmt: skip
def test_the_operator_makes_volumes_of_runs_only(release, path, value):
    for good in (claim(), claim(owners=[])):
        assert release.try_out(fresh(good), release.user).returncode == 0
    bad = fresh(claim())
    *parents, last = path.split(".")
    where = bad
    for part in parents:
        where = where[part]
    where[last] = value
    refused(release.try_out(bad, release.user))


# --- what no user changes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "change"),
    [
        ({"context": {"image": "a", "keep": 1}}, {"context": {"keep": None, "globalImage": 1}}),
        ({"context": {"image": "a", "keep": {"x": 1}}}, {"context": {"keep": {"x": None, "y": 1}}}),
        ({"context": {"image": "a"}}, {"context": {"image": "b"}}),
        ({"context": {"image": "a"}}, {"context": {"more": "b"}}),
        ({"context": {"image": "a"}}, {"context": None}),
        ({}, {"context": {"image": "a"}}),
    ],
)
def test_the_context_of_a_run_is_fixed(release, made, spec, change):
    """A renamed key leaves the number of keys as it was, which the CRD's own rule does not see."""
    name = made(workflow_run(**spec))
    done = release.requests.patch(
        release.tenants, "WorkflowRun", name, {"spec": change}, dry_run=True
    )
    assert done.returncode, "it was let through"
    assert "fixed" in done.stderr, done.stderr
    free = {"spec": {"suspend": False}}
    assert (
        release.requests.patch(release.tenants, "WorkflowRun", name, free, dry_run=True).returncode
        == 0
    )


def test_the_graph_of_a_run_is_fixed(release, made):
    thing = workflow_run(
        workflowSpec={"nodes": [{"id": "a", "executor": "script",
                                 "config": {"script": "true", "image": "b"}}]}
    )  # fmt: skip
    del thing["spec"]["workflowRef"]
    name = made(thing)
    for config in ({"command": "true", "image": "b"}, {"script": "false", "image": "b"}):
        change = [{"op": "replace", "path": "/spec/workflowSpec/nodes/0/config", "value": config}]
        done = release.requests.patch(release.tenants, "WorkflowRun", name, change, dry_run=True)
        assert "workflowSpec is fixed" in done.stderr


def test_node_states_are_fixed(release, made):
    name = made(shard())
    outputs = "/nodes/a/output"
    for change in (
        [{"op": "replace", "path": outputs, "value": {"forged": 1}}],
        [{"op": "replace", "path": outputs, "value": {"kept": 2}}],
        [{"op": "remove", "path": "/nodes/a"}],
        [{"op": "add", "path": "/nodes/b", "value": {"status": "Completed"}}],
        [{"op": "replace", "path": "/metadata/labels/podium.dev~1run", "value": "other"}],
        [{"op": "remove", "path": "/metadata/ownerReferences"}],
    ):
        done = release.requests.patch(
            release.tenants, "WorkflowRunNodes", name, change, dry_run=True
        )
        assert "fixed" in done.stderr, change
    noted = {"metadata": {"annotations": {"note": "x"}}}
    done = release.requests.patch(release.tenants, "WorkflowRunNodes", name, noted, dry_run=True)
    assert done.returncode == 0, done.stderr


def test_a_pinned_definition_is_fixed(release, made, kubectl):
    name = made(revision())
    ask = release.requests
    kubectl("create", "role", "cleaner", "--verb=get,delete", "--resource=controllerrevisions.apps",
            "-n", release.tenants)  # fmt: skip
    kubectl(
        "create",
        "rolebinding",
        "cleaner",
        "--role=cleaner",
        "--user=cleaner",
        "-n",
        release.tenants,
    )
    theirs = made(revision(owners=[owner("ServiceAccount", "v1")]))

    def deletes(name):
        return ask.delete(release.tenants, "ControllerRevision", name, "cleaner", dry_run=True)

    until(lambda: deletes(theirs).returncode == 0)
    refused(deletes(name), "pinned")
    place = (release.tenants, "ControllerRevision", name)

    def relabelled(body):
        del body["metadata"]["labels"]["podium.dev/pinned"]

    def adopted(body):
        body["metadata"]["ownerReferences"] = [owner("StatefulSet", "apps/v1")]

    def noted(body):
        body["metadata"]["annotations"] = {"note": "x"}

    for change in (relabelled, adopted):
        refused(ask.update(*place, change, dry_run=True), "fixed")
    done = ask.update(*place, noted, dry_run=True)
    assert done.returncode == 0, done.stderr
    collector = "system:serviceaccount:kube-system:generic-garbage-collector"
    for user in (collector, release.user):
        done = ask.delete(release.tenants, "ControllerRevision", name, user, dry_run=True)
        assert done.returncode == 0, done.stderr


JOB_CONTROLLER = "system:serviceaccount:kube-system:job-controller"


@pytest.fixture(scope="module")
def carol(release, kubectl):
    """Make a user who may do all to Jobs and Pods, and nothing else; return the name."""
    verbs = "--verb=get,create,update,patch,delete"
    kubectl("create", "role", "carol", verbs, "--resource=pods,jobs.batch", "-n", release.tenants)
    kubectl("create", "rolebinding", "carol", "--role=carol", "--user=carol",
            "-n", release.tenants)  # fmt: skip
    kubectl("create", "serviceaccount", "default", "-n", release.tenants, ok=False)
    until(lambda: release.try_out(plain(pod()), "carol").returncode == 0)
    return "carol"


def plain(thing):
    """Return an object that says nothing of Podium."""
    thing = copy.deepcopy(thing)
    thing["metadata"]["labels"] = {"app": "x"}
    return thing


@pytest.mark.parametrize("thing", [pod(), without_owner(pod()), job(), without_owner(job())])
def test_no_tenant_makes_jobs_and_pods_of_runs(release, carol, thing):
    refused(release.try_out(thing, carol), "podium.dev/run")
    assert release.try_out(plain(thing), carol).returncode == 0
    many = copy.deepcopy(thing)
    many["metadata"] |= {"generateName": "x-", "name": None}
    refused(release.try_out(many, carol), "podium.dev/run")
    only = copy.deepcopy(thing)
    only["metadata"]["labels"] = {"podium.dev/run": "x"}
    refused(release.try_out(only, carol), "podium.dev/run")


def test_the_job_controller_makes_pods_of_jobs_only(release, carol):
    assert carol
    assert release.try_out(pod(), JOB_CONTROLLER).returncode == 0
    refused(release.try_out(without_owner(pod()), JOB_CONTROLLER))
    for other in ("system:serviceaccount:kube-system:replicaset-controller", "system:node:x"):
        done = release.try_out(pod(), other)
        assert done.returncode, other


def test_no_tenant_changes_what_the_pod_of_a_run_runs(release, made, carol):
    thing = pod()
    thing["metadata"]["finalizers"] = ["podium.dev/result"]
    thing["metadata"]["annotations"] = {"podium.dev/input": "{}"}
    name = made(thing)

    def patch(*change, name=name, user=carol):
        body = change[0] if isinstance(change[0], dict) and "op" not in change[0] else list(change)
        return release.requests.patch(release.tenants, "Pod", name, body, user, dry_run=True)

    image = {"op": "replace", "path": "/spec/containers/0/image", "value": "evil:1"}
    toleration = {
        "op": "add",
        "path": "/spec/tolerations/-",
        "value": {"key": "a", "operator": "Exists"},
    }
    assert patch(toleration).returncode == 0
    assert (
        patch({"metadata": {"annotations": {"note": "x"}, "labels": {"team": "a"}}}).returncode == 0
    )
    for change in (
        image,
        {"spec": {"activeDeadlineSeconds": 1}},
        {"metadata": {"annotations": {"podium.dev/input": '{"evil": 1}'}}},
        {"metadata": {"annotations": {"podium.dev/input": None}}},
        {"metadata": {"annotations": {"podium.dev/script": "evil"}}},
        {"metadata": {"labels": {"podium.dev/recorded": "true"}}},
        {"metadata": {"labels": {"podium.dev/run": None}}},
        {"metadata": {"labels": {"podium.dev/node": "b"}}},
        {"metadata": {"ownerReferences": []}},
        {"metadata": {"finalizers": []}},
    ):
        refused(patch(change))
    assert patch(image, user=None).returncode == 0, "who may write a status is trusted"
    other = made(plain(without_owner(pod())))
    refused(patch({"metadata": {"labels": {"podium.dev/run": "r"}}}, name=other))
    assert patch(image, name=other).returncode == 0


def test_a_queue_places_a_job_of_a_run_and_no_tenant_changes_it(release, made, carol):
    thing = job()
    thing["spec"] |= {"suspend": True, "managedBy": "podium.dev/tests"}
    thing["spec"]["template"]["metadata"]["annotations"] = {"podium.dev/input": "{}"}
    name = made(thing)

    def patch(change):
        return release.requests.patch(release.tenants, "Job", name, change, carol, dry_run=True)

    def template(**parts):
        return {"spec": {"template": parts}}

    for passes in (
        {"spec": {"suspend": False}},
        template(spec={"nodeSelector": {"pool": "a"}}),
        template(metadata={"labels": {"queue": "a"}, "annotations": {"note": "x"}}),
        {"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "q"}}},
    ):
        done = patch(passes)
        assert done.returncode == 0, done.stderr
    for change in (
        template(metadata={"annotations": {"podium.dev/input": '{"evil": 1}'}}),
        template(metadata={"annotations": {"podium.dev/input": None}}),
        template(metadata={"labels": {"podium.dev/execution": "b-1"}}),
        {"metadata": {"annotations": {"podium.dev/execution": "b-1"}}},
        {"metadata": {"labels": {"podium.dev/run": None}}},
        {"metadata": {"ownerReferences": []}},
    ):
        refused(patch(change))


@pytest.mark.usefixtures("people")
def test_who_requested_is_verified(release):
    by = "podium.dev/requested-by"
    assert release.try_out(workflow_run({by: "alice"}), "alice").returncode == 0
    assert release.try_out(workflow_run(), "alice").returncode == 0
    refused(release.try_out(workflow_run({by: "bob"}), "alice"), by)
    # A child run is made in the name of whoever asked for its first ancestor, by an operator only.
    child = child_run({by: "bob"})
    assert release.try_out(child, release.user).returncode == 0
    refused(release.try_out(child, "alice"), "podium.dev/parent-run")
    refused(release.try_out(workflow_run({by: "bob"}), release.user))

    def create(user):
        name = f"r-{uuid.uuid4().hex[:8]}"
        assert release.create(workflow_run({by: user}, name=name), user).returncode == 0
        return name

    def annotate(user, run, **notes):
        change = {f"podium.dev/{key.replace('_', '-')}": value for key, value in notes.items()}
        body = {"metadata": {"annotations": change}}
        return release.requests.patch(release.tenants, "WorkflowRun", run, body, user)

    name = create("alice")
    for forged in ('[{"id": "1", "nodes": ["a"], "by": "alice"}]', "[]"):
        refused(annotate("bob", name, accepted=forged, requested_by=None), "podium.dev/accepted")
        assert annotate(release.user, name, accepted=forged).returncode == 0
        refused(annotate("bob", name, accepted=None), "podium.dev/accepted")
    for request in ("rerun", "restore"):
        # Of each request one run: the operator takes its requester off with it.
        name = create("alice")
        refused(annotate("bob", name, **{request: "a"}), by)
        refused(annotate("bob", name, requested_by="eve", **{request: "a"}), by)
        refused(annotate("bob", name, requested_by="eve"), by)
        assert annotate("alice", name, note="x").returncode == 0
        assert annotate("bob", name, requested_by="bob", **{request: "a"}).returncode == 0
        # The operator takes requests in and off, whoever made them.
        assert annotate(release.user, name, **{"accepted": "[]", request: None}).returncode == 0
        assert annotate("alice", name, requested_by="alice").returncode == 0
    assert annotate("alice", name, requested_by=None, rerun="a").returncode == 0


def merged(document, change):
    """Return a document with a change; None removes a field."""
    if not isinstance(document, dict) or not isinstance(change, dict):
        return change
    result = {**document}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(document.get(key), value)
    return result


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"workflowRef": None, "workflowSpec": {"nodes": [{"id": "a"}]}}},
        {"spec": {"only": ["a"]}},
        {"metadata": {"ownerReferences": None}},
        {"metadata": {"annotations": {"podium.dev/parent-run-uid": "another"}}},
    ],
)
def test_the_operator_makes_child_runs_only(release, change):
    assert release.try_out(child_run(context={"a": 1}), release.user).returncode == 0
    refused(release.try_out(merged(child_run(), change), release.user))


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("key", sorted({*CHILD_ANNOTATIONS} - {CHILD_ANNOTATIONS.suspended}))
def test_only_an_operator_says_whose_child_a_run_is(release, key):
    """Child runs have room of their own, and their parents look at what claims to be theirs."""
    child = {key: "1"}
    refused(release.try_out(workflow_run(child), "alice"), "podium.dev/parent-run")
    name = f"r-{uuid.uuid4().hex[:8]}"
    assert release.create(workflow_run(name=name), "alice").returncode == 0
    body = {"metadata": {"annotations": child}}
    for user, is_let in (("alice", False), (release.user, True)):
        answer = release.requests.patch(release.tenants, "WorkflowRun", name, body, user)
        assert (answer.returncode == 0) == is_let
    body = {"metadata": {"annotations": {key: None}}}
    refused(release.requests.patch(release.tenants, "WorkflowRun", name, body, "alice"))


@pytest.mark.usefixtures("people")
def test_who_decided_is_verified(release):
    """A decision is JSON: it is bound to the name and the groups that are written with it."""
    name = f"r-{uuid.uuid4().hex[:8]}"
    assert release.create(workflow_run(name=name), "alice").returncode == 0
    decision = '{"node": "gate", "executionId": "gate-1", "decision": "Approve"}'

    def write(user, group=None, dry_run=False, **notes):
        change = {f"podium.dev/{key.replace('_', '-')}": value for key, value in notes.items()}
        body = {"metadata": {"annotations": change}}
        return release.requests.patch(
            release.tenants, "WorkflowRun", name, body, user, dry_run=dry_run, group=group
        )

    def tried(user, **notes):
        return write(user, dry_run=True, **notes)

    by_bob = {"approve": decision, "approved_by": "bob"}

    def standing(user, **notes):
        """Try a change of the decision while it stands: an operator of the cluster may take it off."""
        path = f"/apis/podium.dev/v1alpha1/namespaces/{release.tenants}/workflowruns/{name}"
        for _ in range(100):
            written = write("bob", **by_bob).returncode == 0
            done = tried(user, **notes)
            now = release.requests("GET", path).body["metadata"].get("annotations", {})
            if written and now.get("podium.dev/approve") == decision:
                break
        return done

    assert tried("bob", **by_bob).returncode == 0
    # Another's name, none, and a user who may not approve.
    refused(tried("bob", approve=decision, approved_by="alice"), "your own name")
    refused(tried("bob", approve=decision), "podium.dev/approved-by to your own name")
    refused(tried("alice", approve=decision, approved_by="alice"), "workflowruns/approve")
    refused(tried("alice", **by_bob), "your own name")
    # Groups: one's own, nothing else, whatever stands around them.
    assert tried("bob", approved_groups="system:authenticated", **by_bob).returncode == 0
    both = "release\nsystem:authenticated\n"
    assert tried("bob", group="release", approved_groups=both, **by_bob).returncode == 0
    for groups in ("admins", "system:authenticated\nadmins", "release", "system:authenticated,x"):
        refused(tried("bob", approved_groups=groups, **by_bob), "must be groups of yours")
    refused(tried("alice", approved_groups="system:authenticated"), "workflowruns/approve")
    # A name that stands there already is not taken for that of who writes the decision.
    assert write("bob", approved_by="bob").returncode == 0
    refused(tried("alice", approve=decision), "your own name")
    refused(tried("alice", approve=decision, approved_by="alice"), "workflowruns/approve")
    # What is written is not changed, nor taken away, by users: not even by who wrote it.
    assert write("bob", **by_bob).returncode == 0
    for change in (
        {"approve": decision.replace("Approve", "Reject")},
        {"approve": None},
        {"approved_by": None},
        {"approved_groups": "system:authenticated"},
        {"approve": None, "approved_by": None},
    ):
        refused(standing("bob", **change), "has not taken in")
    refused(standing("alice", approve=None), "has not taken in")
    assert tried("alice", note="x").returncode == 0
    # The operator takes it in and off as a whole; it decides nothing and changes nothing of it.
    nothing = {"approve": None, "approved_by": None, "approved_groups": None}
    user = release.user
    refused(tried(user, approved_by=user))
    refused(tried(user, approve=decision.replace("gate", "other")))
    refused(tried(user, approve=None, approved_by="alice"))
    assert write(user, **nothing, accepted="[]").returncode == 0
    refused(tried(user, approve=decision, approved_by=user), "workflowruns/approve")
    # What was taken in names who decided: no user writes it.
    forged = '[{"id": "1", "approve": {"node": "gate", "by": "bob"}}]'
    refused(tried("bob", accepted=forged), "podium.dev/accepted")
    # A run is not made with the decision of another.
    notes = {"podium.dev/approve": decision, "podium.dev/approved-by": "bob"}
    refused(release.try_out(workflow_run(notes), "alice"), "your own name")
    assert release.try_out(workflow_run(notes), "bob").returncode == 0
    release.requests.delete(release.tenants, "WorkflowRun", name)


# --- values -------------------------------------------------------------------------------------

ISTIO = {
    "containers": [
        {"name": "istio-init", "image": "docker.io/istio/proxyv2:*",
         "securityContext": {"capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
                             "runAsUser": 0, "runAsNonRoot": False}},
        {"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.27"},
    ],
    "volumes": [{"name": "istio-token", "tokenAudience": "istio-ca"}],
    "annotations": ["mesh.kubernetes.io/"],
    "labels": ["topology.kubernetes.io/"],
}  # fmt: skip
AWS = {
    "volumes": [{"name": "aws-iam-token", "tokenAudience": "sts.amazonaws.com"}],
    "env": ["AWS_"],
}


def token(name, audience):
    source = {"serviceAccountToken": {"path": "token", "audience": audience}}
    return {"name": name, "projected": {"sources": [source]}}


def meshed():
    """Return a Pod as a webhook leaves it."""
    thing = pods.pod()
    spec = thing["spec"]
    proxy = "docker.io/istio/proxyv2:1.27"
    spec["initContainers"] = [
        {"name": "istio-init", "image": proxy, "securityContext": {
            "runAsUser": 0, "runAsNonRoot": False,
            "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}}},
        {"name": "istio-proxy", "image": proxy, "restartPolicy": "Always",
         "ports": [{"containerPort": 15090}], "securityContext": pods.SAFE,
         "volumeMounts": [{"name": "istio-token", "mountPath": "/var/run/secrets/tokens"}]},
    ]  # fmt: skip
    spec["volumes"] = [
        token("istio-token", "istio-ca"),
        token("aws-iam-token", "sts.amazonaws.com"),
    ]
    node = spec["containers"][0]
    node["env"] = [{"name": "AWS_ROLE_ARN", "value": "arn"}]
    node["volumeMounts"] = [{"name": "aws-iam-token", "mountPath": "/var/run/secrets/aws"}]
    thing["metadata"]["annotations"]["mesh.kubernetes.io/status"] = "x"
    thing["metadata"]["labels"]["topology.kubernetes.io/zone"] = "x"
    return thing


def test_what_a_webhook_adds_passes_if_the_values_say_so_and_nothing_else(release, kubectl):
    kubectl("create", "serviceaccount", "default", "-n", release.tenants, ok=False)
    refused(release.try_out(pod(meshed()), release.user))
    kubectl("label", "namespace", release.tenants, "team=a", "stage=test")
    selector = {
        "matchLabels": {"team": "a"},
        "matchExpressions": [{"key": "stage", "operator": "NotIn", "values": ["production"]}],
    }
    try:
        release.apply(
            "--set-json", f"admissionPolicies.pods.allowedInjection={json.dumps([ISTIO, AWS])}",
            "--set-json", f"namespaceSelector={json.dumps(selector)}",
        )  # fmt: skip
        assert release.try_out(pod(meshed()), release.user).returncode == 0
        assert release.try_out(pod(), release.user).returncode == 0
        init, proxy = "spec.initContainers.0", "spec.initContainers.1"
        for path, value in (
            (f"{init}.image", "docker.io/evil/proxyv2:1"),
            (f"{init}.name", "istio-other"),
            (f"{init}.securityContext.runAsUser", 1),
            (f"{init}.securityContext.readOnlyRootFilesystem", True),
            (f"{init}.securityContext.capabilities.add", ["NET_ADMIN", "SYS_ADMIN"]),
            (f"{init}.volumeDevices", [{"name": "aws-iam-token", "devicePath": "/dev/x"}]),
            (f"{proxy}.image", "docker.io/istio/proxyv2:1.28"),
            (f"{proxy}.securityContext", {}),
            (f"{proxy}.securityContext.runAsUser", 0),
            (f"{proxy}.ports.0.hostPort", 80),
            ("spec.volumes.0.name", "other-token"),
            ("spec.volumes.0.projected.sources.0.serviceAccountToken.audience", "api"),
            ("spec.volumes.0.projected.sources.0.serviceAccountToken.audience", pods.GONE),
            (f"{pods.NODE}.volumeMounts.0.name", "istio-token"),
            ("metadata.annotations.other~kubernetes~io/x", "y"),
            ("spec.hostNetwork", True),
            (f"{pods.NODE}.securityContext.runAsUser", 0),
        ):
            bad = pods.changed(path, value, meshed())
            if path == "spec.volumes.0.name":
                bad["spec"]["initContainers"][1]["volumeMounts"][0]["name"] = value
            done = release.try_out(pod(bad), release.user)
            assert done.returncode, f"let through: {path}"
        refused(release.try_out(job(meshed()), release.user))  # no webhook adds it there
        for change in ("team=b", "team-", "stage=production"):
            kubectl("label", "namespace", release.tenants, "--overwrite", "team=a", "stage=test")
            until(lambda: release.try_out(job(), release.user).returncode == 0)
            kubectl("label", "namespace", release.tenants, "--overwrite", change)
            until(lambda: release.try_out(job(), release.user).returncode)
            refused(release.try_out(job(), release.user), "namespaceSelector")
            refused(release.try_out(fresh(revision()), release.user), "namespaceSelector")
    finally:
        release.apply()
        kubectl("label", "namespace", release.tenants, "team-", "stage-")
    refused(release.try_out(pod(meshed()), release.user))
    until(lambda: release.try_out(job(), release.user).returncode == 0)  # the labels are known


def test_user_ids_of_the_platform_and_the_sandbox_of_the_defaults(release, kubectl):
    kubectl("create", "serviceaccount", "default", "-n", release.tenants, ok=False)
    sandboxed = pods.changed("spec.hostUsers", False)
    user = pods.changed("spec.securityContext.runAsUser", 1_000_650_000, sandboxed)
    user = pods.changed(f"{pods.NODE}.securityContext.runAsUser", 1_000_650_000, user)
    user = pods.changed("spec.securityContext.seLinuxOptions", {"level": "s0:c26,c5"}, user)
    key = "seccomp~security~alpha~kubernetes~io/pod"
    user = pods.changed(f"metadata.annotations.{key}", "runtime/default", user)
    refused(release.try_out(job(user), release.user))
    try:
        release.apply(
            "--set", "arbitraryUserIDs=true", "--set-json", 'podDefaults={"hostUsers": false}'
        )
        assert release.try_out(job(user), release.user).returncode == 0
        assert release.try_out(pod(user), release.user).returncode == 0
        for path, value in (
            ("spec.securityContext.runAsUser", 0),
            ("spec.securityContext.runAsGroup", 0),
            (f"{pods.NODE}.securityContext.runAsUser", 0),
            ("spec.securityContext.seLinuxOptions", {"level": "s0", "type": "spc_t"}),
            ("spec.securityContext.seLinuxOptions", {"user": "system_u"}),
            ("spec.securityContext.supplementalGroups", [0]),
            ("metadata.annotations.other~kubernetes~io/pod", "x"),
            ("spec.hostUsers", pods.GONE),
            ("spec.hostUsers", True),
        ):
            refused(release.try_out(job(pods.changed(path, value, user)), release.user))
    finally:
        release.apply()
    refused(release.try_out(job(user), release.user))


@pytest.fixture
def stores(release, kubectl):
    """ArtifactStores of the tenants' namespace: a bucket, and a claim."""
    bucket = {"s3": {"bucket": "team-data", "credentialsSecret": "team-keys"}}
    made = [
        {
            "apiVersion": "podium.dev/v1alpha1",
            "kind": "ArtifactStore",
            "metadata": {"name": name, "namespace": release.tenants},
            "spec": spec,
        }
        for name, spec in (("bucket", bucket), ("volume", {"pvc": {"claimName": "team-claim"}}))
    ]
    kubectl(
        "apply", "-f", "-", stdin=json.dumps({"kind": "List", "apiVersion": "v1", "items": made})
    )
    yield
    kubectl("delete", "artifactstores", "--all", "-n", release.tenants)


SECRET = {"name": "v", "secret": {"secretName": "team-keys"}}
VOLUME = {"name": "v", "persistentVolumeClaim": {"claimName": "team-claim"}}


def test_no_node_has_what_an_artifact_store_is_made_of(release, kubectl, stores):
    kubectl("create", "serviceaccount", "default", "-n", release.tenants, ok=False)
    sources = {"projected": {"sources": [{"secret": {"name": "team-keys"}}]}}
    key = {"secretKeyRef": {"name": "team-keys", "key": "k"}}
    for path, value in (
        ("spec.volumes", [SECRET]),
        ("spec.volumes", [VOLUME]),
        ("spec.volumes", [{"name": "v", **sources}]),
        (f"{pods.NODE}.env", [{"name": "K", "valueFrom": key}]),
    ):
        shape = pods.changed(path, value)
        for thing in (pod(shape), job(shape)):

            def is_refused(thing=thing):
                """The API server has seen the ArtifactStores"""
                done = release.try_out(thing, release.user)
                return "of an ArtifactStore is for Podium's own containers" in done.stderr

            until(is_refused)
    other = [{"name": "v", "secret": {"secretName": "another"}}]
    for make in (pod, job):
        done = release.try_out(make(pods.changed("spec.volumes", other)), release.user)
        assert done.returncode == 0, done.stderr
    for volume in (SECRET, VOLUME):  # as Podium's own containers have it, which the list checks
        own = pods.changed("spec.volumes", [{**volume, "name": "podium-store"}])
        assert release.try_out(pod(own), release.user).returncode == 0


# --- contracts ----------------------------------------------------------------------------------


def test_a_version_of_a_contract_schema_that_is_published_stays(release):
    def version(name, kind="integer"):
        schema = {"type": "object", "properties": {"size": {"type": kind}}}
        return {"version": name, "schema": schema, "requiredFields": ["size"]}

    thing = {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "ContractSchema",
        "metadata": {"name": f"sizes-{uuid.uuid4().hex[:8]}"},
        "spec": {"versions": [version("1"), version("2")]},
    }
    made = release.create(thing)
    assert made.returncode == 0, made.stderr
    name = thing["metadata"]["name"]

    def changed(**spec):
        def change(body):
            body["spec"] |= spec

        kind = "ContractSchema"
        return release.requests.update(release.tenants, kind, name, change, dry_run=True)

    one, two, three = version("1"), version("2"), version("3")
    for wrong, words in (
        ({"versions": [one]}, "does not go"),
        ({"versions": [one, three]}, "does not go"),
        ({"versions": [version("1", "number"), two]}, "does not change"),
        ({"versions": [one, {**two, "requiredFields": []}, three]}, "does not change"),
        ({"versions": [two, one]}, "keep their order"),
        ({"versions": [one, two], "direction": "Input"}, "direction is fixed"),
    ):
        refused(changed(**wrong), words)
    for right in (
        {"versions": [one, two, three]},
        {"versions": [one, two], "compatibility": "None", "description": "x"},
    ):
        done = changed(**right)
        assert done.returncode == 0, done.stderr


# --- the API server's own list of fields --------------------------------------------------------


def test_every_field_that_the_server_knows_is_on_the_list_or_refused(release):
    """The list is closed: what is not named is refused, also what this server has since it was written."""
    from podium.cluster.jobs import closed_list  # noqa: PLC0415 - only here

    schemas = RequestsAs()("GET", "/openapi/v3/api/v1").body["components"]["schemas"]
    sample = {"boolean": True, "integer": 7, "string": "x", "array": [{}], "object": {}}
    for kind, rule, place in (
        ("PodSpec", closed_list.POD_SPEC, "spec"),
        ("Container", closed_list.CONTAINER, pods.NODE),
        ("PodSecurityContext", closed_list.POD_SECURITY, "spec.securityContext"),
        ("SecurityContext", closed_list.CONTAINER_SECURITY, f"{pods.NODE}.securityContext"),
    ):
        fields = schemas[f"io.k8s.api.core.v1.{kind}"]["properties"]
        assert set(rule.fields) <= set(fields), "the list names what there is not"
        for name, schema in fields.items():
            if name in rule.fields:
                continue
            value = sample[schema.get("type", "object")]
            done = release.try_out(job(pods.changed(f"{place}.{name}", value)), release.user)
            if done.returncode == 0:  # an empty object is nothing, or a gate drops the field
                stored = release.requests.create(
                    release.tenants, job(pods.changed(f"{place}.{name}", value)), None, dry_run=True
                ).body["spec"]["template"]
                for part in place.split("."):
                    stored = stored[int(part) if part.isdigit() else part]
                assert name not in stored, f"let through: {kind}.{name}"
