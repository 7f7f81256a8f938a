"""Files of secrets, and values kept out of what is shown."""

import subprocess
import sys

import pytest

from podium.local.secrets import Mask, SecretsError, load_secrets, running_values


def load(tmp_path, text):
    file = tmp_path / "secrets.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_secrets(file)


def test_values_are_strings_as_they_are_written(tmp_path):
    written = [
        "0123456",
        "no",
        "2026-01-01",
        "12:30:45",
        "1.10",
        "1e3",
        "1_000",
        "null",
        "~",
        "0x1F",
        "true",
        "1",
    ]
    lines = [f"  k{i}: {value}" for i, value in enumerate(written)]
    found = load(tmp_path, "db:\n" + "\n".join(lines) + "\nother: {q: \"a\\tb\", e: , b: '0'}\n")
    assert list(found["db"].values()) == written
    assert found["other"] == {"q": "a\tb", "e": "", "b": "0"}


def test_blocks_and_json_are_read(tmp_path):
    assert load(tmp_path, "a:\n  pem: |\n    one\n    two\n") == {"a": {"pem": "one\ntwo\n"}}
    assert load(tmp_path, '{"a": {"n": 012}}') == {"a": {"n": "012"}}
    assert load(tmp_path, "") == {}


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: {x: 1}\na: {y: 2}\n", 2, "'a' is there twice"),
        ("a:\n  x: 1\n  y: 2\n  x: 3\n", 4, "'x' is there twice"),
        ("a:\n  x: [1]\n", 2, "a.x is a list: write its value as one string"),
        ("a:\n  x: {y: 1}\n", 2, "a.x is a mapping"),
        ("a: hush\n", 1, "must hold SECRET: {KEY: value}"),
        ("- a\n", 1, "must hold SECRET"),
        ("? [a]\n: {x: 1}\n", 1, "must hold SECRET"),
        ("a: {x: hush\n", 2, "is not YAML"),
        ('a:\n  x: "hush\\ud800"\n', 2, "a.x contains an unpaired surrogate"),
        ('a: {"\\ud800": hush}\n', 1, "a key contains an unpaired surrogate"),
        ("a: {x: 1}\n--- \nb: {x: 1}\n", 2, "is not YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_without_a_value(tmp_path, text, line, problem):
    with pytest.raises(SecretsError) as caught:
        load(tmp_path, text)
    assert f"secrets.yaml:{line}: " in str(caught.value)
    assert problem in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [(b"\xff", "UTF-8"), (b"a" * 1_000_001, "more than"), (b"[" * 5000, "YAML")],
)
def test_other_files_are_refused(tmp_path, text, problem):
    with pytest.raises(SecretsError, match=problem):
        load(tmp_path, text)
    with pytest.raises(SecretsError, match="No such file"):
        load_secrets(tmp_path / "nope")


def test_values_are_hidden_the_longest_first():
    mask = Mask(["abcd", "abcdef", "x", "line-one\nline-two"])
    assert mask.hide(b"abcdef abcd x line-two\n") == b"*** *** x ***\n"
    assert Mask([]).hide(b"abcd") == b"abcd"
    assert not Mask(["x"])


def test_a_log_is_overwritten_in_place(tmp_path, monkeypatch):
    monkeypatch.setattr("podium.local.secrets._CHUNK", 10)
    log = tmp_path / "log"
    log.write_text("0123456 hidden-value 89\nhidden-value")  # over the borders of chunks
    Mask(["hidden-value"]).overwrite(log)
    assert log.read_text() == "0123456 ************ 89\n************"


def test_only_a_regular_file_is_overwritten(tmp_path):
    (tmp_path / "other").write_text("hidden-value")
    (tmp_path / "log").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic"):
        Mask(["hidden-value"]).overwrite(tmp_path / "log")
    assert (tmp_path / "other").read_text() == "hidden-value"


def test_a_running_program_shows_what_its_variables_hold(tmp_path):
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, env={"T": "hush", "U": "v"}, stdin=subprocess.PIPE) as program:
        (tmp_path / "process").write_text(f"{program.pid} 0\n")
        while not (found := running_values(tmp_path, ["T", "V"])):
            assert program.poll() is None
        assert found == ["hush"]
        program.communicate(b"\n")
    assert running_values(tmp_path, ["T"]) == []
