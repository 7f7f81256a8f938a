"""Files that personas write: below the node's artifacts, and nowhere else."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from podium.api.reasons import NodeReason
from podium.personas.asking import Reply
from podium.personas.errors import PersonaError
from podium.personas.plain_files import write_plain
from podium.personas.transcript import NAME as TRANSCRIPT

__all__ = ["directory_of", "write_files"]


def directory_of(config: Mapping[str, object]) -> str:
    """Return the directory below the artifacts that a node's config names."""
    return str(config.get("output_dir") or config.get("outputDir") or ".")


def write_files(root: Path, directory: str, replies: Iterable[Reply]) -> None:
    """Write the files of all replies. Raises `PersonaError`: a name leads out of `root`."""
    if root.is_symlink():  # a tool may have put one there
        message = "the directory of the node's artifacts is a symbolic link"
        raise PersonaError(NodeReason.ARTIFACT, message)
    root = root.resolve()
    for reply in replies:
        for name, text in reply.files.items():
            path = (root / directory / name).resolve()
            if not path.is_relative_to(root) or path == root:
                message = "a name in files leads out of the node's artifacts"
                raise PersonaError(NodeReason.CONFIG, message)
            if path == root / TRANSCRIPT:
                message = f"files: {TRANSCRIPT} is what a model was asked: take another name"
                raise PersonaError(NodeReason.CONFIG, message)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_plain(path, text.encode("utf-8", "replace"))
            except OSError as error:  # as where one file has the name of another's directory
                message = f"the file {name!r:.100} of a persona: {error.strerror}"
                raise PersonaError(NodeReason.ARTIFACT, message) from None
