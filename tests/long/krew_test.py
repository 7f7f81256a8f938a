"""`kubectl podium` from its archive, installed as krew does it, in a clean environment."""

import hashlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.e2e.support import ROOT
from tests.unit.cli.cluster.api_server import ApiServer

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]  # it builds what krew downloads

VERSION = "v0.1.0"
URL = "https://example.com/releases"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The archive for this machine and this Python, and the manifest."""
    out = tmp_path_factory.mktemp("krew")
    (uv,) = (path for path in (Path.home() / ".cache/podium").glob("uv-*/bin/uv"))
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    python = ".".join(map(str, sys.version_info[:2]))
    command = [sys.executable, ROOT / "plugins/krew/build.py", "--uv", uv, "--out", out]
    command += ["--url", URL, "--platform", f"linux/{machine}", "--python", python]
    subprocess.run(command, check=True)
    return out


def test_the_manifest_names_the_archive_by_its_digest(made):
    manifest = yaml.safe_load((made / "podium.yaml").read_text())
    assert (manifest["kind"], manifest["metadata"]["name"]) == ("Plugin", "podium")
    spec = manifest["spec"]
    assert spec.keys() >= {"version", "homepage", "shortDescription", "description", "platforms"}
    assert spec["version"] == VERSION
    (platform,) = spec["platforms"]
    (archive,) = made.glob("*.tar.gz")
    assert platform["uri"] == f"{URL}/{archive.name}"
    assert platform["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert platform["bin"] == "kubectl-podium"
    assert len(spec["shortDescription"]) <= 50, "krew's rule"


def test_what_krew_installs_runs_from_path(made, tmp_path):
    store = tmp_path / "store/podium" / VERSION
    store.mkdir(parents=True)
    (archive,) = made.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(store, filter="data")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/kubectl-podium").symlink_to(store / "kubectl-podium")
    path = f"{tmp_path}/bin:{Path(sys.executable).parent}:/usr/bin:/bin"
    env = {"PATH": path, "HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "kubeconfig")}

    def plugin(*arguments):
        command = ["kubectl-podium", *arguments]
        return subprocess.run(
            command, check=False, env=env, cwd=tmp_path, capture_output=True, text=True
        )

    assert plugin("--version").stdout == f"podium {VERSION[1:]}\n"
    server = ApiServer(tmp_path)
    server.runs["first"] = {"metadata": {"name": "first", "uid": "u", "namespace": "team"}}
    with server.running(tmp_path / "kubeconfig"):
        done = plugin("list", "-n", "team", "--kube-context", "prod")
    assert done.returncode == 0, done.stderr


def test_without_a_python_that_it_runs_with_it_says_so(made, tmp_path):
    (tmp_path / "bin").mkdir()
    for program in ("sh", "dirname", "readlink"):
        (tmp_path / "bin" / program).symlink_to(f"/bin/{program}")
    with tarfile.open(next(iter(made.glob("*.tar.gz")))) as tar:
        tar.extract("kubectl-podium", tmp_path, filter="data")
    done = subprocess.run(
        [tmp_path / "kubectl-podium"],
        check=False,
        env={"PATH": f"{tmp_path}/bin"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, "needs Python 3.11" in done.stderr) == (2, True)
