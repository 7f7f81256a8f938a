"""The command line's base: verbs, exit codes, text that is safe on a terminal."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from podium.api.problems import InvalidError, Problem
from podium.cli import _COMMANDS, main, output
from podium.local.store import StoreError
from tests.unit.cli.support import Directory, script

PODIUM = Path(sys.executable).with_name("podium")


def podium(*arguments, **more):
    return CliRunner().invoke(main, list(arguments), **more)


def installed(*arguments, **more):
    return subprocess.run(
        [PODIUM, *arguments], capture_output=True, check=False, timeout=60, **{"text": True, **more}
    )


def test_the_installed_command_starts():
    done = installed("version")
    assert (done.returncode, done.stdout, done.stderr) == (0, "podium 0.1.0\n", "")
    assert installed("--version").stdout == "podium 0.1.0\n"


def loaded(*arguments):
    """Run a verb in a process of its own; return what it loaded of what is slow to load."""
    heavy = [
        *("networkx", "jsonschema", "regex", "rich", "importlib.metadata", "difflib"),
        *("kopf", "kubernetes", "aiohttp", "pydantic", "yaml"),
        *("obstore", "zstandard", "podium.artifacts.store", "podium.artifacts.pack"),
    ]
    program = f"""
import sys
import podium.cli
try:
    podium.cli.main({list(map(str, arguments))})
except SystemExit as end:
    assert end.code == 0, end.code
print(*(name for name in {heavy} if name in sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.splitlines()[-1].split())


def test_help_and_version_load_nothing_heavy():
    assert loaded("--help") == set()
    assert loaded("version") == {"importlib.metadata"}


def test_a_run_loads_only_what_its_workflow_needs(tmp_path):
    file = tmp_path / "w.yaml"
    nodes = [{"id": i, "executor": "script", "config": {"script": "true"}} for i in "ab"]
    nodes[1]["dependsOn"] = ["a"]
    workflow = {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "w"},
        "spec": {"nodes": nodes},
    }
    file.write_text(json.dumps(workflow))
    needed = {"pydantic", "yaml", "importlib.metadata"}  # the last by pydantic itself
    assert loaded("validate", file) == needed
    assert loaded("run", file, "--state-dir", tmp_path / "state") == needed
    nodes[0]["config"] = {"script": "touch $PODIUM_ARTIFACTS_OUT/f"}
    file.write_text(json.dumps(workflow))
    found = loaded("run", file, "--state-dir", tmp_path / "state", "--run-name", "other")
    assert {"obstore", "podium.artifacts.store"} <= found


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_lists_every_verb(option):
    done = podium(option)
    assert done.exit_code == 0
    words = [line.split()[0] for line in done.stdout.split("Commands:\n")[1].splitlines()]
    assert words == list(_COMMANDS)
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


@pytest.mark.parametrize("verb", _COMMANDS)
def test_every_verb_loads_and_explains_itself(verb):
    done = podium(verb, "--help")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"Usage: podium {verb} ")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("validat", "validate"), ("Graph", "graph"), ("re-run", "rerun"), ("log", "logs")],
)
def test_an_unknown_verb_gets_a_hint(typed, meant):
    done = podium(typed)
    assert done.exit_code == 2
    assert f"there is no command {typed!r}. Did you mean {meant}?" in done.stderr
    assert done.stdout == ""


def test_a_verb_like_no_other_gets_no_hint():
    done = podium("xyzzy\x1b[31m")
    assert done.exit_code == 2
    assert "there is no command 'xyzzy\\x1b[31m'\n" in done.stderr
    assert "mean" not in done.stderr


def test_no_verb_at_all_shows_the_help():
    done = podium()
    assert done.exit_code == 2
    assert "Commands:" in done.stderr


