"""Standard streams that are closed, full, or left by their reader: the run goes on to its end."""

import subprocess

import pytest

from podium.local.store import RunDirectory
from tests.unit.cli.main_test import PODIUM

WORKFLOW = """
apiVersion: podium.dev/v1alpha1
kind: Workflow
metadata: {name: w}
spec:
  nodes:
  - {id: a, executor: script, config: {script: "echo out; echo err >&2; ls -l /proc/self/fd"}}
  - {id: b, executor: script, dependsOn: [a], config: {script: "true"}}
"""


@pytest.mark.parametrize(
    "streams",
    [
        ">&-",
        "2>&-",
        "<&-",
        "<&- >&- 2>&-",
        "-o json >&-",
        "-o json 2>&-",
        ">/dev/full",
        ">/dev/full 2>&1",
        "-o json 2>/dev/full",
    ],
)
def test_a_run_whose_streams_are_gone_ends_well_and_without_a_traceback(tmp_path, streams):
    (tmp_path / "w.yaml").write_text(WORKFLOW)
    command = f"{PODIUM} run w.yaml --run-name r --state-dir s {streams}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0
    assert "Traceback" not in done.stdout + done.stderr
    directory = RunDirectory(tmp_path / "s", "r")
    _, status = directory.load()
    assert status.phase.value == "Succeeded"
    log = (directory.execution("a-1") / "log").read_text()
    assert log.startswith("out\nerr\n")
    for line in (directory.path / "log.jsonl").read_text().split("\n"):
        assert line == "" or line.startswith("{")


FIFO = """
apiVersion: podium.dev/v1alpha1
kind: Workflow
metadata: {name: w}
spec:
  nodes:
  - id: a
    executor: script
    config:
      script: |
        cd "${PODIUM_OUTPUT%/*}"; rm -f log.times NAME; mkfifo log.times NAME || true
        for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done; exit 3
"""


@pytest.mark.parametrize("name", ["log", "process", "log.times"])
def test_files_that_a_node_made_fifos_hold_up_no_command(tmp_path, name):
    (tmp_path / "w.yaml").write_text(FIFO.replace("NAME", name))
    for command in (
        "run w.yaml --run-name r --state-dir s",
        "logs r --timestamps --state-dir s",
        "rerun r --failed --state-dir s",
        "delete r --state-dir s",
    ):
        done = subprocess.run(
            [PODIUM, *command.split()],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "Traceback" not in done.stderr
