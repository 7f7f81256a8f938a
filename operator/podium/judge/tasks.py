"""What workers can be asked: for each task the function that answers it, bytes in, bytes out."""

import importlib
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Final

from podium import expressions
from podium.contracts import schema
from podium.judge import contract_schemas, objects, questions

__all__ = ["TASKS", "forget", "load"]

TASKS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    questions.TASK: questions.answer_of,
    objects.CHECK: objects.answer_check,
    objects.INPUTS: objects.answer_inputs,
    objects.CONTEXT: objects.answer_context,
    objects.VALUES: objects.answer_values,
    objects.DIGEST: objects.answer_digest,
    objects.BOUNDS: objects.answer_bounds,
    contract_schemas.CONTRACTS: contract_schemas.answer_contracts,
}


def forget() -> None:
    """Forget what was compiled: it must not count as the memory of the next question."""
    schema.forget()
    expressions.parse.cache_clear()
    urllib.parse.clear_cache()  # type: ignore[attr-defined]  # references


def load() -> None:
    """Load what the tasks would load with the first question: none of it counts as its time."""
    for module in (
        "podium.contracts.json_schema",
        "podium.contracts.schema_check",
        "podium.contracts.subsumption",
    ):
        importlib.import_module(module)
