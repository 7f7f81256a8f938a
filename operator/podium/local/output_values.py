"""Values in `outputs` of a node on a laptop: files for them, and what a program left there."""

import os
from collections.abc import Iterator
from pathlib import Path

from podium.api.outputs import OutputValue, file_outputs, printed_outputs
from podium.api.reasons import NodeReason
from podium.api.workflow import Node
from podium.engine import OutputValueError, described, require_small
from podium.local.artifacts import Mount
from podium.local.files import is_directory, open_private, read_regular, write_private
from podium.local.process_file import STDOUT

__all__ = ["files_for_values", "values_left"]

_DIRECTORY = "values"
"""Directory of an execution for the files that a container finds at the paths of `outputs`."""


def files_for_values(directory: Path, node: Node, *, in_container: bool) -> list[Mount]:
    """Make what an execution needs for its `outputs`; return what is mounted into a container."""
    if printed_outputs(node.outputs):
        write_private(directory / STDOUT, b"")
    files = file_outputs(node.outputs)
    if not in_container or not files:
        return []
    (directory / _DIRECTORY).mkdir(mode=0o700)
    made = []
    for name, path in files.items():
        host = directory / _DIRECTORY / name
        with open_private(host, os.O_EXCL) as file:
            os.fchmod(file.fileno(), 0o666)  # the container may run as another user
        made.append(Mount(host, path))
    return made


def values_left(directory: Path, node: Node, limit: int) -> dict[str, bytes]:
    """Return what a program left for its `outputs`. Raises `OutputValueError`."""
    return dict(_values(directory, node, limit))


def _values(directory: Path, node: Node, limit: int) -> Iterator[tuple[str, bytes]]:
    in_container = is_directory(directory / "container")
    for name, source in sorted(node.outputs.items()):
        place = _place(directory, name, source, in_container=in_container)
        where = described(name, source)
        try:
            if not in_container and source.path is not None and _is_older(place, directory):
                continue
            data, size = read_regular(place, limit)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            why = error.strerror or str(error)
            message = f"{where} cannot be read: {why}: let the program write a regular file"
            raise OutputValueError(NodeReason.OUTPUT_MISSING, message) from None
        require_small(where, size, limit)
        yield name, data


def _place(directory: Path, name: str, source: OutputValue, *, in_container: bool) -> Path:
    if source.path is None:
        return directory / STDOUT
    return directory / _DIRECTORY / name if in_container else Path(source.path)


def _is_older(file: Path, directory: Path) -> bool:
    """Return whether a file on this machine was there before a script: then it is not its own."""
    return file.lstat().st_ctime_ns < (directory / "script").lstat().st_mtime_ns
