"""What a Pod of Podium may be: the closed list, in one table.

`pod_check` checks the final Pod against it in code; `pod_policy` makes the chart's CEL of it, with
which the API server checks again what the operator's account makes. Whatever is not on the list is
refused, also what a later Kubernetes adds. What the server and its admission plugins fill in
(defaults, priority, tolerations, the ServiceAccount) is on it too.

What CEL cannot say is in `CODE_ONLY`.
"""

from collections.abc import Mapping
from typing import Final

from podium.api.executors import CONTAINER_FIELDS, POD_FIELDS
from podium.api.names import (
    GROUP,
    LABEL_EXECUTION,
    LABEL_EXECUTOR,
    LABEL_NODE,
    LABEL_RUN,
    LABEL_RUN_UID,
    LABEL_WORKFLOW,
)
from podium.artifacts.packed_input import INPUT_VARIABLES
from podium.cluster.jobs.artifacts import COLLECTOR_START, HELPER_COMMANDS
from podium.cluster.jobs.rules import (
    Allowance,
    Anything,
    Each,
    Empty,
    Fields,
    Holds,
    NoPrefix,
    OneOf,
    Prefix,
    Rule,
    UserId,
    Words,
)
from podium.cluster.kube.views import COLLECTOR, FETCHER, LABEL_INDEX

__all__ = [
    "ANNOTATIONS",
    "CODE_ONLY",
    "CONTAINER",
    "CONTAINER_SECURITY",
    "EXECUTOR_CONTAINER",
    "EXECUTOR_POD_SPEC",
    "HELPERS",
    "INJECTED",
    "LABELS",
    "LABEL_PREFIXES",
    "OPENSHIFT_ANNOTATION",
    "POD_SECURITY",
    "POD_SPEC",
    "REQUIRED_LABELS",
]

CODE_ONLY: Final = (
    ("spec.serviceAccountName", "exists (that it is labelled, a policy of its own says)"),
    ("spec.volumes[*].secret", "is not of type kubernetes.io/service-account-token"),
    ("spec.containers[*].env[*].valueFrom.secretKeyRef", "the same"),
    ("spec.volumes[*].configMap", "of recorded answers: carries their label"),
    ("metadata.ownerReferences", "names a Job or run that exists"),
)
"""Rules about other objects than the Pod, which CEL cannot read: these are kept by code alone."""

ANYTHING = Anything()
SECCOMP = Fields({"type": OneOf(("RuntimeDefault",))}, required=("type",))
APP_ARMOR = Fields({"type": OneOf(("RuntimeDefault",))}, required=("type",))
SE_LINUX = Fields({"level": ANYTHING})

POD_SECURITY: Final = Fields(
    {
        "runAsNonRoot": OneOf((True,)),
        "runAsUser": UserId(),
        "runAsGroup": UserId(),
        "fsGroup": UserId(),
        "fsGroupChangePolicy": ANYTHING,
        "seccompProfile": SECCOMP,
        "appArmorProfile": APP_ARMOR,
        "seLinuxOptions": SE_LINUX,
    },
    required=("runAsNonRoot", "seccompProfile"),
    allowed=("seLinuxOptions", Allowance("any_user")),
)
CONTAINER_SECURITY: Final = Fields(
    {
        "allowPrivilegeEscalation": OneOf((False,)),
        "capabilities": Fields({"drop": Holds("ALL"), "add": Empty()}, required=("drop",)),
        "privileged": OneOf((False,)),
        "readOnlyRootFilesystem": ANYTHING,
        "runAsNonRoot": OneOf((True,)),
        "runAsUser": UserId(),
        "runAsGroup": UserId(),
        "seccompProfile": SECCOMP,
        "appArmorProfile": APP_ARMOR,
        "procMount": OneOf(("Default",)),
        "seLinuxOptions": SE_LINUX,
    },
    required=("allowPrivilegeEscalation", "capabilities"),
    allowed=("seLinuxOptions", Allowance("any_user")),
)
MOUNTS = Each(
    "m",
    Fields(
        {
            "name": ANYTHING,
            "mountPath": ANYTHING,
            "subPath": ANYTHING,
            "readOnly": ANYTHING,
            "recursiveReadOnly": OneOf(("Disabled",)),
            "mountPropagation": OneOf(("None",)),
        }
    ),
)
SOURCES = Fields(
    {
        "secretKeyRef": ANYTHING,
        "configMapKeyRef": ANYTHING,
        "fieldRef": ANYTHING,
        "resourceFieldRef": ANYTHING,
    }
)
CONTAINER: Final = Fields(
    {
        "name": OneOf(("node",)),
        "securityContext": CONTAINER_SECURITY,
        "image": ANYTHING,
        "imagePullPolicy": ANYTHING,
        "command": ANYTHING,
        "args": ANYTHING,
        "workingDir": ANYTHING,
        "env": Each(
            "e", Fields({"name": ANYTHING, "value": ANYTHING, "valueFrom": SOURCES}), allowed="env"
        ),
        "resources": Fields({"requests": ANYTHING, "limits": ANYTHING}),
        "volumeMounts": MOUNTS,
        "terminationMessagePath": ANYTHING,  # a file of its own container
        "terminationMessagePolicy": ANYTHING,
    },
    required=("securityContext",),
)
"""The one container of a node."""

