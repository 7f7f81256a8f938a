"""Answers that come in streams: the whole of them, or none."""

import asyncio
import json
import time

import pytest

from podium.personas import streams as streams_module
from podium.personas.document import Limits, Model
from podium.personas.endpoint import Endpoint
from podium.personas.usage import Budget
from tests.unit.personas.model_server import (
    USAGE,
    Turn,
    calls,
    fails,
    frames,
    model,
    piece,
    says,
    streams,
)
from tests.unit.personas.nodes import KEY, work

GOOD = {"stories": ["one", "zwei drei"]}
CONTRACT = {"produces": ["stories"], "schema": {"type": "object"}}
LIVE = {"stream": True}
SHORT = {"a": 1}


def test_a_stream_is_asked_for_and_its_last_chunk_says_what_it_took(tmp_path):
    with model(streams(GOOD)) as server:
        done = work(tmp_path, server.url, contract=CONTRACT, model=LIVE)
    assert done.output == GOOD
    assert (server.asked[0]["stream"], server.asked[0]["stream_options"]) == (
        True,
        {"include_usage": True},
    )
    assert done.usage == {
        "calls": 1,
        "promptTokens": 100,
        "completionTokens": 10,
        "totalTokens": 110,
    }


def test_none_is_asked_for_unless_the_model_config_says_so(tmp_path):
    with model(says(GOOD)) as server:
        work(tmp_path, server.url, contract=CONTRACT)
    assert "stream" not in server.asked[0]


def test_a_server_that_streams_unasked_is_read_and_one_that_does_not_too(tmp_path):
    with model(streams(GOOD)) as server:
        assert work(tmp_path, server.url, contract=CONTRACT).output == GOOD
    with model(says(GOOD)) as server:
        assert work(tmp_path, server.url, contract=CONTRACT, model=LIVE).output == GOOD


@pytest.mark.parametrize("has_length", [True, False])
def test_a_stream_cut_at_any_byte_is_asked_again_and_never_a_shorter_answer(has_length):
    """Where a length says how much there is, and where the end of the connection is the end."""
    deltas = [
        {"delta": {"content": '{"n":1'}},
        {"delta": {"content": "}"}, "finish_reason": "stop"},
    ]
    whole = frames(*({"choices": [each]} for each in deltas), "[DONE]", has_length=has_length)
    said = whole.body.index(b"data: [DONE]")
    ended = len(whole.body) if has_length else said  # from where on all that is to say was said
    cuts = range(len(whole.body))

    def turns():
        for cut in cuts:
            yield Turn(whole.body, headers=whole.headers, cut=cut, has_length=has_length)
            if cut < ended:
                yield says({"again": cut})

    async def ask_all(url):
        endpoint = Endpoint(Model("m", url, stream=True), time.monotonic() + 300)
        budget = Budget(Limits(), "")
        try:
            said = [await endpoint.ask([], {}, [budget]) for _ in cuts]
        finally:
            await endpoint.close()
        return [json.loads(each.text) for each in said], budget.usage

    with model(*turns()) as server:
        answers, usage = asyncio.run(ask_all(server.url))
    again = [cut for cut in cuts if cut < ended]
    assert answers == [{"again": cut} for cut in again] + [{"n": 1}] * (len(cuts) - len(again))
    assert len(server.asked) == len(cuts) + len(again)
    assert usage.unmeasured >= len(again), "what was cut was paid for all the same"


