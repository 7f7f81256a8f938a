"""What programs get of podium's own environment, and what --env passes."""

import sys
from pathlib import Path

import pytest

from podium.local.environment import ConfigError, inherited, passed
from tests.unit.local.shell_test import begin, script, stands

BESIDE = str(Path(sys.executable).parent)


def test_path_keeps_its_order_and_podiums_programs_come_last(monkeypatch):
    monkeypatch.setenv("PATH", "/venv/bin:/usr/bin")
    assert inherited()["PATH"] == f"/venv/bin:/usr/bin:{BESIDE}"
    monkeypatch.setenv("PATH", f"{BESIDE}:/usr/bin")
    assert inherited()["PATH"] == f"{BESIDE}:/usr/bin"
    monkeypatch.delenv("PATH")
    assert inherited()["PATH"].endswith(f":{BESIDE}")


def test_few_variables_are_inherited(monkeypatch):
    kept = {
        "https_proxy": "p", "HTTPS_PROXY": "p", "no_proxy": "n", "LC_TIME": "C", "LANG": "C",
        "SSL_CERT_FILE": "/c", "REQUESTS_CA_BUNDLE": "/c", "VIRTUAL_ENV": "/v", "TERM": "t",
    }  # fmt: skip
    for name, value in kept.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_SECRET_ACCESS_KEY", "PYTHONPATH", "PODIUM_NODE", "evil_proxy", "LD_PRELOAD"):
        monkeypatch.setenv(name, "x")
    found = inherited()
    assert found.items() >= kept.items()
    assert "x" not in found.values()
    assert found["PYTHONUNBUFFERED"] == "1"


def test_what_env_passes(tmp_path, monkeypatch):
    monkeypatch.setenv("MINE", "a b=c")
    file = tmp_path / "f"
    file.write_text('# c\n\nA=1\n  B= "x" # y\nMINE\nC=\nD=x=y\n')
    assert passed(["B=2", "E="], [file]) == {
        "A": "1", "B": "2", "MINE": "a b=c", "C": "", "D": "x=y", "E": "",
    }  # fmt: skip
    assert passed([], [file])["B"] == ' "x" # y'


def test_a_file_of_variables_is_split_at_the_ends_of_lines_only(tmp_path):
    file = tmp_path / "f"
    file.write_bytes("\ufeffA=1\x0b2\u2028B=3\r\nC=4".encode())
    assert passed([], [file]) == {"A": "1\x0b2\u2028B=3", "C": "4"}
    with pytest.raises(ConfigError, match=r"--env-file /dev/zero: has more than 1,000,000 bytes"):
        passed([], [Path("/dev/zero")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NOT_SET_ANYWHERE", "--env: NOT_SET_ANYWHERE is not set in podium's environment: set it"),
        ("1X=1", "--env: '1X' cannot be the name of a variable: write NAME=VALUE"),
        ("=1", "cannot be the name"),
        ("PODIUM_NODE=x", "variables that begin with PODIUM_ are podium's"),
    ],
)
def test_what_cannot_be_passed_is_said(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        passed([text])
    (tmp_path / "f").write_text(f"A=1\n{text}\n")
    with pytest.raises(ConfigError, match="f, line 2"):
        passed([], [tmp_path / "f"])


async def test_a_node_sees_them_and_its_own_variables_win(tmp_path):
    node = script("a", '[ "$A$B$PYTHONUNBUFFERED" = 1b0 ]')
    node["config"]["env"] = [
        {"name": "B", "value": "b"},
        {"name": "PYTHONUNBUFFERED", "value": "0"},
    ]
    run = begin(tmp_path, node)
    run._commands._inherited |= {"A": "1", "B": "x"}
    await run.run()
    assert stands(run) == {"a": "Completed"}


async def test_an_activated_virtual_environment_is_used(tmp_path, monkeypatch):
    (tmp_path / "venv/bin").mkdir(parents=True)
    python = tmp_path / "venv/bin/python3"
    python.write_text("#!/bin/sh\necho venv\n")
    python.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/venv/bin:/usr/bin:/bin")
    named = script("a", "x")
    named["config"]["interpreter"] = "python3"
    run = begin(tmp_path, named, script("b", "python3"), script("c", "#!/usr/bin/env python3\n"))
    await run.run()
    logs = [(run.directory.execution(f"{node}-1") / "log").read_text() for node in "abc"]
    assert logs == ["venv\n"] * 3
