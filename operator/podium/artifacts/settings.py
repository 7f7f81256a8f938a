"""Where artifacts are kept, and with which credentials."""

from dataclasses import dataclass, field
from pathlib import Path

__all__ = [
    "DirectorySettings",
    "S3Settings",
    "StaticKeys",
    "StoreSettings",
    "WebIdentity",
]


@dataclass(frozen=True, slots=True)
class DirectorySettings:
    """A directory: of a laptop, or where a volume is mounted."""

    path: Path
    is_durable: bool = False
    """Whether what was written is on the disk, not in the memory of a machine that may fail."""

    def __str__(self) -> str:
        """Return where it is, for messages."""
        return str(self.path)


@dataclass(frozen=True, slots=True)
class StaticKeys:
    """Credentials that do not change."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class WebIdentity:
    """Credentials by a token of this pod: `AWS_ROLE_ARN`, `AWS_WEB_IDENTITY_TOKEN_FILE`.

    These, and the address of the token service, come from the environment, where the cluster's
    webhook puts them.
    """


@dataclass(frozen=True, slots=True)
class S3Settings:
    """A bucket."""

    bucket: str
    credentials: StaticKeys | WebIdentity
    prefix: str = ""
    """What keys begin with: several clusters may share a bucket."""
    region: str = "us-east-1"
    endpoint: str = ""
    """Empty: Amazon's own of the region."""
    is_virtual_hosted: bool = False
    """Whether the bucket is part of the host's name, not of the path."""
    certificate_authority: str = field(default="", repr=False)
    """PEM certificates to trust beside those of the system."""
    encryption: str = ""
    """Server-side encryption: AES256 or aws:kms."""
    kms_key_id: str = ""
    retry_seconds: float = 280
    """How long a request is tried again: a signature may lapse after 5 minutes."""

    def __str__(self) -> str:
        """Return where it is, for messages."""
        where = f" at {self.endpoint}" if self.endpoint else ""
        return f"the bucket {self.bucket!r:.80}{where:.200}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What may stand in no message."""
        if not isinstance(self.credentials, StaticKeys):
            return ()
        return (self.credentials.secret_access_key, self.credentials.session_token)


StoreSettings = DirectorySettings | S3Settings
