"""Ending containers, and removing mounts, namespaces, cgroups and rules after the last process.

Everything of ours is found by what carries our own directory, socket or network name; nothing else is
touched.
"""

import os
import shutil
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

from tests.cluster import processes
from tests.cluster.console import ClusterError, run, say
from tests.cluster.images import CTR
from tests.cluster.places import CONTAINERD_SOCKET, CONTAINERD_STATE, STATE

CGROUPS = Path("/sys/fs/cgroup")
# Directories that the parts make at a place of their own choice; removed when empty, children first.
FIXED = (
    "/run/containerd/s",
    "/run/containerd",
    "/var/lib/cni/results",
    "/var/lib/cni",
    "/var/lib/kubelet/device-plugins",
    "/var/lib/kubelet",
    "/var/log/containers",
)


def end_containers() -> None:
    """End every container: by containerd, which tidies up, else by the shims themselves."""
    if processes.recorded("containerd"):
        tasks = run([*CTR, "tasks", "ls", "-q"], check=False, timeout=20).stdout.split()
        if tasks:
            run([*CTR, "tasks", "delete", "--force", *tasks], check=False, timeout=60)
    end = time.monotonic() + 10
    # A shim that is killed leaves its socket, at a place that is not ours to choose.
    left = [file.read_text().strip() for file in CONTAINERD_STATE.glob("*/*/*/address")]
    while shims := _shims():
        for shim in shims:
            for pid in [*_children(shim), shim]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if time.monotonic() > end:
            raise ClusterError(f"these container shims do not end: {shims}")
        time.sleep(0.1)
    for address in left:
        Path(address.removeprefix("unix://")).unlink(missing_ok=True)


def _shims() -> list[int]:
    """Find the shims that speak to our containerd's socket."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (directory / "cmdline").read_bytes().split(b"\0")
            ours = bytes(CONTAINERD_SOCKET) in words
            if ours and Path(words[0].decode()).name.startswith("containerd-shim"):
                found.append(int(directory.name))
    return [pid for pid in found if processes.start_time(pid)]


def _children(pid: int) -> list[int]:
    """Return all processes below one, the nearest last."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):
            for child in map(int, (task / "children").read_text().split()):
                found = [*_children(child), child, *found]
    return found


def _mounts(root: Path) -> list[str]:
    """Return what is mounted on a directory and below it, the newest first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        # Blanks in paths are written as octal.
        where = line.split()[4].encode().decode("unicode_escape")
        if Path(where).is_relative_to(root):
            found.append(where)
    return found[::-1]


def unmount(root: Path) -> None:
    """Unmount all below a directory, or fail: deleting it then would delete what is mounted there."""
    for where in _mounts(root):
        if run(["umount", where], check=False).returncode:
            run(["umount", "--lazy", where], check=False)
    if left := _mounts(root):
        raise ClusterError(f"still mounted: {' '.join(left)}")


def remove() -> None:
    """Remove what no process holds any more, the directory itself last."""
    unmount(STATE)
    if processes.Component("kube-proxy", [], bool).log.exists():
        for family in ("ip", "ip6"):
            run(["nft", "delete", "table", family, "kube-proxy"], check=False)
    _remove_cgroups()
    for link in Path("/var/log/containers").glob("*.log"):
        if link.is_symlink() and link.readlink().is_relative_to(STATE):
            link.unlink()
    for result in Path("/var/lib/cni/results").glob("*"):
        if f"{STATE}/" in result.read_text(errors="replace"):
            result.unlink()
    _remove_dead_socket("/var/lib/kubelet/device-plugins/kubelet.sock")
    for directory in FIXED:
        with suppress(OSError):  # not there, or not ours alone
            Path(directory).rmdir()
    shutil.rmtree(STATE, ignore_errors=True)
    if STATE.exists():
        say(f"{STATE} could not be removed whole")


def _remove_dead_socket(path: str) -> None:
    """Remove a socket unless some process, which is not ours, still listens."""
    with socket.socket(socket.AF_UNIX) as client, suppress(FileNotFoundError):
        try:
            client.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()


def _remove_cgroups() -> None:
    """Remove the kubelet's groups where they are empty: the kernel refuses the others."""
    for hierarchy in (CGROUPS, *CGROUPS.glob("*/")):
        root = hierarchy / "kubepods"
        if root.is_dir():
            for directory, _, _ in os.walk(root, topdown=False):
                with suppress(OSError):
                    Path(directory).rmdir()
