"""What outlives a node on a laptop: ways of asking, as a hint, and answers that are given again."""

import json
import os
import stat
import time

import pytest

from podium.personas import kept as kept_module
from podium.personas.kept import Kept
from tests.unit.personas.model_server import calls, fails, model, says
from tests.unit.personas.nodes import KEY, work

CONTRACT = {"produces": ["n"]}
GOOD = {"n": 1}


def forms_asked(server):
    return [each.get("response_format", {}).get("type") for each in server.asked]


def without_schemas(asked):
    is_known = asked.get("response_format", {}).get("type") != "json_schema"
    return says(GOOD) if is_known else fails(400, "response_format: json_schema is not supported")


def test_the_next_node_asks_an_endpoint_in_the_way_that_it_knows(tmp_path):
    with model(without_schemas) as server:
        for _ in range(2):
            assert work(tmp_path, server.url, kept=Kept(tmp_path / "e")).output == GOOD
    assert forms_asked(server) == ["json_schema", "json_object", "json_object"]


def test_another_model_of_the_endpoint_is_another_matter(tmp_path):
    with model(without_schemas) as server:
        for name in ("one", "two"):
            work(tmp_path, server.url, kept=Kept(tmp_path / "e"), model={"model": name})
    assert forms_asked(server) == ["json_schema", "json_object"] * 2


def test_after_a_day_an_endpoint_may_have_learned_it(tmp_path):
    with model(without_schemas, without_schemas, says(GOOD)) as server:
        work(tmp_path, server.url, kept=Kept(tmp_path / "e"))
        (path,) = (tmp_path / "e").iterdir()
        os.utime(path, (0, time.time() - kept_module.FORM_SECONDS - 1))
        work(tmp_path, server.url, kept=Kept(tmp_path / "e"))
    assert forms_asked(server) == ["json_schema", "json_object", "json_schema"]


@pytest.mark.parametrize("wrong", [b"", b"{", b"[]", b'{"form": []}', b'{"form": "x"}', b"\xff"])
def test_a_hint_that_is_none_is_not_taken(tmp_path, wrong):
    with model(without_schemas) as server:
        work(tmp_path, server.url, kept=Kept(tmp_path / "e"))
        (path,) = (tmp_path / "e").iterdir()
        path.write_bytes(wrong)
        work(tmp_path, server.url, kept=Kept(tmp_path / "e"))
    assert forms_asked(server) == ["json_schema", "json_object"] * 2


def test_a_wrong_hint_costs_a_request_and_never_a_result(tmp_path):
    """It says json_object, and the endpoint knows neither."""
    with model(
        without_schemas, without_schemas, fails(400, "response_format"), says(GOOD)
    ) as server:
        work(tmp_path, server.url, kept=Kept(tmp_path / "e"))
        done = work(tmp_path, server.url, kept=Kept(tmp_path / "e"), contract=CONTRACT)
    assert done.output == GOOD
    assert forms_asked(server)[2:] == ["json_object", None]


def test_the_same_question_is_answered_as_before_and_said_not_to_be_live(tmp_path):
    with model(says(GOOD), says({"n": 2})) as server:
        first, second = (
            work(tmp_path, server.url, kept=Kept(None, tmp_path / "a"), contract=CONTRACT)
            for _ in range(2)
        )
        assert second.output == first.output == GOOD
        assert "keptAnswers" not in first.usage
        assert second.usage == {
            "calls": 0,
            "promptTokens": 0,
            "completionTokens": 0,
            "totalTokens": 0,
            "keptAnswers": 1,
        }
        assert second.events[-1]["fromCache"] is True
        others = [
            {"given": {"inputs": {"x": 1}}},
            {"model": {"temperature": 1}},
            {"model": {"model": "other"}},
            {"contract": {"produces": ["n"], "schema": {"type": "object", "title": "t"}}},
            {"personas": {"p": {"systemMessage": "You are somebody else."}}},
        ]
        for number, other in enumerate(others, 2):
            given = {"contract": CONTRACT, **other}
            work(tmp_path, server.url, kept=Kept(None, tmp_path / "a"), **given)
            assert len(server.asked) == number, other


def test_answers_that_did_not_keep_their_contract_are_not_kept(tmp_path):
    personas = {"p": {"maxRepairs": 0}}
    with model(says({"wrong": 1}), says(GOOD)) as server:
        first, second = (
            work(
                tmp_path,
                server.url,
                kept=Kept(None, tmp_path / "a"),
                personas=personas,
                contract={"schema": {"required": ["n"]}},
            )
            for _ in range(2)
        )
    assert (first.reason, second.output) == ("ModelAnswer", GOOD)


def test_repairs_and_calls_of_tools_are_given_again_in_their_order(tmp_path):
    tool = {
        "type": "Command",
        "command": {"name": "say", "command": ["cat"], "parameters": {"type": "object"}},
    }
    more = {"personas": {"p": {"tools": [tool]}}, "contract": {"schema": {"required": ["n"]}}}
    with model(calls(("say", {"x": 1})), says({"wrong": 1}), says(GOOD)) as server:
        for _ in range(2):
            done = work(tmp_path, server.url, kept=Kept(None, tmp_path / "a"), **more)
            assert done.output == GOOD
    assert len(server.asked) == 3
    assert done.usage["keptAnswers"] == 3


@pytest.mark.parametrize("wrong", [b"", b"{", b'{"text": 1}', b'{"text": "x", "calls": [[1]]}'])
def test_an_answer_that_was_not_kept_whole_is_asked_for(tmp_path, wrong):
    with model(says(GOOD)) as server:
        work(tmp_path, server.url, kept=Kept(None, tmp_path / "a"))
        (path,) = (tmp_path / "a").iterdir()
        path.write_bytes(wrong)
        assert work(tmp_path, server.url, kept=Kept(None, tmp_path / "a")).output == GOOD
    assert len(server.asked) == 2


def test_what_is_kept_is_the_owners_alone_and_has_no_key(tmp_path):
    with model(says({"n": f"it is {KEY}"})) as server:
        work(tmp_path, server.url, kept=Kept(tmp_path / "e", tmp_path / "a"))
    (path,) = (tmp_path / "a").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert KEY not in path.read_text()
    assert json.loads(path.read_text())["text"] == '{"n": "it is ***"}'


def test_a_place_that_cannot_be_written_does_no_harm(tmp_path):
    (tmp_path / "file").write_text("")
    kept = Kept(tmp_path / "file" / "e", tmp_path / "file" / "a")
    with model(without_schemas) as server:
        assert work(tmp_path, server.url, kept=kept).output == GOOD
