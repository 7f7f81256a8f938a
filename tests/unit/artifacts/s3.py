"""A real S3 server of this machine: versitygw over a directory, which can be killed and come back."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from podium.artifacts.settings import S3Settings, StaticKeys
from tests.cluster import binaries

KEYS = StaticKeys("podium-tests", "not-secret-canary")


def make_certificate(path: Path, address="127.0.0.1"):
    """Make a certificate of an address that vouches for itself, and its key beside it."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=podium tests", "-addext", f"subjectAltName=IP:{address}"),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
            *("-keyout", path.with_suffix(".key"), "-out", path),
        ],
        check=True,
        capture_output=True,
    )


class S3Server:
    """On a free port, which it keeps. Buckets are directories of `root`."""

    def __init__(
        self, root: Path, *, tls: bool = False, address: str = "127.0.0.1", accounts: bool = False
    ) -> None:
        binaries.ensure(["versitygw"])
        self.root = root
        self.certificate = root.with_name(f"{root.name}.pem") if tls else None
        """Of an authority of its own, which nobody trusts unless told to."""
        self._log = root.with_name(f"{root.name}.log")
        root.mkdir()
        self._accounts = root.with_name(f"{root.name}-accounts") if accounts else None
        if self._accounts is not None:
            self._accounts.mkdir()
        self._address = address
        with socket.socket() as free:
            free.bind((address, 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    @property
    def endpoint(self):
        return f"http{'s' if self.certificate else ''}://{self._address}:{self.port}"

    def bucket(self, name):
        (self.root / name).mkdir()
        return self.settings(name)

    def settings(self, bucket, **more):
        given = {"credentials": KEYS, "endpoint": self.endpoint, "retry_seconds": 60, **more}
        return S3Settings(bucket, **given)

    def start(self):
        command = [
            binaries.path("versitygw"),
            "--port",
            f"{self._address}:{self.port}",
            "posix",
            self.root,
        ]
        if self.certificate is not None:
            if not self.certificate.exists():
                make_certificate(self.certificate, self._address)
            key = self.certificate.with_suffix(".key")
            command[1:1] = ["--cert", self.certificate, "--key", key]
        if self._accounts is not None:
            command[1:1] = ["--iam-dir", self._accounts, "--iam-cache-disable"]
        keys = {
            "ROOT_ACCESS_KEY": KEYS.access_key_id,
            "ROOT_SECRET_KEY": KEYS.secret_access_key,
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=os.environ | keys, stdout=log, stderr=log)
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection((self._address, self.port), timeout=1).close()
            except OSError:
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < end, self._log.read_text()
                time.sleep(0.05)
            else:
                return

    def set_accounts(self, accounts):
        """Let the server know these keys and secrets beside its own, and no others."""
        made = {
            key: {"access": key, "secret": secret, "role": "admin", "userID": 0, "groupID": 0}
            for key, secret in accounts.items()
        }
        fresh = self._accounts / "fresh"
        fresh.write_text(json.dumps({"accessAccounts": made}))
        fresh.rename(self._accounts / "users.json")

    def kill(self):
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)
