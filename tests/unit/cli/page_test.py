"""docs/cli.md: each example does what it says, and no verb is left out."""

import re
from pathlib import Path

from podium.cli import _COMMANDS
from tests.unit.cli.support import Directory

PAGE = (Path(__file__).parents[3] / "docs/cli.md").read_text()
EXAMPLES = [
    line.removeprefix("$ ")
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if language == ""
]


def test_the_examples_run_in_their_order(tmp_path):
    here = Directory(tmp_path)
    here.write("flaky.yaml", re.search(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1])
    for example in EXAMPLES:
        expected = re.search(r"# exits (\d+)$", example)
        done = here.bash(example)
        assert done.returncode == int(expected[1] if expected else 0), example + done.stderr
        assert "Traceback" not in done.stderr


def test_no_verb_is_left_out():
    shown = {example.split()[1] for example in EXAMPLES if example.startswith("podium ")}
    named = set(re.findall(r"`([a-z-]+)`", PAGE))
    assert set(_COMMANDS) <= shown | named
    assert not {verb for verb in shown if verb not in _COMMANDS}
