"""Podium: DAG workflows on Kubernetes, and the same files on a laptop."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("podium")
