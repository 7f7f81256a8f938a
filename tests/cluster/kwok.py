"""Fake machines: kwok plays the kubelets of nodes that run nothing, so thousands of Pods are cheap.

What it shows of a Pod is what a kubelet shows: Running, then Succeeded, each container with its
times and exit code. Only Pods that ask for them (`POD_DEFAULTS`) get onto these nodes.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config

from tests.cluster import binaries
from tests.cluster.console import ClusterError, say

LABEL = "podium.dev/kwok"
FAKE = "kwok.x-k8s.io/node"
"""Annotation of a machine that has no kubelet, also where a test takes its label away."""
# Annotations of a Pod that say how it is to end:
HOLD = "fake.pod/hold"
"""`true`: it goes on running until this is taken away."""
FAIL = "fake.pod/fail"
"""The execution (label podium.dev/execution) that fails with exit code 1."""
SAY = "fake.pod/say"
"""What its containers leave as their termination message."""
COLLECT = "fake.pod/collect"
"""What its init containers leave so."""
ABANDONED = timedelta(minutes=10)
CIDR = "10.200.0.1/16"

NODE_STATUS = """\
{{ $now := Now }}
{{ $since := or .metadata.creationTimestamp $now }}
phase: Running
conditions:
{{ range NodeConditions }}
- {lastHeartbeatTime: {{ $now | Quote }}, lastTransitionTime: {{ $since | Quote }},
   message: {{ .message | Quote }}, reason: {{ .reason | Quote }},
   status: {{ .status | Quote }}, type: {{ .type | Quote }}}
{{ end }}
"""
CAPACITY = """\
addresses: [{address: {{ NodeIP | Quote }}, type: InternalIP}]
allocatable: {cpu: 1k, memory: 1Ti, pods: 1M}
capacity: {cpu: 1k, memory: 1Ti, pods: 1M}
nodeInfo: {architecture: amd64, bootID: "", containerRuntimeVersion: kwok, kernelVersion: kwok,
  kubeProxyVersion: kwok, kubeletVersion: kwok, machineID: "", operatingSystem: linux,
  osImage: "", systemUUID: ""}
