"""Podium: DAG workflows on Kubernetes, and the same files on a laptop."""

__all__ = ["version"]


def version() -> str:
    """Return the version that is installed."""
    from importlib import metadata  # noqa: PLC0415 - slow to load, and seldom asked for

    return metadata.version("podium")