@pytest.mark.parametrize(
    "fault",
    [
        streams(GOOD, finish=None),
        streams(GOOD, finish=None, done=False),
        frames("[DONE]"),
        frames(),
        frames(piece('{"stories": []}'), "{not JSON", "[DONE]"),
        frames(piece('{"stories": []}'), "[1]", "[DONE]"),
        frames(piece('{"stories": []}'), {"error": {"message": "overloaded"}}),
        frames("[" * 100_000),
        frames({"choices": [{"index": 1, "delta": {"content": "{}"}, "finish_reason": "stop"}]}),
        frames(piece(finish="stop"), "[DONE]"),
        frames({"choices": "x"}, {"choices": [1, {"delta": 1}]}, "[DONE]"),
    ],
)
def test_a_stream_that_is_no_whole_answer_is_tried_again(tmp_path, fault):
    with model(fault, streams(GOOD)) as server:
        done = work(tmp_path, server.url, contract=CONTRACT, model=LIVE)
    assert done.output == GOOD
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        (streams(GOOD, finish="length"), "ModelAnswer"),
        (streams(GOOD, finish="content_filter"), "ModelRefused"),
        (frames(piece(refusal="I will"), piece(refusal=" not.", finish="stop")), "ModelRefused"),
        (frames({"error": {"code": "insufficient_quota", "message": "pay"}}), "ModelQuota"),
        (frames(piece("{"), {"error": {"code": "insufficient_quota"}}), "ModelQuota"),
    ],
)
def test_ends_that_no_other_try_would_change(tmp_path, turn, reason):
    with model(turn) as server:
        done = work(tmp_path, server.url, contract=CONTRACT, model=LIVE)
    assert (done.reason, len(server.asked)) == (reason, 1)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("drip", [0, 0.0001])
def test_lines_end_in_three_ways_and_comments_and_other_fields_are_passed_over(tmp_path, end, drip):
    lines = [
        "\ufeff: hello",
        "",
        "event: chunk",
        "id: 1",
        'data: {"choices": [{"index": 0,',
        'data:"delta": {"content": "{\\"a\\": 1}"}, "finish_reason": "stop"}]}',
        "",
        ": ping",
        "",
        "data: [DONE]",
        "",
        "",
    ]
    turn = Turn(end.join(lines).encode(), headers={"content-type": "text/event-stream"}, drip=drip)
    with model(turn) as server:
        assert work(tmp_path, server.url, model=LIVE).output == SHORT


