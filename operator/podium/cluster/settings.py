"""Settings of the operator: the file that the chart writes to /etc/podium/operator.yaml."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from podium.api.artifact_rules import ARTIFACT_STORE
from podium.api.artifact_stores import ArtifactLocation, ArtifactStoreSpec
from podium.api.base import ApiModel
from podium.api.messages import translate
from podium.api.names import GROUP
from podium.api.outputs import FROM_LOGS
from podium.api.problems import InvalidError, Problem
from podium.cluster.artifact_settings import ArtifactSettings
from podium.cluster.feature_gates import GATES, Gate

__all__ = ["JobSettings", "LeaderElection", "Limits", "OutputSettings", "Settings", "load_settings"]


class JobSettings(ApiModel):
    """How long ended Jobs stay."""

    succeeded_ttl_seconds: int = Field(default=600, alias="succeededTTLSeconds", ge=0)
    """Seconds that a Job stays after it succeeded."""
    failed_ttl_seconds: int = Field(default=86_400, alias="failedTTLSeconds", ge=0)
    """Seconds that a Job stays after it failed."""
    max_ended: int = Field(default=1000, ge=0)
    """Ended Jobs that stay in one namespace, at most."""

    def ttl(self, *, succeeded: bool) -> int:
        """Return how many seconds a Job stays after its end."""
        return self.succeeded_ttl_seconds if succeeded else self.failed_ttl_seconds


class Limits(ApiModel):
    """How much goes on at the same time; 0: no limit beyond each run's own."""

    max_running: int = Field(default=0, ge=0)
    """Running nodes in all namespaces together."""
    max_running_per_namespace: int = Field(default=10_000, ge=0)
    """Running nodes in each namespace."""
    max_active_runs_per_namespace: int = Field(default=1000, ge=0)
    """Runs in each namespace that have begun and not ended; others wait until one of them ends."""
    active_runs_megabytes: int = Field(default=160, ge=0)
    """What active runs hold of the operator's memory, in MB; large ones wait beyond that."""
    active_runs_megabytes_per_namespace: int = Field(default=64, ge=0)
    """What those of one namespace hold of it."""


class OutputSettings(ApiModel):
    """How outputs of nodes are had."""

    from_logs: bool = False
    """Whether values may come from what programs print: the operator reads logs of their Pods."""


class LeaderElection(ApiModel):
    """Which one of several operators works."""

    enabled: bool = True
    """false: this one works without asking; only where there can be no other."""
    namespace: str | None = None
    """Where the Lease stands; none: the operator's own namespace."""
    lease_duration_seconds: float = Field(default=10.0, gt=0, le=600)
    """After so long without a sign of its holder, another one takes the lease."""
    renew_deadline_seconds: float = Field(default=6.0, gt=0, le=600)
    """After so long without having renewed it, its holder ends."""
    retry_period_seconds: float = Field(default=1.5, gt=0, le=600)
    """How often the holder renews it and the others look."""
    request_timeout_seconds: float = Field(default=3.0, gt=0, le=600)
    """How long one request for it may take."""


