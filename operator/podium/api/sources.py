"""Where artifacts come from, if from no node: a repository, a URL, or the Workflow itself."""

from enum import StrEnum

from pydantic import Field

from podium.api.base import ApiModel, LongText, Name, Text

__all__ = [
    "Addressing",
    "ArtifactTarget",
    "GitSource",
    "HttpSource",
    "HttpTarget",
    "RawSource",
    "S3Object",
    "SecretName",
    "Source",
]


class SecretName(ApiModel):
    """A Secret, all of whose keys are looked at."""

    name: Name
    """Name of the Secret."""


class GitSource(ApiModel):
    """A git repository at one commit. Symbolic links in it become files that hold their target."""

    repository: Text
    """Its URL: https:// or git://; on a laptop also ssh://, file:// and http://."""
    ref: Text | None = None
    """Branch, tag or commit; default: the repository's default branch."""
    depth: int = Field(default=1, ge=0, le=1_000_000)
    """Commits of its history; default: 1, 0: all of them."""
    secret_ref: SecretName | None = None
    """Secret with username and password, or token; for https only."""


class HttpSource(ApiModel):
    """A file at a URL."""

    url: Text
    """Its URL: https:// or http://."""
    sha256: Text | None = None
    """Digest that the file must have, in hex; default: it is not checked."""
    headers: dict[str, Text] = Field(default_factory=dict, max_length=50)
    """Headers of the request, by name; put secret ones into secretRef."""
    secret_ref: SecretName | None = None
    """Secret with username and password, or token (a bearer's)."""


class Addressing(StrEnum):
    """Where the name of a bucket is in URLs."""

    PATH = "Path"
    VIRTUAL = "Virtual"


class S3Object(ApiModel):
    """An object of a bucket."""

    bucket: Text
    """Name of the bucket."""
    key: Text
    """Key of the object, such as data/train.csv."""
    endpoint: Text | None = None
    """URL of the server; default: Amazon's of the region."""
    region: Text = "us-east-1"
    """Region of the bucket."""
    addressing: Addressing = Addressing.PATH
    """Whether the bucket's name is in the path, or in the host's name."""
    secret_ref: SecretName | None = None
    """Secret with accessKeyId, secretAccessKey and perhaps sessionToken; default: none."""


class HttpTarget(ApiModel):
    """A URL at which a file is put."""

    url: Text
    """Its URL, for PUT: https:// or http://."""
    headers: dict[str, Text] = Field(default_factory=dict, max_length=50)
    """Headers of the request, by name; put secret ones into secretRef."""
    secret_ref: SecretName | None = None
    """Secret with username and password, or token (a bearer's)."""


class ArtifactTarget(ApiModel):
    """Where a file leaves the run to; exactly one field is set."""

    http: HttpTarget | None = None
    """A URL, by PUT."""
    s3: S3Object | None = None
    """An object of a bucket."""

    @property
    def secret(self) -> str:
        """Name of the Secret that it needs; empty: none."""
        target = self.http or self.s3
        return target.secret_ref.name if target is not None and target.secret_ref else ""


class RawSource(ApiModel):
    """A file whose text is in the Workflow."""

    content: LongText
    """The text."""


Source = GitSource | HttpSource | S3Object | RawSource
"""Where an artifact comes from, if from no node."""
