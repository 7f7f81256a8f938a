"""ContractSchemas are judged once for each generation, and what is wrong is in their status."""

import copy

import pytest

from podium.cluster.contract_controller import ContractController
from podium.cluster.kube.errors import ApiError, UnreadableError
from podium.cluster.worker import ObjectKey
from podium.judge.reader import Reader
from tests.unit.cluster.runs.contract_schemas_test import INTEGER, NUMBER, STRING, contract
from tests.unit.judge.pool_test import running

KEY = ObjectKey("ContractSchema", "team", "sizes")


class World:
    def __init__(self, pool, body):
        self.body, self.written, self.warnings = body, [], []
        self.controller = ContractController(self, self, Reader(pool))

    async def get_contract_schema(self, namespace, name):
        if isinstance(self.body, Exception):
            raise self.body
        return copy.deepcopy(self.body)

    async def patch_contract_schema_status(self, namespace, name, status):
        self.written.append(status)
        self.body["status"] = status

    def warn(self, subject, *words):
        self.warnings.append((subject.kind, subject.name, *words))

    async def turn(self):
        await self.controller.reconcile(KEY)
        return self.written[-1] if self.written else None


def conditions(status):
    return {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}


async def test_versions_are_judged_once_and_the_latest_that_is_compatible_is_named():
    async with running(seconds=20) as pool:
        here = World(pool, contract(INTEGER, STRING, NUMBER))
        status = await here.turn()
        assert conditions(status) == {
            "Valid": ("True", "Incompatible"),
            "Compatible": ("False", "Incompatible"),
        }
        assert status["latest"] == "3"
        assert [each["state"] for each in status["versions"]] == [
            "Compatible",
            "Incompatible",
            "Compatible",
        ]
        assert "size: may be integer, and string is needed" in status["versions"][1]["message"]
        assert here.warnings[0][:3] == ("ContractSchema", "sizes", "Incompatible")
        await here.turn()
        assert (len(here.written), len(here.warnings), pool.answered) == (1, 1, 1)
        since = status["conditions"][0]["lastTransitionTime"]
        here.body["metadata"]["generation"] = 2
        again = await here.turn()
        assert (again["observedGeneration"], again["conditions"][0]["lastTransitionTime"]) == (
            2,
            since,
        )


async def test_one_that_is_not_valid_or_costs_too_much_says_so():
    async with running(seconds=20) as pool:
        here = World(pool, contract({"type": "whole"}))
        assert conditions(await here.turn())["Valid"] == ("False", "InvalidContractSchema")
        deep = INTEGER
        for _ in range(120):
            deep = {"not": deep}
        other = World(pool, contract(deep))
        assert conditions(await other.turn())["Compatible"][0] == "Unknown"
        assert "nested deeper" in other.warnings[0][-1]


@pytest.mark.parametrize(
    "error", [ApiError(404, "NotFound", ""), UnreadableError("x", problem="y")]
)
async def test_one_that_is_gone_or_cannot_be_read_is_left_alone(error):
    async with running(seconds=20) as pool:
        assert await World(pool, error).turn() is None
