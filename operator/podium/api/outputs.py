"""Values of a node's output that its program leaves elsewhere than in $PODIUM_OUTPUT."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from podium.api.base import ApiModel, Text

__all__ = [
    "FROM_LOGS",
    "MAX_OUTPUTS",
    "OutputFormat",
    "OutputValue",
    "file_outputs",
    "printed_outputs",
]

MAX_OUTPUTS = 50
FROM_LOGS = "outputs.fromLogs"
"""Value of the chart with which the operator may read what programs print."""


class OutputFormat(StrEnum):
    """How a value is read."""

    TEXT = "Text"
    """A string, without a newline at its end."""
    JSON = "Json"
    """Any JSON value."""
    LINES = "Lines"
    """A list of strings, one a line."""


class OutputValue(ApiModel):
    """Where a value of the output comes from; exactly one of path and stdout is set."""

    path: Text | None = None
    """Absolute path of a file that the program writes."""
    stdout: OutputFormat | None = None
    """How standard output of the program is read: Text, Json or Lines."""
    format: OutputFormat | None = None
    """How the file is read: Json, Lines, or Text, the default."""
    default: Annotated[Any, WithJsonSchema({"x-kubernetes-preserve-unknown-fields": True})] = Field(
        default=None
    )
    """Value if the file is missing or empty, or nothing was printed; else the node fails then."""

    @property
    def read_as(self) -> OutputFormat:
        """How it is read."""
        return self.stdout or self.format or OutputFormat.TEXT


def file_outputs(outputs: Mapping[str, OutputValue]) -> dict[str, str]:
    """Return the values that come from files: their paths, by name."""
    return {name: each.path for name, each in outputs.items() if each.path is not None}


def printed_outputs(outputs: Mapping[str, OutputValue]) -> list[str]:
    """Return the names of the values that come from standard output."""
    return [name for name, each in outputs.items() if each.stdout is not None]
