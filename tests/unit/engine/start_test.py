"""What is checked before a run starts."""

from podium.engine import check_start
from tests.unit.engine.support import Run, node


def test_inputs_may_be_closed_beside_a_global_context():
    inputs = {"type": "object", "properties": {"who": {}}, "additionalProperties": False}
    run = Run(node("a"), context={"who": 1}, inputs=inputs, globalContext={"greeting": "Hello"})
    assert check_start(run.plan, run.run_spec) == []
    other = Run(node("a"), context={"whom": 1}, inputs=inputs, globalContext={"greeting": "Hello"})
    (problem,) = check_start(other.plan, other.run_spec)
    assert "whom" in problem.message
    assert "greeting" not in problem.message
