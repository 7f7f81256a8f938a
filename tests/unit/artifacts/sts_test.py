"""Credentials for a token, of a real token service: they end and are renewed while files are stored."""

import hashlib
import os
import time

import pytest

from podium.artifacts.errors import ArtifactError
from podium.artifacts.settings import S3Settings, StaticKeys, WebIdentity
from podium.artifacts.store import ArtifactStore
from tests.unit.artifacts.s3 import S3Server
from tests.unit.artifacts.sts import ROLE, token_service

SECONDS = 2.0
TOKEN = "eyJ.canary-token." + "x" * 3000


@pytest.fixture
def server(tmp_path):
    with S3Server(tmp_path / "s3", accounts=True) as made:
        made.bucket("bucket")
        yield made


@pytest.fixture
def token(tmp_path, monkeypatch):
    """The file that a kubelet would write, and renew."""
    path = tmp_path / "token"
    path.write_text(TOKEN)
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(path))
    return path


@pytest.fixture
def service(server, token, tmp_path, monkeypatch):
    accepted = [TOKEN]
    with token_service(
        server, lambda given: given in accepted, tmp_path / "sts.pem", seconds=SECONDS
    ) as made:
        made.accepted = accepted
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", made.endpoint)
        yield made


def settings_of(server, service, **more):
    return S3Settings(
        "bucket",
        WebIdentity(),
        endpoint=server.endpoint,
        certificate_authority=service.authority,
        retry_seconds=20,
        **more,
    )


def test_credentials_end_and_are_renewed_while_a_file_is_stored(server, service, token):
    data = os.urandom(48 << 20)

    def slowly():
        """So that it takes longer than credentials and a token live."""
        for start in range(0, len(data), 1 << 20):
            yield data[start : start + (1 << 20)]
            time.sleep(0.12)
            if start == 20 << 20:  # as a kubelet renews it: the old one is not taken any more
                service.accepted[:] = ["renewed"]
                token.write_text("renewed")

    with ArtifactStore(settings_of(server, service)) as store:
        blob = store.put(slowly())
        found = b"".join(store.read(blob))
    assert hashlib.sha256(found).digest() == hashlib.sha256(data).digest()
    assert len(service.issued) >= 2
    assert set(service.taken) == {TOKEN, "renewed"}
    assert service.refused == 0
    service.sweep()
    first = StaticKeys(*service.issued[0])
    with (
        ArtifactStore(server.settings("bucket", credentials=first, retry_seconds=1)) as late,
        pytest.raises(ArtifactError, match="check the credentials"),
    ):
        late.put([b"x"])


def test_a_token_that_is_not_taken_is_said_and_not_shown(server, service, token):
    token.write_text(f"{TOKEN}wrong")
    with (
        ArtifactStore(settings_of(server, service)) as store,
        pytest.raises(ArtifactError) as caught,
    ):
        store.put([b"x"])
    assert "check what the role trusts (InvalidIdentityToken)" in str(caught.value)
    assert not caught.value.is_retryable
    assert "canary" not in str(caught.value)
    assert "xxx" not in str(caught.value)
    assert service.issued == []


def test_without_a_token_it_is_said(server, service, token):
    token.unlink()
    with (
        ArtifactStore(settings_of(server, service)) as store,
        pytest.raises(ArtifactError, match="token"),
    ):
        store.put([b"x"])
