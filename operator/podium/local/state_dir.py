"""Where runs are kept: found without loading anything, for shell completion too."""

import os
import stat
from contextlib import suppress
from pathlib import Path

__all__ = ["STATE_DIR_NAME", "STATE_DIR_VARIABLE", "find_state_dir", "make_state_dir"]

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


def make_state_dir(path: Path) -> None:
    """Make a state directory that only its user reads and git passes over."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if path.name != STATE_DIR_NAME:
            return
    except FileNotFoundError:
        path.mkdir(mode=0o700, parents=True)
    from podium.local.files import write_private  # noqa: PLC0415 - completion only looks

    with suppress(FileExistsError):
        # No "*": tools that a node runs on its artifacts, such as linters, would pass them over.
        text = b"# Runs of podium: state, logs and outputs.\n/runs/\n/volumes/\n/.gitignore\n"
        write_private(path / ".gitignore", text, os.O_EXCL)
