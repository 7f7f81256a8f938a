"""What the operator keeps of WorkflowRuns and Workflows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from podium.api.child_runs import CHILD_ANNOTATIONS, Parent, parent_of
from podium.api.names import GROUP
from podium.api.retention import Retention
from podium.cluster.kube.views.fields import dig, items, mapping, text, when

__all__ = ["RunView", "WorkflowView", "pool_of", "run_view", "workflow_view"]


_PARENT = CHILD_ANNOTATIONS.run


@dataclass(frozen=True, slots=True)
class RunView:
    """A WorkflowRun: what decides whether there is something to do."""

    namespace: str
    name: str
    uid: str
    version: str
    """resourceVersion."""
    generation: int
    annotations: Mapping[str, str]
    """Those of podium.dev."""
    workflow: str
    suspend: bool
    cancel: bool
    """Whether it is to end: cancelled or terminated."""
    ttl: int | None
    deleting: bool
    phase: str
    started: bool
    """Whether its nodes are stored in the status."""
    completed_at: float | None
    revision: str
    former_revisions: tuple[str, ...]
    """Earlier definitions that its context versions need."""
    terminate: bool = False
    is_whole: bool = True
    """Whether all of it is as of `version`; else only its metadata is."""

    @property
    def parent(self) -> Parent | None:
        """Whose child it says that it is."""
        return parent_of(self.annotations) if _PARENT in self.annotations else None

    @property
    def depth(self) -> int:
        """How many runs are above it: 0 where it is no one's child."""
        return 0 if (parent := self.parent) is None else parent.depth

    @property
    def root(self) -> str:
        """UID of the root run, as the run says; its own where it has no parent."""
        return self.uid if (parent := self.parent) is None else parent.top

    @property
    def pool(self) -> str:
        """Name of the runs that it is counted with: of its namespace, and of its depth.

        Children have room of their own at each depth, so that no run waits for a place that only
        its own ancestors could make free.
        """
        return pool_of(self.namespace, self.depth)

    @property
    def is_known(self) -> bool:
        """Whether more than its metadata was ever read."""
        return self.is_whole or bool(self.phase)

    @property
    def ended(self) -> bool:
        """Whether nothing happens unless a node is re-run."""
        return self.phase in ("Succeeded", "Failed", "Cancelled")


def pool_of(namespace: str, depth: int) -> str:
    """Return the name of the runs of a namespace and a depth (`RunView.pool`)."""
    return f"{namespace}/{depth}" if depth else namespace


def run_view(body: Any) -> RunView | None:
    """Read a WorkflowRun; None if it is none."""
    meta, spec, status = (mapping(dig(body, part)) for part in ("metadata", "spec", "status"))
    uid, name = text(meta.get("uid")), text(meta.get("name"))
    if not uid or not name:
        return None
    ttl, generation = spec.get("ttlSecondsAfterFinished"), meta.get("generation")
    return RunView(
        namespace=text(meta.get("namespace")),
        name=name,
        uid=uid,
        version=text(meta.get("resourceVersion")),
        generation=generation if isinstance(generation, int) else 0,
        annotations={
            key: value
            for key, value in mapping(meta.get("annotations")).items()
            if isinstance(value, str) and key.startswith(f"{GROUP}/")
        },
        workflow=text(dig(spec, "workflowRef", "name")),
        suspend=spec.get("suspend") is True,
        cancel=spec.get("cancel") is True or spec.get("terminate") is True,
        terminate=spec.get("terminate") is True,
        ttl=ttl if isinstance(ttl, int) and not isinstance(ttl, bool) else None,
        deleting=meta.get("deletionTimestamp") is not None,
        phase=text(status.get("phase")),
        started=bool(status.get("nodes") or status.get("shards")),
        completed_at=when(status.get("completedAt")),
        revision=text(status.get("workflowRevision")),
        former_revisions=tuple(
            text(mapping(each).get("revision")) for each in items(status.get("workflowRevisions"))
        ),
    )


@dataclass(frozen=True, slots=True)
class WorkflowView:
    """A Workflow: by what name runs find it."""

    namespace: str
    name: str
    id: str
    generation: int
    observed_generation: int
    uid: str = ""
    is_known: bool = True
    """Whether more than its metadata was read."""
    retention: Retention | None = None
    """How long its ended runs are kept; None: until they are deleted."""


def workflow_view(body: Any) -> WorkflowView | None:
    """Read a Workflow; None if it is none."""
    meta = mapping(dig(body, "metadata"))
    name = text(meta.get("name"))
    generation, observed = meta.get("generation"), dig(body, "status", "observedGeneration")
    if not name:
        return None
    return WorkflowView(
        namespace=text(meta.get("namespace")),
        name=name,
        id=text(dig(body, "spec", "id")),
        generation=generation if isinstance(generation, int) else 0,
        observed_generation=observed if isinstance(observed, int) else 0,
        uid=text(meta.get("uid")),
        is_known=dig(body, "kind") != "PartialObjectMetadata",
        retention=_retention(dig(body, "spec", "retention")),
    )


def _retention(value: Any) -> Retention | None:
    """Read what a Workflow keeps of its runs; what is not valid deletes none."""
    if value is None:
        return None
    try:
        return Retention.model_validate(value)
    except ValueError:
        return None
