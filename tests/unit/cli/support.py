"""The command line as users have it: a process, its output, its exit code."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PODIUM = str(Path(sys.executable).parent / "podium")
ENV = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    "COLUMNS": "120",
    "NO_COLOR": "1",
    # As in an activated virtual environment: nodes find the tools that `make setup` installs.
    "PATH": f"{Path(PODIUM).parent}:{os.environ['PATH']}",
    # Compiled once for all the commands of the tests, and not into the work tree.
    "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "podium-tests-pycache"),
}


class Directory:
    """A directory in which a user works with podium."""

    def __init__(self, path):
        self.path = path

    def write(self, name, text):
        (self.path / name).write_text(text)
        return name

    def workflow(self, *nodes, name="w", file="w.yaml", **spec):
        """Write a Workflow as JSON, which is YAML."""

        document = {
            "apiVersion": "podium.dev/v1alpha1",
            "kind": "Workflow",
            "metadata": {"name": name},
            "spec": {"nodes": list(nodes), **spec},
        }
        return self.write(file, json.dumps(document))

    def podium(self, *arguments, code=0, **env):
        done = subprocess.run(
            [PODIUM, *arguments],
            cwd=self.path,
            env={**ENV, **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def bash(self, command):
        """Run a line as it would be pasted into a shell."""
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.path,
            env=ENV,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )

    def start(self, *arguments, stdout=subprocess.PIPE, **env):
        return subprocess.Popen(
            [PODIUM, *arguments],
            cwd=self.path,
            env={**ENV, **env},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def read(self, name):
        return (self.path / name).read_text()

    def until(self, name, lines=1):
        """Wait until a file has so many lines."""
        while not (self.path / name).exists() or self.read(name).count("\n") < lines:
            time.sleep(0.02)
        return self.read(name)


def script(name, text, *after, **fields):
    return {
        "id": name,
        "executor": "script",
        "config": {"script": text},
        "dependsOn": list(after),
        **fields,
    }


def exists(pid):
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False
