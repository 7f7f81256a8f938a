"""Files beside those of a node's program: opened without following a link or waiting for a FIFO."""

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from podium.errors import PodiumError

__all__ = [
    "IrregularFileError",
    "is_directory",
    "is_unicode",
    "open_private",
    "open_regular",
    "read_end",
    "read_regular",
    "read_whole",
    "remove",
    "remove_tree",
    "write_private",
]


class IrregularFileError(PodiumError, OSError):
    """There is something else than a regular file; the message says what."""

    def __str__(self) -> str:
        """Return the message alone."""
        return str(self.args[0])


_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
)


def is_unicode(text: str) -> bool:
    """Return whether a string can be stored: it has no unpaired surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_directory(path: Path) -> bool:
    """Return whether there is a directory, and no link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def read_regular(path: Path, limit: int) -> tuple[bytes, int]:
    """Return the beginning of a regular file, and its size. Never blocks.

    Raises `FileNotFoundError`, `IrregularFileError`, or another `OSError`.
    """
    file = _open(path)
    try:
        return os.read(file, limit), os.fstat(file).st_size
    finally:
        os.close(file)


def read_whole(path: Path) -> bytes:
    """Return a regular file, whole. Never blocks. Raises as `read_regular` does."""
    with open_regular(path) as file:
        return file.read()


def read_end(path: Path, limit: int) -> bytes:
    """Return the end of a regular file. Never blocks. Raises as `read_regular` does."""
    file = _open(path)
    try:
        return os.pread(file, limit, max(0, os.fstat(file).st_size - limit))
    finally:
        os.close(file)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file to read it. Never blocks. Raises as `read_regular` does."""
    return os.fdopen(_open(path), "rb")


def open_private(path: Path, flags: int) -> BinaryIO:
    """Open a regular file for writing that only its user reads. Never blocks.

    Raises `IrregularFileError`, or another `OSError`.
    """
    flags |= os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    file = os.open(path, flags, 0o600)
    try:
        _check(path, os.fstat(file).st_mode)
    except OSError:
        os.close(file)
        raise
    return os.fdopen(file, "wb")


def write_private(path: Path, data: bytes, flags: int = os.O_TRUNC) -> None:
    """Write a file as `open_private` opens it. The `OSError` of a full disk names the file, too."""
    try:
        with open_private(path, flags) as file:
            file.write(data)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def remove(path: Path) -> None:
    """Remove whatever there is, so that a new file can be written without following or waiting."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        remove_tree(path)


def remove_tree(path: Path) -> None:
    """Remove a directory that is not a link, with all in it. Raises `OSError`."""
    # Programs, and podium itself, make directories in which nothing can be removed.
    for directory, _, _ in os.walk(path):
        with suppress(OSError):
            os.chmod(directory, 0o700)  # noqa: PTH101 - a string already
    shutil.rmtree(path)


def _open(path: Path) -> int:
    # A device is not opened at all: opening one may do something. What is put in its place between
    # the two looks cannot make the second one wait.
    _check(path, path.lstat().st_mode)
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        _check(path, os.fstat(file).st_mode)
    except OSError:
        os.close(file)
        raise
    return file


def _check(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for holds, name in _KINDS if holds(mode)), "a device")
        error = IrregularFileError(f"{path.name} is {kind}, not a regular file")
        error.filename = str(path)
        raise error
