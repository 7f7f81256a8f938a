"""Leaving a cluster: nothing of Podium holds anything up once it is gone."""

import asyncio
import copy
from types import SimpleNamespace

import pytest

from podium.api.names import FINALIZER, LABEL_RUN
from podium.cluster import uninstall as uninstall_module
from podium.cluster.kube.errors import ApiError
from podium.cluster.settings import Settings
from podium.cluster.uninstall import STOP_SECONDS, release_pods, stop_operator
from tests.unit.cluster import support

HELD = ["other.io/x", FINALIZER]


class Server:
    """Has Pods, and a Deployment that takes its time to end."""

    def __init__(self, *pods):
        self.pods = {pod["metadata"]["name"]: pod for pod in pods}
        self.lists = []
        self.replicas = 1
        self.looks_until_gone = 0
        self.before = lambda _name: None
        """What happens just before a Pod is changed."""

    async def list_all(self, resource, namespace, selector):
        self.lists.append((resource, namespace, selector))
        here = [
            copy.deepcopy(pod)
            for pod in self.pods.values()
            if namespace in ("", pod["metadata"]["namespace"])
        ]
        yield here[:1], "7"
        yield here[1:], "7"

    async def get_pod(self, namespace, name):
        if name not in self.pods:
            raise ApiError(404, "NotFound", "gone")
        return copy.deepcopy(self.pods[name])

    async def patch_pod(self, namespace, name, operations):
        self.before(name)
        if name not in self.pods:
            raise ApiError(404, "NotFound", "gone")
        test, remove = operations
        assert (test["op"], remove["op"], test["path"]) == ("test", "remove", remove["path"])
        finalizers = self.pods[name]["metadata"]["finalizers"]
        at = int(test["path"].removeprefix("/metadata/finalizers/"))
        if at >= len(finalizers) or finalizers[at] != test["value"]:
            raise ApiError(422, "Invalid", "testing value failed")
        del finalizers[at]

    @property
    def held(self):
        return [
            name for name, pod in self.pods.items() if FINALIZER in pod["metadata"]["finalizers"]
        ]

    async def scale_deployment(self, namespace, name, replicas):
        if self.replicas is None:
            raise ApiError(404, "NotFound", "no such Deployment")
        assert (namespace, name, replicas) == ("podium", "operator", 0)

    async def get_deployment(self, namespace, name):
        self.looks_until_gone -= 1
        return {"status": {"replicas": self.replicas} if self.looks_until_gone >= 0 else {}}


def pod(name, namespace="team", finalizers=HELD, **meta):
    meta = {"name": name, "namespace": namespace, "finalizers": list(finalizers), **meta}
    return support.pod(metadata=meta)


async def release(server, **settings):
    return await release_pods(server, Settings(**settings))


async def test_all_pods_are_let_go():
    """Running ones too: they end when they end, and nobody asks how."""
    server = Server(pod("a"), pod("b", "other"), pod("c", finalizers=["other.io/x"]))
    assert await release(server) == 2
    assert server.held == []
    assert {name: each["metadata"]["finalizers"] for name, each in server.pods.items()} == {
        name: ["other.io/x"] for name in "abc"
    }
    assert server.lists == [("pods", "", LABEL_RUN)], "those that are recorded as well"


async def test_only_the_namespaces_that_are_served():
    server = Server(pod("a", "one"), pod("b", "two"), pod("c", "three"))
    assert await release(server, namespaces=["one", "two"]) == 2
    assert server.held == ["c"]


async def test_a_pod_that_lost_its_job_is_let_go_as_well():
    """Such as after `kubectl delete job --cascade=orphan`."""
    server = Server(pod("a", ownerReferences=None))
    assert await release(server) == 1
    assert server.held == []


async def test_a_pod_that_vanished_does_no_harm():
    server = Server(pod("a"), pod("b"))
    server.before = lambda name: server.pods.pop("a", None)
    await release(server)
    assert server.held == []


async def test_finalizers_that_moved_are_looked_at_again():
    server = Server(pod("a"), pod("b"))

    def before(name):
        server.before = lambda _name: None
        server.pods[name]["metadata"]["finalizers"] = [FINALIZER]

    server.before = before
    assert await release(server) == 2
    assert server.held == []


async def test_a_pod_that_was_let_go_meanwhile():
    server = Server(pod("a"), pod("b"))

    def before(name):
        server.before = lambda _name: None
        server.pods[name]["metadata"]["finalizers"] = []

    server.before = before
    await release(server)
    assert server.held == []


async def test_what_the_server_refuses_is_said():
    server = Server(pod("a"))

    def before(name):
        raise ApiError(403, "Forbidden", "you may not")

    server.before = before
    with pytest.raises(ApiError):
        await release(server)


# The operator itself


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by sleeping."""
    clock = SimpleNamespace(now=1000.0)

    async def sleep(seconds):
        clock.now += seconds
        await asyncio.sleep(0)

    monkeypatch.setattr(uninstall_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(uninstall_module, "asyncio", SimpleNamespace(sleep=sleep))
    return clock


async def test_the_operator_is_stopped_before_anything_else(clock):
    server = Server()
    server.looks_until_gone = 3
    await stop_operator(server, "podium", "operator")
    assert clock.now == 1001.5


async def test_an_operator_that_does_not_end_is_not_waited_for_without_end(clock, caplog):
    server = Server()
    server.looks_until_gone = 10**9
    await stop_operator(server, "podium", "operator")
    assert STOP_SECONDS <= clock.now - 1000 <= STOP_SECONDS + 1
    assert "podium/operator does not end" in caplog.text


async def test_an_operator_that_is_gone_already(clock):
    server = Server()
    server.replicas = None
    await stop_operator(server, "podium", "operator")
    assert clock.now == 1000
