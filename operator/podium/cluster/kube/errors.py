"""What goes wrong between the operator and the API server."""

from collections.abc import Sequence

from podium.errors import PodiumError

__all__ = ["ApiError", "ConflictError", "UnreadableError"]


class ConflictError(PodiumError):
    """The object on the server is not the one that this operator read or wrote last."""


class ApiError(PodiumError):
    """The API server refused, or did not answer (`status` 0)."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        retry_after: float | None = None,
        causes: Sequence[str] = (),
        request: str = "",
    ) -> None:
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.causes = tuple(causes)
        asked = f"{request}: " if request else ""
        super().__init__(f"{asked}{status} {reason}: {message}")

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in (0, 429) or self.status >= 500

    @property
    def exceeded_quota(self) -> bool:
        """Whether a quota is used up."""
        return self.status == 403 and "exceeded quota" in self.message

    @property
    def namespace_terminating(self) -> bool:
        """Whether the namespace is being deleted."""
        return self.status == 403 and (
            "NamespaceTerminating" in self.causes
            or "because it is being terminated" in self.message
        )


class UnreadableError(ApiError):
    """The request was carried out, and the object in the answer is larger than can be read.

    `problem` says so to its owner: the field, what is wrong, what would be right.
    """

    def __init__(self, message: str, request: str = "", problem: str = "") -> None:
        self.problem = problem or (
            "spec: is nested deeper than can be read: make it flatter (100 levels at most)"
        )
        super().__init__(200, "Unreadable", message, request=request)
