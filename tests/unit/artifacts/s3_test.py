"""The artifact store over a real S3 server, which is killed, frozen, and refuses."""

import hashlib
import os
import ssl
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from podium.artifacts import store as stores
from podium.artifacts.collection import sweep
from podium.artifacts.errors import ArtifactError
from podium.artifacts.manifest import Manifest
from podium.artifacts.settings import StaticKeys, WebIdentity
from podium.artifacts.store import ArtifactStore
from podium.artifacts.unpack import Unpacking
from tests.unit.artifacts.s3 import KEYS, S3Server, make_certificate
from tests.unit.artifacts.support import make, store_directory, there_and_back, tree, upload_while


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with S3Server(tmp_path_factory.mktemp("s3") / "buckets") as made:
        yield made


@pytest.fixture
def bucket(server, request):
    return server.bucket("b" + hashlib.sha256(request.node.name.encode()).hexdigest()[:20])


def objects(server, settings, prefix="blobs"):
    root = server.root / settings.bucket / settings.prefix / prefix
    return sorted(path for path in root.rglob("*") if path.is_file())


def test_a_directory_goes_there_and_back(server, bucket, tmp_path):
    files = {"a b/#?%.txt": b"x" * 5000, "é/ü": b"", "empty": None, "d/run": b"#!/bin/sh"}
    source = make(tmp_path / "source", files)
    (source / "d/run").chmod(0o755)
    with ArtifactStore(replace(bucket, prefix="/team/")) as store:
        artifact, back = there_and_back(store, source, tmp_path / "target")
        assert tree(back) == tree(source)
        assert store.commit(Manifest("u", "n", "n-1", {"a": artifact}))
        assert not store.commit(Manifest("u", "n", "n-1")), "the manifest is written once"
        found = store.manifest("u", "n", "n-1")
        assert found.artifacts == {"a": artifact}
        assert store.manifest("u", "n", "n-2") is None
        assert [each.execution for each in store.manifests("u")] == ["n-1"]
    assert len(objects(server, replace(bucket, prefix="team"))) == 1


def test_pieces_are_sent_once_and_swept(server, bucket, monkeypatch):
    monkeypatch.setattr(stores, "PIECE_BYTES", 1000)
    data = os.urandom(3500)
    with ArtifactStore(bucket) as store:
        blob = store.put([data])
        assert b"".join(store.read(blob)) == data
        before = {path: path.stat().st_mtime_ns for path in objects(server, bucket)}
        assert len(before) == 5
        assert store.put([data]) == blob
        assert {path: path.stat().st_mtime_ns for path in objects(server, bucket)} == before
        assert sweep(store, (), older_than=50).objects == 0
        assert sweep(store, (), older_than=-1).objects == 5
    assert objects(server, bucket) == []


def test_what_is_there_and_old_is_made_young_without_sending_it(server, bucket, monkeypatch):
    with ArtifactStore(bucket) as store:
        blob = store.put([b"hello"])
        (place,) = objects(server, bucket)
        os.utime(place, (1, 1))
        monkeypatch.setattr(store.backend, "put", None)
        assert store.put([b"hello"]) == blob
        (place,) = objects(server, bucket)
        assert time.time() - place.stat().st_mtime < 100
        assert objects(server, bucket, "moving") == []
        assert b"".join(store.read(blob)) == b"hello"
        assert store.commit(Manifest("u", "n", "n-1"))


@pytest.mark.parametrize("damage", [b"jello", b"hell", b"hello and more"])
def test_what_was_changed_in_the_bucket_is_refused(server, bucket, damage):
    with ArtifactStore(bucket) as store:
        blob = store.put([b"hello"])
        (place,) = objects(server, bucket)
        place.write_bytes(damage)
        with pytest.raises(ArtifactError, match="was changed"):
            b"".join(store.read(blob))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bucket": "nowhere"}, "the bucket 'nowhere'.*no such bucket.*NoSuchBucket"),
        (
            {"credentials": StaticKeys("podium-tests", "wrong-secret-canary")},
            "secret key is wrong.*SignatureDoesNotMatch",
        ),
        (
            {"credentials": StaticKeys("nobody", "wrong-secret-canary")},
            "access key is not known.*XAdminUserNotFound",
        ),
    ],
)
def test_a_store_that_refuses_is_no_success_and_is_not_waited_for(bucket, change, words):
    began = time.monotonic()
    with ArtifactStore(replace(bucket, **change)) as store:
        with pytest.raises(ArtifactError, match=words) as caught:
            store.put([b"hello"])
        assert not caught.value.is_retryable
        with pytest.raises(ArtifactError, match=words) as reading:
            store.manifest("u", "n", "n-1")
        with pytest.raises(ArtifactError, match=words) as committing:
            store.commit(Manifest("u", "n", "n-1"))
        with pytest.raises(ArtifactError, match=words) as sweeping:
            sweep(store, (), older_than=0)
    for error in (caught, reading, committing, sweeping):
        assert "canary" not in str(error.value)
        assert "Debug" not in str(error.value)
        assert "\n" not in str(error.value)
    assert time.monotonic() - began < 30


