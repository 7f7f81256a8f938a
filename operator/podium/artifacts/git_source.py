"""Git repositories, by the git of this machine: files of one commit, and nothing that runs.

No hook, submodule, filter or configuration of anyone's is used, redirects are not followed, and
symbolic links become files that hold their target.
"""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from podium.api.sources import GitSource
from podium.artifacts.addresses import resolved
from podium.artifacts.errors import ArtifactError
from podium.artifacts.http_connection import CONNECT_SECONDS, basic
from podium.artifacts.http_source import MAX_BYTES
from podium.artifacts.reach import Reach

__all__ = ["fetch_repository"]

MAX_SECONDS = 1800.0
"""For all of a repository."""
SILENCE_SECONDS = 60
"""After so long with next to nothing from a server of HTTP it is given up."""
_PORTS: Final = {"https": 443, "http": 80, "ssh": 22, "git": 9418}
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR")
_WORDS = 400
_SETTINGS: Final = {
    "advice.detachedHead": "false",
    "core.bigFileThreshold": "16m",  # larger ones are never whole in memory
    "core.hooksPath": os.devnull,
    "core.logAllRefUpdates": "false",
    "core.symlinks": "false",
    "core.fsmonitor": "false",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "pack.threads": "1",
    "http.followRedirects": "false",
    "http.lowSpeedLimit": "100",
    "http.lowSpeedTime": str(SILENCE_SECONDS),
    "protocol.allow": "never",
    "submodule.recurse": "false",
    "transfer.bundleURI": "false",
}


def fetch_repository(
    source: GitSource,
    directory: Path,
    secret: Mapping[str, str],
    is_stopped: Callable[[], bool],
    reach: Reach,
) -> None:
    """Put the files of a commit, and its history in `.git`, into an empty directory.

    `secret` is what its secretRef names. Raises `ArtifactError`, `OSError`, `InterruptedError` once
    it is stopped.
    """
    url = urlsplit(source.repository)
    if url.scheme not in reach.schemes:
        allowed = ", ".join(f"{each}://" for each in reach.schemes)
        message = f"{source.repository}: only {allowed} are allowed here"
        raise ArtifactError(message, is_retryable=False)
    settings = {**_SETTINGS, f"protocol.{url.scheme}.allow": "always"}
    repository, more = source.repository, {}
    if url.hostname and url.scheme in _PORTS:
        port = url.port or _PORTS[url.scheme]
        addresses = resolved(url.hostname, port, reach)
        if url.scheme in ("https", "http"):
            pinned = ",".join(map(_in_url, addresses))
            settings["http.curloptResolve"] = f"{url.hostname}:{port}:{pinned}"
        elif url.scheme == "git":
            address = _in_url(_answering(addresses, port))
            repository = url._replace(netloc=f"{address}:{port}").geturl()
            more["GIT_OVERRIDE_VIRTUAL_HOST"] = f"{_in_url(url.hostname)}:{port}"
    if authorities := os.environ.get("SSL_CERT_FILE"):  # which git alone does not look at
        settings["http.sslCAInfo"] = authorities
    if secret:
        user = {"username": "token", "password": secret["token"]} if "token" in secret else secret
        settings[f"http.{url.scheme}://{url.netloc}/.extraHeader"] = f"Authorization: {basic(user)}"
    git = _Git(directory, _environment(settings) | more, is_stopped, source.repository)
    git.run("init", "--quiet", "--template=")
    depth = [f"--depth={source.depth}"] if source.depth else []
    fetch = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"]
    to = "refs/podium/fetched"
    git.run(*fetch, *depth, "--", repository, f"+{source.ref or 'HEAD'}:{to}")
    git.run("checkout", "--quiet", "--detach", "--no-recurse-submodules", to, "--")


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _answering(addresses: Iterable[str], port: int) -> str:
    """Return the first address that can be connected to; of none of them, the first."""
    first, *others = addresses
    for address in (first, *others):
        with contextlib.suppress(OSError):
            socket.create_connection((address, port), CONNECT_SECONDS).close()
            return address
    return first


class _Git:
    """The git of this machine, for one repository."""

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        is_stopped: Callable[[], bool],
        shown: str,
    ) -> None:
        self._directory = directory
        self._environment = environment
        self._is_stopped = is_stopped
        self._shown = shown
        self._end = time.monotonic() + MAX_SECONDS

    def run(self, *arguments: str) -> None:
        """Run a command to its end."""
        with tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(
                    ["git", *arguments],
                    cwd=self._directory,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    start_new_session=True,
                )
            except FileNotFoundError:
                message = f"{self._shown}: there is no program git: install it"
                raise ArtifactError(message, is_retryable=False) from None
            try:
                if hasattr(resource, "prlimit"):
                    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (MAX_BYTES, MAX_BYTES))
                self._wait(process)
            finally:
                _kill(process)
            if process.returncode:
                said.seek(0)
                raise self._failed(said.read(1 << 16).decode(errors="replace"))

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        while True:
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                if self._is_stopped():
                    raise InterruptedError("stopped") from None
                if time.monotonic() > self._end:
                    message = f"{self._shown}: takes longer than {MAX_SECONDS:.0f} seconds"
                    raise ArtifactError(message) from None
            else:
                return

    def _failed(self, text: str) -> ArtifactError:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        said = " / ".join(lines)[-_WORDS:]
        final = any(each in said for each in ("couldn't find remote ref", "not our ref"))
        return ArtifactError(f"{self._shown}: git says: {said}", is_retryable=not final)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End what is left of a command and of its helpers."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of git; settings are in it, since `ps` shows arguments."""
    found = {name: os.environ[name] for name in _KEPT if name in os.environ}
    found |= {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=15",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_PROTOCOL_FROM_USER": "0",
        "LC_ALL": "C",
        "GIT_CONFIG_COUNT": str(len(settings)),
    }
    for number, (name, value) in enumerate(settings.items()):
        found |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return found
