"""`make krew`: the archives of `kubectl podium`, and the manifest with their digests.

An archive has the libraries for every Python that Podium runs with, side by side: what is compiled
has names of its own for each, and all else is the same. The same sources make the same bytes.
"""

import argparse
import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path
from shutil import copytree

import yaml

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = {
    "linux/amd64": "x86_64-manylinux_2_28",
    "linux/arm64": "aarch64-manylinux_2_28",
    "darwin/amd64": "x86_64-apple-darwin",
    "darwin/arm64": "aarch64-apple-darwin",
}
"""As krew names platforms, and as uv does."""
OWN = ("kubectl-podium", "plugin.py")


def main(arguments: list[str]) -> int:
    """Make what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", required=True, help="path of uv")
    parser.add_argument("--out", type=Path, default=ROOT / "dist/krew")
    parser.add_argument("--url", required=True, help="where the archives of a release are")
    parser.add_argument(
        "--python", action="append", choices=PYTHONS, help="with the libraries for it; default: all"
    )
    parser.add_argument("--platform", action="append", choices=PLATFORMS, help="default: all")
    asked = parser.parse_args(arguments)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    asked.out.mkdir(parents=True, exist_ok=True)
    platforms = []
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        wheel = _wheel(work)
        required = work / "requirements.txt"
        _run(asked.uv, "export", "--quiet", "--frozen", "--no-dev", "--extra", "operator",
             "--no-emit-project", "--output-file", required)  # fmt: skip
        for platform in asked.platform or PLATFORMS:
            system, machine = platform.split("/")
            place, pythons = work / system / machine, asked.python or PYTHONS
            lib = _libraries(asked.uv, required, PLATFORMS[platform], place, pythons)
            with zipfile.ZipFile(wheel) as contents:
                contents.extractall(lib)  # noqa: S202 - our own
            archive = asked.out / f"kubectl-podium-v{version}-{system}-{machine}.tar.gz"
            _pack(lib, archive)
            digest = hashlib.sha256(archive.read_bytes()).hexdigest()
            platforms.append({
                "selector": {"matchLabels": {"os": system, "arch": machine}},
                "uri": f"{asked.url.rstrip('/')}/{archive.name}",
                "sha256": digest,
                "bin": OWN[0],
            })  # fmt: skip
            print(f"{digest}  {archive}")
    made = asked.out / "podium.yaml"
    filled = {"version": f"v{version}", "homepage": asked.url, "platforms": platforms}
    added = textwrap.indent(yaml.safe_dump(filled, sort_keys=False, width=200), "  ")
    made.write_text((HERE / "podium.yaml").read_text() + added)
    print(made)
    return 0


def _wheel(work: Path) -> Path:
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", work)
    (found,) = work.glob("podium-*.whl")
    return found


def _libraries(uv: str, required: Path, platform: str, work: Path, pythons: Iterable[str]) -> Path:
    """Return a directory with all libraries, for these Pythons, as the lock has them."""
    lib = work / "lib"
    for python in pythons:
        target = work / python
        _run(uv, "pip", "install", "--quiet", "--target", target, "--python-version", python,
             "--python-platform", platform, "--only-binary", ":all:", "--no-deps",
             "--require-hashes", "--requirement", required)  # fmt: skip
        copytree(target, lib, dirs_exist_ok=True)
    return lib


def _pack(lib: Path, archive: Path) -> None:
    files = {path.relative_to(lib.parent).as_posix(): path for path in lib.rglob("*")}
    kept = {
        name: path
        for name, path in files.items()
        if path.is_file() and "__pycache__" not in path.parts and not name.startswith("lib/bin/")
    }
    kept |= {name: HERE / name for name in OWN} | {"LICENSE": ROOT / "LICENSE"}
    with (
        archive.open("wb") as file,
        gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, path in sorted(kept.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = path.stat().st_size, 0o755 if name == OWN[0] else 0o644
            tar.addfile(entry, io.BytesIO(path.read_bytes()))


def _run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
