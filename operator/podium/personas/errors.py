"""Why a persona did not answer."""

from podium.errors import PodiumError

__all__ = ["PersonaError"]


class PersonaError(PodiumError):
    """A persona could not answer; `reason` is one word for the node's state."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)
