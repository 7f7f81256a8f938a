"""Artifacts of a node, as users write them: files that it hands over, and files that it needs."""

from pydantic import Field

from podium.api.artifact_rules import ArtifactType
from podium.api.base import ApiModel, Id, Name, Text
from podium.api.sources import ArtifactTarget, GitSource, HttpSource, RawSource, S3Object, Source

__all__ = ["ArtifactInput", "ArtifactOutput", "Artifacts", "WorkflowArtifacts"]


class ArtifactInput(ApiModel):
    """A file or directory that the node finds when it starts, read-only.

    Exactly one of from, git, http, s3 and raw is set.
    """

    name: Id
    """Name of the artifact, as node ids are written."""
    from_: Text = Field(default="", alias="from")
    """NODE.NAME: an upstream node, and the name of an artifact in its artifacts.out."""
    git: GitSource | None = None
    """A git repository at one commit."""
    http: HttpSource | None = None
    """A file at a URL."""
    s3: S3Object | None = None
    """An object of a bucket."""
    raw: RawSource | None = None
    """A file whose text is here."""
    path: Text | None = None
    """Where it is found: under $PODIUM_ARTIFACTS_IN, or for a container an absolute path;
    default: its name."""

    @property
    def outside(self) -> Source | None:
        """Where it comes from, if from no node."""
        return self.git or self.http or self.s3 or self.raw

    @property
    def secret(self) -> str:
        """Name of the Secret that its source needs; empty: none."""
        source = self.git or self.http or self.s3
        return source.secret_ref.name if source is not None and source.secret_ref else ""


class ArtifactOutput(ApiModel):
    """A file or directory that the node hands over when it has succeeded."""

    name: Id
    """Name of the artifact, as node ids are written."""
    path: Text
    """Where the program leaves it: under $PODIUM_ARTIFACTS_OUT, or an absolute path."""
    optional: bool = False
    """Whether it may be missing; otherwise the node fails without it."""
    type: ArtifactType | None = None
    """What it must be; default: either."""
    to: ArtifactTarget | None = None
    """Where the file is sent in addition, outside the run."""


class Artifacts(ApiModel):
    """Files that a node needs and hands over."""

    in_: list[ArtifactInput] | None = Field(default=None, alias="in", max_length=200)
    """Artifacts that it needs; default: all of upstream nodes, in $PODIUM_ARTIFACTS_IN/NODE."""
    out: list[ArtifactOutput] = Field(default_factory=list, max_length=200)
    """Artifacts that it hands over, beside all that lies under $PODIUM_ARTIFACTS_OUT."""


class WorkflowArtifacts(ApiModel):
    """Where the artifacts of a Workflow's runs are kept."""

    store: Name | None = None
    """Name of an ArtifactStore of the namespace; default: the store of the cluster. A laptop keeps
    artifacts in .podium/artifacts, whatever is named here."""
    retention_seconds: int | None = Field(default=None, ge=0, le=315_360_000)
    """Seconds for which artifacts are kept after they were stored, also when the run is gone, and
    always until the run has ended; default: as long as the run is there. Cluster only."""
