"""Artifacts that leave the run: files put at URLs and into buckets."""

import pytest

from podium.api.sources import HttpTarget, S3Object
from podium.artifacts import targets
from podium.artifacts.errors import ArtifactError
from podium.artifacts.reach import LAPTOP
from podium.artifacts.targets import Contents
from tests.unit.artifacts.s3 import KEYS
from tests.unit.artifacts.servers import CONTENT, http_server


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    monkeypatch.setattr(targets, "BACKOFF_SECONDS", (0.01, 0.05))
    monkeypatch.setattr(targets, "PATIENCE_SECONDS", 0.5)


def contents(data=CONTENT):
    pieces = [memoryview(data)[at : at + 100_000] for at in range(0, len(data), 100_000)]
    return Contents(len(data), lambda: iter(pieces))


def send(to, data=CONTENT, secret=None, *, is_stopped=lambda: False):
    targets.send("x", to, contents(data), secret or {}, is_stopped, LAPTOP)


@pytest.mark.parametrize("data", [CONTENT, b""])
def test_a_file_is_put_whole_also_by_a_busy_server(data):
    with http_server() as server:
        send(HttpTarget(url=f"{server.base}/busy?k=v", headers={"X-A": "b"}), data)
        send(HttpTarget(url=f"{server.base}/busy"), data)
        path, headers, body = server.put[-1]
    assert len(server.put) >= 3
    assert (path, body) == ("/busy", data)
    assert server.put[0][1]["X-A"] == "b"
    assert headers["Content-Length"] == str(len(data))


@pytest.mark.parametrize(
    ("name", "secret", "words", "again"),
    [
        ("refuses", {}, "the artifact x: http://127.0.0.1:PORT/refuses: answers 409", False),
        ("redirect", {}, "answers 307", False),
        ("private", {"token": "wrong"}, "answers 401 Unauthorized: check the credentials", False),
    ],
)
def test_what_is_not_taken_is_named(name, secret, words, again):
    with http_server() as server, pytest.raises(ArtifactError) as caught:
        send(HttpTarget(url=f"{server.base}/{name}"), secret=secret)
    assert words.replace("PORT", str(server.server_port)) in str(caught.value)
    assert caught.value.is_retryable is again


def test_a_server_that_is_away_is_tried_again_and_a_stop_ends_it():
    to = HttpTarget(url="http://127.0.0.1:1/x")
    with pytest.raises(ArtifactError, match="tried again in vain") as caught:
        send(to)
    assert caught.value.is_retryable
    with pytest.raises(InterruptedError):
        send(to, is_stopped=lambda: True)
    with pytest.raises(ArtifactError, match="where machines keep their own secrets"):
        send(HttpTarget(url="http://169.254.169.254/x"))


def test_an_object_is_written_into_any_bucket(s3_server):
    head = {"endpoint": s3_server.endpoint, "secretRef": {"name": "s"}, "key": "a/b.bin"}
    secret = {"accessKeyId": KEYS.access_key_id, "secretAccessKey": KEYS.secret_access_key}
    to = S3Object.model_validate({"bucket": "artifacts", **head})
    for data in (CONTENT * 40, b""):  # in parts, and in one
        send(to, data, secret)
        assert (s3_server.root / "artifacts/a/b.bin").read_bytes() == data
    with pytest.raises(InterruptedError):
        send(to, b"x", secret, is_stopped=lambda: True)
    with pytest.raises(ArtifactError, match=r"the artifact x: .* there is no such bucket"):
        send(S3Object.model_validate({"bucket": "none", **head}), secret=secret)
    with pytest.raises(ArtifactError, match="the secret key is wrong"):
        send(to, secret={**secret, "secretAccessKey": "hush-hush"})
