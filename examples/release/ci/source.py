"""Copy the package into the artifacts: all nodes work on the same files, none in your directory."""

import hashlib
import json
import os
import shutil
import sys
import tomllib
from pathlib import Path

missing = [tool for tool in ("ruff", "pytest", "hatchling") if shutil.which(tool) is None]
if missing:
    sys.exit(f"not in PATH: {', '.join(missing)}. `make setup` puts them beside podium")

package = Path("plaintable")
copy = Path(os.environ["PODIUM_ARTIFACTS_OUT"], package.name)
left_out = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info")
shutil.rmtree(copy, ignore_errors=True)  # of a try that was cut off
shutil.copytree(package, copy, ignore=left_out)

digest = hashlib.sha256()
files = sorted(path for path in copy.rglob("*") if path.is_file())
for path in files:
    content = path.read_bytes()
    digest.update(f"{path.relative_to(copy).as_posix()}\0{len(content)}\0".encode() + content)

project = tomllib.loads((copy / "pyproject.toml").read_text())["project"]
output = {
    "name": project["name"],
    "version": project["version"],
    "files": len(files),
    "lines": sum(path.read_bytes().count(b"\n") for path in files if path.suffix == ".py"),
    "sha256": digest.hexdigest(),
}
Path(os.environ["PODIUM_OUTPUT"]).write_text(json.dumps(output))
print(f"{output['name']} {output['version']}: {len(files)} files")
