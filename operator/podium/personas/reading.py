"""From the text of a model to an object that keeps the contract, or to what is wrong with it."""

import re
from collections.abc import Mapping
from typing import Any

from podium import contracts
from podium.errors import PodiumError
from podium.personas.document import Contract

__all__ = ["NotAnAnswerError", "judged", "read_object"]

MAX_WRONG = 10
"""Breaches that a model is told of."""
MAX_TRIED = 8
OWN_KEYS = ("podiumUsage", "podiumError")
_REASONING = re.compile(r"\A\s*<(think|thinking|reasoning)>.*?</\1>", re.DOTALL)
_FENCE = "```"


class NotAnAnswerError(PodiumError):
    """A text is no answer; the message says what is wrong, to the model that wrote it."""


def read_object(text: str) -> dict[str, Any]:
    """Read the JSON object of an answer; fences and reasoning before it are taken off.

    Raises `NotAnAnswerError`.
    """
    rest = text[found.end() :] if (found := _REASONING.match(text)) else text
    first = rest.strip()
    fenced = rest.split(_FENCE)[1::2]  # each with the name of its language in its first line
    tried = [first, *(each.partition("\n")[2] for each in fenced)]
    # Words around it: from the first brace to the last.
    start, end = first.find("{"), first.rfind("}")
    if 0 < start < end or 0 <= start < end < len(first) - 1:
        tried.append(first[start : end + 1])
    wrong = None
    for each in tried[:MAX_TRIED]:
        if not each.strip():
            continue
        try:
            found_object = contracts.parse_output(each)
        except contracts.OutputNotJSONError as error:
            wrong = wrong or str(error)
            continue
        for key in OWN_KEYS:
            if key in found_object:
                raise NotAnAnswerError(f"the key {key} is not allowed")
        return found_object
    raise NotAnAnswerError(f"the answer {wrong or 'is empty'}")


def judged(answer: Mapping[str, Any], contract: Contract) -> None:
    """Check an answer by a contract. Raises `NotAnAnswerError`.

    A score below the threshold is the run's affair: a model that is asked again would raise it.
    """
    verdict = contracts.check_output(
        answer,
        produces=contract.produces,
        schema=contract.schema,
        quality_threshold=contract.quality_threshold,
        own_threshold=contract.own_threshold,
        quality_field=contract.quality_field,
    )
    if verdict.ok or (
        verdict.reason == "QualityBelowThreshold" and verdict.quality_score is not None
    ):
        return
    raise NotAnAnswerError("\n".join(f"- {each}" for each in verdict.breaches[:MAX_WRONG]))
