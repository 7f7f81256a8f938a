"""A key that a model's server sends back is in no output, as it is in no transcript."""

import json

import pytest

from podium.personas.keys import without_key
from tests.unit.personas.model_server import Turn, calls, model, says
from tests.unit.personas.nodes import KEY, work


def answered(tmp_path, turn, key):
    with model(turn) as server:
        done = work(tmp_path, server.url, env={"PODIUM_KEY_0": key})
        assert server.headers[0]["authorization"] == f"Bearer {key}"
    return done


def test_a_key_that_is_sent_back_is_cut_out_of_the_output(tmp_path):
    done = answered(tmp_path, says({"count": f"the key is {KEY}"}), KEY)
    assert done.output == {"count": "the key is ***"}
    assert KEY not in done.transcript


def test_a_word_in_the_place_of_a_key_is_a_word_in_an_answer(tmp_path):
    """Endpoints without keys are given one such as `none`."""
    assert answered(tmp_path, says({"risks": "none"}), "none").output == {"risks": "none"}


ODD = "sk-canary/0123456789"
ESCAPED = json.dumps({"count": ODD}).replace("/", "\\/")


@pytest.mark.parametrize(
    "turn",
    [
        Turn(says({"count": ODD}).body.replace(b"/", b"\\/")),
        Turn(json.dumps(json.loads(says({"count": ODD}).body)).encode("utf-16")),
        says(ESCAPED),
        says(json.dumps({"count": ODD}).replace("c", "\\u0063")),
        says({"count": {ODD: [ODD]}}),
    ],
)
def test_a_key_is_cut_out_however_it_is_written(tmp_path, turn):
    done = answered(tmp_path, turn, ODD)
    assert ODD not in json.dumps(done.output)
    assert "***" in json.dumps(done.output)
    assert "canary" not in done.transcript


@pytest.mark.parametrize("first", ["\\u0073", "\\\\u0073", "s", "\\s"])
def test_escapes_do_not_hide_a_key(first):
    assert without_key(f"a {first}{ODD[1:]} b", ODD) == "a *** b"
    assert without_key("\\" * 2_000_000, ODD) == "\\" * 2_000_000


def test_a_key_is_cut_out_of_what_a_model_writes_to_files(tmp_path):
    text = json.dumps({"path": "a.md", "text": ODD}).replace("/", "\\/")
    with model(calls(("write_file", text)), says({"count": 1})) as server:
        tools = {"p": {"tools": [{"type": "WriteFile"}]}}
        done = work(tmp_path, server.url, personas=tools, env={"PODIUM_KEY_0": ODD})
    assert done.files == {"a.md": "***"}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (f"{KEY}\n", "begins or ends with a space or a line break"),
        (f" {KEY}", "begins or ends with a space or a line break"),
        (f"{KEY}\r\nX-Other: 1", "has a character that is not printable ASCII"),
        (f"{KEY}ä", "has a character that is not printable ASCII"),
    ],
)
def test_a_key_that_cannot_be_sent_is_named_and_not_quoted(tmp_path, key, said):
    """As of a Secret that was made from a file, which ends with a line break."""
    with model(says({"count": 1})) as server:
        done = work(tmp_path, server.url, env={"PODIUM_KEY_0": key})  # looks for KEY, too
    assert (done.reason, server.asked) == ("Config", [])
    assert f"the key of apiKeySecret {said}" in str(done.error)
    assert "calls" not in done.usage or done.usage["calls"] == 0


def test_a_system_message_from_a_secret_is_not_in_the_transcript(tmp_path):
    """Nor with a byte that is no character, which the prompt has as another one."""
    message = "Our price list: \udcff 17, and the discount that nobody knows."
    personas = {"p": {"systemMessageVariable": "PODIUM_MESSAGE_1", "isMessageSecret": True}}
    env = {"PODIUM_KEY_0": KEY, "PODIUM_MESSAGE_1": message}
    with model(says("no"), says({"x": 1})) as server:
        done = work(tmp_path, server.url, personas=personas, env=env)
    assert done.output == {"x": 1}
    assert "nobody knows" in server.asked[0]["messages"][0]["content"]
    assert "nobody knows" not in done.transcript
    assert done.events[0]["asked"][0]["content"].startswith("***\n\nWhat stands under Input")
