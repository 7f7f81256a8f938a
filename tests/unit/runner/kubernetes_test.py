"""kubernetes: what it asks of an API server, and what it waits for."""

import itertools
import json

import pytest

from podium.runner.kubernetes_object import Server, kubernetes_object
from podium.runner.program import ProgramError
from tests.unit.runner.servers import serving

JOB = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "load"}, "spec": {}}
RESOURCES = {
    "/apis/batch/v1": [
        {"name": "jobs", "kind": "Job", "namespaced": True},
        {"name": "jobs/status", "kind": "Job", "namespaced": True},
    ],
    "/api/v1": [
        {"name": "configmaps", "kind": "ConfigMap", "namespaced": True},
        {"name": "namespaces", "kind": "Namespace", "namespaced": False},
    ],
}


class Cluster:
    """Has objects by path; each look at one takes its next state."""

    def __init__(self, *states):
        self.states = iter(states)
        self.refuse = {}

    def answer(self, method, path, headers, body):
        assert headers["authorization"] == "Bearer token"
        if path in RESOURCES:
            return 200, {}, {"resources": RESOURCES[path]}
        if method in self.refuse:
            return self.refuse[method], {}, {"message": "the server said no"}
        if method == "GET":
            state = next(self.states)
            return (404, {}, {}) if state is None else (200, {}, state)
        sent = json.loads(body) if body else {}
        meta = {"name": "load", "namespace": "team", "uid": "u1", **(sent.get("metadata") or {})}
        return 200, {}, {**sent, "metadata": meta}


@pytest.fixture
def do(tmp_path):
    token = tmp_path / "token"
    token.write_text("token\n")

    def run(cluster, **config):
        with serving(cluster.answer) as (url, asked):
            server = Server(url, token, "team")
            config = {"object": JOB, "patchType": "Merge", "serviceAccount": "s", **config}
            made = kubernetes_object(config, server, sleep=lambda _: None)
        return made, [each for each in asked if each[1] not in RESOURCES]

    return run


def state(**status):
    return {"metadata": {"name": "load", "uid": "u1"}, "status": status}


def condition(kind, status="True"):
    return {"conditions": [{"type": kind, "status": status}]}


@pytest.mark.parametrize(
    ("action", "method", "path", "kind"),
    [
        ("create", "POST", "/apis/batch/v1/namespaces/team/jobs", "application/json"),
        ("apply", "PATCH", "/apis/batch/v1/namespaces/team/jobs/load?fieldManager=podium-node&force=true",
         "application/apply-patch+yaml"),
        ("patch", "PATCH", "/apis/batch/v1/namespaces/team/jobs/load", "application/merge-patch+json"),
        ("delete", "DELETE", "/apis/batch/v1/namespaces/team/jobs/load", "application/json"),
    ],
)  # fmt: skip
def test_what_is_asked(do, action, method, path, kind):
    made, asked = do(Cluster(), action=action, patch={"spec": {"suspend": True}})
    ((asked_method, asked_path, headers, body),) = asked
    assert (asked_method, asked_path, headers["content-type"]) == (method, path, kind)
    wanted = {"patch": {"spec": {"suspend": True}}, "delete": None}.get(action, JOB)
    assert (json.loads(body) if body else None) == wanted
    assert made == {"name": "load", "namespace": "team", "uid": "u1",
                    "apiVersion": "batch/v1", "kind": "Job"}  # fmt: skip


def test_objects_of_other_namespaces_and_of_the_cluster(do):
    for target, path in (
        ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a/b", "namespace": "x"}},
         "/api/v1/namespaces/x/configmaps/a%2Fb"),
        ({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}, "/api/v1/namespaces/n"),
    ):  # fmt: skip
        _, asked = do(Cluster(), action="delete", object=target)
        assert asked[0][1] == path
    with pytest.raises(ProgramError, match="no kind 'Pod' in 'v1'"):
        do(Cluster(), action="delete", object={**JOB, "apiVersion": "v1", "kind": "Pod"})
    with pytest.raises(ProgramError, match=r"object\.metadata\.name: is missing"):
        do(Cluster(), action="apply", object={**JOB, "metadata": {"generateName": "x-"}})


def test_a_condition_is_waited_for(do):
    cluster = Cluster(
        state(), state(**condition("Complete", "False")), state(**condition("Complete"))
    )
    _, asked = do(cluster, action="create", wait={"condition": "Complete"})
    assert [each[0] for each in asked] == ["POST", "GET", "GET", "GET"]
    made, _ = do(
        Cluster(state(phase="Bound", n=3)),
        action="apply",
        wait={"path": "status.phase", "value": "Bound"},
        select="status.n",
    )
    assert made["selected"] == 3


def test_an_end_is_waited_for_and_another_of_the_name_is_none(do):
    other = {"metadata": {"name": "load", "uid": "u2"}}
    for last in (None, other):
        _, asked = do(Cluster(state(), last), action="delete", wait={"deleted": True})
        assert len(asked) == 3
    with pytest.raises(ProgramError, match="was deleted") as error:
        do(Cluster(state(), other), action="create", wait={"condition": "Complete"})
    assert error.value.reason == "WaitTimeout"


def test_a_wait_has_an_end_and_says_what_was_seen(do):
    cluster = Cluster(*itertools.repeat(state(**condition("Complete", "False")), 10))
    wait = {"condition": "Complete", "timeoutSeconds": 3}
    with pytest.raises(ProgramError, match="after 3 seconds: the condition Complete is False"):
        do(cluster, action="create", wait=wait)


def test_what_the_server_refuses_is_said_and_a_second_delete_is_done(do):
    cluster = Cluster()
    cluster.refuse = {"POST": 403, "DELETE": 404}
    with pytest.raises(ProgramError, match="Job load: 403: the server said no") as error:
        do(cluster, action="create")
    assert error.value.reason == "Refused"
    made, _ = do(cluster, action="delete")
    assert made["name"] == "load"


def test_without_a_token_it_is_a_matter_of_clusters():
    with pytest.raises(ProgramError, match="runs on a cluster only"):
        kubernetes_object({"object": JOB, "action": "delete"})
