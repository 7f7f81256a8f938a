"""Bytes that the states of a large run cost the server: `python -m benchmarks.shards`.

On paper: a fan whose nodes start in order and end in any, so many at a time. Counted is what the
server has to store with each write: the status as it is then, and the shards that are made again.
It must be linear in nodes: bytes a node in the largest run against the smallest that has shards.
"""

import random
import sys
from dataclasses import dataclass, field
from typing import Any

import orjson

from podium.api.run import NodeState, NodeStatus, RunPhase, WorkflowRunStatus
from podium.cluster.runs.shard_objects import Shard
from podium.cluster.runs.shards import INLINE_NODES, Shards
from podium.engine import dump_node

SIZES = (INLINE_NODES + 100, 1000, 2000, 5000)
PARALLEL = (10, 100, 5000)
"""Nodes that run at a time; the first is the default of `maxParallel`."""
CHANGES = 20
"""A write takes in so many."""
MUST = 1.5
SEED = 20261125


@dataclass
class Store:
    """What the server holds of a run, and all that it had to store."""

    status: WorkflowRunStatus
    shards: Shards = field(default_factory=Shards)
    recent: dict[str, Any] = field(default_factory=dict)
    in_shards: int = 0
    in_statuses: int = 0

    def write(self, changed: list[str]) -> None:
        """Write what changed."""
        states = {node: dump_node(self.status.nodes[node]) for node in changed}
        work = self.shards.plan("run", self.recent, self.status, states)
        plan = None
        try:
            while True:
                next(work)
        except StopIteration as done:
            plan = done.value
        fields = self.shards.summary(self.status, states, plan)
        self.recent = {**self.recent, **states} if plan is None else plan.recent
        made = plan.made if plan is not None else {}
        self.in_shards += sum(len(orjson.dumps(nodes)) for nodes in made.values())
        self.in_statuses += len(orjson.dumps({**fields, "nodes": self.recent}))
        shards = {name: Shard(name, name, tuple(nodes), "") for name, nodes in made.items()}
        self.shards.written(states, plan, shards)


def run(size: int, parallel: int) -> Store:
    """Run a fan to its end."""
    order = random.Random(SEED)
    nodes = {f"n{index}": NodeState(status=NodeStatus.PENDING) for index in range(size)}
    store = Store(WorkflowRunStatus(phase=RunPhase.RUNNING, nodes=nodes))
    store.write(list(nodes))
    changed: list[str] = []

    def change(node: str, state: NodeState) -> None:
        store.status.nodes[node] = state
        changed.append(node)
        if len(changed) == CHANGES:
            store.write(changed)
            changed.clear()

    waiting, running = iter(nodes), []
    times = {"launched_at": 1_790_000_000.123, "started_at": 1_790_000_001.456}
    for _ in range(size):
        while len(running) < parallel and (node := next(waiting, None)) is not None:
            running.append(node)
            ran = NodeState(status=NodeStatus.RUNNING, execution_id=f"{node}-1", **times)
            change(node, ran)
        node = running.pop(order.randrange(len(running)))
        ended = {"status": NodeStatus.COMPLETED, "completed_at": 1_790_000_002.789}
        change(node, store.status.nodes[node].model_copy(update=ended))
    store.write(changed)
    return store


def main() -> None:
    """Print bytes a node of each size; exit with 1 if they grow with the run."""
    print(f"{'parallel':>8} {'nodes':>6} {'shards':>8} {'statuses':>8} {'all':>8}   bytes a node")
    missed = False
    for parallel in PARALLEL:
        cost: list[float] = []
        for size in SIZES:
            store = run(size, min(parallel, size))
            parts = [store.in_shards / size, store.in_statuses / size]
            cost.append(sum(parts))
            print(f"{parallel:>8} {size:>6}" + "".join(f" {n:>8.0f}" for n in (*parts, cost[-1])))
        ratio = cost[-1] / cost[0]
        asked = parallel == PARALLEL[0]
        missed |= asked and ratio > MUST
        verdict = f"; must be <= {MUST}: {'ok' if ratio <= MUST else 'MISS'}" if asked else ""
        print(f"{parallel:>8} largest against smallest: {ratio:.2f}{verdict}")
    sys.exit(missed)


if __name__ == "__main__":
    main()
