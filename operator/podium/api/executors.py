"""Executor and ClusterExecutor: a named way to run a node, as platform teams write it."""

from enum import StrEnum
from typing import Final

from pydantic import Field

from podium.api.base import ApiModel, JsonObject, LongText, Text

__all__ = [
    "CONTAINER_FIELDS",
    "MAIN_CONTAINER",
    "MAX_EXECUTORS",
    "MAX_EXECUTOR_BYTES",
    "POD_FIELDS",
    "ExecutorOutputs",
    "ExecutorSpec",
    "LocalCommand",
]

MAIN_CONTAINER: Final = "node"
"""Name of the container whose program is the node's."""
MAX_EXECUTOR_BYTES = 64 * 1024
"""Size of an Executor's spec as JSON: each definition that names it is pinned with a copy."""
MAX_EXECUTORS = 50
"""Executors that one definition may name."""

POD_FIELDS: Final = (
    "affinity",
    "automountServiceAccountToken",
    "containers",
    "dnsConfig",
    "dnsPolicy",
    "hostAliases",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostUsers",
    "hostname",
    "imagePullSecrets",
    "initContainers",
    "nodeSelector",
    "os",
    "overhead",
    "preemptionPolicy",
    "priorityClassName",
    "resourceClaims",
    "runtimeClassName",
    "schedulerName",
    "securityContext",
    "serviceAccountName",
    "setHostnameAsFQDN",
    "shareProcessNamespace",
    "subdomain",
    "tolerations",
    "topologySpreadConstraints",
    "volumes",
)
"""Fields of a Pod that a template may have. Those that are missing here are Podium's: how often
and how long a Pod runs, and on which machine."""
CONTAINER_FIELDS: Final = (
    "args",
    "command",
    "env",
    "envFrom",
    "image",
    "imagePullPolicy",
    "lifecycle",
    "livenessProbe",
    "name",
    "ports",
    "readinessProbe",
    "resizePolicy",
    "resources",
    "restartPolicy",
    "securityContext",
    "startupProbe",
    "stdin",
    "stdinOnce",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "tty",
    "volumeDevices",
    "volumeMounts",
    "workingDir",
)
"""Fields of a container that a template may have."""


class ExecutorOutputs(StrEnum):
    """Where a node's output comes from."""

    FILE = "File"


class LocalCommand(ApiModel):
    """What runs a node on a laptop that has no docker or podman."""

    command: list[LongText] = Field(min_length=1, max_length=1000)
    """Program and its arguments, run in the workflow's directory; strings may contain
    ${{ config.NAME }}."""


class ExecutorSpec(ApiModel):
    """A named way to run a node: what its config may say, and the Pod that is made of it."""

    title: Text | None = None
    """Display name."""
    icon: Text | None = None
    """Icon: a URL, or a name that user interfaces know."""
    description: LongText | None = None
    """What it is for."""
    config: JsonObject = Field(default_factory=dict)
    """JSON Schema (2020-12, or draft-07 by $schema) of the node's config, an object. Its defaults
    are filled in; keys that it does not declare are refused unless it has additionalProperties."""
    template: JsonObject
    """Template of the Pod: metadata (labels, annotations) and spec, whose container named node is
    the main one. Strings may contain ${{ config.NAME }} and ${{ node.id }}."""
    command: list[LongText] = Field(default_factory=list, max_length=1000)
    """Command of the main container, instead of its image's entry point. An entry that is one
    ${{ }} and gives a list becomes as many arguments as that has."""
    args: list[LongText] = Field(default_factory=list, max_length=1000)
    """Arguments of the command or the entry point, as command."""
    outputs: ExecutorOutputs = ExecutorOutputs.FILE
    """Where the node's output comes from. File: the JSON object in the file $PODIUM_OUTPUT."""
    local: LocalCommand | None = None
    """What runs it on a laptop without docker or podman, or whose template needs a cluster."""
