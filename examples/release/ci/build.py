"""Build the wheel into the artifacts, without network; hand over its name, size and digest."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

source = Path(os.environ["PODIUM_ARTIFACTS_IN"], "source", "plaintable")
out = Path(os.environ["PODIUM_ARTIFACTS_OUT"])
env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
code = subprocess.run(["hatchling", "build", "-t", "wheel", "-d", out], cwd=source, env=env)
if code.returncode:
    sys.exit(code.returncode)
(wheel,) = out.glob("*.whl")
output = {
    "wheel": wheel.name,
    "bytes": wheel.stat().st_size,
    "files": len(zipfile.ZipFile(wheel).namelist()),
    "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
}
Path(os.environ["PODIUM_OUTPUT"]).write_text(json.dumps(output))
