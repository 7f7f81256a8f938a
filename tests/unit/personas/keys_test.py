"""A key that a model's server sends back is in no output, as it is in no transcript."""

from tests.unit.personas.model_server import model, says
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
