"""kubectl of this machine, as verbs on a cluster use it: with the rights of whoever calls them."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

from podium.cli.output import CliError

__all__ = ["Kubectl"]

REQUEST_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Kubectl:
    """One namespace of a cluster."""

    context: str | None = None
    """Of the kubeconfig; None: the current one."""
    namespace: str | None = None
    """None: that of the context."""

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Return an object. Raises `CliError`."""
        found: dict[str, Any] = json.loads(self("get", f"{kind}/{name}", "-o", "json"))
        return found

    def __call__(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Call kubectl and return what it printed. Raises `CliError` with what it says."""
        done = self.call(*arguments, stdin=stdin)
        if done.returncode != 0:
            words = done.stderr.decode(errors="replace").strip().removeprefix("error: ")
            raise CliError(f"the cluster: {words[-500:] or 'kubectl failed'}")
        return done.stdout

    def call(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Call kubectl. Raises `CliError` if there is none."""
        program = shutil.which("kubectl")
        if program is None:
            raise CliError("there is no kubectl in PATH, which verbs on a cluster need: install it")
        own = ["--context", self.context] if self.context else []
        own += ["--namespace", self.namespace] if self.namespace else []
        command = [program, *own, *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, check=False)
