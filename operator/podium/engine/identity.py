"""Whether a node does the same under two definitions: what it does, and what it reads.

How a node is run or shown (title, retry policy, time-outs, resources, where its Pod may run) makes
no difference: a change of it runs nothing again (semantics.md 8, "The same definition?").
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import orjson

from podium import executors, expressions, kinds
from podium.api.workflow import Edge, Node, WorkflowSpec
from podium.executors import persona_document

__all__ = ["NodeIdentity", "digest_of", "node_identity"]

_HOW_IT_IS_RUN: Any = {
    "title": True,
    "depends_on": True,  # its edges are compared
    "nodes": True,  # members are compared, each for itself
    "edges": True,
    "max_parallel": True,
    "allow_failure": True,  # concerns what follows: an identity has the sources' own
    "retry_policy": True,
    "timeout_seconds": True,
    "start_timeout_seconds": True,
    "resources": True,
    "max_disruptions": True,
    "compensation": True,
    "force_restart_after_seconds": True,
    "pod": {
        "labels",
        "annotations",
        "node_selector",
        "tolerations",
        "affinity",
        "priority_class_name",
    },
}

_HOW_IT_IS_SHOWN: Any = {"title", "icon", "description"}


class NodeIdentity(NamedTuple):
    """What a node does and reads under one definition."""

    digest: str
    """Changes when what the node does changes."""
    reads: set[str] | None
    """Context keys that it reads; None: all of them."""


def node_identity(
    node: Node, incoming: Sequence[tuple[Edge, Node]], wanted: Iterable[str], spec: WorkflowSpec
) -> NodeIdentity:
    """Return the identity of a node.

    `incoming` are its edges with their sources, `wanted` names that its input contract demands.
    """
    reads = _context_reads(node, [edge for edge, _ in incoming], wanted)
    return NodeIdentity(digest_of(_what_it_does(node, incoming, spec)), reads)


def digest_of(value: object) -> str:
    """Return the sha256 (hex) of JSON, whatever the order of its keys."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _what_it_does(
    node: Node, incoming: Sequence[tuple[Edge, Node]], spec: WorkflowSpec
) -> list[Any]:
    edges = [
        [
            edge.model_dump(
                mode="json",
                by_alias=True,
                exclude_defaults=True,
                exclude={"metadata", "allow_failure"},
            ),
            edge.allow_failure or source.allow_failure,
        ]
        for edge, source in incoming
    ]
    own = node.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=_HOW_IT_IS_RUN)
    if own.get("pod") == {}:
        del own["pod"]
    named = {
        str(reference.path[1])
        for reference in _references(node, (edge for edge, _ in incoming))
        if reference.path[0] == "workflow" and len(reference.path) > 1
    }
    workflow = {"version": spec.version, "metadata": spec.metadata}
    executor = spec.executors.get(node.executor or "")
    asks = node.executor in executors.PERSONA_EXECUTORS
    personas = persona_document.what_answers(node, spec) if asks else []
    return [
        own,
        *([] if executor is None else [executor.model_dump(mode="json", exclude=_HOW_IT_IS_SHOWN)]),
        *([personas] if personas else []),
        sorted(edges, key=lambda each: (each[0]["from"], each[0].get("type", ""))),
        {name: workflow[name] for name in sorted(named & workflow.keys())},
    ]


def _context_reads(node: Node, incoming: Iterable[Edge], wanted: Iterable[str]) -> set[str] | None:
    """Return the context keys that a node reads; None: all of them.

    A program is handed every key unless its input contract limits them; a node without one reads
    what its expressions name.
    """
    contract = node.input_contract
    delivered = contract.context if contract is not None else None
    if kinds.runs_program(node) and delivered is None:
        return None
    keys = {*(delivered or ()), *wanted}
    for reference in _references(node, incoming):
        if reference.path[0] == "context":
            if len(reference.path) < 2:
                return None
            keys.add(str(reference.path[1]))
    return keys


def _references(node: Node, incoming: Iterable[Edge]) -> Iterator[expressions.Reference]:
    for condition in (node.condition, *(edge.condition for edge in incoming)):
        if condition is not None:
            yield from expressions.parse(condition).references
    for source in kinds.of(node).expressions(node):
        with suppress(expressions.ExpressionError):  # its node fails before it could read anything
            yield from source.references
