"""Pods as service meshes and identity webhooks leave them, under the entries of values.yaml.

Each Pod has what the webhook of that name adds, as its documentation and its templates have it.
"""

import itertools
import json
import re

import pytest
import yaml

from tests import pods
from tests.e2e.release import crds, kubectl, pod, refused, release, render
from tests.e2e.support import CHART

__all__ = ["crds", "kubectl", "release", "render"]  # fixtures
pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("policies")]

PROXY = "docker.io/istio/proxyv2:1.27.3"


def offered():
    """Return the entries that values.yaml has as comments, to be copied."""
    _, _, rest = (CHART / "values.yaml").read_text().partition("allowedInjection: []\n")
    lines = itertools.takewhile(lambda line: line.startswith("    #"), rest.splitlines())
    return yaml.safe_load("\n".join(line[6:] for line in lines if re.match("    # (- |  )", line)))


def token(name, audience):
    source = {"serviceAccountToken": {"path": "token", "audience": audience}}
    return {"name": name, "projected": {"defaultMode": 420, "sources": [source]}}


def mount(name, path, **fields):
    return {"name": name, "mountPath": path, **fields}


def of_field(name, path):
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def istio():
    """Return a Pod with Istio's sidecar, as a native one, and its init container."""
    thing = pods.pod()
    thing["metadata"]["labels"] |= {
        "security.istio.io/tlsMode": "istio",
        "service.istio.io/canonical-name": "a",
        "service.istio.io/canonical-revision": "latest",
    }
    thing["metadata"]["annotations"] |= {
        "istio.io/rev": "default",
        "kubectl.kubernetes.io/default-container": "node",
        "kubectl.kubernetes.io/default-logs-container": "node",
        "prometheus.io/path": "/stats/prometheus",
        "prometheus.io/port": "15020",
        "prometheus.io/scrape": "true",
        "sidecar.istio.io/status": '{"initContainers": ["istio-init", "istio-proxy"]}',
    }
    spec = thing["spec"]
    spec["initContainers"] = [
        {
            "name": "istio-init",
            "image": PROXY,
            "args": ["istio-iptables", "-p", "15001", "-z", "15006", "-u", "1337"],
            "resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "10m"}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]},
                "privileged": False,
                "readOnlyRootFilesystem": False,
                "runAsGroup": 0,
                "runAsNonRoot": False,
                "runAsUser": 0,
            },
        },
        {
            "name": "istio-proxy",
            "image": PROXY,
            "args": ["proxy", "sidecar"],
            "restartPolicy": "Always",
            "env": [
                of_field("POD_NAME", "metadata.name"),
                {"name": "GOMAXPROCS", "valueFrom": {"resourceFieldRef": {
                    "resource": "limits.cpu", "divisor": "0"}}},
            ],
            "lifecycle": {"preStop": {"exec": {"command": ["pilot-agent", "request", "POST", "drain"]}}},
            "ports": [{"containerPort": 15090, "name": "http-envoy-prom", "protocol": "TCP"}],
            "readinessProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021}},
            "startupProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021}},
            "resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "10m"}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "privileged": False,
                "readOnlyRootFilesystem": True,
                "runAsGroup": 1337,
                "runAsNonRoot": True,
                "runAsUser": 1337,
            },
            "volumeMounts": [
                mount("workload-socket", "/var/run/secrets/workload-spiffe-uds"),
                mount("istiod-ca-cert", "/var/run/secrets/istio"),
                mount("istio-token", "/var/run/secrets/tokens"),
                mount("istio-podinfo", "/etc/istio/pod"),
            ],
        },
    ]  # fmt: skip
    spec["volumes"] = [
        {"name": "workload-socket", "emptyDir": {}},
        {"name": "istio-envoy", "emptyDir": {"medium": "Memory"}},
        {"name": "istio-podinfo", "downwardAPI": {"items": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        token("istio-token", "istio-ca"),
        {"name": "istiod-ca-cert", "configMap": {"name": "istio-ca-root-cert"}},
    ]  # fmt: skip
    return thing


def linkerd():
    """Return a Pod with Linkerd's proxy and its init container."""
    thing = pods.pod()
    thing["metadata"]["labels"] |= {"linkerd.io/control-plane-ns": "linkerd"}
    thing["metadata"]["annotations"] |= {
        "linkerd.io/proxy-version": "edge-25.9.1",
        "viz.linkerd.io/tap-enabled": "true",
    }
    profile = {"seccompProfile": {"type": "RuntimeDefault"}}
    spec = thing["spec"]
    spec["initContainers"] = [
        {
            "name": "linkerd-init",
            "image": "cr.l5d.io/linkerd/proxy-init:v2.4.3",
            "args": ["--incoming-proxy-port", "4143"],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"add": ["NET_ADMIN", "NET_RAW"]},
                "privileged": False,
                "readOnlyRootFilesystem": True,
                "runAsGroup": 65534,
                "runAsNonRoot": True,
                "runAsUser": 65534,
                **profile,
            },
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": [mount("linkerd-proxy-init-xtables-lock", "/run")],
        },
        {
            "name": "linkerd-proxy",
            "image": "cr.l5d.io/linkerd/proxy:edge-25.9.1",
            "restartPolicy": "Always",
            "env": [of_field("_pod_ns", "metadata.namespace")],
            "lifecycle": {"postStart": {"exec": {"command": ["/usr/lib/linkerd/linkerd-await"]}}},
            "livenessProbe": {"httpGet": {"path": "/live", "port": 4191}},
            "ports": [{"containerPort": 4143, "name": "linkerd-proxy"}],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
                "runAsGroup": 2102,
                "runAsNonRoot": True,
                "runAsUser": 2102,
                **profile,
            },
            "volumeMounts": [
                mount("linkerd-identity-end-entity", "/var/run/linkerd/identity/end-entity"),
                mount("linkerd-identity-token", "/var/run/secrets/tokens"),
            ],
        },
    ]
    spec["volumes"] = [
        {"name": "linkerd-proxy-init-xtables-lock", "emptyDir": {}},
        {"name": "linkerd-identity-end-entity", "emptyDir": {"medium": "Memory"}},
        token("linkerd-identity-token", "identity.l5d.io"),
    ]
    return thing


