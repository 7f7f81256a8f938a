"""Fixtures of tests in several directories."""

import pytest


@pytest.fixture
def s3_server(tmp_path):
    """A real S3 server with the bucket `artifacts`."""
    from tests.unit.artifacts.s3 import S3Server  # noqa: PLC0415 - few tests need it

    with S3Server(tmp_path / "s3") as server:
        server.bucket("artifacts")
        yield server
