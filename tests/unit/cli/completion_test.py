"""Completion: what shells propose, and that it takes nothing heavy to know it."""

import json
import os
import pty
import select
import shutil
import subprocess
import time

import pytest
from click.testing import CliRunner

from podium.cli import _COMMANDS, completion, completion_spec, main
from tests.unit.cli.main_test import PODIUM, loaded
from tests.unit.cli.support import ENV, Directory, script


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A directory with two runs."""
    there = Directory(tmp_path_factory.mktemp("completion"))
    (there.path / ".podium" / "runs").mkdir(parents=True)  # the nearest one, whatever is above
    file = there.workflow(
        script("fetch", "exit 0"), script("load", "exit 0", "fetch"), name="nightly"
    )
    there.podium("run", file, "--run-name", "nightly-1")
    there.podium("run", file, "--run-name", "weekly-1")
    (there.path / "my directory").mkdir()
    return there


def proposed(here, *words, shell="bash", **env):
    """Return what podium proposes for the last word."""
    asked = {"_PODIUM_COMPLETE": f"{shell}_complete", "COMP_WORDS": "\n".join(["podium", *words])}
    done = subprocess.run(
        [PODIUM],
        cwd=here.path if isinstance(here, Directory) else here,
        env={**ENV, **asked, "COMP_CWORD": str(len(words)), **env},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return [line.removeprefix("plain,") for line in done.stdout.splitlines()]


def test_verbs(here):
    assert proposed(here, "re") == ["resume", "rerun", "restore", "reject"]
    assert set(proposed(here, "")) == set(_COMMANDS)


def test_options(here):
    assert "--max-parallel" in proposed(here, "run", "--")
    assert proposed(here, "rerun", "nightly-1", "--no-c") == ["--no-cascade"]
    assert proposed(here, "--vers") == ["--version"]
    assert proposed(here, "graph", "x", "-o", "m") == ["mermaid"]
    assert proposed(here, "completion", "") == list(completion.SHELLS)


@pytest.mark.parametrize("verb", ["get", "logs", "rerun", "resume", "restore", "context"])
def test_runs_the_newest_first(here, verb):
    assert proposed(here, verb, "") == ["weekly-1", "nightly-1"]
    assert proposed(here, verb, "n") == ["nightly-1"]


def test_several_runs_are_each_proposed_once(here):
    assert proposed(here, "delete", "weekly-1", "") == ["nightly-1"]


def test_nodes_of_the_run(here):
    assert proposed(here, "logs", "nightly-1", "") == ["fetch", "load"]
    assert proposed(here, "logs", "none", "") == []
    assert proposed(here, "rerun", "nightly-1", "--node", "l") == ["load"]
    assert proposed(here, "rerun", "nightly-1", "--node", "load,") == ["load,fetch"]
    assert proposed(here, "rerun", "nightly-1", "--node", "=", "f") == ["fetch"]
    assert proposed(here, "rerun", "nightly-1", "--node", "=") == ["fetch", "load"]


def test_files_and_directories_are_left_to_the_shell(here):
    assert proposed(here, "run", "w") == ["file,w"]
    assert proposed(here, "validate", "a.yaml", "") == ["file,"]
    assert proposed(here, "run", "w.yaml", "--context-file", "x") == ["file,x"]
    assert proposed(here, "get", "--state-dir", "x") == ["dir,x"]
    assert proposed(here, "graph", "nig") == ["file,nig", "nightly-1"]


def test_fields(here):
    assert proposed(here, "explain", "workflow.spec.tim") == ["workflow.spec.timeoutSeconds"]


def test_another_state_directory(here, tmp_path):
    state = str(here.path / ".podium")
    assert proposed(tmp_path, "logs", "--state-dir", state, "ni") == ["nightly-1"]
    assert proposed(tmp_path, "logs", "--state-dir", state, "nightly-1", "f") == ["fetch"]
    assert proposed(tmp_path, "logs", "ni", PODIUM_STATE_DIR=state) == ["nightly-1"]
    assert proposed(tmp_path, "logs", "ni", PODIUM_STATE_DIR=str(tmp_path)) == []


def test_nodes_that_a_newer_definition_adds(here, tmp_path):
    shutil.copytree(here.path, tmp_path / "copy")
    log = tmp_path / "copy/.podium/runs/nightly-1/log.jsonl"
    with log.open("a") as file:
        nodes = [{"id": name} for name in ("fetch", "check", "load")]
        file.write('{"workflow": broken\n')
        file.write(json.dumps({"workflow": {"nodes": nodes}}, separators=(",", ":")) + "\n")
    assert proposed(tmp_path / "copy", "logs", "nightly-1", "") == ["fetch", "check", "load"]


def broken_run(runs, text):
    (runs / "broken").mkdir(parents=True)
    (runs / "broken" / "run.json").write_text(text)


@pytest.mark.parametrize(
    "make",
    [
        lambda state: state.write_text("a file"),
        lambda state: (state.mkdir(), (state / "runs").write_text("a file")),
        lambda state: state.symlink_to(state),
        lambda state: broken_run(state / "runs", "{"),
        lambda state: broken_run(state / "runs", "[" * 100_000),
        lambda state: broken_run(state / "runs", '{"workflow": {"nodes": [{"id": "$(id)"}, 3]}}'),
        lambda state: ((state / "runs" / "broken").mkdir(parents=True), os.mkfifo(state / "runs/broken/run.json")),
        lambda state: [(state / "runs" / name).mkdir(parents=True) for name in ("$(id)", "a b", "`x`", "*")],
    ],
)  # fmt: skip
def test_a_broken_state_directory_is_no_trouble(tmp_path, make):
    state = tmp_path / ".podium"
    make(state)
    for env in ({"PODIUM_STATE_DIR": str(state)}, {}):
        assert "$" not in "".join(proposed(tmp_path, "logs", "", **env))
        assert proposed(tmp_path, "logs", "broken", "", **env) == []
        assert proposed(tmp_path, "re", **env) == ["resume", "rerun", "restore", "reject"]
    assert set(proposed(tmp_path, "logs", "", PODIUM_STATE_DIR=str(state))) <= {"broken"}


@pytest.mark.parametrize(
    "words", [("re",), ("run", "--m"), ("rerun", "nightly-1", "--node", ""), ("logs", "n")]
)
def test_nothing_heavy_is_loaded(here, words, monkeypatch):
    monkeypatch.chdir(here.path)
    monkeypatch.setenv("_PODIUM_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "\n".join(["podium", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    assert loaded() == set()


# The list of options


def test_the_list_is_what_the_verbs_say(capsys):
    assert completion_spec.run(["check"]) == 0, capsys.readouterr().err
    assert completion_spec.run([]) == 2


def test_a_list_that_drifts_is_reported(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(completion_spec, "__file__", str(tmp_path / "operator/podium/cli/x.py"))
    monkeypatch.setattr(completion, "SPEC", tmp_path / "operator/podium/cli/completion.json")
    assert completion_spec.run(["write"]) == completion_spec.run(["check"]) == 0
    completion.SPEC.write_text(completion.SPEC.read_text().replace("--fail-fast", "--fast"))
    assert completion_spec.run(["check"]) == 1
    assert "run `make crds`" in capsys.readouterr().err


def test_every_parameter_that_names_a_file_run_or_node_is_completed():
    found = {
        (verb, each["name"]): each.get("values")
        for verb, parameters in completion_spec.spec().items()
        for each in parameters
    }
    for (verb, name), values in found.items():
        if name == "state_dir":
            assert values == "directory", verb
        if name in ("file", "files"):
            assert values == "file", verb
    for verb in ("get", "logs", "rerun", "resume", "restore", "context", "cancel"):
        assert found[verb, "name"] == "run"


# Shells


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_the_script_of_each_shell(shell):
    said = CliRunner().invoke(main, ["completion", shell]).stdout
    assert f"_PODIUM_COMPLETE={shell}_complete" in said
    assert said.endswith("\n")
    program = shutil.which(shell)
    if program:
        subprocess.run([program, "-n"], input=said, text=True, check=True)
    again = CliRunner().invoke(main, env={"_PODIUM_COMPLETE": f"{shell}_source"}).stdout
    assert again == said


def test_another_shell_is_refused():
    assert CliRunner().invoke(main, ["completion", "tcsh"]).exit_code == 2
    done = CliRunner().invoke(main, env={"_PODIUM_COMPLETE": "tcsh_complete"})
    assert (done.exit_code, done.stdout) == (1, "")


class Bash:
    """An interactive bash whose keys are pressed here."""

    def __init__(self, directory):
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.chdir(directory)
            env = {**ENV, "PATH": f"{PODIUM.parent}:{ENV['PATH']}", "PS1": "", "TERM": "dumb"}
            os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "-i"], env)
        self.run("PS1=; bind 'set bell-style none'; bind 'set enable-bracketed-paste off'")
        self.run("source <(podium completion bash)")

    def run(self, line):
        """Press keys and Enter; returns what the line printed, of its own echo the rest."""
        os.write(self._terminal, f"{line}\necho the-'end'\n".encode())
        said = b""
        end = time.monotonic() + 60
        while b"the-end\r\n" not in said:
            assert time.monotonic() < end, said
            if select.select([self._terminal], [], [], 1)[0]:
                said += os.read(self._terminal, 65536)
        return said.decode()

    def close(self):
        os.close(self._terminal)
        os.waitpid(self._pid, 0)


@pytest.fixture
def bash(here):
    made = Bash(here.path)
    yield made
    made.close()


def test_a_real_bash_knows_podium(bash):
    assert "-F _podium_completion podium" in bash.run("complete -p podium")


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("podium vali\t", "podium validate"),
        ("podium rer\tnig\t--no-c\t", "podium rerun nightly-1 --no-cascade"),
        ("podium rerun nightly-1 --node lo\t", "podium rerun nightly-1 --node load"),
        ("podium rerun nightly-1 --node=lo\t", "podium rerun nightly-1 --node=load"),
        ("podium logs week\tfe\t", "podium logs weekly-1 fetch"),
        ("podium run w.y\t", "podium run w.yaml"),
        ("podium get --state-dir my\t", r"podium get --state-dir my\ directory/"),
        ("podium explain workflow.spec.tim\t", "podium explain workflow.spec.timeoutSeconds"),
    ],
)
def test_a_real_bash_completes(bash, keys, line):
    # `#` at the beginning of the line would end completion, so the line is run by a stand-in.
    bash.run(
        'podium() { if [ -n "$_PODIUM_COMPLETE" ]; then command podium; else printf \'<%q>\' podium "$@"; fi; }'
    )
    said = bash.run(keys)
    wanted = "".join(f"<{word}>" for word in line.replace("\\ ", "\0").split(" "))
    assert wanted.replace("\0", "\\ ") in said, said
