"""ContractSchemas, judged in a worker: whether each version is compatible with the one before."""

from collections.abc import Mapping
from typing import Any

import orjson

from podium.api.contract_schemas import judge_versions, schema_problems
from podium.api.problems import InvalidError, Problem, errors
from podium.api.resources import ContractSchema
from podium.api.source.files import parse
from podium.contracts import Verdict
from podium.judge.objects import dump_problems, load_problems, worst_bounds

__all__ = ["CONTRACTS", "answer_contracts", "judge_contract_schema", "load_verdicts"]

CONTRACTS = "contracts"
MAX_MESSAGE = 2000


def judge_contract_schema(body: Mapping[str, Any]) -> list[Verdict]:
    """Return a verdict on each version of a ContractSchema. Raises `InvalidError`."""
    name = body["metadata"]["name"]
    made = parse({**body, "metadata": {"name": name}})
    if not isinstance(made, ContractSchema):
        raise InvalidError([Problem(("kind",), "is not ContractSchema")])
    if found := errors(schema_problems(made.spec)):
        raise InvalidError(found)
    return list(judge_versions(made.spec))


def answer_contracts(body: bytes) -> bytes:
    """Judge a ContractSchema in a worker."""
    asked: dict[str, Any] = orjson.loads(body)
    try:
        if bounds := worst_bounds(asked):
            raise InvalidError(bounds)
        verdicts = judge_contract_schema(asked)
    except InvalidError as invalid:
        return orjson.dumps({"invalid": dump_problems(invalid.problems)})
    found = [
        [each.version, each.compared_with, [text[:MAX_MESSAGE] for text in each.problems]]
        for each in verdicts
    ]
    return orjson.dumps({"verdicts": found})


def load_verdicts(answer: bytes) -> list[Verdict]:
    """Read what a worker answered. Raises `InvalidError`."""
    data: dict[str, Any] = orjson.loads(answer)
    if "invalid" in data:
        raise InvalidError(load_problems(data["invalid"]))
    return [Verdict(version, before, problems) for version, before, problems in data["verdicts"]]
