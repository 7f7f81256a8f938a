"""Feature gates: what may be switched, with its stage and default, as Kubernetes has them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

__all__ = ["GATES", "Feature", "Gate", "parse_gates"]


class Gate(StrEnum):
    """Names of features that may be switched."""

    MANAGED_JOBS = "ManagedJobs"


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature behind a gate."""

    stage: Literal["Alpha", "Beta", "GA"]
    default: bool
    what: str


GATES: dict[Gate, Feature] = {
    Gate.MANAGED_JOBS: Feature(
        "Beta",
        default=True,
        what="Podium creates the Pods of its Jobs and maintains the Jobs' status (spec.managedBy);"
        " without it, or where the API server does not know the field, the built-in Job controller"
        " does",
    ),
}


def parse_gates(text: str) -> dict[Gate, bool]:
    """Read `Name=true,Other=false`. Raises `ValueError` naming what is wrong."""
    found: dict[Gate, bool] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        if name not in [gate.value for gate in Gate]:
            known = ", ".join(gate.value for gate in Gate)
            raise ValueError(f"unknown feature gate {name!r}; known are {known}")
        if value not in ("true", "false"):
            raise ValueError(f"{name} must be true or false, not {value!r}")
        found[Gate(name)] = value == "true"
    return found
