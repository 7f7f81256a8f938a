"""Where runs are kept: found without loading anything, for shell completion too."""

import os
import stat
from contextlib import suppress
from pathlib import Path

__all__ = ["STATE_DIR_NAME", "STATE_DIR_VARIABLE", "find_state_dir"]

STATE_DIR_NAME = ".podium"
STATE_DIR_VARIABLE = "PODIUM_STATE_DIR"


def find_state_dir() -> Path:
    """Return the state directory that is meant where none is named.

    That of the variable `PODIUM_STATE_DIR`; else the nearest `.podium` with runs in the current
    directory or one above it, as git looks for `.git`: on the same file system, not one of another
    user, and not in a directory where all may write, such as /tmp. Where there is none: `.podium`
    in the current directory.
    """
    if named := os.environ.get(STATE_DIR_VARIABLE):
        return Path(named)
    here = Path(STATE_DIR_NAME)
    if (here / "runs").is_dir():
        return here
    with suppress(OSError):
        current = Path.cwd()
        device = current.stat().st_dev
        for directory in current.parents:
            above = directory.stat()
            if above.st_dev != device:
                break
            if above.st_mode & stat.S_IWOTH:
                continue
            found = directory / STATE_DIR_NAME
            if (found / "runs").is_dir() and found.stat().st_uid == os.geteuid():
                return found
    return here
