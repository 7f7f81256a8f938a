"""A namespace of its own, and operators of this source tree behind proxies of their own."""

import json
import os
import re
import uuid
from collections import Counter
from contextlib import ExitStack, contextmanager

from kubernetes import client

from tests.cluster.kwok import FAIL, HOLD, kwok
from tests.conformance.cluster_shell import connect
from tests.conformance.own_operator import LABEL, apply_crds, own_namespace, own_operator
from tests.e2e.support import ENDED, require_cluster, until
from tests.faults.proxy import Proxy

API = "podium.dev", "v1alpha1"
PATIENCE = 400
FINALIZER = "podium.dev/result"
LEASE = "podium-podium"
LEASE_LOST = ("the process ends before it changes anything", "RuntimeError: lease ended")
MOST_STARTS = 4
ALONE = {"enabled": False}
"""For operators that must not end when they cannot renew."""


def node(id, *after, notes=None, **fields):  # noqa: A002
    return {
        "id": id,
        "executor": "container",
        "config": {"image": "fake", "command": ["true"]},
        "dependsOn": list(after),
        "pod": {"annotations": notes or {}},
        **fields,
    }


TEN = [
    node("a"),
    *(node(f"b{i}", "a") for i in range(4)),
    node("c", "b0", "b1", "b2", "b3", notes={FAIL: "c-1"}, retryPolicy={"maxAttempts": 2}),
    *(node(f"d{i}", "c") for i in range(3)),
    node("e", "d0", "d1", "d2"),
]
HELD = [node("a"), node("hold", "a", notes={HOLD: "true"}, retryPolicy={"maxAttempts": 2}),
        node("last", "hold")]  # fmt: skip


class Candidate:
    """An operator and the proxy that it is behind; started again where it lost its lease.

    So does a Deployment, and a busy machine may well make it lose the lease.
    """

    def __init__(self, namespace, directory, settings, rules):
        self._stack = ExitStack()
        self.proxy = self._stack.enter_context(Proxy(os.environ["KUBECONFIG"], rules))
        kubeconfig = self.proxy.kubeconfig(directory)
        self._again = lambda: own_operator(namespace, directory, settings, kubeconfig)
        self._starts = 0
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise

    def _start(self):
        self._starts += 1
        self._operator = self._again()
        self.running = self._operator.__enter__()
        self.process, self.pid = self.running.process, self.running.pid

    def log(self):
        return self.running.log.read_text()

    def kill(self):
        """End it at once; that it ended is not a failure any more."""
        self.process.kill()
        return self.ended()

    def ended(self):
        """Wait for its end, which is not a failure; return its exit code."""
        code = self.process.wait(PATIENCE)
        self._operator = None
        return code

    def check(self):
        """Start it again if it lost its lease; raise if it ended otherwise."""
        if self._operator is None or self.process.poll() is None:
            return
        if self._starts < MOST_STARTS and any(each in self.log()[-2000:] for each in LEASE_LOST):
            self._start()
        self.running()

    def changes(self, since=0.0):
        """Return when (monotonic) it asked for a change of anything but its lease, and which."""
        return [
            (at, what)
            for at, what in self.proxy.requests
            if at >= since and re.match("POST|PUT|PATCH|DELETE", what) and "leases" not in what
        ]

    def close(self):
        try:
            self.check()
            if self._operator is not None:
                self._operator.__exit__(None, None, None)
        finally:
            self._stack.close()


