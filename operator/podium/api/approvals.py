"""Config of a node of type approval: who is asked, for what, and how long."""

from enum import StrEnum

from pydantic import Field

from podium.api.base import ApiModel, JsonObject, LongText, Text

__all__ = [
    "MAX_ANSWER_BYTES",
    "MAX_COMMENT",
    "ApprovalConfig",
    "Approvers",
    "OnTimeout",
]

MAX_COMMENT = 1024
"""Characters of the comment of whoever decides."""
MAX_ANSWER_BYTES = 4096
"""Bytes from which on the output of an approval is too large, as that of any node."""


class OnTimeout(StrEnum):
    """What becomes of an approval that no one decided in time."""

    FAIL = "Fail"
    APPROVE = "Approve"
    SKIP = "Skip"


class Approvers(ApiModel):
    """Who may decide, by the names that the API server knows them by."""

    users: list[Text] = Field(default_factory=list, max_length=100)
    """Names of users, such as alice@example.com."""
    groups: list[Text] = Field(default_factory=list, max_length=100)
    """Names of groups, of whose members each may decide."""


class ApprovalConfig(ApiModel):
    """Config of a node of type approval."""

    message: LongText = ""
    """What is asked. `${{ }}` is filled in."""
    approvers: Approvers | None = None
    """Who may decide, of those who have the right; default: all of them. Cluster only."""
    fields: JsonObject | None = None
    """JSON Schema (2020-12, or draft-07 by $schema) of the values that the approver fills in; its
    defaults are used. Default: none are asked for."""
    timeout_seconds: float | None = Field(default=None, gt=0, le=31_536_000)
    """Maximum seconds to wait for a decision; default: no limit."""
    on_timeout: OnTimeout = OnTimeout.FAIL
    """What the end of timeoutSeconds does: Fail, Approve, or Skip."""
