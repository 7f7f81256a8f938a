"""Teams: drafts side by side, rounds of critique, the lead's merge, members that fail."""

import threading

import pytest

from tests.unit.personas.model_server import fails, model, says
from tests.unit.personas.nodes import work

TEAM = {"a": {}, "b": {}, "c": {}}
CONTRACT = {"produces": ["plan"], "schema": {"type": "object", "required": ["plan"]}}


def who(asked):
    """Which persona is asked, and what it is to do."""
    system, user = (each["content"] for each in asked["messages"][:2])
    name = system.split(".")[0].removeprefix("You are ")
    for word, role in (("Write your own draft", "draft"), ("Criticise", "critique")):
        if word in user:
            return name, role
    return name, "revise" if "Revise your own" in user else "merge"


def test_members_draft_side_by_side_and_the_lead_merges(tmp_path):
    together = threading.Barrier(3, timeout=20)

    def turn(asked):
        name, role = who(asked)
        if role == "draft":
            together.wait()  # none is answered before all have asked
            return says({"from": name})
        return says({"plan": "whole"})

    with model(turn) as server:
        done = work(tmp_path, server.url, personas=TEAM, config={"lead": "b"}, contract=CONTRACT)
    assert done.output == {"plan": "whole"}
    merge = server.asked[-1]
    assert who(merge) == ("b", "merge")
    for name in TEAM:
        assert f'"from": "{name}"' in merge["messages"][1]["content"]
    assert done.usage["calls"] == 4
    told = done.events
    answered = {(row["persona"], row["role"]) for row in told if "answered" in row}
    assert answered == {("a", "draft"), ("b", "draft"), ("c", "draft"), ("b", "merge")}


def test_a_draft_need_not_keep_the_contract_of_the_node_but_the_personas_own(tmp_path):
    own = {"outputSchema": {"type": "object", "required": ["tables"]}}

    def turn(asked):
        name, role = who(asked)
        if role == "merge":
            return says({"plan": 1})
        is_again = len(asked["messages"]) > 2
        return says({"tables": 1} if name == "b" and is_again else {"x": 1})

    with model(turn) as server:
        done = work(tmp_path, server.url, personas={"a": {}, "b": own}, contract=CONTRACT)
    assert done.output == {"plan": 1}
    assert len(server.asked) == 4


def test_rounds_of_critique_are_bounded_and_end_when_the_lead_accepts(tmp_path):
    critiques = []

    def turn(asked):
        name, role = who(asked)
        if role == "critique":
            critiques.append(1)
            if len(critiques) == 3:
                return says({"accepted": True, "critiques": {}})
            return says({"accepted": False, "critiques": {"b": "too short", "x": "not there"}})
        if role == "revise":
            assert "too short" in asked["messages"][1]["content"]
            return says({"from": name, "version": len(critiques)})
        return says({"plan": 1} if role == "merge" else {"from": name, "version": 0})

    with model(turn) as server:
        work(tmp_path, server.url, personas=TEAM, config={"rounds": 2}, contract=CONTRACT)
        assert [who(asked) for asked in server.asked[3:]] == [
            ("a", "critique"),
            ("b", "revise"),
            ("a", "critique"),
            ("b", "revise"),
            ("a", "merge"),
        ]
        assert '"version": 2' in server.asked[-1]["messages"][1]["content"]
        del server.asked[:]
        critiques[:] = [1, 1]
        work(tmp_path, server.url, personas=TEAM, config={"rounds": 5}, contract=CONTRACT)
        assert [who(asked)[1] for asked in server.asked[3:]] == ["critique", "merge"]


def test_a_member_that_cannot_revise_keeps_its_draft(tmp_path):
    def turn(asked):
        _, role = who(asked)
        if role == "critique":
            return says({"accepted": False, "critiques": {"a": "x", "b": "x", "c": "x"}})
        if role == "revise":
            return fails(400, "no")
        return says({"plan": 1} if role == "merge" else {"draft": 1})

    with model(turn) as server:
        done = work(tmp_path, server.url, personas=TEAM, config={"rounds": 1}, contract=CONTRACT)
    assert done.output == {"plan": 1}


@pytest.mark.parametrize(("needed", "ends"), [(None, "Config"), (3, "Config"), (2, None)])
def test_a_member_that_fails_follows_min_members(tmp_path, needed, ends):
    def turn(asked):
        name, role = who(asked)
        if name == "b":
            return fails(404, "no such model")
        return says({"plan": 1} if role == "merge" else {"draft": name})

    with model(turn) as server:
        config = {"minMembers": needed} if needed else {}
        done = work(tmp_path, server.url, personas=TEAM, config=config, contract=CONTRACT)
    assert done.reason == ends
    if ends is None:
        assert "Draft of b" not in server.asked[-1]["messages"][1]["content"]
    else:
        assert "b: 127.0.0.1: status 404" in str(done.error)
