"""Files beside those that tools of a persona leave: no link is followed, and nothing waits."""

import errno
import os
import stat
from pathlib import Path

__all__ = ["write_plain"]


def write_plain(path: Path, data: bytes, *, is_added: bool = False) -> None:
    """Write a regular file, or add to it. Raises `OSError`, also where something else is there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    flags |= os.O_APPEND if is_added else os.O_TRUNC
    with os.fdopen(os.open(path, flags, 0o644), "wb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file")
        file.write(data)
