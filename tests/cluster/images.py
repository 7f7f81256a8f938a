"""The images that the cluster can pull: pause, busybox, and Podium's own.

All lie in the directory that registry.py serves, and each is pulled once into containerd ahead of use.
"""

import hashlib
import io
import json
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from tests.cluster.console import run
from tests.cluster.places import CONTAINERD_SOCKET, HOSTS, STORE

PAUSE = "localhost/podium-pause:1"
BUSYBOX = "docker.io/library/busybox:latest"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CTR = ["ctr", "--address", str(CONTAINERD_SOCKET), "--namespace", "k8s.io"]

PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n"
GROUP = "root:x:0:\nnobody:x:65534:\n"


def ensure() -> None:
    """Put pause and busybox into the registry's directory."""
    tags = _tags()
    if PAUSE in tags and BUSYBOX in tags:
        return
    layer = _busybox_layer()
    _add(BUSYBOX, layer, {"Cmd": ["sh"]})
    # The sandbox's process has only to be there. Nobody waits for it: it is killed.
    _add(PAUSE, layer, {"Entrypoint": ["/bin/sleep", "2147483647"]})


def pull(name: str) -> bool:
    """Make containerd hold what the registry serves under a name; return whether it did not."""
    listed = run([*CTR, "images", "ls", f"name=={name}"]).stdout
    if _tags()[name] in listed:
        return False
    run([*CTR, "images", "pull", "--hosts-dir", HOSTS, name])
    return True


def publish(archive: Path, name: str) -> None:
    """Serve the image of an OCI archive under a name."""
    blobs = STORE / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=STORE) as directory:
        with tarfile.open(archive) as tar:
            tar.extractall(directory, filter="data")
        index = json.loads((Path(directory) / "index.json").read_text())
        for blob in (Path(directory) / "blobs" / "sha256").iterdir():
            blob.rename(blobs / blob.name)
    _tag(name, index["manifests"][0]["digest"])


def _tags() -> dict[str, str]:
    """Return which digest each full name has."""
    try:
        return dict(json.loads((STORE / "names.json").read_text()))
    except FileNotFoundError:
        return {}


def _tag(name: str, digest: str) -> None:
    """Name an image: in full for this tool, and without its registry for the one that serves it."""
    names = _tags() | {name: digest}
    served = {full.partition("/")[2]: digest for full, digest in names.items()}
    for file, content in (("tags.json", served), ("names.json", names)):
        fresh = STORE / f"{file}.new"
        fresh.write_text(json.dumps(content, indent=2))
        fresh.rename(STORE / file)  # the registry may read at any time


def _blob(content: bytes, media: str) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    directory = STORE / "blobs" / "sha256"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / digest).write_bytes(content)
    return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(content)}


def _add(name: str, layer: bytes, config: dict[str, Any]) -> None:
    """Make an image of one layer."""
    path = {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}
    diff = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    settings = {
        "architecture": _architecture(),
        "os": "linux",
        "config": path | config,
        "rootfs": {"type": "layers", "diff_ids": [diff]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _blob(json.dumps(settings).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [_blob(layer, "application/vnd.oci.image.layer.v1.tar")],
    }
    _tag(name, _blob(json.dumps(manifest).encode(), MANIFEST)["digest"])


def _architecture() -> str:
    """Return this machine's architecture in the words of image formats."""
    machine = run(["uname", "-m"]).stdout.strip()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _busybox_layer() -> bytes:
    """Pack the static busybox of this machine as a file system."""
    program = shutil.which("busybox") or "/bin/busybox"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:

        def add(name: str, kind: bytes, mode: int, content: bytes = b"", link: str = "") -> None:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(content), link
            tar.addfile(entry, io.BytesIO(content))

        for directory in (
            "bin",
            "dev",
            "etc",
            "home",
            "proc",
            "root",
            "sys",
            "usr",
            "usr/bin",
            "var",
        ):
            add(directory, tarfile.DIRTYPE, 0o755)
        add("tmp", tarfile.DIRTYPE, 0o1777)
        add("var/tmp", tarfile.DIRTYPE, 0o1777)
        add("etc/passwd", tarfile.REGTYPE, 0o644, PASSWD.encode())
        add("etc/group", tarfile.REGTYPE, 0o644, GROUP.encode())
        add("bin/busybox", tarfile.REGTYPE, 0o755, Path(program).read_bytes())
        for applet in run([program, "--list"]).stdout.split():
            if applet != "busybox":
                add(f"bin/{applet}", tarfile.SYMTYPE, 0o777, link="busybox")
        add("usr/bin/env", tarfile.SYMTYPE, 0o777, link="/bin/busybox")
    return out.getvalue()
