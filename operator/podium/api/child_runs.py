"""Child runs: a node with the executor workflow, and how a run says whose child it is."""

import shlex
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import Field

from podium.api.base import ApiModel, JsonObject
from podium.api.names import GROUP
from podium.api.run import WorkflowReference

__all__ = [
    "CHILD_ANNOTATIONS",
    "CHILD_EXECUTOR",
    "LABEL_PARENT",
    "MAX_BELOW",
    "MAX_DEPTH",
    "ChildConfig",
    "Parent",
    "parent_of",
    "refused_rerun",
    "too_deep",
    "too_many_below",
]

CHILD_EXECUTOR = "workflow"
"""Name of the executor that runs another Workflow."""
MAX_DEPTH = 8
"""Runs below a run that is no one's child: a child of a child has depth 2."""
MAX_BELOW = 10_000
"""Child runs below one root run, ended ones that are still there included: by
its depth alone, one that starts itself several times over makes very many."""
LABEL_PARENT = f"{GROUP}/parent-run-uid"
"""On a child: selects the children of a run."""


class _Annotations(NamedTuple):
    run: str = f"{GROUP}/parent-run"
    uid: str = f"{GROUP}/parent-run-uid"
    node: str = f"{GROUP}/parent-node"
    execution: str = f"{GROUP}/parent-execution"
    depth: str = f"{GROUP}/depth"
    root: str = f"{GROUP}/root-run-uid"
    suspended: str = f"{GROUP}/suspended-by-parent"


CHILD_ANNOTATIONS = _Annotations()
"""Annotations of a child. Each name is short enough for a label, what it holds may not be."""


class ChildConfig(ApiModel):
    """Config of the executor workflow."""

    workflow_ref: WorkflowReference
    """The Workflow to run; on a cluster of the same namespace, on a laptop of the same file or of
    one that -f names."""
    context: JsonObject = Field(default_factory=dict)
    """The context of its run, over its globalContext. `${{ }}` is filled in."""


class Parent(NamedTuple):
    """Whose child a run is."""

    run: str
    """Name of the run."""
    uid: str
    node: str
    execution: str
    depth: int
    """Of the child: 1 where the parent is no one's child."""
    root: str = ""
    """UID of the root run; empty: an earlier Podium made the child."""

    @property
    def top(self) -> str:
        """UID of the root run, whoever made the child."""
        return self.root or self.uid

    def annotations(self) -> dict[str, str]:
        """Return the annotations of the child that say so."""
        keys = CHILD_ANNOTATIONS
        return {
            keys.run: self.run,
            keys.uid: self.uid,
            keys.node: self.node,
            keys.execution: self.execution,
            keys.depth: str(self.depth),
            keys.root: self.top,
        }


def parent_of(annotations: Mapping[str, str]) -> Parent | None:
    """Return whose child a run says that it is, by its annotations; None: no one's.

    Anyone may write them: a run counts as a child where its parent knows its UID.
    """
    keys = CHILD_ANNOTATIONS
    run, uid = annotations.get(keys.run), annotations.get(keys.uid)
    if not run or not uid:
        return None
    depth = annotations.get(keys.depth, "")
    number = int(depth) if depth.isascii() and depth.isdigit() and len(depth) < 4 else MAX_DEPTH
    node, execution = annotations.get(keys.node, ""), annotations.get(keys.execution, "")
    root = annotations.get(keys.root) or uid
    return Parent(run, uid, node, execution, min(max(number, 1), MAX_DEPTH), root)


def refused_rerun(name: str, parent: Parent | None) -> str:
    """Return why nothing of a child is run again by itself, and what to do instead."""
    if parent is None:
        return ""
    return (
        f"{name} is a child run of {parent.run}: run its node there again, which makes a new child:"
        f" rerun {parent.run} --node {shlex.quote(parent.node)}"
    )


def too_deep(name: str) -> str:
    """Return why a node of a run at the deepest level starts no child."""
    return (
        f"child runs are nested {MAX_DEPTH} deep at most, and this run is at that depth: does"
        f" {name} start itself?"
    )


def too_many_below() -> str:
    """Return why no run below a root run starts another child."""
    return (
        f"there are {MAX_BELOW:,} child runs below the first run already, and that is the limit:"
        " does a Workflow start itself? Else divide the work among several runs"
    )
