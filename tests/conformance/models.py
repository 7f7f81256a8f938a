"""Models of cases: each node is answered as the case says, whoever asks and however often.

Items are answered as their map is. A turn is what is said and what it takes: {output: {…}} or {text: …}, {tokens: [prompt, answer]}
(default 100 and 10), {cut: 30} closes the connection after so many bytes, {status: 503} refuses. The
last one is repeated. Who asks for a stream gets one.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.unit.personas.model_server import Turn, fails, model, says, streams

PLACE = "http://models.example/v1"
"""In the place of the server's URL."""
FIELDS = {"output", "text", "tokens", "cut", "status"}


@contextmanager
def answering(answers: dict[str, list[dict[str, Any]]], address: str) -> Iterator[str]:
    """Answer; gives the URL."""
    left = {node: list(turns) for node, turns in answers.items()}
    assert all(set(turn) <= FIELDS for turns in answers.values() for turn in turns), answers

    def turn(asked: dict[str, Any]) -> Turn:
        found = re.search(r"^# Task\n\n([\w.-]+)", asked["messages"][1]["content"], re.MULTILINE)
        assert found is not None
        turns = left[found[1]]
        return _turn(turns.pop(0) if len(turns) > 1 else turns[0], asked)

    with model(turn, address=address) as server:
        yield server.url


def _turn(said: dict[str, Any], asked: dict[str, Any]) -> Turn:
    if "status" in said:
        return fails(said["status"])
    prompt, answer = said.get("tokens", (100, 10))
    usage = {"prompt_tokens": prompt, "completion_tokens": answer}
    say = streams if asked.get("stream") else says
    made = say(said.get("text", said.get("output")), usage=usage)
    made.cut = said.get("cut")
    return made
