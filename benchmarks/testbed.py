"""What load is put on: fake machines, a namespace, and an operator of this source tree in it."""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import client

from benchmarks.operator_run import GROUP
from tests.cluster.kwok import Kwok, kwok
from tests.conformance.cluster_shell import connect as connect_models
from tests.conformance.own_operator import OwnOperator, apply_crds, own_namespace, own_operator


@dataclass(frozen=True)
class Testbed:
    """An operator at work in a namespace of its own."""

    namespace: str
    operator: OwnOperator
    port: int
    """Of its metrics."""
    machines: Kwok

    @property
    def runs(self) -> str:
        """The path of the namespace's WorkflowRuns."""
        return f"/apis/{GROUP}/namespaces/{self.namespace}/workflowruns"

    @property
    def workflows(self) -> str:
        """The path of its Workflows."""
        return f"/apis/{GROUP}/namespaces/{self.namespace}/workflows"

    @property
    def jobs(self) -> str:
        """The path of its Jobs."""
        return f"/apis/batch/v1/namespaces/{self.namespace}/jobs"

    @property
    def pods(self) -> str:
        """The path of its Pods."""
        return f"/api/v1/namespaces/{self.namespace}/pods"


@contextmanager
def own_testbed(
    settings: Mapping[str, Any] | None = None,
    kubeconfig: Path | None = None,
    *,
    guarded: bool = True,
    neighbours: Sequence[str] = (),
) -> Iterator[Testbed]:
    """Bring it up, and remove all again; `settings` of the operator go before the usual ones.

    Guarded, no operator that is installed meanwhile takes part. The operator works in the
    namespaces of `neighbours`, too.
    """
    with ExitStack() as stack:
        models = connect_models()
        apply_crds(models)
        namespace = stack.enter_context(own_namespace(models, guarded=guarded))
        machines = stack.enter_context(kwok(api=models))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="podium-load-")))
        port = free_port()
        usual = {
            "namespaces": [namespace, *neighbours],
            "podDefaults": machines.pod_defaults,
            "logLevel": "warning",
            "livenessPort": port,
            # A machine that is too busy for it for some seconds would end the measurement.
            "leaderElection": {"leaseDurationSeconds": 60, "renewDeadlineSeconds": 45},
        }
        operator = stack.enter_context(
            own_operator(namespace, directory, {**usual, **(settings or {})}, kubeconfig)
        )
        yield Testbed(namespace, operator, port, machines)


def warn_of_others(models: client.ApiClient, say: Callable[[str], None]) -> bool:
    """Say what else disturbs the figures; return whether there are other operators.

    They try the same runs and are refused, for which every write is looked at by a policy.
    """
    others = client.AppsV1Api(models).list_deployment_for_all_namespaces(
        label_selector="app.kubernetes.io/name=podium"
    )
    for other in others.items:
        if other.status.ready_replicas:
            say(f"also at work: {other.metadata.namespace}/{other.metadata.name}")
    say(f"load of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return any(other.status.ready_replicas for other in others.items)


def free_port() -> int:
    """Find a port for the operator's metrics."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
