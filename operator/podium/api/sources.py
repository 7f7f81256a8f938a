"""Where artifacts come from, if from no node: a repository, a URL, or the Workflow itself."""

from enum import StrEnum

from pydantic import Field

from podium.api.base import ApiModel, LongText, Name, Text

__all__ = ["Addressing", "GitSource", "HttpSource", "RawSource", "S3Source", "SecretName", "Source"]


class SecretName(ApiModel):
    """A Secret, all of whose keys are looked at."""

    name: Name
    """Name of the Secret."""


class GitSource(ApiModel):
    """A git repository at one commit. Symbolic links in it become files that hold their target."""

    repository: Text
    """Its URL: https://, ssh:// or git://; on a laptop also file:// and http://."""
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
    """Headers of the request, by name; what is secret belongs into secretRef."""
    secret_ref: SecretName | None = None
    """Secret with username and password, or token (a bearer's)."""


class Addressing(StrEnum):
    """Where the name of a bucket is in URLs."""

    PATH = "Path"
    VIRTUAL = "Virtual"


class S3Source(ApiModel):
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


class RawSource(ApiModel):
    """A file whose text is in the Workflow."""

    content: LongText
    """The text."""


Source = GitSource | HttpSource | S3Source | RawSource
"""Where an artifact comes from, if from no node."""
