"""Shapes: what a Launch becomes on a laptop, and what is seen of it.

The same two methods as on a cluster: `build` makes what is started, `interpret` says how it ended.
The shape is stored with the execution, as on a cluster, where the Job shows it: whoever finds the
execution after a crash interprets it by its own shape only, whatever the definition says by then.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from podium.api.reasons import NodeReason
from podium.api.run import WorkflowRunStatus
from podium.api.workflow import Node
from podium.engine import AttemptPhase, Launch, Observation
from podium.kinds import JobShape
from podium.local import processes
from podium.local.commands import Command, Commands
from podium.local.files import write_private
from podium.local.outcomes import ended
from podium.local.process_file import SHAPE_FILE
from podium.local.secrets import Mask

__all__ = ["SHAPES", "Shape", "interpret", "store_shape"]


class Shape(Protocol):
    """One way to carry out a Launch."""

    def build(
        self, commands: Commands, launch: Launch, node: Node, status: WorkflowRunStatus
    ) -> Command:
        """Make what is started. Raises `ConfigError`, `OSError`."""
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


class _Unknown:
    """A shape of a later podium, or what a program put in place of the file: its node fails."""

    def interpret(
        self,
        node: str,
        execution: str,
        process: processes.Process,
        code: int | None,  # noqa: ARG002
        mask: Callable[[], Mask],  # noqa: ARG002
    ) -> Observation:
        message = (
            f"{execution} was started as {process.shape!r:.80}, which this podium does not know:"
            " run it again, or resume the run with the podium that started it"
        )
        return Observation(
            node,
            execution,
            AttemptPhase.FAILED,
            reason=NodeReason.CONFIG,
            message=message,
            retryable=False,
        )


SHAPES: Final[dict[str, Shape]] = {JobShape.SINGLE.value: _Single()}


def interpret(
    node: str,
    execution: str,
    process: processes.Process,
    code: int | None,
    mask: Callable[[], Mask],
) -> Observation:
    """Describe what the end of a program means, by the shape that it was started with."""
    shape = SHAPES.get(process.shape) or _Unknown()
    return shape.interpret(node, execution, process, code, mask)


def store_shape(directory: Path, shape: str) -> None:
    """Store the shape of an execution before it starts; most are single, and need no file."""
    if shape != JobShape.SINGLE:
        write_private(directory / SHAPE_FILE, shape.encode())
