"""What a node may set of its Pod: variables, resources, volumes, scheduling."""

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from podium.api.base import ApiModel, LongText, Name, Quantity, Text

__all__ = ["EnvVar", "KeySelector", "PodOverrides", "Resources", "Volume"]

PreservedItem = Annotated[
    dict[str, Any],
    WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
]


class Resources(ApiModel):
    """Compute resources of the node's container, as in Kubernetes."""

    requests: dict[str, Quantity] = Field(default_factory=dict, max_length=20)
    """Resources that the node is guaranteed, by name."""
    limits: dict[str, Quantity] = Field(default_factory=dict, max_length=20)
    """Maximum resources of the node, by name."""


class KeySelector(ApiModel):
    """One key of a Secret or ConfigMap in the run's namespace."""

    name: Name
    """Name of the Secret or ConfigMap."""
    key: Name
    """Key of the Secret or ConfigMap."""
    optional: bool = False
    """Whether the key may be missing."""


class FieldSelector(ApiModel):
    """A field of the node's own Pod."""

    field_path: Name
    """For example metadata.name or status.podIP."""
    api_version: Name | None = None
    """Version of the schema that fieldPath is written in."""


class EnvSource(ApiModel):
    """Source of the value of an environment variable; exactly one field is set."""

    secret_key_ref: KeySelector | None = None
    """A key of a Secret. On a laptop: the variable of that name, or --secrets."""
    config_map_key_ref: KeySelector | None = None
    """A key of a ConfigMap. Cluster only."""
    field_ref: FieldSelector | None = None
    """A field of the Pod. Cluster only."""


class EnvVar(ApiModel):
    """An environment variable, as in a Kubernetes container."""

    name: Name
    """Name of the variable."""
    value: LongText | None = None
    """Its literal value: $(NAME) is not expanded."""
    value_from: EnvSource | None = None
    """Source of the value, instead of value."""


class VolumeMount(ApiModel):
    """Where a volume appears in the node's container."""

    name: Name
    """Name of one of the Pod's volumes, or of the workflow's volumeClaims."""
    mount_path: Text
    """Absolute path in the container. A script on a laptop finds a claim by PODIUM_VOLUME_NAME."""
    sub_path: Text | None = None
    """Path inside the volume; a directory of a claim is made if it is missing."""
    read_only: bool = False
    """Whether the mount is read-only. A laptop enforces it for containers only."""


class Volume(ApiModel):
    """A volume of the node's Pod: exactly one source, from a closed list."""

    name: Name
    """Name that mounts refer to."""
    empty_dir: PreservedItem | None = None
    """Scratch space that lives as long as the Pod."""
    persistent_volume_claim: PreservedItem | None = None
    """A claim in the run's namespace."""
    config_map: PreservedItem | None = None
    """A ConfigMap in the run's namespace."""
    secret: PreservedItem | None = None
    """A Secret in the run's namespace."""
    projected: PreservedItem | None = None
    """Several of these in one directory; service account tokens are refused."""


class PodOverrides(ApiModel, defer_build=False):
    """Fields of its Pod that a node may set; all others belong to the platform."""

    env: list[EnvVar] = Field(default_factory=list, max_length=200)
    """Additional environment variables."""
    labels: dict[str, Text] = Field(default_factory=dict, max_length=50)
    """Additional labels, outside kubernetes.io, k8s.io and podium.dev."""
    annotations: dict[str, LongText] = Field(default_factory=dict, max_length=50)
    """Additional annotations, outside kubernetes.io, k8s.io and podium.dev."""
    node_selector: dict[str, Text] = Field(default_factory=dict, max_length=50)
    """Labels that the Kubernetes Node must have."""
    tolerations: list[PreservedItem] = Field(default_factory=list, max_length=50)
    """Taints that the Pod tolerates."""
    affinity: PreservedItem | None = None
    """Affinity and anti-affinity rules."""
    priority_class_name: Name | None = None
    """The Pod's priority class."""
    volumes: list[Volume] = Field(default_factory=list, max_length=50)
    """Volumes of the Pod."""
    volume_mounts: list[VolumeMount] = Field(default_factory=list, max_length=50)
    """Where volumes, and claims of the workflow, appear in the container."""
    service_account_name: Name | None = None
    """A ServiceAccount that carries the label podium.dev/usable: "true"."""