def test_a_server_that_is_not_there_is_named(server, bucket):
    nowhere = replace(bucket, endpoint="http://127.0.0.1:9", retry_seconds=1)
    with ArtifactStore(nowhere) as store:
        with pytest.raises(
            ArtifactError, match=r"in the bucket .* at http://127.0.0.1:9: "
        ) as caught:
            store.put([b"hello"])
        assert caught.value.is_retryable
        assert "canary" not in str(caught.value)


def test_web_identity_without_its_variables_says_so(bucket, monkeypatch):
    for name in ("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ArtifactError, match="AWS_ROLE_ARN is not set"):
        ArtifactStore(replace(bucket, credentials=WebIdentity()))


def test_an_authority_of_its_own_is_trusted_when_it_is_named(tmp_path):
    with S3Server(tmp_path / "buckets", tls=True) as own:
        bucket = own.bucket("artifacts")
        with ArtifactStore(replace(bucket, retry_seconds=1)) as store:
            with pytest.raises(ArtifactError, match="at https://127") as caught:
                store.put([b"hello"])
            assert caught.value.is_retryable
        trusting = replace(
            bucket, certificate_authority=own.certificate.read_text(), retry_seconds=5
        )
        source = make(tmp_path / "source", {"d/f": os.urandom(100_000)})
        with ArtifactStore(trusting) as store:
            _, back = there_and_back(store, source, tmp_path / "target")
        assert tree(back) == tree(source)


def test_a_bucket_in_the_name_of_the_host(bucket):
    hosted = replace(bucket, endpoint="https://s3.example.com:9000", is_virtual_hosted=True)
    with ArtifactStore(hosted) as store:
        assert store.backend._store.config["endpoint"] == (
            f"https://{bucket.bucket}.s3.example.com:9000"
        )


class TokenService(BaseHTTPRequestHandler):
    """Gives the keys of the S3 server to whoever has the right token."""

    asked: ClassVar[list[dict[str, str]]] = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        query = urlsplit(self.path).query or body
        given = {name: values[0] for name, values in parse_qs(query).items()}
        self.asked.append(given)
        ok = given.get("WebIdentityToken") == "token-canary"
        answer = (
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
            f"<AccessKeyId>{KEYS.access_key_id}</AccessKeyId>"
            f"<SecretAccessKey>{KEYS.secret_access_key}</SecretAccessKey>"
            "<SessionToken></SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>"
            "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
            if ok
            else "<Error><Code>InvalidIdentityToken</Code></Error>"
        ).encode()
        self.send_response(200 if ok else 400)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST  # noqa: N815 - as the library calls it

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("token", ["token-canary", "expired-canary"])
def test_web_identity(bucket, tmp_path, monkeypatch, token):
    """The token of the environment is exchanged; no key stands in the settings."""
    service = ThreadingHTTPServer(("127.0.0.1", 0), TokenService)
    make_certificate(tmp_path / "sts.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "sts.pem", tmp_path / "sts.key")
    service.socket = tls.wrap_socket(service.socket, server_side=True)
    thread = threading.Thread(target=service.serve_forever)
    thread.start()
    (tmp_path / "token").write_text(token)
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/podium")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"https://127.0.0.1:{service.server_port}")
    TokenService.asked.clear()
    try:
        own = replace(
            bucket,
            credentials=WebIdentity(),
            retry_seconds=2,
            certificate_authority=(tmp_path / "sts.pem").read_text(),
        )
        with ArtifactStore(own) as store:
            if token == "token-canary":
                blob = store.put([b"hello"])
                assert b"".join(store.read(blob)) == b"hello"
            else:
                with pytest.raises(ArtifactError) as caught:
                    store.put([b"hello"])
                assert "canary" not in str(caught.value)
        assert TokenService.asked[0]["Action"] == "AssumeRoleWithWebIdentity"
        assert TokenService.asked[0]["RoleArn"].endswith("role/podium")
    finally:
        service.shutdown()
        thread.join()
        service.server_close()


@pytest.mark.parametrize("harm", ["kill", "freeze"])
def test_an_upload_outlives_a_server_that_is_gone_for_seconds(tmp_path, monkeypatch, harm):
    monkeypatch.setattr(stores, "PIECE_BYTES", 1 << 20)
    own = S3Server(tmp_path / "buckets")
    own.start()

    def away():
        own.kill() if harm == "kill" else own.freeze()
        return own.start if harm == "kill" else own.thaw

    with ArtifactStore(own.bucket("artifacts")) as store:
        upload_while(store, away, 3)
    left = [path for path in own.root.rglob("*") if ".sgwtmp" in str(path) and path.is_file()]
    assert not [path for path in left if "multipart" in str(path)], "no unfinished upload stays"
    own.kill()


def test_a_download_outlives_it_too(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "PIECE_BYTES", 1 << 20)
    own = S3Server(tmp_path / "buckets")
    own.start()
    source = make(tmp_path / "source", {f"f{i}": os.urandom(1 << 20) for i in range(12)})
    with ArtifactStore(own.bucket("artifacts")) as store:
        artifact = store_directory(store, "a", "a", source, "source")
        pieces = store.read(artifact.blob)
        next(pieces)
        own.kill()
        back = threading.Timer(2, own.start)
        back.start()
        (tmp_path / "target").mkdir()
        with Unpacking(tmp_path / "target") as unpacking:
            unpacking.add(store, artifact, "a")
        back.join()
        assert tree(tmp_path / "target/a") == tree(source)
    own.kill()
