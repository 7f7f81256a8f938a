"""podium logs: which executions, in which order, how much of them."""

import re
import subprocess
import time

import pytest

from podium.cli import log_output
from podium.cli.log_files import LineTimes
from podium.cli.log_output import LogOptions, print_logs
from podium.local.secrets import Mask
from podium.local.store import RunDirectory
from tests.unit.cli.support import Directory, script


@pytest.fixture
def here(tmp_path):
    return Directory(tmp_path)


RETRIED = (
    script("z", "echo first; echo of-z"),
    script(
        "b",
        "echo b $PODIUM_EXECUTION; test $PODIUM_EXECUTION = b-2",
        "z",
        retryPolicy={"maxAttempts": 2, "backoffSeconds": 0.1},
    ),
    script("a", "echo last", "b"),
)


def test_the_newest_execution_of_each_node_in_the_order_of_their_starts(here):
    here.podium("run", here.workflow(*RETRIED), "--run-name", "one")
    assert here.podium("logs", "one").stdout == "[z] first\n[z] of-z\n[b] b b-2\n[a] last\n"
    assert here.podium("logs", "one", "b").stdout == "b b-2\n"
    assert here.podium("logs", "one", "b", "--previous").stdout == "b b-1\n"
    assert here.podium("logs", "one", "-p").stdout == "[b] b b-1\n"
    assert here.podium("logs", "one", "--execution", "b-1").stdout == "b b-1\n"
    assert here.podium("logs", "one", "--tail", "1").stdout == "[z] of-z\n[b] b b-2\n[a] last\n"
    assert here.podium("logs", "one", "z", "--tail", "0").stdout == ""
    for arguments, said in (
        (("a", "-p"), "node a has no execution before a-1"),
        (("--execution", "b-3"), "run one has no execution 'b-3': executions are z-1, b-2, b-1"),
        (("a", "--execution", "b-1"), "node a has no execution 'b-1': executions are a-1"),
        (("-p", "-f"), "leave out -f"),
        (("nope",), "no node 'nope': nodes are z, b, a"),
    ):
        assert said in here.podium("logs", "one", *arguments, code=2).stderr


def test_a_log_that_its_program_removed_is_said_to_be_gone(here):
    here.podium(
        "run", here.workflow(script("a", 'rm -r "${PODIUM_OUTPUT%/*}"')), "--run-name", "one"
    )
    refused = here.podium("logs", "one", "a", code=2).stderr
    assert refused == "podium: the log of node a (a-1) was removed from this machine\n"


def test_lines_carry_the_time_at_which_they_came(here):
    text = "echo one; sleep 1.2; echo two"
    here.podium("run", here.workflow(script("a", text)), "--run-name", "one")
    lines = here.podium("logs", "one", "--timestamps").stdout.splitlines()
    found = [
        re.fullmatch(r"\[a\] \d{4}-\d\d-\d\dT\d\d:(\d\d:\d\d\.\d{3})Z (\w+)", line)
        for line in lines
    ]
    assert [each[2] for each in found] == ["one", "two"]
    first, second = (
        60 * float(minutes) + float(seconds)
        for minutes, seconds in (each[1].split(":") for each in found)
    )
    assert (second - first) % 3600 >= 0.9


def test_a_node_is_followed_to_its_own_end(here):
    file = here.workflow(
        script("a", "echo one; while ! test -e go; do sleep 0.1; done; echo two"),
        script("b", "touch b; while ! test -e end; do sleep 0.1; done", "a"),
    )
    podium = here.start("run", file, "--run-name", "one", stdout=subprocess.DEVNULL)
    log = here.path / ".podium/runs/one/executions/a-1/log"
    while not log.exists() or not log.stat().st_size:
        assert podium.poll() is None
        time.sleep(0.02)
    follower = here.start("logs", "one", "a", "-f")
    assert follower.stdout.readline() == "one\n"
    (here.path / "go").touch()
    assert follower.communicate(timeout=60)[0] == "two\n"
    assert follower.returncode == 0
    assert podium.poll() is None
    (here.path / "end").touch()
    assert podium.wait(timeout=60) == 0


def test_secrets_are_masked_while_a_program_runs_and_after_it(here):
    text = 'echo "with $T inside"; while ! test -e go; do sleep 0.1; done; echo "$T"'
    node = script("a", text)
    selector = {"secretKeyRef": {"name": "api", "key": "token"}}
    node["config"]["env"] = [{"name": "T", "valueFrom": selector}]
    file = here.workflow(node)
    podium = here.start("run", file, "--run-name", "one", token="hidden-value")
    log = here.path / ".podium/runs/one/executions/a-1/log"
    while not log.exists() or not log.stat().st_size:
        assert podium.poll() is None
        time.sleep(0.02)
    # This shell does not have the variable that the run took it from.
    assert here.podium("logs", "one").stdout == "[a] with *** inside\n"
    (here.path / "go").touch()
    podium.communicate(timeout=60)
    assert log.read_text() == f"with {'*' * 12} inside\n{'*' * 12}\n"


def printed(capfdbinary, tmp_path, data, tail, **more):
    directory = RunDirectory(tmp_path, "one")
    directory.execution("a-1").mkdir(parents=True, exist_ok=True)
    (directory.execution("a-1") / "log").write_bytes(data)
    options = LogOptions(False, False, tail, lambda _: Mask(more.get("secrets", ())))
    print_logs(directory, ["a-1"], options)
    return capfdbinary.readouterr().out


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_the_last_lines_are_found_wherever_chunks_end(
    capfdbinary, tmp_path, monkeypatch, chunk, end
):
    lines = [b"one", b"", b"three", b"four"]
    data = b"\n".join(lines) + end
    monkeypatch.setattr(log_output, "CHUNK", chunk)
    for tail in (0, 1, 2, 3, 4, 9):
        expected = b"".join(line + b"\n" for line in lines[max(0, 4 - tail) :])
        assert printed(capfdbinary, tmp_path, data, tail) == expected, tail


def test_a_secret_is_masked_also_where_a_line_is_longer_than_a_chunk(
    capfdbinary, tmp_path, monkeypatch
):
    monkeypatch.setattr(log_output, "CHUNK", 20)
    data = b"0123456789abcdehidden-value0123456789hidden-value" * 20
    found = printed(capfdbinary, tmp_path, data, None, secrets=["hidden-value"])
    assert found == b"0123456789abcde***0123456789***" * 20 + b"\n"


def test_times_of_lines_are_those_at_which_the_log_had_grown(tmp_path):
    log = tmp_path / "log"
    log.write_text("a\nb\nc\nd\n")
    (tmp_path / "log.times").write_text("2 10.0\n6 20.5\n7")  # the last is being written
    times = LineTimes(log)
    assert [times.at(end) for end in (2, 4, 6)] == [10.0, 20.5, 20.5]
    assert times.at(8) == log.stat().st_mtime
