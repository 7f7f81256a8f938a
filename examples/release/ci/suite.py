"""Run one suite of tests, `suite.py tests/unit`; hand over what JUnit's XML says of it."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

source = Path(os.environ["PODIUM_ARTIFACTS_IN"], "source", "plaintable")
junit = Path(os.environ["PODIUM_ARTIFACTS_OUT"], "junit.xml")
command = [sys.executable, "-m", "pytest", "-q", sys.argv[1], f"--junitxml={junit}"]
# The sources are another node's artifacts: no cache may appear among them.
env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
with tempfile.TemporaryDirectory() as scratch:
    env["HYPOTHESIS_STORAGE_DIRECTORY"] = scratch
    code = subprocess.run(command, cwd=source, env=env).returncode
if code:
    sys.exit(code)
suite = ElementTree.parse(junit).getroot().find("testsuite").attrib
output = {
    "tests": int(suite["tests"]),
    "skipped": int(suite["skipped"]),
    "seconds": round(float(suite["time"]), 2),
}
Path(os.environ["PODIUM_OUTPUT"]).write_text(json.dumps(output))
