"""Values in `outputs` of a node on a cluster: one from a file is its termination message.

That costs nothing: no volume, no second container. The file is there from the start, empty, and
can be written by every user; the kubelet reads it when the program has ended. Several files are in
a volume, each mounted at its path, and the collector reads them.
"""

from podium.api.outputs import file_outputs
from podium.api.workflow import Node
from podium.engine import Observation

__all__ = ["collected_files", "name_output", "output_file"]


def output_file(node: Node) -> str | None:
    """Return the path of the file that is a program's termination message; None: the usual one."""
    files = file_outputs(node.outputs)
    return next(iter(files.values())) if len(files) == 1 else None


def collected_files(node: Node) -> dict[str, str]:
    """Return the values that the collector reads: their paths, by name."""
    files = file_outputs(node.outputs)
    return files if len(files) > 1 else {}


def name_output(seen: Observation, node: Node) -> None:
    """Note which value the termination message of a program is."""
    files = file_outputs(node.outputs)
    if seen.output is not None and files:
        if len(files) == 1:
            seen.values = {next(iter(files)): seen.output}
        seen.output = None
