"""Events: sparse, in the background, and never in anybody's way."""

import asyncio
import logging
from dataclasses import replace

import pytest

from podium.cluster.kube import events as recorder_module
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.events import BURST, MOST_WAITING, Recorder, Subject
from podium.engine import Emit, EventType

RUN = Subject("WorkflowRun", "team", "release-x7", "uid-1", nodes=50)


class Server:
    """Takes Events in."""

    def __init__(self):
        self.events = []
        self.refuse = 0
        self.patient = []
        """Messages that may wait."""

    async def create_event(self, namespace, event, *, patient=False):
        assert event["metadata"]["namespace"] == namespace
        if self.refuse:
            self.refuse -= 1
            raise ApiError(403, "Forbidden", "exceeded quota")
        self.events.append(event)
        if patient:
            self.patient.append(event["message"])


class Clock:
    now = 1000.0

    def monotonic(self):
        return self.now

    def time_ns(self):
        return int(self.now * 1e9)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(recorder_module, "time", clock)
    return clock


@pytest.fixture
def server():
    return Server()


async def posted(recorder, server):
    """Let the recorder post what is queued; return what came, and forget it."""
    posting = asyncio.create_task(recorder.run())
    for _ in range(3):
        await asyncio.sleep(0)
    posting.cancel()
    await asyncio.wait([posting])
    events, server.events = server.events, []
    return events


def event(message="m", node=None, reason="Started"):
    return Emit(EventType.NORMAL, reason, message, node)


async def test_an_event_is_about_its_object(server, clock):
    recorder = Recorder(server)
    recorder.record(RUN, event("works", node="build"))
    recorder.warn(RUN, "Failed", "why")
    first, second = sorted(await posted(recorder, server), key=lambda made: made["type"])
    assert first["involvedObject"] == {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "WorkflowRun",
        "namespace": "team",
        "name": "release-x7",
        "uid": "uid-1",
    }
    assert (first["type"], first["reason"], first["message"]) == (
        "Normal",
        "Started",
        "build: works",
    )
    assert first["metadata"]["name"].startswith("release-x7.")
    assert (second["type"], second["reason"], second["message"]) == ("Warning", "Failed", "why")


async def test_only_good_news_of_nodes_wait(server, clock):
    recorder = Recorder(server)
    recorder.record(RUN, event("began", node="build"))
    recorder.record(RUN, Emit(EventType.WARNING, "NodeFailed", "broke", "build"))
    recorder.record(RUN, event("of the run"))
    recorder.warn(RUN, "RerunRefused", "why")
    assert len(await posted(recorder, server)) == 4
    assert server.patient == ["build: began"]


async def test_a_warning_is_not_crowded_out(server, clock):
    recorder = Recorder(server)
    for number in range(MOST_WAITING + 1):
        recorder.record(replace(RUN, uid=str(number)), event("ended"))
    recorder.warn(RUN, "RerunRefused", "why")
    first, *_ = await posted(recorder, server)
    assert first["reason"] == "RerunRefused"


async def test_an_object_has_a_burst_and_then_a_trickle(server, clock):
    recorder = Recorder(server)
    for number in range(BURST + 10):
        recorder.record(RUN, event(str(number)))
    assert [e["message"] for e in await posted(recorder, server)] == [str(n) for n in range(BURST)]
    clock.now += 4.9
    recorder.record(RUN, event("too soon"))
    clock.now += 0.2
    recorder.record(RUN, event("in time"))
    recorder.record(RUN, event("the next one"))
    assert [e["message"] for e in await posted(recorder, server)] == ["in time"]
    clock.now += 1e6
    for number in range(BURST + 10):
        recorder.record(RUN, event(str(number)))
    assert len(await posted(recorder, server)) == BURST, "a long silence saves up no more"


async def test_objects_have_buckets_of_their_own(server, clock):
    recorder = Recorder(server)
    for _ in range(BURST + 1):
        recorder.record(RUN, event())
    recorder.record(replace(RUN, uid="uid-2"), event("other"))
    assert [e["message"] for e in await posted(recorder, server)][BURST:] == ["other"]
    recorder.forget("uid-1")
    recorder.forget("uid-1")
    recorder.record(RUN, event("again"))
    assert [e["message"] for e in await posted(recorder, server)] == ["again"]


async def test_large_runs_have_no_lines_for_nodes(server, clock):
    recorder = Recorder(server)
    large = replace(RUN, nodes=51)
    for _ in range(BURST + 1):
        recorder.record(large, event(node="build"))
    recorder.record(large, event("of the run"))
    assert [e["message"] for e in await posted(recorder, server)] == ["of the run"]
    recorder.record(RUN, event(node="build"))
    assert len(await posted(recorder, server)) == 1


async def test_long_texts_are_cut(server, clock):
    recorder = Recorder(server)
    recorder.record(RUN, event("x" * 5000, reason="R" * 500))
    (made,) = await posted(recorder, server)
    assert (len(made["message"]), len(made["reason"])) == (1000, 128)


@pytest.mark.parametrize("name", ["a" * 199 + "-b" * 20, "a" * 199 + "." + "b" * 40, "x" * 253])
async def test_names_stay_names(server, clock, name):
    recorder = Recorder(server)
    recorder.record(replace(RUN, name=name), event())
    (made,) = await posted(recorder, server)
    prefix, _, moment = made["metadata"]["name"].rpartition(".")
    assert prefix.endswith(("a", "x"))
    assert (len(prefix) <= 200, len(moment)) == (True, 16)


async def test_events_of_one_moment_are_in_order_by_name_and_time(server, clock):
    recorder = Recorder(server)
    for number in range(12):
        recorder.record(
            RUN, Emit(EventType.NORMAL, "R", str(number), "build" if number % 2 else None)
        )
    recorder.warn(RUN, "Last", "12")
    clock.now -= 5  # a clock that was set back
    recorder.warn(RUN, "Last", "13")
    events = await posted(recorder, server)
    ordered = sorted(events, key=lambda each: each["metadata"]["name"])
    assert [each["message"].removeprefix("build: ") for each in ordered] == [
        str(number) for number in range(14)
    ]
    assert sorted(each["eventTime"] for each in ordered) == [each["eventTime"] for each in ordered]


async def test_a_refused_event_is_lost_and_the_next_one_is_not(server, clock, caplog):
    recorder = Recorder(server)
    server.refuse = 1
    recorder.record(RUN, event("lost"))
    recorder.record(RUN, event("kept"))
    with caplog.at_level(logging.DEBUG):
        assert [e["message"] for e in await posted(recorder, server)] == ["kept"]
    assert "exceeded quota" in caplog.text


async def test_a_server_that_does_not_answer_costs_no_memory(server, clock):
    recorder = Recorder(server)
    for number in range(MOST_WAITING + 10):
        recorder.record(replace(RUN, uid=str(number)), event())
    assert len(await posted(recorder, server)) == MOST_WAITING
