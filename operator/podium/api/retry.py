"""RetryPolicy: how often and when what failed is tried again."""

from pydantic import Field

from podium.api.base import ApiModel, Text

__all__ = ["RetryPolicy"]


class RetryPolicy(ApiModel):
    """How often and when a failed node is retried."""

    max_attempts: int = Field(default=1, ge=1, le=100)
    """Maximum number of attempts of one run or re-run of the node, including the first."""
    backoff_seconds: float = Field(default=0, ge=0, le=86400)
    """Seconds before the second attempt."""
    backoff_factor: float = Field(default=2, ge=1, le=100)
    """Factor by which each further wait is longer."""
    max_backoff_seconds: float = Field(default=300, ge=0, le=86400)
    """The longest wait, in seconds."""
    retry_on: list[Text] | None = Field(default=None, max_length=50)
    """Reasons that are retried, such as Timeout or OOMKilled; default: all that can be."""
