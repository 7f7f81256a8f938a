"""Settings of artifacts, as the chart's value `artifacts` has them, and the store of a run."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from podium.api.artifact_stores import ArtifactStoreSpec, ClaimStore, S3Store
from podium.api.base import ApiModel

__all__ = ["ArtifactSettings", "LogSettings"]


class LogSettings(ApiModel):
    """Logs of nodes that are kept in the store."""

    enabled: bool = False
    """Whether there are some."""
    keep_bytes: int = Field(default=10 << 20, ge=8192, le=64 << 20)
    """Most bytes of one log; of a longer one the first and the last half are kept."""
    namespaces: list[str] = Field(default_factory=list)
    """Where, if the store is a volume; a bucket has those of all namespaces."""


class ArtifactSettings(ApiModel):
    """Where artifacts are kept, and what the containers that carry them may take."""

    s3: S3Store | None = None
    """A bucket."""
    pvc: ClaimStore | None = None
    """A volume."""
    token_audience: str = "sts.amazonaws.com"  # noqa: S105
    """Audience of the tokens that are exchanged for a store's role."""
    sts_endpoint: str = Field(default="", pattern=r"^(https://\S+)?$", max_length=1000)
    """URL at which they are exchanged; empty: Amazon's of the region."""
    is_of_namespace: bool = Field(default=False, exclude=True)
    """Whether the store is an ArtifactStore: users name its server."""
    image: str = ""
    """Image of the containers; empty: the runner's."""
    upload_seconds: int = Field(default=600, ge=30, le=86_400)
    """Seconds that storing what a node leaves may take: the Pod's grace period."""
    allowed_hosts: list[Annotated[str, Field(min_length=1, max_length=253)]] = Field(
        default_factory=list, max_length=200
    )
    """Hosts that artifacts may come from and go to beside the store: names, *.SUFFIX, addresses and
    networks; none: all."""
    ca_bundle: str = Field(default="", max_length=100_000)
    """PEM certificates of authorities that these hosts' are trusted by, beside the image's."""
    size_limit: str = "10Gi"
    """What each scratch volume for artifacts may hold; empty: no limit."""
    logs: LogSettings = Field(default_factory=LogSettings)
    """Logs of nodes that are kept in the store of the chart."""
    resources: dict[str, Any] = Field(default_factory=dict)
    """Of each of these containers."""

    @model_validator(mode="after")
    def _is_sound(self) -> "ArtifactSettings":
        if self.s3 is not None and self.pvc is not None:
            raise ValueError("set one of s3 and pvc")
        if self.s3 is not None and bool(self.s3.credentials_secret) == bool(self.s3.role_arn):
            raise ValueError("s3: set one of credentialsSecret and roleARN")
        return self

    def of(self, store: ArtifactStoreSpec | None) -> "ArtifactSettings":
        """Return the settings of a run: with its own store, where its definition has one."""
        if store is None:
            return self
        return self.model_copy(update={"s3": store.s3, "pvc": store.pvc, "is_of_namespace": True})

    @property
    def has_store(self) -> bool:
        """Whether there is a place for artifacts."""
        return self.s3 is not None or self.pvc is not None

    def keeps_logs(self, namespace: str) -> bool:
        """Whether logs of the nodes of a namespace are kept in the chart's store."""
        is_there = self.s3 is not None or (
            self.pvc is not None and namespace in self.logs.namespaces
        )
        return self.logs.enabled and is_there

    @property
    def secret(self) -> str:
        """Name of the Secret with the credentials of the store; empty: there is none."""
        return self.s3.credentials_secret if self.s3 is not None else ""

    @property
    def claim(self) -> str:
        """Name of the claim that is the store; empty: none is."""
        return self.pvc.claim_name if self.pvc is not None else ""

    @property
    def role(self) -> str:
        """Role that a token is exchanged for; empty: the store needs none."""
        return self.s3.role_arn if self.s3 is not None else ""
