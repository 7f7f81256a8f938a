"""Values in `outputs` of a node on a cluster: one from a file is its termination message.

That costs nothing: no volume, no second container. The file is there from the start, empty, and
can be written by every user; the kubelet reads it when the program has ended.
"""

from podium.api.outputs import file_outputs
from podium.api.workflow import Node
from podium.engine import Observation

__all__ = ["name_output", "output_file"]


def output_file(node: Node) -> str | None:
    """Return the path at which a node's program leaves a value; None: in $PODIUM_OUTPUT."""
    return next(iter(file_outputs(node.outputs).values()), None)


def name_output(seen: Observation, node: Node) -> None:
    """Note which value the termination message of a program is."""
    if seen.output is not None and (files := file_outputs(node.outputs)):
        seen.values, seen.output = {next(iter(files)): seen.output}, None
