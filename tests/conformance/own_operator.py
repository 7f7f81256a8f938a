"""An operator of this source tree, and a namespace that is its own.

Whatever else is installed in the cluster serves all namespaces, perhaps with older code: an
admission policy keeps the service accounts of others from changing anything in this one.
"""

import contextlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client

from tests.e2e.support import FEATURE_GATES

ROOT = Path(__file__).parents[2]
LABEL = "podium-conformance"
PROBE = "is-the-policy-in-force"
BELONGS = "this namespace belongs to the operator under test"


@contextmanager
def own_namespace(
    api: client.ApiClient, operator: str = "", *, guarded: bool = True
) -> Iterator[str]:
    """Make a namespace that no installed operator changes, and remove it at the end.

    `operator` is the one service account that may, `{}` in it the namespace's name. Unguarded,
    where no operator is installed, no write pays for the policy.
    """
    name = f"conformance-{uuid.uuid4().hex[:8]}"
    own = f"system:serviceaccount:{operator.format(name)}"
    core, admission = client.CoreV1Api(api), client.AdmissionregistrationV1Api(api)
    policy = {
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {LABEL: name}},
                "resourceRules": [
                    {
                        "apiGroups": ["*"],
                        "apiVersions": ["*"],
                        "operations": ["CREATE", "UPDATE", "DELETE"],
                        "resources": ["*/*"],
                    }
                ],
            },
            "validations": [
                {
                    "expression": "!request.userInfo.username.startsWith('system:serviceaccount:')"
                    " || request.userInfo.username.startsWith('system:serviceaccount:kube-system:')"
                    f" || request.userInfo.username == '{own}'",
                    "message": BELONGS,
                },
                {"expression": f"request.?name.orValue('') != '{PROBE}'", "message": BELONGS},
            ],
        },
    }
    binding = {
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    if guarded:
        admission.create_validating_admission_policy(policy)
        admission.create_validating_admission_policy_binding(binding)
    try:
        core.create_namespace({"metadata": {"name": name, "labels": {LABEL: name}}})
        if guarded:
            _await_policy(core, name)
        yield name
    finally:
        with contextlib.suppress(client.ApiException):  # a test may have done it
            core.delete_namespace(name)
        if guarded:
            admission.delete_validating_admission_policy_binding(name)
            admission.delete_validating_admission_policy(name)


def _await_policy(core: client.CoreV1Api, namespace: str) -> None:
    """Wait until the server knows the policy: it takes a moment."""
    end = time.monotonic() + 30
    while True:
        try:
            core.create_namespaced_config_map(
                namespace, {"metadata": {"name": PROBE}}, dry_run="All"
            )
        except client.ApiException as refusal:
            if BELONGS in str(refusal.body):
                return
            raise
        assert time.monotonic() < end, "the admission policy does not come into force"
        time.sleep(0.2)


def apply_crds(api: client.ApiClient) -> None:
    """Install the resources as `kubectl apply --server-side` does, unless they are as they are."""
    crds = client.ApiextensionsV1Api(api)
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        wanted = yaml.safe_load(path.read_text())
        name = wanted["metadata"]["name"]
        crds.patch_custom_resource_definition(
            name,
            wanted,
            field_manager="podium-conformance",
            force=True,
            _content_type="application/apply-patch+yaml",
        )
        _await_crd(crds, name)


def _await_crd(crds: client.ApiextensionsV1Api, name: str) -> None:
    end = time.monotonic() + 30
    while True:
        conditions = crds.read_custom_resource_definition(name).status.conditions or []
        if any(c.type == "Established" and c.status == "True" for c in conditions):
            return
        assert time.monotonic() < end, f"{name} is not established"
        time.sleep(0.2)


@dataclass(frozen=True)
class OwnOperator:
    """An operator that runs; calling it checks that it still does."""

    pid: int
    log: Path
    process: subprocess.Popen[bytes]

    def __call__(self) -> None:
        assert self.process.poll() is None, f"the operator ended: {self.log.read_text()[-2000:]}"


@contextmanager
def own_operator(
    namespace: str,
    directory: Path,
    settings: Mapping[str, Any] | None = None,
    kubeconfig: Path | None = None,
) -> Iterator[OwnOperator]:
    """Run `podium operator` for one namespace; `settings` go before the usual ones.

    Without a kubeconfig it takes that of KUBECONFIG.
    """
    config, log = directory / "operator.yaml", directory / "operator.log"
    usual = {
        "namespaces": [namespace],
        "runnerImage": "docker.io/library/podium:dev",
        "livenessPort": 0,
        "logFormat": "text",
        "featureGates": FEATURE_GATES,
    }
    config.write_text(yaml.safe_dump({**usual, **(settings or {})}))
    podium = Path(sys.executable).with_name("podium")
    environment = {**os.environ, **({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})}
    with log.open("ab") as out:
        process = subprocess.Popen(
            [podium, "operator", "--config", config],
            stdout=out,
            stderr=out,
            cwd=directory,
            env=environment,
        )
    operator = OwnOperator(process.pid, log, process)
    try:
        yield operator
        operator()
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
