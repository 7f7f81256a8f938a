"""Cost of one event in a large run against a small one: `python -m benchmarks.events`.

An event is a node that starts or ends: the engine's step, and the JSON of what changed in the
status, as it would be sent. The floor is the run of 50 nodes. Microseconds of processor time and
bytes an event; the size of the whole status is shown beside it. The API server's own work is not in
it.
"""

import time
from dataclasses import dataclass
from typing import Any

import orjson

from benchmarks.engine import chains, rows
from podium.api.run import WorkflowRunSpec, WorkflowRunStatus
from podium.api.workflow import Node, WorkflowSpec
from podium.engine import (
    AttemptPhase,
    Changes,
    Engine,
    Launch,
    Observation,
    Plan,
    RunInfo,
    dump_node,
    dump_status,
    initial_context,
    initial_status,
)

SIZES = (50, 5000)
EVENTS = 10_000
"""So many events are measured at least of each size."""
MUST = 1.5


@dataclass
class Cost:
    """What an event costs."""

    seconds: float
    written: float
    """Bytes of the changes."""
    status: int
    """Bytes of the whole status at the end."""


def patch(known: dict[str, Any], status: WorkflowRunStatus, changes: Changes) -> bytes:
    """Write what changed: nodes whole, fields of the run where they differ."""
    fields = dump_status(status.model_copy(update={"nodes": {}}))
    fields.pop("nodes", None)
    changed = {f"/status/{name}": v for name, v in fields.items() if known.get(name) != v}
    known.update(fields)
    for node in changes.nodes:
        changed[f"/status/nodes/{node}"] = dump_node(status.nodes[node])
    return orjson.dumps([{"op": "add", "path": k, "value": v} for k, v in changed.items()])


def once(nodes: list[Node]) -> tuple[int, Cost]:
    """Run a workflow to its end on paper; return the number of events and the cost of one."""
    spec = WorkflowSpec.model_construct(nodes=nodes)
    plan = Plan.build(spec, workflow_id="bench")
    context = initial_context(plan, WorkflowRunSpec.model_construct(workflow_spec=spec))
    status = initial_status(plan, 1.0)
    engine = Engine(plan, RunInfo("r", "u", 10), context, status)
    running = [a for a in engine.step(1.0) if isinstance(a, Launch)]
    known: dict[str, Any] = {}
    patch(known, status, engine.take_changes())
    events = written = 0
    begin = time.process_time()
    while running:
        launch = running.pop(0)
        for phase in (AttemptPhase.LAUNCHED, AttemptPhase.SUCCEEDED):
            seen = Observation(launch.node, launch.execution_id, phase, output=b'{"x": 1}')
            actions = engine.step(2.0, observations=[seen])
            running += [a for a in actions if isinstance(a, Launch)]
            written += len(patch(known, status, engine.take_changes()))
            events += 1
    took = time.process_time() - begin
    assert status.phase.value == "Succeeded"
    return events, Cost(took / events, written / events, len(orjson.dumps(dump_status(status))))


def cost(nodes: list[Node]) -> Cost:
    """Repeat it until there were enough events; the quickest counts."""
    found, left = [], EVENTS
    while left > 0 or len(found) < 2:
        events, one = once(nodes)
        found.append(one)
        left -= events
    return min(found, key=lambda one: one.seconds)


def main() -> None:
    """Print the table."""
    form = "{:<7} {:<6} {:<19} {:<12} {:<14} {:<20} {}"
    print(
        form.format(
            *("shape", "nodes", "microseconds/event", "bytes/event", "status bytes"),
            *("ratio to 50 nodes", "must"),
        )
    )
    for shape in (chains, rows):
        floor = 0.0
        for size in SIZES:
            one = cost(shape(size))
            floor = floor or one.seconds
            ratio = one.seconds / floor
            print(
                form.format(
                    *(shape.__name__, size, f"{one.seconds * 1e6:.0f}", f"{one.written:.0f}"),
                    *(one.status, f"{ratio:.2f}"),
                    f"<={MUST:.2f} {'ok' if ratio <= MUST else 'MISS'}" if size > SIZES[0] else "",
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
