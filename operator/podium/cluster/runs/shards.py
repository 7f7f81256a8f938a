"""Node states of large runs: objects of their own (`WorkflowRunNodes`), which the status names.

A shard never changes. What changed since it was made is in the status, which stays small: when
there is too much of it, the shards that it touches are replaced and the status names the new ones.
So one write of the status is what counts, and a crash leaves the state before it or after it.
"""

import time
import uuid
from collections import Counter
from collections.abc import Container, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from podium.api.names import LABEL_RUN, label_value, object_name, split_item
from podium.api.run import NodeStatus, WorkflowRunStatus
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.views import dig, items, mapping, text, when
from podium.cluster.runs.shard_objects import Shard, belongs_to, join_nodes
from podium.engine import dump_node

__all__ = ["ShardPlan", "Shards", "read_nodes"]

INLINE_NODES = 500
"""A run of more nodes has shards."""
INLINE_BYTES = 400_000
"""So has one whose node states are larger."""
SHARD_NODES = 250
SHARD_BYTES = 400_000
RECENT_NODES = 100
"""Nodes in the status beside shards, at most."""
RECENT_BYTES = 100_000
FAILED_NODES = 50
"""Failed nodes that the status names, at most."""
STRAY_SECONDS = 300.0
"""What no status names is deleted when it is so old: no write that would name it is under way."""


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """How the next status is to be written."""

    recent: dict[str, Any]
    """States of the nodes in it."""
    made: dict[str, dict[str, Any]]
    """Node states of shards to make first, by name."""
    order: list[str]
    """Names of all shards, those to make included."""


@dataclass(slots=True)
class Shards:
    """Where the states of one run's nodes stand."""

    all: dict[str, Shard] = field(default_factory=dict)
    """By name, in the order of the graph."""
    made: list[Shard] = field(default_factory=list)
    """Those that no status names yet."""
    spent: list[Shard] = field(default_factory=list)
    """Those that no status names any more and that are to be deleted."""
    _home: dict[str, str] = field(default_factory=dict)
    """Names of shards by node."""
    _sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of the states in the status."""
    _changed_sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of the states in the write that was planned last."""
    _statuses: dict[str, NodeStatus] = field(default_factory=dict)
    _counts: Counter[NodeStatus] = field(default_factory=Counter)
    _failed: dict[str, None] = field(default_factory=dict)

    @classmethod
    def of(cls, shards: Iterable[Shard], known: Mapping[str, Any]) -> "Shards":
        """Return those of a run; `known` are the states that are stored in its status."""
        made = cls()
        for shard in shards:
            made._add(shard)
        made._sizes = {node: _size(state) for node, state in known.items()}
        return made

    def plan(
        self,
        run: str,
        known: Mapping[str, Any],
        status: WorkflowRunStatus,
        changed: Mapping[str, Any],
        *,
        force: bool = False,
    ) -> Generator[None, None, ShardPlan | None]:
        """Describe how the changed states are to be written; None: each into the status.

        Node by node: of thousands it takes long. `known` are those stored there; a state of None
        is of a node that is gone. With `force` all that is there goes into shards.
        """
        self._changed_sizes = {}
        for node, state in changed.items():
            self._changed_sizes[node] = _size(state) if state else 0
            yield
        sizes = {**self._sizes, **self._changed_sizes}
        large = self.all or len(status.nodes) > INLINE_NODES or sum(sizes.values()) > INLINE_BYTES
        if not (large or force):
            return None
        recent = {n: s for n, s in {**known, **changed}.items() if s and n in status.nodes}
        # A node that is gone must not come back from its shard.
        again = {self._home[n] for n, s in changed.items() if s is None and n in self._home}
        housed = [n for n in recent if n in self._home]
        left = self._left_in_status(housed, again, sizes, force=force)
        homeless = [n for n in (recent if self.all else status.nodes) if n not in self._home]
        if self.all and not force:
            loose = self._loose_items(status, homeless, sizes)
            left |= loose
            homeless = [n for n in homeless if n not in loose]
        if not again and not homeless:
            return None
        order, made = yield from self._rewritten(run, status, changed, again)
        for part in _cut(status, changed, homeless):
            if part:
                order.append(_name(run))
                made[order[-1]] = part
            yield
        return ShardPlan({n: state for n, state in recent.items() if n in left}, made, order)

    @staticmethod
    def _loose_items(
        status: WorkflowRunStatus, homeless: Iterable[str], sizes: Mapping[str, int]
    ) -> set[str]:
        """Return the items whose states stay in the status: those that will soon change or go.

        A shard is made of many that have ended at once. One that held open items would be made
        again for each that ends.
        """
        found = [n for n in homeless if split_item(n) is not None]
        ended = {n for n in found if status.nodes[n].status.ended}
        still_open = set(found) - ended
        left = set()
        if sum(sizes[n] for n in still_open) <= RECENT_BYTES:
            left |= still_open
        if len(ended) <= RECENT_NODES and sum(sizes[n] for n in ended) <= RECENT_BYTES:
            left |= ended
        return left

    def _left_in_status(
        self, recent: Iterable[str], again: set[str], sizes: Mapping[str, int], *, force: bool
    ) -> set[str]:
        """Return the nodes whose states stay in the status.

        Where they are too many, the shards that most of them belong to are added to `again`.
        """
        left = {n for n in recent if self._home[n] not in again}
        limit, limit_bytes = (0, 0) if force else (RECENT_NODES, RECENT_BYTES)
        if len(left) <= limit and sum(sizes[n] for n in left) <= limit_bytes:
            return left
        for name, _ in Counter(self._home[n] for n in left).most_common():
            again.add(name)
            left.difference_update(self.all[name].nodes)
            if len(left) <= limit / 2 and sum(sizes[n] for n in left) <= limit_bytes / 2:
                break
        return left

    def _rewritten(
        self,
        run: str,
        status: WorkflowRunStatus,
        changed: Mapping[str, Any],
        again: Container[str],
    ) -> Generator[None, None, tuple[list[str], dict[str, dict[str, Any]]]]:
        """Return the names of all shards, in order, and the states of those to make again."""
        made: dict[str, dict[str, Any]] = {}
        order: list[str] = []
        for name, shard in self.all.items():
            if name not in again:
                order.append(name)
                continue
            for part in _cut(status, changed, (n for n in shard.nodes if n in status.nodes)):
                if part:
                    order.append(_name(run))
                    made[order[-1]] = part
                yield
        return order, made

    def written(
        self, changed: Mapping[str, Any], plan: ShardPlan | None, made: Mapping[str, Shard]
    ) -> None:
        """Note that a write succeeded; `made` are the shards that were made for it, by name."""
        self._sizes.update({node: self._changed_sizes[node] for node in changed})
        self.refused(plan.made if plan is not None else ())
        if plan is None:
            return
        self._sizes = {node: self._sizes[node] for node in plan.recent}
        self.spent += [shard for name, shard in self.all.items() if name not in plan.order]
        kept = self.all
        self.all, self._home = {}, {}
        for name in plan.order:
            self._add(made.get(name) or kept[name])

    def refused(self, but: Container[str] = ()) -> None:
        """Note that no status will ever name those that were made, but these."""
        self.spent += [shard for shard in self.made if shard.name not in but]
        self.made = []

    def summary(
        self, status: WorkflowRunStatus, changed: Iterable[str], plan: ShardPlan | None
    ) -> dict[str, Any]:
        """Return what a status with shards says of them and of all nodes; else nothing."""
        if plan is None and not self.all:
            return {}
        for node in changed if self._statuses else status.nodes:
            self._count(node, status.nodes[node].status if node in status.nodes else None)
        sizes = {name: len(shard.nodes) for name, shard in self.all.items()}
        if plan is not None:
            sizes.update((name, len(nodes)) for name, nodes in plan.made.items())
        return {
            "shards": [
                {
                    "name": name,
                    "nodes": sizes[name],
                    # That of one which is to be made is known once the server has it.
                    "hash": self.all[name].hash if name in self.all else "",
                }
                for name in (self.all if plan is None else plan.order)
            ],
            "nodeCounts": {
                each.value: self._counts[each] for each in NodeStatus if self._counts[each]
            },
            "failedNodes": list(self._failed)[:FAILED_NODES],
        }

    def _count(self, node: str, now: NodeStatus | None) -> None:
        before, is_item = self._statuses.pop(node, None), split_item(node) is not None
        if before is not None:
            self._counts[before] -= not is_item
            self._failed.pop(node, None)
        if now is not None:
            self._statuses[node] = now
            self._counts[now] += not is_item
            if now is NodeStatus.FAILED:
                self._failed[node] = None

    def _add(self, shard: Shard) -> None:
        self.all[shard.name] = shard
        self._home.update(dict.fromkeys(shard.nodes, shard.name))


