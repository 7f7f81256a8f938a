"""Settings of the artifact store, as the chart's value `artifacts` has them."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from podium.api.base import ApiModel

__all__ = ["ArtifactSettings", "ClaimStore", "S3Store"]


class S3Store(ApiModel):
    """A bucket."""

    bucket: str = Field(min_length=3, max_length=255)
    """Its name."""
    prefix: str = ""
    """What keys begin with; the run's namespace follows."""
    endpoint: str = ""
    """URL of the server; empty: Amazon's own of the region."""
    region: str = "us-east-1"
    """Its region."""
    addressing: Literal["path", "virtual"] = "path"
    """Whether the bucket stands in the path or in the host's name."""
    credentials_secret: str = ""
    """Name of the Secret, in each namespace of runs, with accessKeyId and secretAccessKey."""
    role_arn: str = Field(default="", alias="roleARN")
    """Role that a token of the Pod's ServiceAccount is exchanged for, in place of the Secret."""
    token_audience: str = "sts.amazonaws.com"  # noqa: S105
    """Audience of that token."""
    ca_bundle: str = ""
    """PEM certificates to trust beside those of the image."""
    encryption: Literal["", "AES256", "aws:kms"] = ""
    """Server-side encryption."""
    kms_key_id: str = ""
    """Key for aws:kms."""

    @model_validator(mode="after")
    def _has_credentials(self) -> "S3Store":
        if bool(self.credentials_secret) == bool(self.role_arn):
            raise ValueError("set one of credentialsSecret and roleARN")
        return self


class ClaimStore(ApiModel):
    """A PersistentVolumeClaim."""

    claim_name: str = Field(min_length=1, max_length=253)
    """Its name, the same in each namespace of runs."""
    single_node: bool = False
    """Whether all Pods run on one machine, so that one may be mounted by one machine only."""


class ArtifactSettings(ApiModel):
    """Where artifacts are kept, and what the containers that carry them may take."""

    s3: S3Store | None = None
    """A bucket."""
    pvc: ClaimStore | None = None
    """A volume."""
    image: str = ""
    """Image of the containers; empty: the runner's."""
    upload_seconds: int = Field(default=600, ge=30, le=86_400)
    """Seconds that storing what a node leaves may take: the Pod's grace period."""
    allowed_hosts: list[Annotated[str, Field(min_length=1, max_length=253)]] = Field(
        default_factory=list, max_length=200
    )
    """Hosts that artifacts may come from and go to beside the store: names, *.SUFFIX, addresses and
    networks; none: all."""
    size_limit: str = "10Gi"
    """What each scratch volume for artifacts may hold; empty: no limit."""
    resources: dict[str, Any] = Field(default_factory=dict)
    """Of each of these containers."""

    @model_validator(mode="after")
    def _is_one_store(self) -> "ArtifactSettings":
        if (self.s3 is None) == (self.pvc is None):
            raise ValueError("set one of s3 and pvc")
        return self
