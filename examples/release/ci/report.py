"""Sum the run up in report.md and report.json; it also runs when something before it failed."""

import json
import os
from pathlib import Path

out = Path(os.environ["PODIUM_ARTIFACTS_OUT"])
given = json.loads(Path(os.environ["PODIUM_INPUT"]).read_text())
done = given["dependencyOutputs"]
steps = ["source", "lint", "unit_tests", "property_tests", "build", "smoke"]
missing = [step for step in steps if step not in done]
suites = [done[step] for step in ("unit_tests", "property_tests") if step in done]

output = {
    "ready": not missing,
    "missing": missing,
    "tests": sum(suite["tests"] for suite in suites),
}


def told(step):
    """Return what a step has to say, in a few words."""
    if step in missing:
        return "**no result**"
    of = done[step]
    match step:
        case "source":
            return f"{of['name']} {of['version']}: {of['files']} files, {of['lines']} lines"
        case "lint":
            return f"{of['files']} files clean, ruff {of['ruff']}"
        case "build":
            return f"{of['wheel']}: {of['bytes']} bytes, {of['files']} files"
        case "smoke":
            return f"version {of['version']} runs from the wheel alone"
        case _:
            return f"{of['tests']} tests, {of['skipped']} skipped, {of['seconds']} s"


name = f"{done['source']['name']} {done['source']['version']}" if "source" in done else "a package"
lines = [f"# Release of {name}", ""]
lines += [f"Not ready: no result of {', '.join(missing)}." if missing else "Ready.", ""]
lines += ["| step | result |", "|---|---|", *(f"| {step} | {told(step)} |" for step in steps), ""]
if "build" in done:
    lines += [f"sha256 of the wheel: `{done['build']['sha256']}`", ""]
(out / "report.md").write_text("\n".join(lines))
(out / "report.json").write_text(json.dumps({**output, "steps": done}, indent=2) + "\n")
Path(os.environ["PODIUM_OUTPUT"]).write_text(json.dumps(output))
print("\n".join(lines))
