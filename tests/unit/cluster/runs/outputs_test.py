"""Values in `outputs` of nodes: what the kubelet read, and what a program printed."""

import pytest

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
