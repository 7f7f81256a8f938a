"""Standard streams that are closed, full, or left by their reader: the run goes on to its end."""

import os
import subprocess
from pathlib import Path

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


LOST = "podium: cannot write the output: No space left on device\n"


def shell(
    command: str, directory: Path, unbuffered: str = "", stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command],
        cwd=directory,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize(
    ("streams", "code", "message"),
    [
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        ("<&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        ("-o json >&-", 0, None),
        ("-o json 2>&-", 0, ""),
        (">/dev/full", 1, LOST),
        (">/dev/full 2>&1", 1, ""),
        ("-o json >/dev/full", 1, None),
        ("-o json 2>/dev/full", 0, ""),
    ],
)
def test_a_run_goes_on_without_its_streams_and_says_that_its_output_is_lost(
    tmp_path, streams, code, message
):
    (tmp_path / "w.yaml").write_text(WORKFLOW)
    command = f"{PODIUM} run w.yaml --run-name r --state-dir s {streams}"
    done = shell(command, tmp_path)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    if message is not None:  # else progress is there as well
        assert done.stderr == message
    assert done.stderr.endswith(LOST) == (code == 1 and "2>" not in streams)
    directory = RunDirectory(tmp_path / "s", "r")
    _, status = directory.load()
    assert status.phase.value == "Succeeded"
    log = (directory.execution("a-1") / "log").read_text()
    assert log.startswith("out\nerr\n")
    for line in (directory.path / "log.jsonl").read_text().split("\n"):
        assert line == "" or line.startswith("{")


def test_a_run_whose_reader_left_goes_on_in_silence(tmp_path, closed_pipe):
    (tmp_path / "w.yaml").write_text(WORKFLOW)
    done = shell(f"{PODIUM} run w.yaml --run-name r --state-dir s", tmp_path, stdout=closed_pipe)
    assert (done.returncode, done.stderr) == (141, "")
    assert RunDirectory(tmp_path / "s", "r").load()[1].phase.value == "Succeeded"


@pytest.mark.parametrize(
    "command",
    [
        "get",
        "get r",
        "get r a",
        "get r -o json",
        "logs r",
        "context r",
        "validate w.yaml",
        "graph w.yaml",
        "schema",
        "explain",
        "completion bash",
        "--help",
        "run --help",
        "version",
    ],
)
def test_what_cannot_be_printed_is_an_error_that_a_closed_pipe_keeps_silent(
    finished_run, closed_pipe, command
):
    done = shell(f"{PODIUM} {command} >/dev/full", finished_run)
    assert (done.returncode, done.stderr) == (1, LOST)
    done = shell(f"{PODIUM} {command}", finished_run, stdout=closed_pipe)
    assert (done.returncode, done.stderr) == (141, "")


def test_streams_that_python_does_not_buffer_are_looked_after_as_well(finished_run):
    done = shell(f"{PODIUM} get r >/dev/full", finished_run, unbuffered="1")
    assert (done.returncode, done.stderr) == (1, LOST)


@pytest.mark.parametrize("streams", ["2>/dev/full", "2>&-", ">/dev/full 2>&1"])
def test_an_error_that_cannot_be_said_keeps_its_exit_code(tmp_path, streams):
    done = shell(f"{PODIUM} validate missing.yaml {streams}", tmp_path)
    assert done.returncode == (1 if streams.startswith(">") else 2)
    assert "Traceback" not in done.stdout + done.stderr


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("finished")
    (directory / "w.yaml").write_text(WORKFLOW)
    assert shell(f"{PODIUM} run w.yaml --run-name r", directory).returncode == 0
    return directory


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
