"""Leaving a cluster: nothing of Podium holds anything up once it is gone."""

import asyncio
import copy
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from podium.api.names import FINALIZER, LABEL_RUN
from podium.cli import main
from podium.cli import operator as operator_command
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


async def released(server, **settings):
    return await release_pods(server, Settings(**settings))


async def release(server, **settings):
    done = await released(server, **settings)
    assert done.refused == []
    return done.count


async def test_all_pods_are_let_go():
    """Running ones too: they end when they end, and their outcome is not asked for."""
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


def refusing(server, names, status=403):
    def before(name):
        if name in names:
            raise ApiError(status, "Forbidden", "a policy of theirs says no")

    server.before = before


async def test_a_pod_that_is_refused_stops_no_other():
    server = Server(pod("a"), pod("b", "other"), pod("c"), pod("d"))
    refusing(server, ["a", "c"])
    done = await released(server)
    assert (done.count, server.held) == (2, ["a", "c"])
    assert done.refused == [
        "team/a: 403 Forbidden: a policy of theirs says no",
        "team/c: 403 Forbidden: a policy of theirs says no",
    ]


@pytest.mark.parametrize("status", [409, 422, 429, 500])
async def test_so_is_one_whose_change_fails_otherwise(status):
    server = Server(pod("a"), pod("b"))
    refusing(server, ["a"], status)
    done = await released(server)
    assert (done.count, server.held) == (1, ["a"])
    assert done.refused == [f"team/a: {status} Forbidden: a policy of theirs says no"]


async def test_a_namespace_that_is_refused_stops_no_other():
    server = Server(pod("a", "one"), pod("b", "two"))
    list_all = server.list_all

    async def refused(resource, namespace, selector):
        if namespace == "one":
            raise ApiError(403, "Forbidden", "not there")
        async for each in list_all(resource, namespace, selector):
            yield each

    server.list_all = refused
    done = await released(server, namespaces=["one", "two"])
    assert (done.count, server.held) == (1, ["a"])
    assert done.refused == ["the list of Pods in one: 403 Forbidden: not there"]


@pytest.mark.parametrize("status", [0, 401])
async def test_a_server_that_answers_nothing_is_not_asked_for_each_pod(status):
    server = Server(pod("a"), pod("b"))
    asked = []

    def before(name):
        asked.append(name)
        raise ApiError(status, "NoAnswer", "down")

    server.before = before
    with pytest.raises(ApiError):
        await released(server)
    assert asked == ["a"]


@pytest.mark.parametrize(
    ("refused", "code", "words"),
    [
        (
            ["a"],
            1,
            [
                "Removed the finalizer from 1 Pod\n",
                "refused 1, named above",
                "team/a: 403 Forbidden",
            ],
        ),
        ([], 0, ["Removed the finalizer from 2 Pods\n"]),
    ],
)
def test_the_command_names_what_was_refused(monkeypatch, refused, code, words):
    server = Server(pod("a"), pod("b"))
    refusing(server, refused)

    @asynccontextmanager
    async def connect():
        yield server

    monkeypatch.setattr(operator_command, "connect", connect)
    done = CliRunner().invoke(main, ["uninstall", "--force-finalizers"])
    assert done.exit_code == code, done.output
    assert [word for word in words if word not in done.output] == []


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
