"""The reflector: what it tells after lists, watches, and whatever comes between."""

import asyncio
from types import SimpleNamespace

import pytest

from podium.cluster.kube.errors import ApiError
from podium.cluster.watch import reflector as watches_module
from podium.cluster.watch.reflector import Reflector


class Done(Exception):  # noqa: N818 - the script is played
    pass


class Source:
    """Answers lists and watches by a script; what it was asked is kept."""

    def __init__(self, *script):
        self.script = list(script)
        self.asked = []

    def next(self, kind):
        if not self.script:
            raise Done
        wanted, *parts = self.script.pop(0)
        assert wanted == kind, f"asked to {kind}, the script has {wanted}"
        return parts

    async def list_all(self, resource, namespace, selector):
        assert (resource, namespace, selector) == ("pods", "team", "podium.dev/run")
        self.asked.append("list")
        for part in self.next("list"):
            if isinstance(part, Exception):
                raise part
            yield part

    async def watch(self, resource, namespace, selector, version):
        assert (resource, namespace, selector) == ("pods", "team", "podium.dev/run")
        self.asked.append(version)
        for part in self.next("watch"):
            if isinstance(part, Exception):
                raise part
            yield part


def pod(uid, version=1):
    return {"metadata": {"uid": uid, "resourceVersion": str(version)}}


def page(version, *uids):
    return [pod(uid) for uid in uids], str(version)


def event(kind, uid, version):
    return {"type": kind, "object": pod(uid, version)}


def bookmark(version):
    return {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}}


@pytest.fixture
def slept(monkeypatch):
    """Seconds that the reflector wanted to wait."""
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(
        watches_module, "asyncio", SimpleNamespace(sleep=sleep, Event=asyncio.Event)
    )
    return slept


async def play(*script):
    """Let a reflector go through a script; return what was asked and what it told."""
    source, told = Source(*script), []

    def sink(kind, body):
        told.append((kind, body["metadata"]["uid"]))

    reflector = Reflector(source, "pods", "team", "podium.dev/run", sink)
    with pytest.raises(Done):
        await reflector.run()
    return SimpleNamespace(asked=source.asked, told=told, synced=reflector.synced.is_set())


TOO_OLD = ApiError(410, "Expired", "too old resource version")
AWAY = ApiError(0, "NoAnswer", "ClientConnectorError")


async def test_all_pages_are_listed_before_anything_is_watched(slept):
    seen = await play(
        ("list", page(10, "a", "b"), page(10, "c")),
        ("watch", event("MODIFIED", "a", 11), event("ADDED", "d", 12), event("DELETED", "b", 13)),
    )
    assert seen.told == [
        ("ADDED", "a"),
        ("ADDED", "b"),
        ("ADDED", "c"),
        ("MODIFIED", "a"),
        ("ADDED", "d"),
        ("DELETED", "b"),
    ]
    assert (seen.asked, seen.synced) == (["list", "10", "13"], True)


async def test_nothing_is_synced_before_all_is_listed(slept):
    seen = await play(("list", page(10, "a"), AWAY))
    assert (seen.told, seen.synced) == ([("ADDED", "a")], False)


async def test_a_watch_that_the_server_ended_goes_on_where_it_ended(slept):
    seen = await play(
        ("list", page(10)),
        ("watch", event("ADDED", "a", 11)),
        ("watch", bookmark(20)),
        ("watch", event("ADDED", "b", 21)),
    )
    assert seen.asked == ["list", "10", "11", "20", "21"]
    assert seen.told == [("ADDED", "a"), ("ADDED", "b")], "a bookmark is nothing to tell"
    assert slept == []


async def test_a_watch_that_tells_nothing_at_all_is_not_asked_for_in_a_loop(slept):
    """Such as one that a proxy closes: the server itself sends bookmarks."""
    seen = await play(("list", page(10)), ("watch",), ("watch",), ("watch",))
    assert seen.asked == ["list", "10", "10", "10", "10"]
    assert len(slept) == 3
    assert slept[0] > 0


async def test_deletions_that_were_missed_are_found_by_listing_again(slept):
    seen = await play(
        ("list", page(10, "a", "b")),
        ("watch", event("ADDED", "c", 11), event("DELETED", "a", 12), TOO_OLD),
        ("list", page(30, "c", "d")),
    )
    assert seen.asked == ["list", "10", "list", "30"]
    assert seen.told[4:] == [("ADDED", "c"), ("ADDED", "d"), ("LOST", "b")]
    assert slept == [], "asked again at once"


async def test_what_half_a_list_told_is_lost_as_well(slept):
    seen = await play(
        ("list", page(10, "a"), AWAY),
        ("list", page(20, "b")),
    )
    assert seen.told == [("ADDED", "a"), ("ADDED", "b"), ("LOST", "a")]


async def test_a_server_that_says_too_old_again_and_again_is_left_in_peace(slept):
    await play(
        ("list", page(10)),
        ("watch", TOO_OLD),
        ("list", page(10)),
        ("watch", TOO_OLD),
        ("list", page(10)),
    )
    assert len(slept) == 1


async def test_a_list_older_than_what_was_seen_is_not_believed(slept):
    """A server that lags behind would say that what was just made is gone."""
    seen = await play(
        ("list", page(10, "a")),
        ("watch", event("ADDED", "b", 20), TOO_OLD),
        ("list", page(19, "a")),
        ("list", page(20, "a", "b")),
    )
    assert seen.asked == ["list", "10", "list", "list", "20"]
    assert seen.told == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "a"), ("ADDED", "b")]
    assert len(slept) == 1


async def test_an_answer_that_is_no_list_takes_nothing_away(slept):
    seen = await play(
        ("list", page(10, "a")),
        ("watch", TOO_OLD),
        ("list", ([], "")),
        ("list", page(11, "a")),
    )
    assert ("LOST", "a") not in seen.told


async def test_errors_are_waited_out_longer_and_longer(slept):
    await play(*[("list", AWAY)] * 12)
    assert len(slept) == 12
    for wait, most in zip(slept, [0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, *[30.0] * 5], strict=True):
        assert most / 2 <= wait <= most


async def test_the_server_says_when_to_come_back(slept):
    busy = ApiError(429, "TooManyRequests", "later", retry_after=7.0)
    await play(("list", busy), ("list", page(10)), ("watch", busy), ("watch", bookmark(11)))
    assert slept == [7.0, 7.0]


async def test_an_event_ends_the_waiting(slept):
    failures = [("watch", AWAY)] * 5
    await play(("list", page(10)), *failures, ("watch", bookmark(11), AWAY))
    assert slept[-1] <= 0.4 < slept[-2]


async def test_a_watch_goes_on_after_errors_without_a_list(slept):
    seen = await play(
        ("list", page(10)), ("watch", event("ADDED", "a", 11), AWAY), ("watch", bookmark(12))
    )
    assert seen.asked == ["list", "10", "11", "12"]


@pytest.mark.parametrize(
    "garbage",
    [
        {},
        {"message": "<html>"},
        {"type": 7, "object": {"metadata": {"uid": "x"}}},
        {"type": "UNKNOWN", "object": pod("x")},
        {"type": ["ADDED"]},
        {"type": "BOOKMARK", "object": None},
        {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": 99}}},
    ],
)
async def test_an_event_that_is_none_is_passed_over(slept, garbage):
    seen = await play(("list", page(10)), ("watch", garbage, event("ADDED", "a", 11)))
    assert (seen.asked, seen.told) == (["list", "10", "11"], [("ADDED", "a")])
