"""The property tests with ten times as many random cases as in a usual run, other ones each time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROPERTIES = sorted(path.name for path in (ROOT / "tests/property").glob("*_test.py"))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("file", PROPERTIES)
def test_properties_hold_for_many_random_cases(file):
    command = [sys.executable, "-m", "pytest", "-q", "--timeout=3000", f"tests/property/{file}"]
    done = subprocess.run(
        [*command, "--hypothesis-seed=random"],
        cwd=ROOT,
        env={**os.environ, "PODIUM_FUZZ": "10"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-10_000:]