class Settings(ApiModel):
    """The operator's settings."""

    namespaces: list[str] = Field(default_factory=list)
    """Namespaces to serve; none: all."""
    runner_image: str = "podium:dev"
    """Image of script and persona nodes that name none."""
    installation: str = "podium"
    """Tells this operator from another one in the same cluster."""
    liveness_port: int = Field(default=8080, ge=0, le=65_535)
    """Port of /healthz and /readyz; 0: none."""
    jobs: JobSettings = Field(default_factory=JobSettings)
    """How long ended Jobs stay."""
    limits: Limits = Field(default_factory=Limits)
    """How much runs at the same time."""
    outputs: OutputSettings = Field(default_factory=OutputSettings)
    """How outputs of nodes are had."""
    allow_inline_workflows: bool = True
    """Whether a run may bring its own graph, and set keys that a Workflow gives a value and does
    not declare in `inputs`."""
    allow_executors: bool = True
    """Whether nodes may name Executors and ClusterExecutors."""
    allow_recorded_answers: bool | None = None
    """Whether runs may take recorded answers; none: where they may bring their own graph."""
    requesters_are_verified: bool = False
    """Whether an admission policy makes sure of the names in podium.dev/requested-by."""
    approvers_are_verified: bool = False
    """Whether an admission policy makes sure of the names in podium.dev/approved-by and
    approved-groups."""
    overrides_are_verified: bool = False
    """Whether an admission policy says who may run parts of approved Workflows."""
    creators_are_verified: bool = False
    """Whether an admission policy keeps others from making and changing Jobs and Pods of runs."""
    require_usable_service_accounts: bool = True
    """Whether a node's ServiceAccount must carry the label podium.dev/usable: "true"."""
    reference_checks: bool = True
    """Whether Secrets and ConfigMaps that nodes name are looked at (their metadata only)."""
    require_usable_secrets: bool = False
    """Whether a Secret that a node names must carry the label podium.dev/usable: "true"."""
    pod_defaults: dict[str, Any] = Field(default_factory=dict)
    """Fields of every node's Pod that the node does not set; `resources` go to its container."""
    arbitrary_user_ids: bool = Field(default=False, alias="arbitraryUserIDs")
    """Whether the platform gives every namespace user ids of its own, so that Pods name none."""
    artifacts: ArtifactSettings = Field(default_factory=ArtifactSettings)
    """Where artifacts are kept; no store: Workflows that declare some and name none are refused."""
    leader_election: LeaderElection = Field(default_factory=LeaderElection)
    """Which one of several operators works."""
    feature_gates: dict[Gate, bool] = Field(default_factory=dict)
    """Features switched on or off, by name; what is not named is at its default."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is logged."""
    log_format: Literal["json", "text"] = "json"
    """How it is logged."""

    @property
    def manager(self) -> str:
        """The value of `spec.managedBy` of Jobs whose Pods this installation makes."""
        return f"{GROUP}/{self.installation}"

    @property
    def offered(self) -> tuple[str, ...]:
        """Names of chart values that are on, of those that some fields of Workflows need."""
        offered = {FROM_LOGS: self.outputs.from_logs, ARTIFACT_STORE: self.artifacts.has_store}
        return tuple(name for name, is_on in offered.items() if is_on)

    @property
    def allows_recorded_answers(self) -> bool:
        """Whether runs may take recorded answers, which stand in for what personas say."""
        allowed = self.allow_recorded_answers
        return self.allow_inline_workflows if allowed is None else allowed

    @property
    def allows_parts(self) -> bool:
        """Whether runs may run a part of the graph: an approved Workflow is approved as a whole."""
        return self.allow_inline_workflows or self.overrides_are_verified

    def location_of(self, store: ArtifactStoreSpec | None) -> ArtifactLocation:
        """Return where the artifacts of a run are, and what it takes to read them."""
        artifacts = self.artifacts.of(store)
        return ArtifactLocation(
            s3=artifacts.s3,
            pvc=artifacts.pvc,
            image=artifacts.image or self.runner_image,
            token_audience=artifacts.token_audience if artifacts.role else "",
            any_user=self.arbitrary_user_ids,
        )

    @property
    def manages(self) -> bool:
        """Whether Podium makes the Pods of its Jobs where the server lets it."""
        return self.enabled(Gate.MANAGED_JOBS)

    def enabled(self, gate: Gate) -> bool:
        """Return whether a feature is switched on."""
        return self.feature_gates.get(gate, GATES[gate].default)


def load_settings(path: Path | None) -> Settings:
    """Read the settings; no path: the defaults. Raises `InvalidError` naming what is wrong."""
    if path is None:
        return Settings()
    try:
        data = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InvalidError(
            [Problem((), f"cannot be read: {error.strerror}", file=str(path))]
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidError([Problem((), f"is not YAML: {error!s:.200}", file=str(path))]) from None
    try:
        return Settings.model_validate({} if data is None else data)
    except ValidationError as error:
        problems = translate(error, Settings)
        raise InvalidError([replace(problem, file=str(path)) for problem in problems]) from None
