"""Artifacts from repositories, URLs and buckets, and to them, by the Pods of a real cluster."""

import contextlib

import pytest

from tests import buckets
from tests.conformance.cluster_shell import connect
from tests.e2e.artifacts_test import place
from tests.e2e.support import script, until, workflow_run
from tests.unit.artifacts.s3 import KEYS
from tests.unit.artifacts.servers import CONTENT, digest, git, git_daemon, http_server
from tests.unit.artifacts.support import make

__all__ = ["place"]  # a fixture
pytestmark = pytest.mark.cluster

SECRET = {"secretRef": {"name": "team"}}
LOOK = (
    # Of all that the program can read, its own text and what it finds apart.
    "if grep -rqsw -e canar[y] -e hus[h] /podium/secrets /podium/store /podium/task /run /etc /proc/*/environ"
    "; then echo found a secret; exit 7; fi\n"
    "if ls -d /podium/secrets /podium/store /proc/*/root/podium/store 2>/dev/null; then exit 8; fi\n"
)


class World:
    """Servers beside the store's, all at an address that Pods reach."""

    def __init__(self, store, repositories, http, secure):
        self.store, self.repositories, self.http, self.secure = store, repositories, http, secure

    def object(self, key):
        return {"bucket": "data", "key": key, "endpoint": self.store.endpoint, **SECRET}


@pytest.fixture
def world(place, tmp_path):
    address = buckets.address_for(connect())
    repository = tmp_path / "served" / "repo"
    repository.mkdir(parents=True)
    git(repository, "init", "--quiet", "-b", "main")
    make(repository, {"a/f": b"one"})
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "one")
    git(repository, "update-server-info")
    place.server.bucket("data")
    make(place.server.root / "data", {"k": b"object"})
    place.secret()
    keys = {"accessKeyId": KEYS.access_key_id, "secretAccessKey": KEYS.secret_access_key}
    place.k.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "team"}, "stringData": keys}
    )
    robot = {"metadata": {"name": "robot"}, "stringData": {"token": "hush"}}
    place.k.apply({"apiVersion": "v1", "kind": "Secret", **robot})
    with contextlib.ExitStack() as stack:
        served = stack.enter_context(git_daemon(repository.parent, address=address))
        http = stack.enter_context(http_server(address=address))
        secure = stack.enter_context(http_server(tmp_path / "own.pem", address=address))
        secure.files, secure.authority = repository.parent, (tmp_path / "own.pem").read_text()
        yield World(place.server, served, http, secure)


def node_of(world, **more):
    own, private = (f"{world.secure.base}/{each}" for each in ("files/repo/.git", "private"))
    inputs = [
        {"name": "app", "git": {"repository": f"{world.repositories}/repo", "ref": "main"}},
        {"name": "file", "http": {"url": f"{world.http.base}/broken", "sha256": digest(CONTENT)}},
        {"name": "object", "s3": world.object("k")},
        {"name": "own", "git": {"repository": own, "depth": 0, "secretRef": {"name": "robot"}}},
        {"name": "private", "http": {"url": private, "secretRef": {"name": "robot"}}},
    ]
    text = LOOK + (
        "cd $PODIUM_ARTIFACTS_IN; cmp file private; cat app/a/f own/a/f object > $PODIUM_ARTIFACTS_OUT/r\n"
        "printf '{\"size\": %d}' $(stat -c %s file) > $PODIUM_OUTPUT\n"
    )
    out = [
        {"name": "r", "path": "r", "type": "File", "to": {"http": {"url": f"{world.http.base}/r"}}},
        {
            "name": "s",
            "path": "s",
            "type": "File",
            "optional": True,
            "to": {"s3": world.object("s")},
        },
        {"name": "t", "path": "t", "type": "File", "to": {"s3": world.object("deep/t")}},
    ]
    text += "echo -n sent > $PODIUM_ARTIFACTS_OUT/t\n"
    return script("n", text, artifacts={"in": inputs, "out": out}, **more)


def test_what_comes_and_goes_with_secrets_that_no_program_sees(place, world):
    place.operator(caBundle=world.secure.authority)
    place.k.apply(workflow_run("r", node_of(world)))
    place.k.wait("r")
    state = place.k.nodes("r")["n"]
    assert state["output"] == {"size": len(CONTENT)}
    assert [(path, body) for path, _, body in world.http.put] == [("/r", b"oneoneobject")]
    assert (place.server.root / "data/deep/t").read_bytes() == b"sent"
    assert not (place.server.root / "data/s").exists(), "an optional one that was not left"
    (pod,) = place.k.items("pods")
    mounts = {
        each["name"]: {m["mountPath"] for m in each["volumeMounts"]}
        for each in (*pod["spec"]["containers"], *pod["spec"]["initContainers"])
    }
    assert [name for name in mounts if "/podium/secrets/0" in mounts[name]] == [
        "podium-collector", "podium-fetcher",
    ]  # fmt: skip
    everything = place.k("get", "workflowruns,jobs,pods,events", "-o", "yaml").stdout
    assert "canary" not in everything
    assert "hush" not in everything


def test_what_is_not_taken_fails_the_node_and_a_retry_may_help(place, world):
    place.operator()
    to = {"http": {"url": f"{world.http.base}/refuses"}}
    out = {"out": [{"name": "f", "path": "f", "type": "File", "to": to}]}
    text = "echo x > $PODIUM_ARTIFACTS_OUT/f"
    place.k.apply(workflow_run("r", script("n", text, artifacts=out), script("after", "true", "n")))
    place.k.wait("r", "Failed")
    state = place.k.nodes("r")["n"]
    assert (state["reason"], "answers 409" in state["message"]) == ("Upload", True)
    assert "artifacts" not in state
    assert place.k.nodes("r")["after"]["status"] == "Skipped"
    assert not list((place.server.root / buckets.BUCKET).rglob("manifest.json"))


def test_which_secrets_and_hosts_are_allowed(place, world):
    place.operator(allowedHosts=["*.example.com", "10.255.0.0/16"])

    def run(name, source, **more):
        node = script("n", "true", artifacts={"in": [{"name": "x", **source}]}, **more)
        place.k.apply(workflow_run(name, node))
        place.k.wait(name, "Failed")
        state = place.k.nodes(name)["n"]
        return state["reason"], state["message"]

    reason, message = run("host", {"http": {"url": f"{world.http.base}/whole"}})
    assert (reason, "artifacts.allowedHosts" in message) == ("Download", True)
    assert not world.http.asked
    stolen = {**world.object("k"), "secretRef": {"name": buckets.SECRET}}
    reason, message = run("store", {"s3": stolen})
    assert (reason, "credentials of the artifact store" in message) == ("Forbidden", True)
    missing = {**world.object("k"), "secretRef": {"name": "none"}}
    reason, message = run("missing", {"s3": missing})
    assert (reason, "there is no Secret 'none'" in message) == ("Config", True)
    assert "artifacts.in[0].s3.secretRef" in message

    def is_quiet():
        """Nothing of these was started, but for the first"""
        return len(place.k.items("jobs")) == 1

    until(is_quiet, 10)
