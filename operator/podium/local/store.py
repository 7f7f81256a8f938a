"""A run's folder: its pinned definition, an append-only log of its status, its executions.

.podium/runs/NAME/
  run.json          the WorkflowRun as it began, with its definition
  log.jsonl         one line for each change of the status; a torn last line is passed over
  lock              held by the podium that works on the run
  executions/ID/    input.json, output.json, log, process, artifacts/
  nothing/          the artifacts that nodes find which have nothing before them
"""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from podium.api.problems import UserError
from podium.api.run import WorkflowRunSpec, WorkflowRunStatus
from podium.api.workflow import WorkflowSpec
from podium.engine import Changes, dump_node, dump_status, load_status

__all__ = ["RunFolder", "RunRecord", "StoreError", "list_runs"]


class StoreError(UserError):
    """The state of a run cannot be read or written; the message says what to do."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a run began with."""

    name: str
    uid: str
    created_at: float
    workflow_id: str
    workdir: str
    workflow: WorkflowSpec
    spec: WorkflowRunSpec
    secrets: str | None = None
    """Path of the file that --secrets named."""
    source: str | None = None
    """Path of the definition file; None: standard input."""
    choice: str | None = None
    """What --name chose of the file."""


class RunFolder:
    """One run's folder."""

    def __init__(self, state_dir: Path, name: str) -> None:
        self.path = state_dir.absolute() / "runs" / name
        self.name = name

    @property
    def exists(self) -> bool:
        """Whether a run of this name is kept here."""
        return (self.path / "run.json").exists()

    def execution(self, execution_id: str) -> Path:
        """Return the folder of an execution."""
        return self.path / "executions" / execution_id

    @cached_property
    def nothing(self) -> Path:
        """An empty folder, the same for all executions."""
        path = self.path / "nothing"
        path.mkdir(mode=0o555, exist_ok=True)
        return path

    def executions(self) -> list[str]:
        """Return the ids of all executions that were ever started."""
        try:
            return sorted(path.name for path in (self.path / "executions").iterdir())
        except FileNotFoundError:
            return []

    def create(self, record: RunRecord, status: WorkflowRunStatus) -> None:
        """Begin a run. Raises `StoreError` if there is one of this name."""
        try:
            self.path.mkdir(parents=True)
        except FileExistsError:
            raise StoreError(
                f"a run named {self.name!r} is there already: podium resume {self.name} goes on"
                " with it, --run-name gives this one another name"
            ) from None
        except OSError as error:
            raise StoreError(f"cannot write {self.path}: {error.strerror}") from None
        self._append({"status": dump_status(status)})
        self._write_record(record)

    def _write_record(self, record: RunRecord) -> None:
        document = {
            "name": record.name,
            "uid": record.uid,
            "createdAt": record.created_at,
            "workflowId": record.workflow_id,
            "workdir": record.workdir,
            "secrets": record.secrets,
            "source": record.source,
            "choice": record.choice,
            "workflow": _dump(record.workflow),
            "spec": _dump(record.spec),
        }
        temporary = self.path / "run.json.new"
        temporary.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        temporary.replace(self.path / "run.json")

    def load(self) -> tuple[RunRecord, WorkflowRunStatus]:
        """Read a run back. Raises `StoreError` if it cannot be read."""
        try:
            document = orjson.loads((self.path / "run.json").read_bytes())
            status, newer = self._replay()
            record = RunRecord(
                name=document["name"],
                uid=document["uid"],
                created_at=document["createdAt"],
                workflow_id=document["workflowId"],
                workdir=document["workdir"],
                secrets=document["secrets"],
                source=document["source"],
                choice=document.get("choice"),
                workflow=WorkflowSpec.model_validate(newer or document["workflow"]),
                spec=WorkflowRunSpec.model_validate(document["spec"]),
            )
            return record, load_status(status)
        except FileNotFoundError:
            raise self._missing() from None
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"the state in {self.path} is damaged: {error!s:.200}") from None

    def _missing(self) -> StoreError:
        return StoreError(f"there is no run named {self.name!r} in {self.path.parent}")

    def _replay(self) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Return the status, and the definition that a re-run moved the run to."""
        status: dict[str, Any] = {}
        newer: dict[str, Any] | None = None
        for line in (self.path / "log.jsonl").read_bytes().split(b"\n"):
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
            **({"workflow": _dump(record.workflow)} if record is not None else {}),
        }
        self._append(entry)

    def _append(self, entry: Mapping[str, Any]) -> None:
        # A line begins with a new line, so that one after a torn line is whole.
        with (self.path / "log.jsonl").open("ab") as log:
            log.write(b"\n" + orjson.dumps(entry))

    @property
    def is_held(self) -> bool:
        """Whether a podium works on the run."""
        try:
            with (self.path / "lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run. Raises `StoreError` if there is none, or another podium works on it."""
        if not self.exists:
            raise self._missing()
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _lock(handle):
                raise StoreError(
                    f"another podium works on the run {self.name!r}: wait for its end, or end it"
                    " with Ctrl-C"
                )
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
    """Return the names of the runs in a state folder, the oldest first."""
    found = [path.parent for path in (state_dir / "runs").glob("*/run.json")]
    return [path.name for path in sorted(found, key=lambda path: path.stat().st_mtime)]


def _dump(model: WorkflowSpec | WorkflowRunSpec) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_defaults=True)
