"""Why no Job can be made of a node."""

from podium.errors import PodiumError

__all__ = ["BuildError"]


class BuildError(PodiumError):
    """No Job can be made of a node; `reason` is one word for its state."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)
