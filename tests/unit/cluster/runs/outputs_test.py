"""Values in `outputs` of nodes: what the kubelet read, and what a program printed."""

import asyncio

import pytest

from podium.cluster.kube.answers import TooLongError
from podium.cluster.kube.errors import ApiError
from podium.cluster.runs import printed
from tests.unit.cluster import support
from tests.unit.cluster.runs.world import SCHEDULED, World
from tests.unit.cluster.support import terminated
from tests.unit.engine.support import node


async def ended(outputs, message=""):
    world = World(node("a", outputs=outputs))
    await world.start()
    done = terminated(0, "Completed", message=message)
    pod = support.pod(SCHEDULED, phase="Succeeded", state=done)
    world.change(world.pod, status=pod["status"])
    return await world.turn()


@pytest.mark.parametrize(
    ("message", "stands"),
    [
        ("1.2\n", "Completed"),
        ("", "Failed OutputMissing"),
        (None, "Failed OutputMissing"),
        ("x" * 4096, "Failed OutputTooLarge"),
    ],
)
async def test_a_file_that_the_kubelet_read_is_a_value(message, stands):
    world = await ended({"version": {"path": "/out/version"}}, message)
    assert world.stands() == stands
    wanted = {"version": "1.2"} if stands == "Completed" else None
    assert world.paper.state("a").output == wanted


PRINTED = {"x": {"stdout": "Text"}}
BUSY = ApiError(500, "InternalError", "dial tcp: i/o timeout")


async def read(*answers, **more):
    """Let a program end that printed something, and its log be asked for so often."""
    world = World(node("a", outputs=PRINTED))
    await world.start()
    world.server.refuse["read", "log"] = [each for each in answers if isinstance(each, Exception)]
    world.server.logs = [each for each in answers if not isinstance(each, Exception)]
    done = terminated(0, "Completed", **more)
    pod = support.pod(SCHEDULED, phase="Succeeded", state=done)
    world.change(world.pod, status=pod["status"])
    await world.turn()
    assert world.stands() == "Running"
    assert not world.run.after_write.outcomes, "its Pod must stay until the log is read"
    return world


async def test_a_log_is_read_before_the_pod_may_go():
    world = await read(b"hello\n", message='{"y": 1}')
    await world.turn()
    assert world.paper.state("a").output == {"x": "hello", "y": 1}
    assert world.run.after_write.outcomes
    assert world.server.calls.count("read log") == 1


async def test_a_log_that_cannot_be_read_now_is_read_later():
    world = await read(BUSY, b"hello\n")
    for _ in range(3):
        await world.turn()
    assert world.stands() == "Running"
    (name, seconds) = world.later[-1]
    assert seconds == printed.RETRY_SECONDS
    world.run.dirty.add(name)
    await world.turn()
    await world.turn()
    assert world.stands() == "Completed"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ApiError(404, "NotFound", "gone"), "cannot be read: its Pod is gone"),
        (ApiError(403, "Forbidden", "no"), "no right on pods/log (chart value outputs.fromLogs)"),
        (BUSY, "500 InternalError: dial tcp: i/o timeout"),
    ],
)
async def test_a_log_that_is_lost_fails_the_node_and_is_no_empty_value(monkeypatch, error, words):
    monkeypatch.setattr(printed, "READ_SECONDS", 0)
    world = await read(error)
    await world.turn()
    assert world.stands() == "Failed OutputLost"
    assert words in world.paper.state("a").error.message


async def test_a_pod_that_is_gone_has_no_log():
    world = World(node("a", outputs=PRINTED))
    await world.start()
    done = terminated(0, "Completed")
    pod = support.pod(SCHEDULED, phase="Succeeded", state=done)
    world.change(world.pod, status=pod["status"])
    (uid,) = [each["metadata"]["uid"] for each in world.server.pods.values()]
    world.cache.lose_pod(uid)
    await world.turn()
    assert world.stands() == "Failed OutputLost"


async def test_more_than_an_output_may_have_is_too_large():
    world = await read(TooLongError())
    await world.turn()
    assert world.stands() == "Failed OutputTooLarge"


async def test_an_operator_that_takes_over_reads_the_log_again():
    world = await read(b"lost with the first one", b"hello")
    await asyncio.sleep(0)
    await world.crash()
    await world.turn()
    await world.turn()
    assert world.paper.state("a").output == {"x": "hello"}
    assert world.server.calls.count("read log") == 2
