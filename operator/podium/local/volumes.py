"""The volumes of a run on a laptop: directories, made when a node first mounts them."""

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from podium.api.volume_claims import VolumeClaim
from podium.api.workflow import Node
from podium.local.environment import ConfigError
from podium.local.run_record import RunRecord
from podium.local.store import RunDirectory

__all__ = ["Mounted", "mount"]


class Mounted(NamedTuple):
    """A volume, or a part of it, as a node mounts it."""

    claim: str
    source: Path
    target: str
    """Where it appears in a container."""
    is_read_only: bool


def mount(
    directory: RunDirectory, record: RunRecord, claims: Sequence[VolumeClaim], node: Node
) -> list[Mounted]:
    """Return what a node mounts of the claims, its directories made.

    Raises `ConfigError`, `OSError`.
    """
    mounts = node.pod.volume_mounts if node.pod is not None else ()
    known = {claim.name: claim for claim in claims} if mounts else {}
    found = []
    for each in mounts:
        claim = known.get(each.name)
        if claim is None:
            continue
        root = _make_root(directory, record, claim)
        source = _inside(root, each.sub_path or "", f"volume {claim.name}, subPath")
        found.append(Mounted(claim.name, source, each.mount_path, each.read_only))
    return found


def _make_root(directory: RunDirectory, record: RunRecord, claim: VolumeClaim) -> Path:
    """Return the directory of a claim.

    One that is kept lies beside the runs, so that it outlives its own. A re-run at a newer revision
    that says otherwise finds the claim where it is.
    """
    state_dir = directory.path.parent.parent
    kept = state_dir / "volumes" / f"{record.name[:200]}-{record.uid[:8]}" / claim.name
    own = directory.path / "volumes" / claim.name
    for path in (own, kept):
        if path.is_dir():
            return path
    path = kept if claim.keep else own
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _make(path)
    return path


def _inside(root: Path, sub_path: str, field: str) -> Path:
    """Return a path inside a volume; directories that are missing are made.

    No link is followed, as on a cluster: a program could have it lead out of the volume.
    """
    path = root
    parts = [part for part in sub_path.split("/") if part not in ("", ".")]
    for position, part in enumerate(parts, 1):
        path /= part
        _make(path)
        mode = path.lstat().st_mode
        is_last = position == len(parts)
        if not (stat.S_ISDIR(mode) or (is_last and stat.S_ISREG(mode))):
            raise ConfigError(
                f"{field}: {path.relative_to(root)} is there and is not a directory: name another"
                " path, or remove it in an earlier node"
            )
    return path


def _make(path: Path) -> None:
    """Make a directory that containers can write as any user; what is around it is podium's."""
    try:
        path.mkdir()
    except FileExistsError:
        return
    path.chmod(0o777)