_STORE_ENV = (
    *("PODIUM_STORE", "PODIUM_UPLOAD_SECONDS"),
    *("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ENDPOINT_URL_STS"),
    "PODIUM_ALLOWED_HOSTS",
    "PODIUM_AUTHORITIES",
    "PODIUM_VALUES",
)
_HELPER: Final[Mapping[str, Rule]] = {
    "securityContext": CONTAINER_SECURITY,
    "image": OneOf(Allowance("artifact_images")),
    "imagePullPolicy": ANYTHING,
    # No other variables, and nothing over its own files: they would decide what it runs.
    "env": Each("e", Fields({"name": OneOf(_STORE_ENV), "value": ANYTHING})),
    "resources": Fields({"requests": ANYTHING, "limits": ANYTHING}),
    "volumeMounts": Each(
        "m",
        Fields(
            {
                "name": ANYTHING,
                "mountPath": Prefix("/podium/"),
                "readOnly": ANYTHING,
                "recursiveReadOnly": OneOf(("Disabled",)),
                "mountPropagation": OneOf(("None",)),
            }
        ),
    ),
    "terminationMessagePath": OneOf(("/dev/termination-log",)),
    "terminationMessagePolicy": ANYTHING,
}
HELPERS: Final = {
    COLLECTOR: Fields(
        {
            "name": OneOf((COLLECTOR,)),
            **_HELPER,
            "command": Words(tuple(HELPER_COMMANDS[COLLECTOR])),
            "restartPolicy": OneOf(("Always",)),
            "lifecycle": Fields(
                {"postStart": Fields({"exec": Fields({"command": Words(tuple(COLLECTOR_START))})})}
            ),
        },
        required=("securityContext", "image", "command", "restartPolicy"),
    ),
    FETCHER: Fields(
        {
            "name": OneOf((FETCHER,)),
            **_HELPER,
            "env": Each(
                "e", Fields({"name": OneOf((*_STORE_ENV, *INPUT_VARIABLES)), "value": ANYTHING})
            ),
            "command": Words(tuple(HELPER_COMMANDS[FETCHER])),
        },
        required=("securityContext", "image", "command"),
    ),
}
"""Podium's own containers beside it, which alone mount the artifact store."""

INJECTED: Final = Fields(
    {
        "name": ANYTHING,
        "image": ANYTHING,
        "imagePullPolicy": ANYTHING,
        "command": ANYTHING,
        "args": ANYTHING,
        "workingDir": ANYTHING,
        "env": ANYTHING,
        "resources": Fields({"requests": ANYTHING, "limits": ANYTHING}),
        "volumeMounts": MOUNTS,
        "securityContext": ANYTHING,  # the value allowedInjection says which
        "ports": Each(
            "p",
            Fields({"name": ANYTHING, "containerPort": ANYTHING, "protocol": ANYTHING}),
        ),
        "livenessProbe": ANYTHING,
        "readinessProbe": ANYTHING,
        "startupProbe": ANYTHING,
        "lifecycle": ANYTHING,
        "restartPolicy": OneOf(("Always",)),
        "terminationMessagePath": ANYTHING,
        "terminationMessagePolicy": ANYTHING,
    },
)
"""A container that a webhook may add, beside its name, image and securityContext."""

