"""An install of the chart that nothing runs from: what the API server says to its policies and roles.

The release has a name, namespaces and cluster-wide objects of its own and no running operator, so it
stands beside any other. The CRDs belong to the cluster, not to it.
"""

import copy
import json
import shutil
import uuid

import pytest
import yaml

from tests import pods
from tests.e2e.requests_as import RequestsAs
from tests.e2e.support import CHART, helm, kubectl_path, require_cluster, run, until

# `helm template` asks no server, and a helm built from its module thinks of 1.20.
KUBE = ("--kube-version", "1.35.0")


@pytest.fixture(scope="module")
def kubectl():
    require_cluster()

    def call(*arguments, stdin=None, ok=True):
        text = stdin if isinstance(stdin, str | None) else json.dumps(stdin)
        done = run(kubectl_path(), *arguments, stdin=text)
        assert not ok or done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done

    return call


@pytest.fixture(scope="module")
def render():
    def call(*options, release="podium", namespace="podium-system"):
        text = helm("template", release, str(CHART), "-n", namespace, *KUBE, *options).stdout
        return [document for document in yaml.safe_load_all(text) if document]

    return call


@pytest.fixture(scope="module")
def crds(kubectl, render):
    """Make sure that the cluster has the chart's CRDs."""
    documents = [d for d in render() if d["kind"] == "CustomResourceDefinition"]
    names = {d["metadata"]["name"] for d in documents}
    assert names >= {"workflows.podium.dev", "workflowruns.podium.dev"}, names
    for document in documents:
        assert document["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        name = document["metadata"]["name"]
        if kubectl("get", "crd", name, ok=False).returncode:
            kubectl("apply", "--server-side", "-f", "-", stdin=document)
        kubectl("wait", "--for=condition=Established", "--timeout=120s", f"crd/{name}")


class Release:
    """An install of the chart in a namespace of its own, watching one other, with no operator."""

    def __init__(self, kubectl, chart, *, hooks=False):
        self.kubectl, self.chart, self.hooks = kubectl, chart, hooks
        self.requests = RequestsAs()
        self.namespace = f"podium-chart-{uuid.uuid4().hex[:8]}"
        self.tenants = f"{self.namespace}-t"
        self.name = self.namespace
        self.user = f"system:serviceaccount:{self.namespace}:{self.name}"

    def apply(self, *options):
        if not self.hooks:
            options = ("--set", "uninstallHook.enabled=false", *options)
        helm(
            "upgrade", "--install", self.name, str(self.chart), "-n", self.namespace,
            "--set", "replicas=0,admissionPolicies.executions.enabled=true", "--set", f"watchNamespaces={{{self.tenants}}}",
            "--set", "image.repository=docker.io/library/podium,image.tag=dev", *options,
        )  # fmt: skip
        self.wait_for_policies()

    def wait_for_policies(self):
        """Wait until all policies that were applied before are in force, not only one of them.

        The API server takes what changed up once a second, from watches that keep the order of writes:
        when a policy and a binding written last are in force, so is everything written before.
        """
        name = f"podium-marker-{uuid.uuid4().hex[:8]}"
        marker = [
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingAdmissionPolicy",
                "metadata": {"name": name},
                "spec": {
                    "matchConstraints": {
                        "resourceRules": [
                            {
                                "apiGroups": [""],
                                "apiVersions": ["v1"],
                                "operations": ["CREATE"],
                                "resources": ["configmaps"],
                                "resourceNames": [name],
                            }
                        ]
                    },
                    "validations": [{"expression": "false"}],
                },
            },
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingAdmissionPolicyBinding",
                "metadata": {"name": name},
                "spec": {"policyName": name, "validationActions": ["Deny"]},
            },
        ]
        probe = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}

        def marked():
            """The API server has taken the policies up"""
            return self.try_out(probe).returncode

        self.kubectl(
            "create", "-f", "-", stdin={"apiVersion": "v1", "kind": "List", "items": marker}
        )
        try:
            until(marked)
        finally:
            for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
                self.kubectl("delete", kind, name, "--wait=false")

    def create(self, thing, user=None, namespace=None):
        return self.requests.create(namespace or self.tenants, thing, user)

    def try_out(self, thing, user=None, namespace=None):
        """Ask the server what it would say, and make nothing."""
        return self.requests.create(namespace or self.tenants, thing, user, dry_run=True)


@pytest.fixture(scope="module")
def release(kubectl, crds, tmp_path_factory):
    chart = tmp_path_factory.mktemp("chart") / "podium"
    shutil.copytree(CHART, chart, ignore=shutil.ignore_patterns("crds"))
    made = Release(kubectl, chart)
    kubectl("create", "namespace", made.namespace)
    kubectl("create", "namespace", made.tenants)
    try:
        made.apply()
        yield made
    finally:
        helm("uninstall", made.name, "-n", made.namespace, "--ignore-not-found", ok=False)
        kubectl("delete", "namespace", made.namespace, made.tenants, "--wait=false", ok=False)


def owner(kind, version):
    return {"apiVersion": version, "kind": kind, "name": "r", "uid": str(uuid.uuid4()),
            "controller": True, "blockOwnerDeletion": True}  # fmt: skip


def job(template=None):
    template = copy.deepcopy(template or pods.pod())
    template["metadata"].pop("name", None)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "a",
            "labels": {
                **pods.LABELS,
                "podium.dev/workflow": "w",
                "app.kubernetes.io/name": "podium",
            },
            "ownerReferences": [owner("WorkflowRun", "podium.dev/v1alpha1")],
        },
        "spec": {"backoffLimit": 0, "template": template},
    }


def pod(thing=None):
    made = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(thing or pods.pod())}
    made["metadata"]["ownerReferences"] = [owner("Job", "batch/v1")]
    return made


def workflow_run(annotations=None, name="r", **spec):
    return {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "WorkflowRun",
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": {"workflowRef": {"name": "none"}, "suspend": True} | spec,
    }


@pytest.fixture(scope="module")
def people(release, kubectl):
    """Alice may edit, Bob may approve as well."""
    for user, role in [("alice", "edit"), ("bob", "admin")]:
        kubectl("create", "rolebinding", user, f"--clusterrole={release.name}-{role}",
                f"--user={user}", "-n", release.tenants)  # fmt: skip

        def bound(user=user):
            """The binding is known"""
            return release.try_out(workflow_run(), user).returncode == 0

        until(bound)


def refused(done, *words):
    assert done.returncode != 0, "it was let through"
    assert "ValidatingAdmissionPolicy" in done.stderr, done.stderr
    for word in words:
        assert word in done.stderr.split("denied request:")[-1], f"{word}: {done.stderr}"
