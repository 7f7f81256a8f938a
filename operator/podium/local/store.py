"""A run's directory: its pinned definition, an append-only log of its status, its executions.

.podium/            0700, with a .gitignore: it is nothing that belongs into a repository
.podium/runs/NAME/
  run.json          the WorkflowRun as it began, with its definition
  log.jsonl         one line for each change of the status; a torn last line is passed over
  lock              held by the podium that works on the run
  cancel            there while podium cancel, or terminate, waits for that podium
  terminate         there while podium terminate waits for it
  volumes/NAME/     a volume of the run; one that is kept: .podium/volumes/RUN-UID/NAME
  executions/ID/    input.json, output.json, log, process, shape, artifacts/
  children          one line for each execution that a child run carries out
"""

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from podium.api.formats import current_definition
from podium.api.names import is_object_name
from podium.api.problems import UserError
from podium.api.run import RunPhase, WorkflowRunStatus
from podium.api.workflow import WorkflowSpec
from podium.engine import Changes, definition_digest, dump_node, dump_status, load_status
from podium.local.files import open_private, open_regular, read_whole, write_private
from podium.local.run_record import RunRecord, dump_definition
from podium.local.state_dir import (
    STATE_DIR_NAME,
    STATE_DIR_VARIABLE,
    find_state_dir,
    make_state_dir,
)

__all__ = [
    "STATE_DIR_NAME",
    "STATE_DIR_VARIABLE",
    "BusyError",
    "RunDirectory",
    "RunRecord",
    "StoreError",
    "find_state_dir",
    "list_runs",
]


class StoreError(UserError):
    """The state of a run cannot be read or written; the message says what to do."""


class BusyError(StoreError):
    """Another podium works on the run."""


