"""Debian packages that are missing."""

import os
import shutil
from pathlib import Path

from tests.cluster.console import ClusterError, run, step

# Package -> a file by which one sees that it (or another build of the same) is there.
CLUSTER = {
    "containerd": "containerd",
    "runc": "runc",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "conntrack": "conntrack",
    "nftables": "nft",
    "busybox-static": "/bin/busybox",
    "iproute2": "ip",
    "openssl": "openssl",
}
IMAGE = {"buildah": "buildah", "mmdebstrap": "mmdebstrap"}


def _there(sign: str) -> bool:
    return Path(sign).exists() if sign.startswith("/") else bool(shutil.which(sign))


def ensure(signs: dict[str, str]) -> None:
    """Install what is missing, and nothing when all is there: that takes no network."""
    missing = [package for package, sign in signs.items() if not _there(sign)]
    if not missing:
        return
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise ClusterError(f"install these, or run as root on Debian: {' '.join(missing)}")
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends"]
    with step(f"install {' '.join(missing)}"):
        run(["apt-get", "update", "-q"], env=env)
        run([*install, *missing], env=env)
    if absent := [package for package in missing if not _there(signs[package])]:
        raise ClusterError(f"installed, but not where it is looked for: {' '.join(absent)}")