"""
RUNNING = """\
{{ $now := Now }}
phase: Running
startTime: {{ $now | Quote }}
hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
podIP: {{ PodIPWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace | Quote }}
conditions:
{{ range $type := list "PodReadyToStartContainers" "Initialized" "ContainersReady" "Ready" }}
- {type: {{ $type }}, status: "True", lastTransitionTime: {{ $now | Quote }}}
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- {name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: "", ready: true, started: true,
   restartCount: 0, state: {running: {startedAt: {{ $now | Quote }}}}}
{{ end }}
"""
# `CODE` and `PHASE` are filled in: how the containers ended.
ENDED = """\
{{ $now := Now }}
{{ $begun := or .status.startTime $now }}
{{ $said := or (index (or .metadata.annotations dict) "fake.pod/say") "" }}
{{ $collected := or (index (or .metadata.annotations dict) "fake.pod/collect") "" }}
phase: PHASE
{{ if .spec.initContainers }}
initContainerStatuses:
{{ range .spec.initContainers }}
- {name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: "", ready: true, started: false,
   restartCount: 0, state: {terminated: {exitCode: 0, reason: Completed,
   message: {{ $collected | Quote }}, startedAt: {{ $begun | Quote }},
   finishedAt: {{ $now | Quote }}}}}
{{ end }}
{{ end }}
conditions:
{{ range $type := list "ContainersReady" "Ready" }}
- {type: {{ $type }}, status: "False", reason: PodPHASE, lastTransitionTime: {{ $now | Quote }}}
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- {name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: "", ready: false, started: false,
   restartCount: 0, state: {terminated: {exitCode: CODE, reason: REASON,
   message: {{ $said | Quote }}, startedAt: {{ $begun | Quote }}, finishedAt: {{ $now | Quote }}}}}
{{ end }}
"""
SUCCEEDED = (
    ENDED.replace("PodPHASE", "PodCompleted")
    .replace("PHASE", "Succeeded")
    .replace("CODE", "0")
    .replace("REASON", "Completed")
)
FAILED = ENDED.replace("PHASE", "Failed").replace("CODE", "1").replace("REASON", "Error")
KILLED = ENDED.replace("PHASE", "Failed").replace("CODE", "137").replace("REASON", "Error")


@dataclass(frozen=True)
class Kwok:
    """Fake machines that are up."""

    nodes: tuple[str, ...]
    pid: int
    pod_defaults: dict[str, Any]
    """What brings a Pod onto them and onto no other: fields of its spec."""


def _match(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def _stage(
    name: str,
    kind: str,
    expressions: list[dict[str, Any]],
    then: dict[str, Any],
    seconds: float = 0,
) -> dict[str, Any]:
    wait = {"delay": {"durationMilliseconds": round(seconds * 1000)}} if seconds else {}
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {"matchExpressions": expressions},
            "next": then,
            **wait,
        },
    }


def _stages(pod_seconds: float) -> list[dict[str, Any]]:
    ready = '.status.conditions.[] | select( .type == "Ready" ) | .status'
    there = _match(".metadata.deletionTimestamp", "DoesNotExist")
    leaving = _match(".metadata.deletionTimestamp", "Exists")
    runs = [
        _match(".spec.restartPolicy", "In", "Never"),
        _match(".status.phase", "In", "Running"),
        _match(f'.metadata.annotations["{HOLD}"]', "NotIn", "true"),
    ]
    execution = '.metadata.labels["podium.dev/execution"]'
    fails = f'(.metadata.annotations["{FAIL}"] // "none") == {execution} | tostring'
    ended = ("Succeeded", "Failed")
    return [
        _stage(
            "node-up",
            "Node",
            [_match(ready, "NotIn", "True")],
            {"statusTemplate": NODE_STATUS + CAPACITY},
        ),
        # That they live, their leases say; this is as seldom as a kubelet does it.
        _stage(
            "node-heartbeat",
            "Node",
            [_match(ready, "In", "True")],
            {"statusTemplate": NODE_STATUS},
            seconds=300,
        ),
        _stage(
            "pod-ready",
            "Pod",
            [there, _match(".status.startTime", "DoesNotExist")],
            {"statusTemplate": RUNNING},
        ),
        # Not by its owner: a Pod without a Job ends, too.
        _stage(
            "pod-complete",
            "Pod",
            [there, *runs, _match(fails, "NotIn", "true")],
            {"statusTemplate": SUCCEEDED},
            seconds=pod_seconds,
        ),
        _stage(
            "pod-fail",
            "Pod",
            [there, *runs, _match(fails, "In", "true")],
            {"statusTemplate": FAILED},
            seconds=pod_seconds,
        ),
        # As a kubelet: it first says that the containers ended, then lets go, and leaves the
        # finalizers to whom they belong.
        _stage(
            "pod-kill",
            "Pod",
            [leaving, _match(".status.phase", "NotIn", *ended)],
            {"statusTemplate": KILLED},
        ),
        _stage(
            "pod-delete",
            "Pod",
            [
                leaving,
                _match(".status.phase", "In", *ended),
                _match(".metadata.deletionGracePeriodSeconds | . > 0 | tostring", "In", "true"),
            ],
            {"delete": True},
        ),
    ]


@contextmanager
def kwok(
    nodes: int = 10, pod_seconds: float = 0, api: client.ApiClient | None = None
) -> Iterator[Kwok]:
    """Run kwok on the cluster of KUBECONFIG with so many nodes of its own, and remove all after.

    A Pod on them is Running at once and Succeeded after `pod_seconds`.
    """
    binaries.ensure(["kwok"])
    core = client.CoreV1Api(api or config.new_client_from_config())
    own = uuid.uuid4().hex[:8]
    names = tuple(f"kwok-{own}-{index}" for index in range(nodes))
    defaults = {
        "nodeSelector": {LABEL: own},
        "tolerations": [{"key": LABEL, "operator": "Exists", "effect": "NoSchedule"}],
    }
    _remove_abandoned(core)
    with tempfile.TemporaryDirectory(prefix="kwok-") as directory:
        process = _start(Path(directory), own, pod_seconds)
        try:
            for name in names:
                core.create_node(_node(name, own))
            _await_nodes(core, own, nodes, process, Path(directory) / "log")
            yield Kwok(names, process.pid, defaults)
            if process.poll() is not None:
                raise ClusterError(f"kwok ended: {_tail(Path(directory) / 'log')}")
        finally:
            # Pods first, while somebody still plays their kubelet.
            _remove(core, names)
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(directory: Path, own: str, pod_seconds: float) -> subprocess.Popen[bytes]:
    stages = directory / "kwok.yaml"
    stages.write_text(yaml.safe_dump_all(_stages(pod_seconds)))
    # It ends with us, however we end.
    bound = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    command = [
        *bound,
        binaries.path("kwok"),
        f"--kubeconfig={os.environ.get('KUBECONFIG') or Path.home() / '.kube' / 'config'}",
        f"--config={stages}",
        "--manage-all-nodes=false",
        f"--manage-nodes-with-label-selector={LABEL}={own}",
        f"--cidr={CIDR}",
        "--node-ip=127.0.0.1",
        "--node-lease-duration-seconds=40",
    ]
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=directory,
        )


def real_machine(core: client.CoreV1Api) -> client.V1Node:
    """Return a machine with a real kubelet. Raises `ClusterError`."""
    for machine in core.list_node().items:
        if FAKE not in (machine.metadata.annotations or {}):
            return machine
    raise ClusterError("no machine of the cluster has a kubelet")


def _node(name: str, own: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            # A zone of its own: where most machines of a zone are lost, Kubernetes evicts none.
            "labels": {
                LABEL: own,
                "kubernetes.io/hostname": name,
                "topology.kubernetes.io/zone": f"kwok-{own}",
            },
            "annotations": {FAKE: "fake"},
        },
        "spec": {"taints": [{"key": LABEL, "value": own, "effect": "NoSchedule"}]},
    }


def _await_nodes(
    core: client.CoreV1Api, own: str, count: int, process: subprocess.Popen[bytes], log: Path
) -> None:
    """Wait until only our own taint is left: the cluster adds its own to nodes that are not ready."""
    end = time.monotonic() + 60
    while True:
        found = core.list_node(label_selector=f"{LABEL}={own}").items
        if sum(len(node.spec.taints or []) == 1 for node in found) == count:
            return
        if process.poll() is not None or time.monotonic() > end:
            raise ClusterError(f"kwok's nodes do not come up: {_tail(log)}")
        time.sleep(0.2)


def _remove(core: client.CoreV1Api, names: tuple[str, ...]) -> None:
    """Delete what is left on the nodes, then the nodes."""
    end = time.monotonic() + 60
    for name in names:
        while time.monotonic() < end:
            where = f"spec.nodeName={name}"
            left = core.list_pod_for_all_namespaces(field_selector=where, limit=500).items
            if not left:
                break
            for pod in left:
                try:
                    core.delete_namespaced_pod(
                        pod.metadata.name, pod.metadata.namespace, grace_period_seconds=0
                    )
                except client.ApiException as error:
                    if error.status != 404:
                        say(f"Pod {pod.metadata.name} cannot be deleted: {error.reason}")
            time.sleep(0.2)
        with contextlib.suppress(client.ApiException):  # a test has deleted it
            core.delete_node(name)


def _remove_abandoned(core: client.CoreV1Api) -> None:
    """Delete the nodes of who was killed: nobody has said for long that they live."""
    for node in core.list_node().items:
        if FAKE not in (node.metadata.annotations or {}):
            continue
        for condition in node.status.conditions or []:
            if condition.type == "Ready" and condition.status == "Unknown":
                age = datetime.now(UTC) - condition.last_transition_time
                if age > ABANDONED:
                    with contextlib.suppress(client.ApiException):  # another was quicker
                        core.delete_node(node.metadata.name)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]
