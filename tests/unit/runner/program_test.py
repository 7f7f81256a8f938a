"""Where Podium's own programs write their output, and why there is none."""

import json

import pytest

from podium.runner import LAST_WORDS, program
from podium.runner.program import ProgramError


def fails(_):
    raise ProgramError("Refused", "no")


@pytest.mark.parametrize("is_large", [False, True])
def test_a_failure_is_written_where_the_shell_reads_it(tmp_path, monkeypatch, is_large):
    """The output of a node with largeOutput is a file that no kubelet reads."""
    output, words = tmp_path / "output.json", tmp_path / "words"
    monkeypatch.setenv("PODIUM_CONFIG", '{"n": 1}')
    monkeypatch.setenv("PODIUM_OUTPUT", str(output))
    if is_large:
        monkeypatch.setenv(LAST_WORDS, str(words))
    assert program.run(dict) == 0
    assert json.loads(output.read_bytes()) == {"n": 1}
    output.unlink()
    assert program.run(fails) == 1
    error = json.loads((words if is_large else output).read_bytes())["podiumError"]
    assert error == {"reason": "Refused", "message": "no"}
    assert output.exists() != is_large
