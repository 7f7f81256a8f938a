"""A run under each fault ends as without it, each execution started once; no request storms."""

import json
import os
import signal
import time
import uuid
from collections import Counter
from contextlib import ExitStack

import pytest
from kubernetes import client

from tests.cluster.kwok import FAIL, HOLD, kwok
from tests.conformance.cluster_shell import connect
from tests.conformance.own_operator import LABEL, apply_crds, own_namespace, own_operator
from tests.e2e.support import ENDED, require_cluster, until
from tests.faults.proxy import Proxy, Rule

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600), pytest.mark.xdist_group("faults")]

API = "podium.dev", "v1alpha1"
PATIENCE = 120
DOWN_SECONDS = float(os.environ.get("PODIUM_DOWN_SECONDS", "20"))
"""How long the server is gone: 120 for the whole test."""
REQUESTS_WHILE_DOWN = 10
"""Requests a second, at most: four watches and what the run wants to write."""
REQUESTS_AFTER = 200
"""Requests in the first ten seconds when the server is back, at most, for a run of ten nodes."""
FINALIZER = "podium.dev/result"


def _node(id, *after, notes=None, **fields):  # noqa: A002
    return {
        "id": id,
        "executor": "container",
        "config": {"image": "fake", "command": ["true"]},
        "dependsOn": list(after),
        "pod": {"annotations": notes or {}},
        **fields,
    }


TEN = [
    _node("a"),
    *(_node(f"b{i}", "a") for i in range(4)),
    _node("c", "b0", "b1", "b2", "b3", notes={FAIL: "c-1"}, retryPolicy={"maxAttempts": 2}),
    *(_node(f"d{i}", "c") for i in range(3)),
    _node("e", "d0", "d1", "d2"),
]
HELD = [_node("a"), _node("hold", "a", notes={HOLD: "true"}, retryPolicy={"maxAttempts": 2}),
        _node("last", "hold")]  # fmt: skip


class Place:
    """A namespace, a proxy, and an operator behind it."""

    def __init__(self, models, name, folder, pod_defaults):
        self.name, self.folder = name, folder
        self.core, self.batch = client.CoreV1Api(models), client.BatchV1Api(models)
        self._custom = client.CustomObjectsApi(models)
        self._settings = {"podDefaults": pod_defaults, "leaderElection": {"enabled": False}}
        self._stack = ExitStack()
        self.proxy = None
        self.operator = None

    def start(self, *rules):
        """Start an operator, behind a proxy with these rules."""
        self.proxy = self._stack.enter_context(Proxy(os.environ["KUBECONFIG"], rules))
        self.operator = self._stack.enter_context(
            own_operator(self.name, self.folder, self._settings, self.proxy.kubeconfig(self.folder))
        )
        return self

    def crash(self):
        """Kill the operator."""
        self.operator.process.kill()
        self.operator.process.wait()
        self._stack.pop_all()  # it would say that the operator ended
        self.proxy.__exit__()

    def end(self):
        self._stack.close()

    def run(self, nodes, name="run"):
        body = {
            "apiVersion": "/".join(API),
            "kind": "WorkflowRun",
            "metadata": {"name": name},
            "spec": {"workflowSpec": {"nodes": nodes}},
        }
        self._custom.create_namespaced_custom_object(*API, self.name, "workflowruns", body)

    def delete_run(self, name="run"):
        self._custom.delete_namespaced_custom_object(*API, self.name, "workflowruns", name)

    def status(self, name="run"):
        found = self._custom.get_namespaced_custom_object(*API, self.name, "workflowruns", name)
        return found.get("status", {})

    def wait(self, name="run"):
        def ended():
            self.operator()
            status = self.status(name)
            return status if status.get("phase") in ENDED else None

        ended.__doc__ = f"the run ends; the operator says: {self.operator.log.read_text()[-1500:]}"
        return until(ended, PATIENCE)

    def pods(self, execution=None):
        selector = f"podium.dev/execution={execution}" if execution else "podium.dev/run"
        return self.core.list_namespaced_pod(self.name, label_selector=selector).items

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
            jobs = self.batch.list_namespaced_job(self.name).items
            return not [
                pod
                for pod in pods
                if FINALIZER in (pod.metadata.finalizers or ()) or pod.metadata.deletion_timestamp
            ] and all(job.status.conditions for job in jobs)

        until(nothing, PATIENCE)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    require_cluster()
    models = connect()
    apply_crds(models)
    core = client.CoreV1Api(models)
    with own_namespace(models) as group, kwok(api=models) as machines:

        def make():
            name = f"faults-{uuid.uuid4().hex[:8]}"
            core.create_namespace({"metadata": {"name": name, "labels": {LABEL: group}}})
            return Place(models, name, tmp_path_factory.mktemp(name), machines.pod_defaults)

        yield make


@pytest.fixture
def place(places):
    place = places()
    yield place
    place.end()
    place.core.delete_namespace(place.name)


def started(place):
    """Count the Pods of each execution."""
    return Counter(pod.metadata.labels["podium.dev/execution"] for pod in place.pods())


