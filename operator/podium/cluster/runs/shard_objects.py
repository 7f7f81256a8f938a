"""Shards as objects of the server (`WorkflowRunNodes`), and node states joined from them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from podium.api.names import API_VERSION, LABEL_RUN, LABEL_RUN_UID, LABEL_WORKFLOW, label_value
from podium.cluster.jobs.builder import Owner
from podium.cluster.kube.views import controller_of, dig, items, mapping, text
from podium.engine import digest_of
from podium.errors import PodiumError

__all__ = [
    "MissingShardsError",
    "Shard",
    "belongs_to",
    "build_shard",
    "has_node_states",
    "join_nodes",
    "shard_of",
]


class MissingShardsError(PodiumError):
    """Shards that the status names do not exist, or hold something else; the message names them."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard, and the nodes whose states it holds."""

    name: str
    uid: str
    nodes: tuple[str, ...]
    hash: str
    """Of what it holds, as the server has it."""


def has_node_states(known: Mapping[str, Any]) -> bool:
    """Return whether the nodes of a run are stored in its status, or in shards that it names."""
    return bool(known.get("nodes") or known.get("shards"))


def build_shard(owner: Owner, name: str, nodes: Mapping[str, Any]) -> dict[str, Any]:
    """Build a WorkflowRunNodes."""
    return {
        "apiVersion": API_VERSION,
        "kind": "WorkflowRunNodes",
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "labels": {
                "app.kubernetes.io/managed-by": "podium",
                LABEL_WORKFLOW: label_value(owner.workflow),
                LABEL_RUN: label_value(owner.name),
                LABEL_RUN_UID: owner.uid,
            },
            "ownerReferences": [owner.reference()],
        },
        "nodes": nodes,
    }


def shard_of(body: Mapping[str, Any]) -> Shard:
    """Return the shard that a WorkflowRunNodes is."""
    meta, nodes = mapping(body.get("metadata")), mapping(body.get("nodes"))
    return Shard(text(meta.get("name")), text(meta.get("uid")), tuple(nodes), digest_of(nodes))


def join_nodes(
    known: Mapping[str, Any], bodies: Iterable[Mapping[str, Any]], uid: str
) -> tuple[dict[str, Any], list[Shard]]:
    """Return the states of all nodes of a run, and the shards that hold some of them.

    `known` is its status, `bodies` are WorkflowRunNodes, also of others. One that holds something
    else than the status says counts as missing. Raises `MissingShardsError`.
    """
    recent = mapping(known.get("nodes"))
    hashes = {text(each.get("name")): each.get("hash") for each in items(known.get("shards"))}
    found: dict[str, tuple[Shard, Mapping[str, Any]]] = {}
    for body in bodies:
        name = text(dig(body, "metadata", "name"))
        if name in hashes and belongs_to(body, uid):
            shard = shard_of(body)
            if hashes[name] in (None, shard.hash):  # None: of version 0.1.0
                found[name] = shard, mapping(body.get("nodes"))
    if missing := [name for name in hashes if name not in found]:
        raise MissingShardsError(", ".join(missing))
    # In the order of the graph, whatever the order of the list was.
    states = {node: found[name][1][node] for name in hashes for node in found[name][0].nodes}
    return {**states, **recent}, [found[name][0] for name in hashes]


def belongs_to(body: Mapping[str, Any], uid: str) -> bool:
    """Return whether a shard is of the run of this UID."""
    return controller_of(body, "WorkflowRun", API_VERSION) == uid
