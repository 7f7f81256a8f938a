"""Known vulnerabilities of the packages in .venv, by pip-audit: `make lint` calls it.

Where no registry answers, nothing is known: that is printed, and is no failure.
"""

import json
import subprocess
import sys
from pathlib import Path

COMMAND = (
    *(str(Path(sys.executable).with_name("pip-audit")), "--format", "json"),
    *("--progress-spinner", "off", "--skip-editable", "--timeout", "10"),
)
SECONDS = 120


def main(command: tuple[str, ...] = COMMAND) -> int:
    """Print what is known; return 1 if a package is vulnerable."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
        packages = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return _unknown("it takes too long")
    except (ValueError, KeyError, TypeError):
        return _unknown((done.stderr.strip().splitlines() or ["it said nothing"])[-1])
    checked = [each for each in packages if "skip_reason" not in each]
    if not checked:
        return _unknown("it knows none of the packages")
    bad = [each for each in checked if each["vulns"]]
    for each in bad:
        for found in each["vulns"]:
            fixed = ", ".join(found.get("fix_versions", ())) or "no version yet"
            print(f"audit: {each['name']} {each['version']}: {found['id']}, mended in {fixed}")
    if not bad:
        print(f"audit: no known vulnerability in {len(checked)} packages")
    return 1 if bad else 0


def _unknown(reason: str) -> int:
    print(f"audit: not checked, no registry answers here: {reason[:200]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
