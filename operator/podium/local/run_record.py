"""What a run on this machine began with, as its `run.json` keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from podium.api.child_runs import Parent
from podium.api.formats import current_definition
from podium.api.run import WorkflowRunSpec
from podium.api.workflow import WorkflowSpec

__all__ = ["RunRecord", "dump_definition"]


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
    env: tuple[str, ...] = ()
    """What --env passes: NAME or NAME=VALUE."""
    env_files: tuple[str, ...] = ()
    """Paths of the files that --env-file named."""
    more: tuple[str, ...] = ()
    """Paths of the files and directories that -f named."""
    workflows: Mapping[str, WorkflowSpec] = field(default_factory=dict)
    """Workflows that its child runs run, by name; those of a child are with its first ancestor."""
    parent: Parent | None = None
    """Whose child it is."""
    kept_answers: str | None = None
    """Path of the directory that --keep-answers named."""

    def dump(self) -> dict[str, Any]:
        """Return the record as `run.json` has it."""
        return {
            "name": self.name,
            "uid": self.uid,
            "createdAt": self.created_at,
            "workflowId": self.workflow_id,
            "workdir": self.workdir,
            "secrets": self.secrets,
            "source": self.source,
            "choice": self.choice,
            "env": self.env,
            "envFiles": self.env_files,
            "more": self.more,
            "workflow": dump_definition(self.workflow),
            "spec": _dump(self.spec),
            **({"keptAnswers": self.kept_answers} if self.kept_answers else {}),
            **({"parent": self.parent._asdict()} if self.parent is not None else {}),
            **({"workflows": self._dump_workflows()} if self.workflows else {}),
        }

    def _dump_workflows(self) -> dict[str, Any]:
        return {name: dump_definition(spec) for name, spec in self.workflows.items()}

    @classmethod
    def load(
        cls, document: dict[str, Any], newer: dict[str, Any] | None, version: int | None
    ) -> "RunRecord":
        """Read a record; `newer` is the definition that a re-run moved the run to.

        `version`: the format of the definition. Raises `ValueError`, `KeyError`, `TypeError`.
        """
        return cls(
            name=document["name"],
            uid=document["uid"],
            created_at=document["createdAt"],
            workflow_id=document["workflowId"],
            workdir=document["workdir"],
            secrets=document["secrets"],
            source=document["source"],
            choice=document.get("choice"),
            env=tuple(document.get("env") or ()),
            env_files=tuple(document.get("envFiles") or ()),
            more=tuple(document.get("more") or ()),
            workflow=WorkflowSpec.model_validate(
                current_definition(newer or document["workflow"], version)
            ),
            spec=WorkflowRunSpec.model_validate(_run_spec(document["spec"], version)),
            workflows={
                name: WorkflowSpec.model_validate(spec)
                for name, spec in (document.get("workflows") or {}).items()
            },
            parent=Parent(**document["parent"]) if document.get("parent") else None,
            kept_answers=document.get("keptAnswers"),
        )


def dump_definition(workflow: WorkflowSpec) -> dict[str, Any]:
    """Return a definition as it is stored."""
    return _dump(workflow)


def _run_spec(stored: dict[str, Any], format_version: int | None) -> dict[str, Any]:
    if "workflowSpec" not in stored:
        return stored
    workflow = current_definition(stored["workflowSpec"], format_version)
    return {**stored, "workflowSpec": workflow}


def _dump(model: WorkflowSpec | WorkflowRunSpec) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_defaults=True)
