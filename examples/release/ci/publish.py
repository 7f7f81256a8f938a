"""Copy the wheel into the directory that pip's --find-links reads; a version never changes there."""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

name, digest = os.environ["WHEEL"], os.environ["SHA256"]
wheel = Path(os.environ["PODIUM_ARTIFACTS_IN"], "build", name)
index = Path(os.environ["INDEX"])
target = index / name


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


if sha256(wheel) != digest:
    sys.exit(f"{name} is not the file that was tested")
if target.exists() and sha256(target) != digest:
    sys.exit(f"{target} is there with other contents: raise the version in pyproject.toml")
index.mkdir(parents=True, exist_ok=True)
half = index / f".{name}.part"  # a reader of the index never sees half a wheel
shutil.copyfile(wheel, half)
half.replace(target)
sums = [f"{sha256(path)}  {path.name}\n" for path in sorted(index.glob("*.whl"))]
(index / "SHA256SUMS").write_text("".join(sums))
output = {"path": str(target.resolve()), "sha256": digest}
Path(os.environ["PODIUM_OUTPUT"]).write_text(json.dumps(output))
