"""The artifact store of a laptop: `.podium/artifacts`, for all runs of a state directory.

What loads long is loaded where there are artifacts. A lock in the directory is shared by those that
store something, so that what they store is not swept before its manifest is there.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import orjson

from podium.api.workflow import ArtifactOutput
from podium.artifacts.left import Declared, Left, has_entries
from podium.local.files import read_whole, write_private
from podium.local.store import list_runs

if TYPE_CHECKING:
    from podium.artifacts.store import ArtifactStore

__all__ = ["Laptop", "Wanted", "opened", "store_path", "sweep"]


def store_path(state_dir: Path) -> Path:
    """Return where the artifacts of a state directory are."""
    return state_dir.absolute() / "artifacts"


class Wanted(NamedTuple):
    """What a program finds: all that an execution left, or one artifact of it."""

    node: str
    execution: str
    name: str | None
    """None: all."""
    base: str
    """Directory below that of the execution that needs it."""
    path: str
    """Where it is laid out in that directory."""
    original: Path
    """What the execution left."""


class Laptop:
    """The artifacts of one run. Methods raise `ArtifactError` and `OSError`."""

    def __init__(self, state_dir: Path, run: str) -> None:
        self._path = store_path(state_dir)
        self._run = run

    def has(self, node: str, execution: str) -> bool:
        """Return whether an execution left something."""
        return (self._path / "runs" / self._run / node / execution / "manifest.json").exists()

    def collect(
        self,
        node: str,
        execution: str,
        outputs: Sequence[ArtifactOutput],
        left: Left,
        is_stopped: Callable[[], bool],
    ) -> None:
        """Store what an execution hands over; raises `InterruptedError` once it is stopped.

        Nothing is loaded where there is nothing.
        """
        if self.has(node, execution) or not (outputs or has_entries(left.out)):
            return
        from podium.artifacts.handover import gather  # noqa: PLC0415
        from podium.artifacts.manifest import Manifest  # noqa: PLC0415

        with opened(self._path, is_stopped) as store:
            declared = [Declared(o.name, o.path, o.optional, o.type) for o in outputs]
            made = gather(store, declared, left)
            if made or outputs:
                store.commit(Manifest(self._run, node, execution, made))

    def send(
        self,
        node: str,
        execution: str,
        outputs: Sequence[ArtifactOutput],
        secrets: Mapping[str, Mapping[str, str]],
        is_stopped: Callable[[], bool],
    ) -> None:
        """Put what leaves the run where it is to be.

        Raises `InterruptedError` once it is stopped.
        """
        leaving = [each for each in outputs if each.to is not None]
        if not leaving:
            return
        from podium.artifacts.reach import LAPTOP  # noqa: PLC0415
        from podium.artifacts.targets import Contents, send  # noqa: PLC0415

        with opened(self._path, is_stopped) as store:
            manifest = store.manifest(self._run, node, execution)
            for output in leaving:
                found = manifest.artifacts.get(output.name) if manifest is not None else None
                target = (output.to.http or output.to.s3) if output.to is not None else None
                if found is None or output.to is None or target is None:
                    continue  # optional, and not left
                contents = Contents(found.size, partial(store.read, found.blob))
                secret = secrets.get(output.to.secret, {})
                send(output.name, target, contents, secret, is_stopped, LAPTOP)

    def deliver(
        self,
        wanted: Iterable[Wanted],
        directory: Path,
        is_stopped: Callable[[], bool],
        *,
        for_all: bool,
    ) -> None:
        """Copy artifacts to where a program finds them, read-only.

        Raises `InterruptedError` once it is stopped.
        """
        from podium.artifacts.errors import ArtifactError  # noqa: PLC0415
        from podium.artifacts.handover import add_all  # noqa: PLC0415
        from podium.artifacts.unpack import Unpacking  # noqa: PLC0415

        with (
            opened(self._path, is_stopped) as store,
            Unpacking(directory, read_only=True, for_all=for_all) as unpacking,
        ):
            for each in wanted:
                if each.name is None and not self.has(each.node, each.execution):
                    # Of a podium that had no store yet.
                    self.collect(each.node, each.execution, (), Left(each.original), is_stopped)
                manifest = store.manifest(self._run, each.node, each.execution)
                if manifest is None and each.name is None:
                    continue
                if manifest is None:
                    raise ArtifactError(
                        f"{each.node}.{each.name} of {each.execution} is not in {self._path} any"
                        f" more: run {each.node} again",
                        is_retryable=False,
                    )
                if each.name is None:
                    add_all(store, unpacking, manifest, each.path)
                elif each.name in manifest.artifacts:
                    unpacking.add(store, manifest.artifacts[each.name], each.path)


@contextmanager
def opened(path: Path, is_stopped: Callable[[], bool] = lambda: False) -> Iterator["ArtifactStore"]:
    """Open the store of a laptop; what it is given is not swept meanwhile."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        write_private(path / ".gitignore", b"*\n", os.O_EXCL)
    with _locked(path, fcntl.LOCK_SH), _store(path, is_stopped) as store:
        yield store


def sweep(state_dir: Path) -> int:
    """Remove what no run of a state directory needs any more; return how many bytes that were.

    Nothing is removed while another podium stores something, or where a run cannot be read: which
    artifacts are its own is not known then. Raises `ArtifactError`, `OSError`.
    """
    path = store_path(state_dir)
    if not path.is_dir():
        return 0
    from podium.artifacts.collection import sweep as sweep_store  # noqa: PLC0415

    with suppress(BlockingIOError), _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
        living = _uids(state_dir)
        if living is not None:
            with _store(path) as store:
                return sweep_store(store, living, older_than=-1).size
    return 0


def _store(path: Path, is_stopped: Callable[[], bool] = lambda: False) -> "ArtifactStore":
    from podium.artifacts.settings import DirectorySettings  # noqa: PLC0415
    from podium.artifacts.store import ArtifactStore  # noqa: PLC0415

    return ArtifactStore(DirectorySettings(path), is_stopped)


def _uids(state_dir: Path) -> set[str] | None:
    """Return the UIDs of the runs that are kept; None: of one it is not known."""
    found = set()
    for name in list_runs(state_dir):
        try:
            document = orjson.loads(read_whole(state_dir / "runs" / name / "run.json"))
            found.add(str(document["uid"]))
        except FileNotFoundError:
            continue  # it was deleted meanwhile
        except (OSError, ValueError, KeyError, TypeError):
            return None
    return found


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, how)
        yield
    finally:
        os.close(lock)