class Place:
    """A namespace, with operators that come and go."""

    def __init__(self, models, name, directory, pod_defaults):
        self.name, self._directory = name, directory
        self.core, self.batch = client.CoreV1Api(models), client.BatchV1Api(models)
        self._leases = client.CoordinationV1Api(models)
        self._custom = client.CustomObjectsApi(models)
        self._pod_defaults = pod_defaults
        self._candidates = []

    def start(self, *rules, election=None):
        """Start an operator behind a proxy with these rules; with the usual election, or this."""
        directory = self._directory / str(len(self._candidates))
        directory.mkdir()
        settings = {"podDefaults": self._pod_defaults, "leaderElection": election or {}}
        self._candidates.append(Candidate(self.name, directory, settings, rules))
        return self._candidates[-1]

    @property
    def operator(self):
        """The one that was started last."""
        return self._candidates[-1]

    @property
    def proxy(self):
        return self.operator.proxy

    def end(self):
        with ExitStack() as stack:
            for each in self._candidates:
                stack.callback(each.close)

    def lease(self):
        return self._leases.read_namespaced_lease(LEASE, self.name).spec

    def leader(self):
        """Wait until somebody leads; return the lease."""

        def held():
            try:
                lease = self.lease()
            except client.ApiException as error:
                if error.status == 404:
                    return None
                raise
            return lease if lease.holder_identity else None

        return until(held, PATIENCE)

    def run(self, nodes, name="run", graph=None, **spec):
        body = {
            "apiVersion": "/".join(API),
            "kind": "WorkflowRun",
            "metadata": {"name": name},
            "spec": {"workflowSpec": {"nodes": nodes, **(graph or {})}, **spec},
        }
        self._custom.create_namespaced_custom_object(*API, self.name, "workflowruns", body)

    def change(self, name="run", notes=None, **spec):
        body = {"metadata": {"annotations": notes or {}}, "spec": spec}
        self._custom.patch_namespaced_custom_object(*API, self.name, "workflowruns", name, body)

    def delete_run(self, name="run"):
        self._custom.delete_namespaced_custom_object(*API, self.name, "workflowruns", name)

    def status(self, name="run"):
        found = self._custom.get_namespaced_custom_object(*API, self.name, "workflowruns", name)
        return found.get("status", {})

    def wait(self, name="run"):
        def ended():
            self.operator.check()
            status = self.status(name)
            return status if status.get("phase") in ENDED else None

        ended.__doc__ = f"the run ends; the operator says: {self.operator.log()[-1500:]}"
        return until(ended, PATIENCE)

    def pods(self, execution=None):
        selector = f"podium.dev/execution={execution}" if execution else "podium.dev/run"
        return self.core.list_namespaced_pod(self.name, label_selector=selector).items

    def jobs(self):
        return self.batch.list_namespaced_job(self.name).items

    def held(self, execution="hold-1"):
        def there():
            pods = [pod for pod in self.pods(execution) if pod.status.phase == "Running"]
            runs = self.status().get("nodes", {}).get("hold", {})
            return pods[0] if pods and (runs.get("executionId"), "startedAt" in runs) == (
                execution, True
            ) else None  # fmt: skip

        return until(there, PATIENCE)

    def let_go(self, execution="hold-1"):
        for pod in self.pods(execution):
            change = {"metadata": {"annotations": {HOLD: None}}}
            self.core.patch_namespaced_pod(pod.metadata.name, self.name, change)

    def settled(self):
        """Wait until nothing is left to be done."""

        def nothing():
            pods = self.pods()
            jobs = self.jobs()
            return not [
                pod
                for pod in pods
                if FINALIZER in (pod.metadata.finalizers or ()) or pod.metadata.deletion_timestamp
            ] and all(job.status.conditions for job in jobs)

        until(nothing, PATIENCE)


@contextmanager
def places(directory):
    """Give what makes places."""
    require_cluster()
    models = connect()
    apply_crds(models)
    core = client.CoreV1Api(models)
    with own_namespace(models) as group, kwok(api=models) as machines:

        def make():
            name = f"faults-{uuid.uuid4().hex[:8]}"
            core.create_namespace({"metadata": {"name": name, "labels": {LABEL: group}}})
            own = directory / name
            own.mkdir()
            return Place(models, name, own, machines.pod_defaults)

        yield make


def started(place):
    """Count the Pods of each execution."""
    return Counter(pod.metadata.labels["podium.dev/execution"] for pod in place.pods())


def once(place, nodes=TEN):
    """Hold the end of a run against what it is without faults: each execution had one Pod."""
    status = place.wait()
    place.settled()
    found = {name: (s["status"], s["executionCount"]) for name, s in status["nodes"].items()}
    wanted = {each["id"]: ("Completed", 2 if each["id"] == "c" else 1) for each in nodes}
    assert (status["phase"], found) == ("Succeeded", wanted), json.dumps(status, indent=1)
    executions = {f"{name}-{n}" for name, (_, count) in wanted.items() for n in range(1, count + 1)}
    pods = started(place)
    assert pods == dict.fromkeys(executions, 1), pods
