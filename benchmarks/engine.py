"""Cost of one event in the engine, by the size of the run: `make bench`.

In processor time. The floor is the run of 100 nodes; the ratio says what the same event costs in a
larger one.
"""

import time

from podium.api.run import WorkflowRunSpec
from podium.api.workflow import Node, WorkflowSpec
from podium.engine import (
    AttemptPhase,
    Engine,
    Launch,
    Observation,
    Plan,
    RunInfo,
    initial_context,
    initial_status,
)

SIZES = (100, 1000, 10_000)


def rows(size: int) -> list[Node]:
    """Rows of ten, each node after two of the row before: a node's ancestors grow with the run."""
    nodes = []
    for index in range(size):
        before = [f"n{index - 10}", f"n{index - 10 - index % 3}"] if index >= 12 else []
        nodes.append(_node(index, list(dict.fromkeys(before))))
    return nodes


def chains(size: int) -> list[Node]:
    """Chains of ten, side by side: a node's ancestors do not grow with the run."""
    return [_node(i, [f"n{i - 1}"] if i % 10 else []) for i in range(size)]


def _node(index: int, before: list[str]) -> Node:
    return Node.model_construct(
        id=f"n{index}", executor="script", config={"script": "true"}, depends_on=before
    )


def seconds_per_event(nodes: list[Node]) -> float:
    """Run a workflow to its end on paper; return seconds for each step of the engine."""
    spec = WorkflowSpec.model_construct(nodes=nodes)
    plan = Plan.build(spec, workflow_id="bench")
    context = initial_context(plan, WorkflowRunSpec.model_construct(workflow_spec=spec))
    engine = Engine(plan, RunInfo("r", "u", 10), context, initial_status(plan, 1.0))
    actions = engine.step(1.0)
    running = [a for a in actions if isinstance(a, Launch)]
    events = 0
    begin = time.process_time()
    while running:
        launch = running.pop(0)
        for phase in (AttemptPhase.LAUNCHED, AttemptPhase.SUCCEEDED):
            seen = Observation(launch.node, launch.execution_id, phase, output=b'{"x": 1}')
            actions = engine.step(2.0, observations=[seen])
            running += [a for a in actions if isinstance(a, Launch)]
            engine.take_changes()
            events += 1
    took = time.process_time() - begin
    assert engine.status.phase.value == "Succeeded"
    return took / events


def main() -> None:
    """Print the table."""
    print("shape   nodes   microseconds/event   ratio to 100 nodes")
    for shape in (chains, rows):
        floor = 0.0
        for size in SIZES:
            best = min(seconds_per_event(shape(size)) for _ in range(3 if size < 5000 else 1))
            floor = floor or best
            name = shape.__name__
            print(f"{name:<7} {size:<7} {best * 1e6:<20.0f} {best / floor:.2f}", flush=True)


if __name__ == "__main__":
    main()
