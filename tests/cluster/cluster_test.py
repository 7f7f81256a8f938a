"""What the test cluster's tool promises and the tests on the cluster would not notice."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cluster import binaries, cluster, leftovers, processes

AGES = {"now": 0, "hour": 3600, "day": 24 * 3600}
MEDIA = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def registry(tmp_path):
    """Serve one image, app:1, and return the address."""
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MEDIA}).encode()
    digest = hashlib.sha256(manifest).hexdigest()
    blobs = tmp_path / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (blobs / digest).write_bytes(manifest)
    (tmp_path / "tags.json").write_text(json.dumps({"library/app:1": f"sha256:{digest}"}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = Path(processes.__file__).with_name("registry.py")
    with subprocess.Popen(
        [sys.executable, script, str(port), tmp_path], stderr=subprocess.DEVNULL
    ) as server:
        url = f"http://127.0.0.1:{port}/v2/"
        for _ in range(100):
            try:
                get(url)
                break
            except OSError:
                time.sleep(0.1)
        yield url, manifest, digest
        server.terminate()


def get(url, method="GET"):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, method=method), timeout=5) as answer:
        return answer.read(), answer.headers


def test_namespaces_of_killed_suites_are_removed_and_no_others(capsys):
    """As kubectl tells of them: one is stuck, one was never deleted, and others are in use."""
    ago = {
        name: f"{datetime.fromtimestamp(time.time() - s, UTC):%FT%TZ}" for name, s in AGES.items()
    }
    stuck, unused, used = ("conformance-0000000a", "crash-0000000b", "e2e-0000000c")
    spaces = [
        {"name": stuck, "creationTimestamp": ago["hour"], "deletionTimestamp": ago["hour"]},
        {"name": unused, "creationTimestamp": ago["day"]},
        {"name": used, "creationTimestamp": ago["hour"]},
        {"name": "e2e-0000000d", "creationTimestamp": ago["hour"], "deletionTimestamp": ago["now"]},
        {"name": "crash-team", "creationTimestamp": ago["day"]},
        {"name": "podium-system", "creationTimestamp": ago["day"]},
    ]
    pods = [{"name": "held", "finalizers": ["podium.dev/result"]}, {"name": "free"}]
    found = {("namespaces",): spaces, ("pods", "-n", stuck): pods}
    changes = []

    def kubectl(verb, *arguments):
        if verb != "get":
            changes.append((verb, *arguments))
            return subprocess.CompletedProcess(arguments, 0, "", "")
        items = [{"metadata": each} for each in found.get(arguments[:-2], ())]
        return subprocess.CompletedProcess(arguments, 0, json.dumps({"items": items}), "")

    leftovers.remove(kubectl)
    deleted = [each[2] for each in changes if each[:2] == ("delete", "namespace")]
    assert deleted == [stuck, unused]
    patched = [each[1:5] for each in changes if each[0] == "patch"]
    assert patched == [("pods", "held", "-n", stuck)]
    policies = {each[1:3] for each in changes if each[1].startswith("validatingadmission")}
    assert len(policies) == 4
    said = capsys.readouterr().err
    assert f"{stuck}, which a test suite left behind; took the finalizers off pods/held" in said
    assert unused in said


def test_the_registry_serves_an_image_by_tag_and_by_digest(registry):
    url, manifest, digest = registry
    for reference in ("1", f"sha256:{digest}"):
        body, headers = get(f"{url}library/app/manifests/{reference}?ns=docker.io")
        assert body == manifest
        assert headers["Content-Type"] == MEDIA
        assert headers["Docker-Content-Digest"] == f"sha256:{digest}"
    body, headers = get(f"{url}library/app/manifests/1", method="HEAD")
    assert (body, headers["Content-Length"]) == (b"", str(len(manifest)))
    assert get(f"{url}library/app/blobs/sha256:{digest}")[0] == manifest


@pytest.mark.parametrize(
    "path",
    [
        "library/app/manifests/2",
        "other/manifests/1",
        "library/app/blobs/sha256:" + "0" * 64,
        "library/app/blobs/..%2F..%2Ftags.json",
        "library/app/blobs/../../tags.json",
    ],
)
def test_the_registry_refuses_what_it_does_not_hold(registry, path):
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(registry[0] + path)
    assert refused.value.code == 404


def test_a_process_that_only_has_our_pid_is_not_ours(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "STATE", tmp_path)
    (tmp_path / "pids").mkdir()
    record = tmp_path / "pids" / "part.json"
    with subprocess.Popen(["sleep", "60"]) as other:
        record.write_text(json.dumps({"pid": other.pid, "started": "1", "recipe": ""}))
        assert processes.recorded("part") is None
        processes.stop("part")
        assert other.poll() is None
        assert not record.exists()
        other.terminate()


def test_a_part_starts_once_again_when_its_settings_change_and_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "STATE", tmp_path)
    settings = tmp_path / "settings"
    settings.write_text("1")
    part = processes.Component("part", ["sleep", "60"], lambda: True, [settings])
    assert processes.ensure(part)
    first = processes.recorded("part")["pid"]
    assert not processes.ensure(part)
    settings.write_text("2")
    assert processes.ensure(part)
    second = processes.recorded("part")["pid"]
    assert processes.start_time(first) is None
    assert second != first
    assert os.getsid(second) == second  # a session of its own outlives whoever started it
    processes.stop("part")
    assert processes.start_time(second) is None


@pytest.mark.parametrize("seen", [True, False], ids=["seen alive", "ended at once"])
def test_a_part_that_ends_says_what_it_last_said(tmp_path, monkeypatch, seen):
    if not seen:
        monkeypatch.setattr(processes, "start_time", lambda pid: None)
    monkeypatch.setattr(processes, "STATE", tmp_path)
    part = processes.Component("part", ["sh", "-c", "echo no such flag; exit 1"], lambda: False)
    processes.ensure(part)
    while not part.log.read_text():
        time.sleep(0.01)
    with pytest.raises(processes.ClusterError, match=r"part ended(?s:.*)no such flag"):
        processes.wait(part)


def test_every_program_of_the_cluster_can_be_built():
    assert set(cluster.PROGRAMS) <= set(binaries.PROGRAMS)
    for name, program in binaries.PROGRAMS.items():
        assert program.package.startswith(program.module), name
        assert binaries.path(name).parent.name == f"{name}-{program.version}"