def aws(volume, audience, path, *names):
    """Return a Pod whose node has an identity of AWS."""
    thing = pods.pod()
    thing["spec"]["volumes"] = [token(volume, audience)]
    node = thing["spec"]["containers"][0]
    node["env"] = [{"name": name, "value": "x"} for name in names]
    node["volumeMounts"] = [mount(volume, path, readOnly=True)]
    return thing


def irsa():
    """Return a Pod as the webhook of IAM roles for ServiceAccounts leaves it."""
    names = ("AWS_STS_REGIONAL_ENDPOINTS", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ROLE_ARN",
             "AWS_WEB_IDENTITY_TOKEN_FILE")  # fmt: skip
    path = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
    return aws("aws-iam-token", "sts.amazonaws.com", path, *names)


def pod_identity():
    """Return a Pod as the webhook of EKS Pod Identity leaves it."""
    names = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    path = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
    return aws("eks-pod-identity-token", "pods.eks.amazonaws.com", path, *names)


def test_the_entries_of_values_let_meshes_and_identities_in_and_nothing_more(release, kubectl):
    kubectl("create", "serviceaccount", "default", "-n", release.tenants, ok=False)
    all_of_them = (istio, linkerd, irsa, pod_identity)
    for make in all_of_them:
        refused(release.try_out(pod(make()), release.user))
    entries = json.dumps(offered())
    try:
        release.apply("--set-json", f"admissionPolicies.pods.allowedInjection={entries}")
        for make in all_of_them:
            done = release.try_out(pod(make()), release.user)
            assert done.returncode == 0, f"{make.__name__}: {done.stderr}"
        init, proxy = "spec.initContainers.0", "spec.initContainers.1"
        audience = "projected.sources.0.serviceAccountToken.audience"
        for make, path, value in (
            (istio, f"{init}.image", "docker.io/evil/proxyv2:1.27.3"),
            (istio, f"{init}.image", "docker.io/istio/proxyv2"),
            (istio, f"{init}.securityContext", {"privileged": True}),
            (istio, f"{proxy}.securityContext.runAsUser", 0),
            (istio, f"{proxy}.ports.0.hostPort", 15090),
            (istio, f"{proxy}.envFrom", [{"secretRef": {"name": "s"}}]),
            (istio, f"spec.volumes.3.{audience}", "https://kubernetes.default.svc"),
            (istio, f"{pods.NODE}.volumeMounts", [mount("istio-token", "/t")]),
            (istio, "metadata.labels.node~kubernetes~io/x", "y"),
            (linkerd, f"{init}.securityContext.runAsUser", 0),
            (linkerd, f"{init}.securityContext.capabilities.add", ["NET_ADMIN", "SYS_ADMIN"]),
            (linkerd, f"{proxy}.securityContext.capabilities", {"add": ["NET_ADMIN"]}),
            (linkerd, f"spec.volumes.2.{audience}", "sts.amazonaws.com"),
            (irsa, f"spec.volumes.0.{audience}", pods.GONE),
            (irsa, "spec.volumes.0.name", "eks-pod-identity-token"),
            (irsa, f"{pods.NODE}.securityContext.runAsUser", 0),
            (pod_identity, f"spec.volumes.0.{audience}", "sts.amazonaws.com"),
        ):
            bad = pods.changed(path, value, make())
            if path == "spec.volumes.0.name":
                bad["spec"]["containers"][0]["volumeMounts"][0]["name"] = value
            done = release.try_out(pod(bad), release.user)
            assert done.returncode, f"let through: {make.__name__}: {path}"
            refused(done)
    finally:
        release.apply()
