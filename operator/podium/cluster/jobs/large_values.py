"""Values of an execution that rest in the store: its output, parts of its input."""

from collections.abc import Mapping
from dataclasses import dataclass

from podium.api.run import NodeState
from podium.artifacts.pod import InputPart
from podium.cluster.jobs.left import left_in
from podium.contracts import AskedOutput
from podium.engine import LargeInput, Launch

__all__ = ["NONE_LARGE", "LargeValues", "large_values"]


@dataclass(frozen=True, slots=True)
class LargeValues:
    """Values of an execution that rest in the store, or may."""

    asked: AskedOutput | None = None
    """What is asked of its output; None: it is not a large one."""
    inputs: tuple[InputPart, ...] = ()


NONE_LARGE = LargeValues()


def large_values(
    launch: Launch, states: Mapping[str, NodeState], asked: AskedOutput | None
) -> LargeValues:
    """Return which values of an execution rest in the store."""
    return LargeValues(asked, tuple(_part(each, states[each.node]) for each in launch.large))


def _part(each: LargeInput, state: NodeState) -> InputPart:
    execution, digest, run = left_in(state)
    return InputPart(each.part, each.name, each.node, execution, digest, each.path, run)