def once(place, nodes=TEN):
    """Hold the end of a run of `TEN` against what it is without faults."""
    status = place.wait()
    place.settled()
    found = {name: (s["status"], s["executionCount"]) for name, s in status["nodes"].items()}
    wanted = {each["id"]: ("Completed", 2 if each["id"] == "c" else 1) for each in nodes}
    assert (status["phase"], found) == ("Succeeded", wanted), json.dumps(status, indent=1)
    executions = {f"{name}-{n}" for name, (_, count) in wanted.items() for n in range(1, count + 1)}
    assert started(place) == dict.fromkeys(executions, 1)


CHANGES = "(POST|PATCH) (jobs|pods|workflowruns).*"
FAULTS = {
    "nothing": [],
    "403": [Rule("PATCH (workflowruns|jobs)/status|(LIST|WATCH) .*|PATCH pods", 403, share=0.2)],
    "409": [Rule(CHANGES, 409, share=0.3)],
    "410 to lists and watches": [Rule("(LIST|WATCH) (jobs|pods)", 410, share=0.4)],
    "422 to what the keeper writes": [Rule("PATCH (jobs/status|pods)", 422, share=0.4)],
    "429 with Retry-After": [Rule(".* (jobs|pods|workflowruns).*", 429, share=0.3, retry_after=1)],
    "500": [Rule(".* (jobs|pods|workflowruns).*", 500, share=0.3)],
    "503 with Retry-After": [Rule(".*", 503, share=0.2, retry_after=1)],
    "delays": [Rule(".*", share=0.5, delay=0.4)],
    "time-outs": [Rule("POST .*|PATCH .*", times=3, delay=11, lose=True)],
    "answers that are lost": [Rule(CHANGES, share=0.3, lose=True)],
    "watches that break off": [Rule("WATCH .*", cut=3)],
    "stale lists": [Rule("WATCH (jobs|pods)", 410, share=0.5), Rule("LIST (jobs|pods)", stale=True, share=0.5)],
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_ends_as_without_faults(place, fault):
    place.start(*(Rule(**{**vars(rule), "hits": 0}) for rule in FAULTS[fault]))
    place.run(TEN)
    once(place)
    if fault != "nothing":
        assert all(rule.hits for rule in place.proxy.rules), "the fault never happened"


def test_a_server_that_is_gone_for_some_time_finds_no_storm_when_it_is_back(place):
    place.start()
    place.run([*TEN[:5], _node("hold", "a", notes={HOLD: "true"}), _node("last", "hold")])
    place.held()
    place.proxy.leave()
    left = time.monotonic()
    place.let_go()
    time.sleep(DOWN_SECONDS)
    back = time.monotonic()
    place.proxy.gone = False
    status = place.wait()
    time.sleep(max(0.0, back + 10 - time.monotonic()))
    down, after = place.proxy.count(left, back), place.proxy.count(back, back + 10)
    print(f"down {DOWN_SECONDS:g} s: {sum(down.values())} {down}; after: {after}")
    assert status["phase"] == "Succeeded"
    assert set(started(place).values()) == {1}
    assert sum(down.values()) <= REQUESTS_WHILE_DOWN * DOWN_SECONDS, down
    assert sum(after.values()) <= REQUESTS_AFTER, after


def test_an_operator_that_stood_still_goes_on(place):
    place.start()
    place.run(TEN)
    until(lambda: place.pods("b0-1"), PATIENCE)
    os.kill(place.operator.pid, signal.SIGSTOP)
    try:
        time.sleep(5)
    finally:
        os.kill(place.operator.pid, signal.SIGCONT)
    once(place)


def test_a_job_that_somebody_deletes_fails_its_execution_once(place):
    place.start()
    place.run(HELD)
    job = place.held().metadata.owner_references[0].name
    place.batch.delete_namespaced_job(job, place.name, propagation_policy="Background")
    place.held("hold-2")
    place.let_go("hold-2")
    status = place.wait()
    place.settled()
    hold = status["nodes"]["hold"]
    assert (status["phase"], hold["executionCount"]) == ("Succeeded", 2)
    assert hold["history"][0]["reason"] == "JobDeleted"
    assert not place.pods("hold-1")


def test_a_pod_that_somebody_deletes_by_force_fails_its_execution_once(place):
    place.start()
    place.run(HELD)
    pod = place.held().metadata.name
    place.core.delete_namespaced_pod(pod, place.name, grace_period_seconds=0)
    place.held("hold-2")
    place.let_go("hold-2")
    status = place.wait()
    place.settled()
    hold = status["nodes"]["hold"]
    assert (status["phase"], hold["executionCount"]) == ("Succeeded", 2)
    assert hold["history"][0]["reason"] == "PodDeleted"
    assert not place.pods("hold-1")


def test_a_pod_whose_run_is_deleted_meanwhile_is_let_go_at_the_next_start(place):
    place.start()
    place.run(HELD)
    place.held()
    place.crash()
    place.delete_run()

    def only_the_finalizer():
        pods = place.pods("hold-1")
        assert pods, "the Pod is gone without an operator: it had no finalizer"
        return (
            not place.batch.list_namespaced_job(place.name).items
            and pods[0].status.phase == "Failed"
        )

    until(only_the_finalizer, PATIENCE)
    place.start()
    until(lambda: not place.pods(), PATIENCE)
