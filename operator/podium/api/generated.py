"""Files that are generated from the models and committed: written, or checked for drift."""

import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["write_or_check"]


def write_or_check(
    module: str, arguments: list[str], root: Path, wanted: Mapping[Path, str], *, limit: int
) -> int:
    """Write the files, or name those that are not as wanted; returns an exit code.

    `arguments` are those of `python -m MODULE`: write or check. The directories hold nothing else
    of their kind: another file is removed, or named.
    """
    if arguments not in (["write"], ["check"]):
        sys.stderr.write(f"usage: python -m {module} write|check\n")
        return 2
    mode = arguments[0]
    places = {(path.parent, path.suffix) for path in wanted}
    stray = {p for place, suffix in places for p in place.glob(f"*{suffix}")} - wanted.keys()
    large = [path for path, text in wanted.items() if len(text.encode()) > limit]
    for path in large:
        sys.stderr.write(f"{path.relative_to(root)}: over {limit} bytes\n")
    if large:
        return 1
    if mode == "write":
        for path, text in wanted.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for path in stray:
            path.unlink()
        return 0
    drifted = [
        path
        for path, text in wanted.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in sorted([*drifted, *stray]):
        sys.stderr.write(f"{path.relative_to(root)} is not what the models say: run `make crds`\n")
    return 1 if drifted or stray else 0
