"""Decisions on their way from annotations to the status, exactly once, whatever happens meanwhile."""

import copy
import json

import pytest

from podium.cluster.runs.requests import ACCEPTED
from podium.judge.pool import OverBudgetError
from podium.kinds import CheckedValues
from tests.unit.cluster.runs.controller_test import KEY, World
from tests.unit.engine.support import Run

FIELDS = {"properties": {"n": {"type": "integer"}}, "required": ["n"]}
GATE = {"id": "gate", "type": "approval"}


def waiting(**config):
    """Return a run one of whose nodes waits for approval."""
    paper = Run({**GATE, "config": {"approvers": {"users": ["bob"], "groups": ["ops"]}, **config}})
    paper.step().engine.take_changes()
    return World(paper)


def decision(decision="Approve", execution="gate-1", **more):
    return json.dumps({"node": "gate", "executionId": execution, "decision": decision, **more})


@pytest.fixture
async def world():
    return waiting(fields=FIELDS)


async def decide(world, text, by="bob", groups=""):
    await world.ask(approve=text, **{"approved-by": by, "approved-groups": groups})
    await world.turn()


def gate(world):
    return world.engine.status.nodes["gate"]


async def flushed(world):
    await world.runs.flush(KEY)
    return world.server.body["metadata"]["annotations"]


@pytest.mark.parametrize("verified", [True, False])
async def test_a_decision_is_taken_in_carried_out_and_cleared(world, verified):
    world.runs._requests._approvers_are_verified = verified
    await decide(world, decision(values={"n": 1}))
    assert set(world.server.body["metadata"]["annotations"]) == {ACCEPTED}
    assert gate(world).output["by"] == ("bob" if verified else "bob (not verified)")
    assert gate(world).output["values"] == {"n": 1}
    assert await flushed(world) == {}
    stored = world.server.body["status"]
    assert stored["nodes"]["gate"]["status"] == "Completed"
    assert len(stored["handledRequests"]) == 1


async def test_a_member_of_a_group_decides(world):
    await decide(world, decision(values={"n": 1}), by="eve", groups="staff\nops")
    assert gate(world).status.value == "Completed"


async def test_a_crash_between_taking_in_and_carrying_out_loses_nothing(world):
    await world.ask(approve=decision(values={"n": 1}), **{"approved-by": "bob"})
    world.take_up()  # by another operator: what was taken in is in the annotations
    await world.turn()
    assert gate(world).status.value == "Completed"


async def test_a_crash_between_carrying_out_and_clearing_repeats_nothing(world):
    await decide(world, decision(values={"n": 1}))
    await world.runs.flush(KEY)
    (request,) = world.server.body["status"]["handledRequests"]
    world.server.annotate(accepted=json.dumps([{"id": request, "approve": {
        "node": "gate", "executionId": "gate-1", "decision": "Reject", "by": "bob"}}]))  # fmt: skip
    world.cache.put_run(copy.deepcopy(world.server.body))
    assert await world.runs._requests.for_engine(world.run, world.cache.runs[KEY]) == []
    assert gate(world).status.value == "Completed"


@pytest.mark.parametrize(
    ("text", "by", "said"),
    [
        ("no JSON", "bob", "is not JSON"),
        (decision(), "", "must name who decides"),
        (decision("Maybe"), "bob", "must be Approve or Reject"),
    ],
)
async def test_what_cannot_be_read_is_refused_and_taken_off(world, text, by, said):
    await decide(world, text, by=by)
    ((reason, message),) = world.warnings
    assert reason == "ApprovalRefused"
    assert said in message
    assert world.server.body["metadata"]["annotations"] == {}
    assert gate(world).reason == "WaitingForApproval"


@pytest.mark.parametrize(
    ("text", "by"),
    [
        (decision(execution="gate-2", values={"n": 1}), "bob"),
        (decision(values={"n": "x"}), "bob"),
        (decision(), "bob"),
        (decision(values={"n": 1}), "eve"),
        (decision("Reject"), "eve"),
        (decision().replace("gate", "nope"), "bob"),
    ],
)
async def test_what_does_not_count_is_cleared_and_the_node_waits_on(world, text, by):
    await decide(world, text, by=by)
    assert gate(world).reason == "WaitingForApproval"
    assert await flushed(world) == {}
    await decide(world, decision(values={"n": 1}))
    assert gate(world).status.value == "Completed"


async def test_values_are_checked_by_the_judge_where_that_may_take_long(world, monkeypatch):
    asked = []

    async def check(fields, values, *, asker):
        asked.append((fields, values, asker))
        return CheckedValues(values, ("values.n: is what the judge does not like",))

    monkeypatch.setattr(world.runs._requests._reader, "check_values", check)
    await decide(world, decision(values={"n": 1}))
    assert asked == [(FIELDS, {"n": 1}, "team")]
    assert gate(world).reason == "WaitingForApproval"


async def test_values_that_are_too_expensive_to_check_are_refused(world, monkeypatch):
    async def check(fields, values, *, asker):
        raise OverBudgetError("takes more than 2 s")

    monkeypatch.setattr(world.runs._requests._reader, "check_values", check)
    await decide(world, decision(values={"n": 1}))
    await world.runs.flush(KEY)
    assert world.warnings == [
        ("ApprovalRefused", "gate: values: to check it takes more than 2 s"),
    ]
    assert gate(world).reason == "WaitingForApproval"
