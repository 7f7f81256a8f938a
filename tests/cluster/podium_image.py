"""Podium's own image, built from the repository's Dockerfile without a container engine's daemon.

Both the base and the result lie in the cache. The base is Debian as its mirror has it on the day it is
made: delete its directory to renew it.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from tests.cluster import packages, teardown
from tests.cluster.console import run, say, step
from tests.cluster.places import CACHE, REPOSITORY

NAME = "docker.io/library/podium:dev"
BASE = "docker.io/library/debian:trixie-slim"
BASE_ARCHIVE = CACHE / "debian-trixie-slim" / "rootfs.tar"
RESULTS = CACHE / "image"
KEEP_LAYERS = 150
INPUTS = (
    *("Dockerfile", "requirements-uv.txt", "pyproject.toml", "uv.lock"),
    *("README.md", "LICENSE", "operator"),
)
BUILDAH = ["buildah", "--root", str(CACHE / "buildah"), "--runroot", str(CACHE / "buildah-run")]
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


def build() -> Path:
    """Return the archive of the image of the sources as they are, built unless it is there."""
    with tempfile.TemporaryDirectory() as directory:
        # A copy: what is hashed is what is built, also while somebody edits the sources.
        context = Path(directory)
        for name in INPUTS:
            source = REPOSITORY / name
            if source.is_dir():
                waste = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
                shutil.copytree(source, context / name, ignore=waste)
            else:
                shutil.copy2(source, context / name)
        archive = RESULTS / f"{_hash(context)[:16]}.tar"
        if archive.exists():
            say("image: nothing that goes into it changed")
            return archive
        packages.ensure(packages.IMAGE)
        try:
            _ensure_base()
            with step("build the image"):
                _build(context, archive)
        finally:
            # A failed build leaves its container behind, and every build its mounts.
            run([*BUILDAH, "rm", "--all"], check=False)
            teardown.unmount(CACHE / "buildah")
    for older in sorted(RESULTS.glob("*.tar"), key=lambda file: file.stat().st_mtime)[:-3]:
        older.unlink()
    return archive


def _hash(directory: Path) -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes())  # how it is built counts too
    for file in sorted(path for path in directory.rglob("*") if path.is_file()):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(directory)} {content}\n".encode())
    return digest.hexdigest()


def _ensure_base() -> None:
    if not BASE_ARCHIVE.exists():
        BASE_ARCHIVE.parent.mkdir(parents=True, exist_ok=True)
        fresh = BASE_ARCHIVE.with_suffix(f".{os.getpid()}.tar")
        # What the official image leaves out, this leaves out too.
        slim = [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale")]
        with step("make the base image from Debian's packages"):
            run(["mmdebstrap", "--variant=minbase", *slim, "trixie", fresh])
        fresh.rename(BASE_ARCHIVE)
    if run([*BUILDAH, "inspect", "--type", "image", BASE], check=False).returncode:
        with step("import the base image"):
            container = run([*BUILDAH, "from", "scratch"]).stdout.strip()
            run([*BUILDAH, "add", container, BASE_ARCHIVE, "/"])
            run([*BUILDAH, "config", "--cmd", "bash", container])
            run([*BUILDAH, "commit", "--rm", container, BASE])


def _build(context: Path, archive: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        # Whom this machine trusts, the package clients in the build trust too. Not mounted over
        # /etc/ssl/certs, where the package ca-certificates writes when it is installed.
        if AUTHORITIES.exists():
            shutil.copy2(AUTHORITIES, Path(directory) / "builder.crt")
        build = ["bud", "--pull-never", "--isolation", "chroot", "--network", "host", "--layers"]
        mount = ["--volume", f"{directory}:/usr/local/share/ca-certificates:ro"]
        run([*BUILDAH, *build, *mount, "--tag", NAME, context])
    RESULTS.mkdir(parents=True, exist_ok=True)
    fresh = archive.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    run([*BUILDAH, "push", "--format", "oci", NAME, f"oci-archive:{fresh}:{NAME}"])
    fresh.rename(archive)
    # Layers of earlier builds make the next one quick, but not for ever.
    if len(run([*BUILDAH, "images", "--all", "--quiet"]).stdout.split()) > KEEP_LAYERS:
        run([*BUILDAH, "rmi", "--prune"], check=False)