def test_calls_of_tools_come_in_pieces(tmp_path):
    tool = {
        "type": "Command",
        "command": {"name": "say", "command": ["cat"], "parameters": {"type": "object"}},
    }
    turn = frames(
        piece(tool_calls=[{"index": 0, "id": "c1", "function": {"name": "say", "arguments": ""}}]),
        piece(tool_calls=[{"index": 0, "function": {"arguments": '{"x"'}}]),
        piece(tool_calls=[{"index": 1, "id": "c2", "function": {"name": "say"}}]),
        piece(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
        piece(tool_calls=[{"index": 1, "function": {"arguments": '{"y": 2}'}}, 5, {"index": -1}]),
        piece(tool_calls=[{"index": 10**9, "function": {"arguments": "x"}}], finish="tool_calls"),
        "[DONE]",
    )
    with model(turn, streams(SHORT)) as server:
        done = work(tmp_path, server.url, model=LIVE, personas={"p": {"tools": [tool]}})
    assert done.output == SHORT
    said = [each["content"] for each in server.asked[1]["messages"] if each["role"] == "tool"]
    assert [json.loads(each) for each in said] == [{"x": 1}, {"y": 2}]


def test_a_server_that_does_not_stream_or_count_is_asked_without(tmp_path):
    def turn(asked):
        if "stream_options" in asked:
            return fails(400, "stream_options: unknown field")
        if "stream" in asked:
            return fails(400, "this model does not support stream")
        return says("no") if len(server.asked) == 3 else says(SHORT)

    with model(turn) as server:
        done = work(tmp_path, server.url, model=LIVE)
    assert done.output == SHORT
    assert ["stream" in each for each in server.asked] == [True, True, False, False]


def test_what_a_stream_does_not_count_is_estimated_from_what_came(tmp_path):
    with model(streams({"a": "b" * 300}, usage=None)) as server:
        done = work(tmp_path, server.url, model=LIVE)
    assert done.usage["unmeasuredCalls"] == 1
    assert 100 <= done.usage["completionTokens"] <= 110


def test_a_cut_stream_is_charged_with_what_came(tmp_path):
    whole = streams({"a": "b" * 3000})
    cut = Turn(whole.body, headers=whole.headers, cut=len(whole.body) // 2)
    with model(cut) as server:
        done = work(tmp_path, server.url, model=LIVE)
    assert (done.reason, len(server.asked)) == ("Model", 4)
    assert done.usage["completionTokens"] > 4 * 400


def test_usage_of_each_chunk_is_a_running_count(tmp_path):
    early = {**piece('{"a":'), "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    with model(frames(early, piece(" 1}", finish="stop"), {"usage": USAGE}, "[DONE]")) as server:
        done = work(tmp_path, server.url, model=LIVE)
    assert (done.output, done.usage["totalTokens"]) == (SHORT, 110)


@pytest.mark.parametrize(
    ("name", "turn"),
    [
        ("MAX_BYTES", frames(*[piece("")] * 200)),
        ("MAX_EVENT", frames(piece("x" * 6000))),
        ("MAX_EVENT", Turn(b"data: x\n" * 2000, headers={"content-type": "text/event-stream"})),
        ("MAX_EVENT", Turn(b":" * 9000, headers={"content-type": "text/event-stream"})),
        ("MAX_TEXT", frames(*[piece("x" * 100)] * 60)),
        ("MAX_TEXT", frames(*[piece(reasoning_content="x" * 100)] * 60)),
    ],
)
def test_a_flood_is_bounded(tmp_path, monkeypatch, name, turn):
    monkeypatch.setattr(streams_module, name, 5000)
    with model(turn) as server:
        done = work(tmp_path, server.url, model=LIVE)
    assert (done.reason, len(server.asked)) == ("ModelAnswer", 1)
    assert "more than 5,000 bytes" in str(done.error)


def test_a_stream_that_stops_is_given_up_before_its_time_is_over(tmp_path, monkeypatch):
    """Before its first words a model may think for as long as it may work."""
    monkeypatch.setattr(streams_module, "CHUNK_SECONDS", 0.3)
    whole = streams(SHORT)
    begun = whole.body.index(b"\n\n") + 2
    spoken = whole.body.index(b"\n\n", begun) + 2
    for place, asked in ((begun, 1), (spoken, 2)):
        stopped = Turn(whole.body, headers=whole.headers, pause=(place, 1.0))
        with model(stopped, streams(SHORT)) as server:
            done = work(tmp_path, server.url, model=LIVE)
        assert (done.output, len(server.asked)) == (SHORT, asked)


def test_a_stream_that_drips_is_bounded_in_all(tmp_path):
    slow = streams({"a": "b" * 300})
    slow.drip = 0.01
    with model(slow, streams(SHORT)) as server:
        done = work(tmp_path, server.url, model={**LIVE, "timeoutSeconds": 1})
    assert (done.output, len(server.asked)) == (SHORT, 2)


def test_a_whole_answer_on_a_connection_that_stays_open_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(streams_module, "END_SECONDS", 0.2)
    whole = streams(SHORT, usage=None, done=False)
    whole.body += b" "
    whole.pause = (len(whole.body) - 1, 2.0)
    with model(whole) as server:
        done = work(tmp_path, server.url, model=LIVE)
    assert (done.output, len(server.asked)) == (SHORT, 1)


def test_a_key_that_a_server_streams_back_in_pieces_is_cut_out(tmp_path):
    with model(streams({"a": f"it is {KEY}"})) as server:
        done = work(tmp_path, server.url, model=LIVE)
    assert done.output == {"a": "it is ***"}


def test_errors_of_a_stream_are_as_of_any_answer(tmp_path):
    page = Turn(b"<html>", headers={"content-type": "text/html"})
    with model(page) as server:
        assert work(tmp_path, server.url, model=LIVE).reason == "Config"
    with model(calls(("shell", {})), streams(SHORT)) as server:
        assert work(tmp_path, server.url, model=LIVE).output == SHORT
