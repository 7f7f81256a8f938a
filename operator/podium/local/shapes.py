"""Shapes: what a Launch becomes on a laptop, and what is seen of it.

The same two methods as on a cluster: `build` makes what is started, `interpret` says how it ended.
"""

from collections.abc import Callable
from typing import Final, Protocol

from podium.api.run import WorkflowRunStatus
from podium.api.workflow import Node
from podium.engine import Launch, Observation
from podium.kinds import JobShape
from podium.local import processes
from podium.local.commands import Command, Commands
from podium.local.outcomes import ended
from podium.local.secrets import Mask

__all__ = ["SHAPES", "Shape"]


class Shape(Protocol):
    """One way to carry out a Launch."""

    def build(
        self, commands: Commands, launch: Launch, node: Node, status: WorkflowRunStatus
    ) -> Command:
        """Make what is started. Raises `InputTooLargeError`, `ConfigError`, `OSError`."""
        ...

    def interpret(
        self,
        node: str,
        execution: str,
        process: processes.Process,
        code: int | None,
        mask: Callable[[], Mask],
    ) -> Observation:
        """Describe what the end of its program means; `code` is None if none was recorded."""
        ...


class _Single:
    """One process."""

    def build(
        self, commands: Commands, launch: Launch, node: Node, status: WorkflowRunStatus
    ) -> Command:
        return commands.build(launch, node, status)

    def interpret(
        self,
        node: str,
        execution: str,
        process: processes.Process,
        code: int | None,
        mask: Callable[[], Mask],
    ) -> Observation:
        return ended(node, execution, process, code, mask)


SHAPES: Final[dict[JobShape, Shape]] = {JobShape.SINGLE: _Single()}