class RunDirectory:
    """One run's directory."""

    def __init__(self, state_dir: Path, name: str) -> None:
        self.state_dir = state_dir.absolute()
        self.path = self.state_dir / "runs" / name
        self.name = name
        self._executions = self.path / "executions"

    @property
    def exists(self) -> bool:
        """Whether a run of this name is kept here."""
        return (self.path / "run.json").exists()

    def execution(self, execution_id: str) -> Path:
        """Return the directory of an execution."""
        return self._executions / execution_id

    def beat(self) -> None:
        """Note that a podium works on the run now."""
        with suppress(OSError):
            (self.path / "lock").touch(mode=0o600)

    @property
    def last_beat(self) -> float | None:
        """When a podium last worked on the run, to a few seconds; None: none did."""
        times = []
        for name in ("lock", "log.jsonl"):
            with suppress(OSError):
                times.append((self.path / name).stat().st_mtime)
        return max(times, default=None)

    def executions(self) -> list[str]:
        """Return the ids of all executions that were ever started."""
        try:
            return sorted(path.name for path in (self.path / "executions").iterdir())
        except FileNotFoundError:
            return []

    def note_child(self, execution_id: str) -> None:
        """Note that an execution is carried out by a child run, which may be there from now on."""
        write_private(self.path / "children", f"\n{execution_id}".encode(), os.O_APPEND)

    def child_executions(self) -> list[str]:
        """Return the ids of the executions that child runs carry out, or carried out."""
        try:
            lines = read_whole(self.path / "children").decode(errors="replace").split("\n")
        except FileNotFoundError:
            return []
        return list(dict.fromkeys(line for line in lines if line))

    def create(
        self,
        record: RunRecord,
        status: WorkflowRunStatus,
        fill: Callable[["RunDirectory"], None] | None = None,
    ) -> None:
        """Begin a run. Raises `StoreError` if there is one of this name.

        `fill` adds what it has from the beginning.
        """
        runs = self.path.parent
        new = RunDirectory(runs.parent, f".new-{record.uid}")  # not the name of a run
        try:
            make_state_dir(runs.parent)
            runs.mkdir(mode=0o700, exist_ok=True)
            new.path.mkdir(mode=0o700)
            (new.path / "executions").mkdir(mode=0o700)
            new._append({"status": dump_status(status)})
            new._write_record(record)
            if fill is not None:
                fill(new)
            new.path.rename(self.path)  # whole, or not there at all
        except OSError as error:
            shutil.rmtree(new.path, ignore_errors=True)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and self.path.is_dir():
                raise self._taken() from None
            raise StoreError(f"cannot write {self.path}: {error.strerror}") from None

    @property
    def has_ended(self) -> bool:
        """Whether the run has ended, as far as that can be told without reading all of it."""
        try:
            last = read_whole(self.path / "log.jsonl").rpartition(b"\n")[2]
            phase = orjson.loads(last)["status"]["phase"]
            return RunPhase(phase).ended
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def require_free(self) -> None:
        """Raise `StoreError` if there is a run of this name."""
        if self.path.exists():
            raise self._taken()

    def _taken(self) -> StoreError:
        return StoreError(
            f"there already is a run named {self.name!r}: podium resume {self.name} resumes it,"
            " --run-name gives this one another name"
        )

    def _write_record(self, record: RunRecord) -> None:
        temporary = self.path / "run.json.new"
        write_private(temporary, orjson.dumps(record.dump(), option=orjson.OPT_INDENT_2))
        temporary.replace(self.path / "run.json")

    def load(self) -> tuple[RunRecord, WorkflowRunStatus]:
        """Read a run back. Raises `StoreError` if it cannot be read."""
        try:
            document = orjson.loads(read_whole(self.path / "run.json"))
            status, newer = self._replay()
            record = RunRecord.load(document, newer, status.get("formatVersion"))
            return record, load_status(status)
        except FileNotFoundError as error:
            if not self.path.exists():
                raise self._missing() from None
            raise self._damaged(f"{Path(error.filename or '').name} is missing") from None
        except OSError as error:
            path = error.filename or self.path
            raise StoreError(f"cannot read {path}: {error.strerror or error}") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            raise self._damaged(f"{kind}{error}") from None

    def _missing(self) -> StoreError:
        return StoreError(f"there is no run named {self.name!r} in {self.path.parent}")

    def _damaged(self, why: str) -> StoreError:
        return StoreError(
            f"the state in {self.path} is damaged ({' '.join(why.split()):.120}):"
            f" podium delete {self.name} removes the run"
        )

    def definition(self, digest: str) -> WorkflowSpec:
        """Return a definition that the run had or has. Raises `StoreError` if it is not kept."""
        try:
            stored = orjson.loads(read_whole(self.path / "run.json"))["workflow"]
            for version, newer in self._definitions():
                spec = WorkflowSpec.model_validate(current_definition(newer or stored, version))
                if definition_digest(spec) == digest:
                    return spec
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damaged(f"{type(error).__name__}: {error}") from None
        raise self._damaged(f"the definition {digest:.12} is missing")

    def _definitions(self) -> Iterator[tuple[int | None, dict[str, Any] | None]]:
        """Return the format and text of each definition; None: the one the run began with."""
        is_first = True
        for line in read_whole(self.path / "log.jsonl").split(b"\n"):
            try:
                entry = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue  # the last line of a podium that was killed while it wrote
            if is_first or "workflow" in entry:
                yield entry["status"].get("formatVersion"), entry.get("workflow")
            is_first = False

    def _replay(self) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Return the status, and the definition that a re-run moved the run to."""
        status: dict[str, Any] = {}
        newer: dict[str, Any] | None = None
        for line in read_whole(self.path / "log.jsonl").split(b"\n"):
            try:
                entry = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue  # the last line of a podium that was killed while it wrote
            newer = entry.get("workflow", newer)
            if "status" in entry:
                nodes = status.get("nodes", {})
                status = entry["status"]
                status["nodes"] = {**nodes, **status.get("nodes", {})}
                for gone in entry.get("gone", ()):
                    status["nodes"].pop(gone, None)
        return status, newer

    def save(
        self, status: WorkflowRunStatus, changes: Changes, record: RunRecord | None = None
    ) -> None:
        """Append what changed; `record`, if the run was moved to another definition."""
        fields = status.model_copy(update={"nodes": {}})
        entry = {
            "status": {
                **dump_status(fields),
                "nodes": {
                    n: dump_node(status.nodes[n]) for n in changes.nodes if n in status.nodes
                },
            },
            "gone": [node for node in changes.nodes if node not in status.nodes],
            **({"workflow": dump_definition(record.workflow)} if record is not None else {}),
        }
        try:
            self._append(entry)
        except OSError as error:
            raise self.unwritable(error) from None

    def unwritable(self, error: OSError) -> StoreError:
        """Report that the run cannot go on: the disk is full, or will not be written."""
        return StoreError(
            f"cannot write {error.filename or self.path}: {error.strerror or error}: make room,"
            f" then podium resume {self.name}"
        )

    def _append(self, entry: Mapping[str, Any]) -> None:
        # A line begins with a new line, so that one after a torn line is whole.
        write_private(self.path / "log.jsonl", b"\n" + orjson.dumps(entry), os.O_APPEND)

    def request_cancel(self, *, terminate: bool = False) -> None:
        """Ask the podium that works on the run, or the next one that does, to cancel it.

        `terminate`: with its nodes of `finally`.
        """
        for name in ("terminate", "cancel") if terminate else ("cancel",):
            open_private(self.path / name, 0).close()

    def clear_cancel(self) -> None:
        """Take back what `request_cancel` asked for."""
        for name in ("cancel", "terminate"):
            (self.path / name).unlink(missing_ok=True)

    @property
    def is_cancel_requested(self) -> bool:
        """Whether the run is to be cancelled."""
        return (self.path / "cancel").exists()

    @property
    def is_terminate_requested(self) -> bool:
        """Whether the run is to be cancelled with its nodes of `finally`."""
        return (self.path / "terminate").exists()

    @property
    def log_size(self) -> int:
        """Bytes of the log: it grows with each change of the status."""
        return (self.path / "log.jsonl").stat().st_size

    @property
    def is_held(self) -> bool:
        """Whether a podium works on the run."""
        try:
            with open_regular(self.path / "lock") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # there is none, or it cannot be read
            return False
        return False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run. Raises `StoreError` if there is none, `BusyError` if it is held."""
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            handle = os.open(self.path / "lock", flags, 0o600)
        except (FileNotFoundError, NotADirectoryError):
            raise self._missing() from None
        except OSError as error:
            raise StoreError(f"cannot write {self.path}/lock: {error.strerror}") from None
        try:
            if not _lock(handle):
                raise BusyError(
                    f"another podium works on the run {self.name!r}: wait for its end, or end it"
                    f" with Ctrl-C there or with podium cancel {self.name}"
                )
            with suppress(OSError):
                self.path.chmod(0o700)  # version 0.1.0 left it to the umask
            yield
        finally:
            os.close(handle)


def _lock(handle: int) -> bool:
    for _ in range(10):  # `is_held` of another podium takes it for a moment
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            return True
    return False


def list_runs(state_dir: Path) -> list[str]:
    """Return the names of the runs in a state directory, the oldest first; also unreadable ones."""
    try:
        names = [entry.name for entry in os.scandir(state_dir / "runs") if entry.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"cannot read {state_dir / 'runs'}: {error.strerror}") from None
    found = [state_dir / "runs" / name for name in names if is_object_name(name)]
    return [path.name for path in sorted(found, key=lambda path: (_begun(path), path.name))]


def _begun(path: Path) -> float:
    """Return when a run was begun; of an unreadable one: when its directory last changed."""
    for place in (path / "run.json", path):
        with suppress(OSError):
            return place.stat().st_mtime
    return 0.0