VOLUMES = Each(
    "v",
    Fields(
        {
            "name": ANYTHING,
            "emptyDir": ANYTHING,
            "persistentVolumeClaim": ANYTHING,
            "configMap": ANYTHING,
            "secret": ANYTHING,
            "downwardAPI": ANYTHING,
            "projected": Fields(
                {
                    "defaultMode": ANYTHING,
                    "sources": Each(
                        "s",
                        Fields(
                            {"configMap": ANYTHING, "secret": ANYTHING, "downwardAPI": ANYTHING},
                            some=True,
                        ),
                        allowed="tokens",
                    ),
                }
            ),
        }
    ),
)
POD_SPEC: Final = Fields(
    {
        # Before the volumes: the server has made a volume of the token by now.
        "automountServiceAccountToken": OneOf((False,)),
        "enableServiceLinks": OneOf((False,)),
        "restartPolicy": OneOf(("Never",)),
        "securityContext": POD_SECURITY,
        "volumes": VOLUMES,
        "priorityClassName": NoPrefix("system-"),
        "schedulerName": OneOf(("default-scheduler",)),
        "dnsPolicy": OneOf(("ClusterFirst",)),
        "hostUsers": OneOf((False,)),
        "runtimeClassName": OneOf(Allowance("runtime_classes")),
        "overhead": ANYTHING,  # of the runtime class, and refused by the server without one
        "containers": ANYTHING,  # each has the list CONTAINER
        "initContainers": ANYTHING,
        "imagePullSecrets": ANYTHING,
        "nodeSelector": ANYTHING,
        "tolerations": ANYTHING,
        "affinity": ANYTHING,
        "priority": ANYTHING,  # of its class, and refused by the server otherwise
        "preemptionPolicy": ANYTHING,
        "serviceAccountName": ANYTHING,
        "serviceAccount": ANYTHING,  # its old name
        "terminationGracePeriodSeconds": ANYTHING,
        "hostname": ANYTHING,  # of the Pods of a map's items
    },
    required=(
        "automountServiceAccountToken",
        "enableServiceLinks",
        "restartPolicy",
        "securityContext",
    ),
    allowed=("runtimeClassName", Allowance("runtime_classes")),
)

EXECUTOR_POD_SPEC: Final = Fields(
    {
        **dict.fromkeys(POD_FIELDS, ANYTHING),
        "enableServiceLinks": OneOf((False,)),
        "restartPolicy": OneOf(("Never",)),
        "priorityClassName": NoPrefix("system-"),
        "priority": ANYTHING,
        "serviceAccount": ANYTHING,
        "terminationGracePeriodSeconds": ANYTHING,
    },
    required=("enableServiceLinks", "restartPolicy"),
)
"""What a Pod may be that an Executor shapes, whose writer has the right to Pods of any shape."""
EXECUTOR_CONTAINER: Final = Fields(dict.fromkeys(CONTAINER_FIELDS, ANYTHING), required=("name",))
"""Each of its containers, init containers too."""

REQUIRED_LABELS: Final = (LABEL_RUN, LABEL_NODE, LABEL_EXECUTION)
LABELS: Final = (
    *REQUIRED_LABELS,
    LABEL_RUN_UID,
    LABEL_WORKFLOW,
    LABEL_EXECUTOR,
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    LABEL_INDEX,
)
"""Keys of labels in the platform's domains; of others, any."""
LABEL_PREFIXES: Final = ("app.kubernetes.io/",)
ANNOTATIONS: Final = (
    f"{GROUP}/input",
    *(f"{GROUP}/script", f"{GROUP}/personas"),
    f"{GROUP}/node",
    f"{GROUP}/execution",
    f"{GROUP}/restart",
    f"{GROUP}/artifacts",
    LABEL_INDEX,
    "kubectl.kubernetes.io/default-container",
    "kubectl.kubernetes.io/default-logs-container",
)
OPENSHIFT_ANNOTATION: Final = "seccomp.security.alpha.kubernetes.io/pod"