async def read_nodes(
    client: KubernetesClient, namespace: str, run: str, uid: str, known: Mapping[str, Any]
) -> tuple[dict[str, Any], Shards]:
    """Return the states of a run's nodes, and where they stand; `known` is its status.

    Shards that no status names, which a crash left behind, are deleted. One that holds something
    else than the status says counts as missing. Raises `MissingShardsError`, `ApiError`.
    """
    names = {text(each.get("name")) for each in items(known.get("shards"))}
    bodies: list[dict[str, Any]] = []
    if names:
        bodies = await client.list_run_nodes(namespace, f"{LABEL_RUN}={label_value(run)}")
    for body in bodies:
        name = text(dig(body, "metadata", "name"))
        age = time.time() - (when(dig(body, "metadata", "creationTimestamp")) or 0)
        if name not in names and age > STRAY_SECONDS and belongs_to(body, uid):
            await client.delete_run_nodes(namespace, name, text(dig(body, "metadata", "uid")))
    states, shards = join_nodes(known, bodies, uid)
    return states, Shards.of(shards, mapping(known.get("nodes")))


def _cut(
    status: WorkflowRunStatus, changed: Mapping[str, Any], nodes: Iterable[str]
) -> Iterator[dict[str, Any] | None]:
    """Give the states of nodes in parts that one object can hold, and None in between.

    Those of `changed` are at hand.
    """
    part: dict[str, Any] = {}
    room = SHARD_BYTES
    for node in nodes:
        yield None
        state = changed.get(node) or dump_node(status.nodes[node])
        size = _size(state)
        if part and (len(part) == SHARD_NODES or size > room):
            yield part
            part, room = {}, SHARD_BYTES
        part[node] = state
        room -= size
    if part:
        yield part


def _size(state: Any) -> int:
    """Return the bytes that the server stores: it writes <, > and & as six each."""
    data = orjson.dumps(state)
    return len(data) + 5 * sum(map(data.count, (b"<", b">", b"&")))


def _name(run: str) -> str:
    return f"{object_name(run)[:40].rstrip('-')}-{uuid.uuid4().hex[:12]}"
