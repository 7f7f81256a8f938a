"""An engine that is made piece by piece is the one that is made at once."""

from podium.engine import Engine, RunInfo
from podium.engine.start import initial_status
from tests.unit.engine.support import Run, node

COUNT = 300


def test_an_engine_is_made_node_by_node_and_edge_by_edge():
    nodes = [node(f"n{i}", *([f"n{i - 1}"] if i % 3 else [])) for i in range(COUNT)]
    plan = Run(*nodes).engine.plan
    info = RunInfo("r", "u", 10, False)
    slices, making = 0, Engine.in_slices(plan, info, {}, initial_status(plan, 1.0))
    try:
        while True:
            next(making)
            slices += 1
    except StopIteration as done:
        made = done.value
    assert slices >= 3 * COUNT + len(plan.edges)
    at_once = Engine(plan, info, {}, initial_status(plan, 1.0))
    assert made.step(2.0) == at_once.step(2.0)
    assert made.status == at_once.status
