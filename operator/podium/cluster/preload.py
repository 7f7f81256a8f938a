"""Modules that are loaded on first use elsewhere, which keeps the start of the CLI short.

The operator loads them before it works: while a module loads, its event loop stands still, and with
it the renewal of its lease.
"""

import importlib
from typing import Final

__all__ = ["preload"]

_MODULES: Final = (
    "difflib",
    "importlib.metadata",
    "networkx",
    "podium.contracts.json_schema",
    "podium.contracts.references",
    "podium.contracts.schema_check",
    "podium.contracts.subsumption",
    "podium.engine.approvals",
    "podium.engine.reruns",
    "podium.engine.rollback",
)


def preload() -> None:
    """Load what would be loaded on first use."""
    for name in _MODULES:
        importlib.import_module(name)
