"""What personas spent: tokens, requests, and what they cost."""

from pydantic import Field

from podium.api.base import ApiModel

__all__ = ["MOST", "TokenUsage"]

MOST = 10**15
"""Of anything that is counted."""


class TokenUsage(ApiModel):
    """Tokens that models were asked and answered, every attempt counted."""

    prompt_tokens: int = Field(default=0, ge=0, le=MOST)
    """Prompt tokens."""
    completion_tokens: int = Field(default=0, ge=0, le=MOST)
    """Completion tokens."""
    total_tokens: int = Field(default=0, ge=0, le=MOST)
    """Both together."""
    calls: int = Field(default=0, ge=0, le=MOST)
    """Requests that were answered."""
    unmeasured_calls: int = Field(default=0, ge=0, le=MOST)
    """Requests whose answers did not say how many tokens they took: the figures lack these."""

    def plus(self, other: "TokenUsage", times: int = 1) -> "TokenUsage":
        """Return the sum of both; `times` is -1 to take the other away."""
        return TokenUsage(
            **{
                name: max(0, min(MOST, getattr(self, name) + times * getattr(other, name)))
                for name in TokenUsage.model_fields
            }
        )
