"""A run of this machine as verbs have it: read to look at it, or held to work on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from podium.api.base import format_time
from podium.api.child_runs import refused_rerun
from podium.api.names import API_VERSION, is_object_name
from podium.api.run import WorkflowRunStatus
from podium.cli.documents import to_json, to_yaml
from podium.cli.output import CliError
from podium.engine import Plan, dump_status, former_definition
from podium.local.store import RunDirectory, RunRecord

__all__ = [
    "INTERRUPTED",
    "OpenRun",
    "document_text",
    "hold_run",
    "open_run",
    "require_no_child",
    "run_directory",
    "text_of",
]

INTERRUPTED = "Interrupted"
"""Phase of a run that has not ended and that no podium works on."""


@dataclass(frozen=True)
class OpenRun:
    """A run that was read."""

    directory: RunDirectory
    record: RunRecord
    status: WorkflowRunStatus
    compiled: Plan | None = None
    """Its definition, where it is compiled already."""

    @cached_property
    def plan(self) -> Plan:
        """The definition that the run is pinned to, compiled."""
        return self.compiled or Plan.build(
            self.record.workflow, workflow_id=self.record.workflow_id, is_pinned=True
        )

    def plan_at(self, version: int) -> Plan:
        """Return the definition that a context version was made under. Raises `StoreError`."""
        former = former_definition(self.status, version)
        if former is None:
            return self.plan
        workflow = self.directory.definition(former.revision)
        return Plan.build(workflow, workflow_id=self.record.workflow_id, is_pinned=True)

    @property
    def name(self) -> str:
        """The run's name."""
        return self.record.name

    @property
    def workflow_id(self) -> str:
        """Its workflow."""
        return self.record.workflow_id

    @property
    def created_at(self) -> float:
        """When it was created, in seconds since 1970."""
        return self.record.created_at

    @property
    def phase(self) -> str:
        """The run's phase, or `Interrupted` if it has not ended and no podium works on it."""
        if not self.status.phase.ended and not self.directory.is_held:
            return INTERRUPTED
        return self.status.phase.value

    @property
    def document(self) -> dict[str, Any]:
        """The run as an API server shows runs."""
        record = self.record
        return {
            "apiVersion": API_VERSION,
            "kind": "WorkflowRun",
            "metadata": {
                "name": record.name,
                "uid": record.uid,
                "creationTimestamp": format_time(int(record.created_at)),
                **_owner(record),
            },
            "spec": record.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True),
            "status": dump_status(self.status),
        }

    def with_secrets(self, path: Path | None) -> "OpenRun":
        """Return the run with another file of secrets; None: as it is."""
        if path is None:
            return self
        return replace(self, record=replace(self.record, secrets=str(path.resolve())))

    def with_env(self, env: tuple[str, ...], files: tuple[Path, ...]) -> "OpenRun":
        """Return the run passing other variables to its programs; none: as it is."""
        if not env and not files:
            return self
        paths = tuple(str(path.resolve()) for path in files)
        return replace(self, record=replace(self.record, env=env, env_files=paths))


def _owner(record: RunRecord) -> dict[str, Any]:
    """Return whose child a run is, as objects of a cluster say it."""
    parent = record.parent
    if parent is None:
        return {}
    owner = {"apiVersion": API_VERSION, "kind": "WorkflowRun"}
    return {"ownerReferences": [{**owner, "name": parent.run, "uid": parent.uid}]}


def run_directory(state_dir: Path, name: str) -> RunDirectory:
    """Return the directory of a run, which may not exist. Raises `CliError` for a bad name."""
    if not is_object_name(name):
        raise CliError(
            f"{name!r:.80} is not a valid name of a run: lower-case letters, digits, - and ."
            " between them, 253 characters at most"
        )
    return RunDirectory(state_dir, name)


def open_run(state_dir: Path, name: str) -> OpenRun:
    """Read a run to look at it. Raises `CliError`, `StoreError`."""
    directory = run_directory(state_dir, name)
    return OpenRun(directory, *directory.load())


def require_no_child(run: OpenRun) -> None:
    """Refuse to work on a child run by itself. Raises `CliError`."""
    parent = run.record.parent
    if parent is not None:
        raise CliError(refused_rerun(run.name, parent))


@contextmanager
def hold_run(state_dir: Path, name: str) -> Iterator[OpenRun]:
    """Read a run to work on it: no other podium does meanwhile. Raises `CliError`, `StoreError`."""
    directory = run_directory(state_dir, name)
    with directory.locked():
        yield OpenRun(directory, *directory.load())


def document_text(run: OpenRun, output: str) -> str:
    """Write a run as `output` asks for it: json or yaml."""
    return text_of(run.document, output)


def text_of(document: Any, output: str) -> str:
    """Write a document as `output` asks for it: json or yaml."""
    return to_yaml(document) if output == "yaml" else to_json(document) + "\n"
