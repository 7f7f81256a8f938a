"""The cluster made by kind, where Docker answers and the node image can be had."""

import shutil
from pathlib import Path

from tests.cluster import binaries
from tests.cluster.console import run, say, step
from tests.cluster.places import KUBECONFIG, STATE

NODE_IMAGE = "kindest/node:v1.35.0"  # what this version of kind was released with
NAME = "podium"
MARK = STATE / "kind"


def possible() -> bool:
    """Return whether kind can work here; the image is pulled now, or it is not there to be had."""
    if not shutil.which("docker"):
        return False
    if run(["docker", "info"], check=False, timeout=20).returncode:
        return False
    if run(["docker", "image", "inspect", NODE_IMAGE], check=False).returncode:
        with step(f"pull {NODE_IMAGE}"):
            pull = run(["docker", "pull", "-q", NODE_IMAGE], check=False, timeout=600)
        if pull.returncode:
            say(f"no node image for kind, the cluster is built from its parts: {pull.stderr}")
            return False
    return True


def _kind() -> str | Path:
    if found := shutil.which("kind"):
        return found
    binaries.ensure(["kind"])
    return binaries.path("kind")


def up() -> None:
    """Make the cluster unless it is there."""
    kind = _kind()
    if NAME not in run([kind, "get", "clusters"]).stdout.split():
        create = ["create", "cluster", "--name", NAME, "--image", NODE_IMAGE, "--wait", "180s"]
        with step("make the cluster with kind"):
            run([kind, *create, "--kubeconfig", KUBECONFIG])
    MARK.touch()
    run([kind, "export", "kubeconfig", "--name", NAME, "--kubeconfig", KUBECONFIG])


def down() -> None:
    """Delete the cluster."""
    run([_kind(), "delete", "cluster", "--name", NAME])
    shutil.rmtree(STATE)


def kill_apiserver() -> None:
    """Kill the API server; its kubelet starts it again."""
    run(["docker", "exec", f"{NAME}-control-plane", "pkill", "-KILL", "kube-apiserver"])


def load(archive: Path) -> None:
    """Hand an image to the node."""
    run([_kind(), "load", "image-archive", archive, "--name", NAME])