def test_verbs_are_completed_without_loading_them(monkeypatch):
    monkeypatch.setenv("_PODIUM_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "podium re")
    monkeypatch.setenv("COMP_CWORD", "1")
    monkeypatch.setitem(_COMMANDS, "resume", ("podium.cli.nowhere:resume", "Go on."))
    assert podium().stdout.split() == [
        "plain,resume",
        "plain,rerun",
        "plain,restore",
        "plain,reject",
    ]


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    (tmp_path / "needs_kopf.py").write_text("import kopf_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(_COMMANDS, "operator", ("needs_kopf:operator", "Run the operator."))
    done = podium("operator")
    assert done.exit_code == 2
    assert done.stderr == (
        "podium: operator needs the package kopf_that_is_not_there, which is not installed:"
        " pip install 'podium[operator]'\n"
    )


def test_a_missing_part_of_podium_is_no_missing_package(monkeypatch):
    monkeypatch.setitem(_COMMANDS, "get", ("podium.cli.nowhere:get", "List runs."))
    done = podium("get")
    assert isinstance(done.exception, ModuleNotFoundError)


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (
            InvalidError(
                [
                    Problem(("spec", "nodes", 0), "bad\x1b[2J", line=3, file="f.yaml"),
                    Problem((), "worse"),
                ]
            ),
            2,
            "f.yaml:3: spec.nodes[0]: bad\\x1b[2J\nworse\n",
        ),
        (StoreError("no run 'x'"), 2, "podium: no run 'x'\n"),
        (output.CliError("may not", output.ExitCode.FORBIDDEN), 4, "podium: may not\n"),
        (output.CliError("misused"), 2, "podium: misused\n"),
        (FileNotFoundError(2, "No such file", "a\nb"), 2, "podium: a\\nb: No such file\n"),
        (OSError(28, "No space left on device"), 2, "podium: No space left on device\n"),
        (KeyboardInterrupt(), 130, "podium: interrupted\n"),
        (click.UsageError("use\x1bless"), 2, "Error: use\\x1bless\n"),
        (click.exceptions.Exit(3), 3, ""),
    ],
)
def test_what_a_user_can_cause_ends_in_a_line_and_a_code(monkeypatch, raised, code, said):
    def fail():
        raise raised

    command = click.Command("get", callback=fail)
    monkeypatch.setattr(main, "get_command", lambda _context, _name: command)
    done = podium("get")
    assert done.exit_code == code
    assert done.stderr.lstrip("\n").endswith(said)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_fault_of_our_own_is_not_hidden(monkeypatch):
    command = click.Command("get", callback=lambda: 1 // 0)
    monkeypatch.setattr(main, "get_command", lambda _context, _name: command)
    assert isinstance(podium("get").exception, ZeroDivisionError)


@pytest.mark.parametrize(("returned", "code"), [(output.ExitCode.TIMEOUT, 3), (1, 1), (None, 0)])
def test_a_verb_returns_its_code(monkeypatch, returned, code):
    command = click.Command("get", callback=lambda: returned)
    monkeypatch.setattr(main, "get_command", lambda _context, _name: command)
    assert podium("get").exit_code == code


def test_a_terminal_without_unicode_gets_escapes(tmp_path):
    done = installed(
        "validate",
        "é→.yaml",
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        encoding="latin-1",
    )
    assert done.returncode == 2
    assert done.stdout == "é\\u2192.yaml: invalid: 1 problem\n"
    assert done.stderr == "é\\u2192.yaml: no such file\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 中 🎉\ttab", "plain é 中 🎉\ttab"),
        ("1\u202f000\xa0€ 👩\u200d🚀", "1\u202f000\xa0€ 👩\u200d🚀"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\nb\r", "a\\nb\\r"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202eabc", "\\u202eabc"),
        ("a\u2028b", "a\\u2028b"),
        ("\ud800", "\\ud800"),
    ],
)
def test_plain_text_moves_no_cursor(text, shown):
    assert output.escape_control(text) == shown


@pytest.mark.parametrize(
    "arguments",
    [("run", "w.yaml", "--env", b"A=\xff"), ("run", "w.yaml", "-c", b"\xff=1"), ("get", b"\xff")],
)
def test_an_argument_that_is_not_unicode_is_refused(tmp_path, arguments):
    done = installed(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("podium: the argument b'")
    assert done.stderr.endswith("' is not UTF-8: write it as UTF-8\n")


def test_a_directory_whose_name_is_not_unicode_is_refused(tmp_path):
    here = tmp_path / os.fsdecode(b"d\xff")
    here.mkdir()
    Directory(here).workflow(script("a", "true"))
    done = installed("run", "w.yaml", cwd=here)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not UTF-8, which the record of a run is: rename it" in done.stderr
    assert "Traceback" not in done.stderr
