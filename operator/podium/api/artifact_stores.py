"""ArtifactStore: where artifacts are kept, as a platform team writes it for a namespace."""

import re
from collections.abc import Iterator

from pydantic import Field

from podium.api.base import ApiModel, LongText, Name, Text
from podium.api.field_checks import no_object_name, one_of, server_url
from podium.api.names import is_object_name
from podium.api.problems import Path, Problem
from podium.api.sources import Addressing

__all__ = ["ArtifactLocation", "ArtifactStoreSpec", "ClaimStore", "S3Store", "check_artifact_store"]

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_PREFIX = re.compile(r"[A-Za-z0-9_.=-]+(/[A-Za-z0-9_.=-]+)*/?", re.ASCII)
_REGION = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_ROLE = re.compile(r"arn:[a-z0-9-]+:iam::[0-9]*:role/[A-Za-z0-9+=,.@_/-]+", re.ASCII)
_ENCRYPTIONS = ("AES256", "aws:kms")


class S3Store(ApiModel):
    """A bucket."""

    bucket: Text
    """Name of the bucket."""
    prefix: Text = ""
    """Beginning of all keys; the run's namespace follows."""
    endpoint: Text = ""
    """URL of the server; default: Amazon's of the region."""
    region: Text = "us-east-1"
    """Region of the bucket."""
    addressing: Addressing = Addressing.PATH
    """Whether the bucket's name is in the path, or in the host's name."""
    credentials_secret: Text = ""
    """Secret of the namespace with accessKeyId, secretAccessKey and perhaps sessionToken. Only
    Podium's own containers mount it; no node may name it."""
    role_arn: Text = Field(default="", alias="roleARN")
    """Role that a token of the ServiceAccount of the node's Pod is exchanged for, in place of the
    Secret."""
    ca_bundle: LongText = ""
    """PEM certificates of authorities to trust in addition to those of the image."""
    encryption: Text = ""
    """Encryption by the server: AES256 or aws:kms; default: as the bucket is set up."""
    kms_key_id: Text = ""
    """Key for aws:kms."""


class ClaimStore(ApiModel):
    """A PersistentVolumeClaim."""

    claim_name: Name
    """Name of the claim, in the namespace of the run."""
    single_node: bool = False
    """Whether all Pods run on one machine: a claim without ReadWriteMany is refused otherwise."""


class ArtifactStoreSpec(ApiModel):
    """A bucket or a volume; exactly one of s3 and pvc is set."""

    s3: S3Store | None = None
    """A bucket."""
    pvc: ClaimStore | None = None
    """A volume: a PersistentVolumeClaim of the namespace."""


class ArtifactLocation(ArtifactStoreSpec):
    """Where the artifacts of a run are, and what it takes to read them."""

    image: Text
    """Image of the containers that carry them."""
    token_audience: Text = ""
    """Audience of the tokens that are exchanged for roleARN."""
    any_user: bool = False
    """Whether the platform chooses the user ids of Pods."""


def check_artifact_store(spec: ArtifactStoreSpec, base: Path = ("spec",)) -> Iterator[Problem]:
    """Check what the types cannot say of a store."""
    yield from one_of(base, {"s3": spec.s3, "pvc": spec.pvc})
    if spec.pvc is not None and not is_object_name(spec.pvc.claim_name):
        yield Problem((*base, "pvc", "claimName"), no_object_name(spec.pvc.claim_name))
    if spec.s3 is not None:
        yield from _check_bucket(spec.s3, (*base, "s3"))


def _check_bucket(bucket: S3Store, base: Path) -> Iterator[Problem]:
    if not _BUCKET.fullmatch(bucket.bucket):
        message = f"{bucket.bucket!r:.80} is not the name of a bucket, such as team-data"
        yield Problem((*base, "bucket"), message)
    parts = bucket.prefix.split("/")
    if bucket.prefix and (not _PREFIX.fullmatch(bucket.prefix) or {".", ".."} & set(parts)):
        message = f"{bucket.prefix!r:.80} is not the beginning of a key, such as podium/team"
        yield Problem((*base, "prefix"), message)
    if not _REGION.fullmatch(bucket.region):
        yield Problem((*base, "region"), f"{bucket.region!r:.80} is not a region such as eu-west-1")
    if bucket.endpoint and (why := _wrong_endpoint(bucket.endpoint)):
        yield Problem((*base, "endpoint"), f"{why}: write one such as https://s3.example.com")
    yield from _check_credentials(bucket, base)
    if bucket.encryption and bucket.encryption not in _ENCRYPTIONS:
        message = f"must be {' or '.join(_ENCRYPTIONS)}, not {bucket.encryption!r:.80}"
        yield Problem((*base, "encryption"), message)
    if bucket.kms_key_id and bucket.encryption != "aws:kms":
        yield Problem((*base, "kmsKeyId"), "is for encryption: aws:kms only: remove it")


def _check_credentials(bucket: S3Store, base: Path) -> Iterator[Problem]:
    if bool(bucket.credentials_secret) == bool(bucket.role_arn):
        has = "both" if bucket.role_arn else "none"
        yield Problem(base, f"has {has} of credentialsSecret and roleARN: name exactly one")
    if bucket.credentials_secret and not is_object_name(bucket.credentials_secret):
        message = no_object_name(bucket.credentials_secret)
        yield Problem((*base, "credentialsSecret"), message)
    if bucket.role_arn and not _ROLE.fullmatch(bucket.role_arn):
        message = (
            f"{bucket.role_arn!r:.120} is not the ARN of a role, such as"
            " arn:aws:iam::123456789012:role/artifacts"
        )
        yield Problem((*base, "roleARN"), message)


def _wrong_endpoint(text: str) -> str:
    if not text.isascii() or not text.isprintable() or set(" \\#?@") & set(text):
        return "has characters that the URL of a server has not"
    url = server_url(text)
    if isinstance(url, str):
        return url
    return "has a path, which is the bucket's" if url.path.strip("/") else ""
