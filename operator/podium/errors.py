"""The root of all exceptions that Podium raises on purpose."""

__all__ = ["PodiumError"]


class PodiumError(Exception):
    """Something is wrong that Podium knows of; the message says what."""
