"""The process of a live persona node: what it reads, what it writes, what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from podium.executors.outcome import failed_program, told_usage
from podium.personas.recorded import RecordedAnswers
from tests.unit.personas.model_server import fails, model, says
from tests.unit.personas.nodes import KEY, document


def run(tmp_path, url, **env):
    (tmp_path / "input.json").write_text('{"nodeId": "n"}')
    (tmp_path / "personas.json").write_text(json.dumps(document(url)))
    (tmp_path / "out").mkdir()
    return subprocess.run(
        [sys.executable, "-m", "podium.runner", "persona"],
        env={
            **os.environ,
            "PODIUM_INPUT": str(tmp_path / "input.json"),
            "PODIUM_OUTPUT": str(tmp_path / "output.json"),
            "PODIUM_ARTIFACTS_OUT": str(tmp_path / "out"),
            "PODIUM_CONFIG": '{"personas": ["p"]}',
            "PODIUM_PERSONAS": str(tmp_path / "personas.json"),
            "PODIUM_KEY_0": KEY,
            **env,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def has_key(tmp_path):
    return [path for path in tmp_path.rglob("*") if path.is_file() and KEY in path.read_text()]


def test_the_output_begins_with_what_was_used(tmp_path):
    with model(says({"x": "é"})) as server:
        done = run(tmp_path, server.url)
    assert done.returncode == 0, done.stderr
    written = (tmp_path / "output.json").read_text()
    assert written.startswith('{"podiumUsage":{"calls":1,')
    assert json.loads(written)["x"] == "é"
    assert (tmp_path / "out/transcript.jsonl").read_text()
    assert has_key(tmp_path) == []


def test_one_that_is_killed_has_told_what_it_spent_until_then(tmp_path):
    """Also the prompt of the call that went on, which may be worked on to its end."""
    killed = []

    def turn(asked):
        if len(server.asked) == 1:
            return says("no JSON")
        (child,) = Path(f"/proc/{os.getpid()}/task/{own}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        killed.append(child)
        return says({"x": 1})

    own = threading.get_native_id()
    with model(turn) as server:
        done = run(tmp_path, server.url)
    assert killed
    assert done.returncode == -signal.SIGKILL
    written = (tmp_path / "output.json").read_text()
    told = told_usage(written)
    assert (told["calls"], told["unmeasuredCalls"], told["completionTokens"]) == (2, 1, 10)
    assert told["promptTokens"] > 200, "what was counted, and an estimate"
    # Of a cluster, where the log is the output: it is no last line.
    assert failed_program(137, written, written)[1] == "ended by signal 9"


def test_of_a_large_output_the_usage_is_in_the_last_words(tmp_path):
    with model(says({"x": 1})) as server:
        done = run(tmp_path, server.url, PODIUM_LAST_WORDS=str(tmp_path / "last.json"))
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "output.json").read_text()) == {"x": 1}
    assert json.loads((tmp_path / "last.json").read_text())["podiumUsage"]["calls"] == 1


def test_a_failure_says_why_and_what_was_used_and_never_the_key(tmp_path):
    with model(fails(401, f"Incorrect API key provided: {KEY}")) as server:
        done = run(tmp_path, server.url)
    assert done.returncode == 1
    error = json.loads((tmp_path / "output.json").read_text())["podiumError"]
    assert error["reason"] == "Config"
    assert error["usage"]["calls"] == 1
    assert KEY not in done.stdout + done.stderr
    assert has_key(tmp_path) == []
    assert "Config: 127.0.0.1: status 401" in done.stderr


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"PODIUM_KEY_0": ""}, "the variable PODIUM_KEY_0 is not set"),
        ({"PODIUM_PERSONAS": "/nowhere"}, "cannot be read"),
        ({"PODIUM_PERSONAS": ""}, "neither recorded answers nor a model"),
    ],
)
def test_what_the_shell_did_not_hand_over_is_named(tmp_path, env, said):
    done = run(tmp_path, "http://127.0.0.1:9", **env)
    assert done.returncode == 1
    assert said in json.loads((tmp_path / "output.json").read_text())["podiumError"]["message"]


def test_recorded_answers_ask_nobody_even_where_a_model_is_at_hand(tmp_path):
    (tmp_path / "answers.yaml").write_text("answers: [{output: {from: record}}]")
    with model(says({"from": "model"})) as server:
        done = run(tmp_path, server.url, PODIUM_RECORDED=str(tmp_path / "answers.yaml"))
    assert done.returncode == 0
    assert json.loads((tmp_path / "output.json").read_text()) == {"from": "record"}
    assert server.asked == []


def test_recorded_answers_load_no_client():
    code = (
        "import sys, podium.runner.personas, podium.personas.recorded\n"
        "assert not {'httpx2', 'jsonschema', 'mcp'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_live_node_loads_no_more_than_it_needs_before_its_call():
    code = (
        "import sys, podium.personas.live, podium.runner.personas\n"
        "assert not {'pydantic', 'jsonschema', 'mcp', 'yaml'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_a_live_node_is_answered_is_written_as_recorded_answers_are_read(tmp_path):
    with model(says({"x": 1})) as server:
        run(tmp_path, server.url, PODIUM_RECORD=str(tmp_path / "answers.json"))
    assert json.loads((tmp_path / "answers.json").read_text()) == {
        "answers": [{"node": "n", "persona": "p", "role": "draft", "output": {"x": 1}}]
    }
    recorded = RecordedAnswers.load(tmp_path / "answers.json")
    assert recorded.answers[0].output == {"x": 1}
