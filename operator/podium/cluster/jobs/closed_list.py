"""What a Pod of Podium may be: the closed list, in one table.

`check_pod` checks the final Pod against it in code; `pod_policy` makes the chart's CEL of it, with
which the API server checks again what the operator's account makes. Whatever is not on the list is
refused, also what a later Kubernetes adds. What the server and its admission plugins fill in
(defaults, priority, tolerations, the ServiceAccount) is on it too.

What CEL cannot say is in `CODE_ONLY`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from podium.api.executors import CONTAINER_FIELDS, MAIN_CONTAINER, POD_FIELDS
from podium.api.field_checks import is_reserved_key
from podium.api.names import (
    FINALIZER,
    GROUP,
    LABEL_EXECUTION,
    LABEL_EXECUTOR,
    LABEL_NODE,
    LABEL_RUN,
    LABEL_RUN_UID,
    LABEL_WORKFLOW,
)
from podium.api.problems import Path, Problem
from podium.cluster.jobs.rules import (
    Allowance,
    Allowances,
    Anything,
    Each,
    Empty,
    Fields,
    Holds,
    NoPrefix,
    OneOf,
    UserId,
    check,
)
from podium.cluster.settings import Settings

__all__ = [
    "ANNOTATIONS",
    "CODE_ONLY",
    "CONTAINER",
    "CONTAINER_SECURITY",
    "EXECUTOR_CONTAINER",
    "EXECUTOR_POD_SPEC",
    "INJECTED",
    "JOB_METADATA",
    "JOB_SPEC",
    "LABELS",
    "LABEL_PREFIXES",
    "OPENSHIFT_ANNOTATION",
    "POD_METADATA",
    "POD_SECURITY",
    "POD_SPEC",
    "REQUIRED_LABELS",
    "TEMPLATE_METADATA",
    "allowances",
    "check_pod",
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

_WRITTEN_BY_THE_SERVER = dict.fromkeys(
    (
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "generation",
        "resourceVersion",
        "managedFields",
        "labels",
        "annotations",
        "ownerReferences",
    ),
    ANYTHING,
)
POD_METADATA: Final = Fields(
    {**_WRITTEN_BY_THE_SERVER, "finalizers": Each("f", OneOf((FINALIZER,)))}
)
JOB_METADATA: Final = Fields(_WRITTEN_BY_THE_SERVER)
TEMPLATE_METADATA: Final = Fields(
    {"labels": ANYTHING, "annotations": ANYTHING, "creationTimestamp": ANYTHING}
)
JOB_SPEC: Final = Fields(
    {
        "managedBy": ANYTHING,
        "backoffLimit": OneOf((0,)),
        "completions": OneOf((1,)),
        "parallelism": OneOf((0, 1)),
        "completionMode": OneOf(("NonIndexed",)),
        "podReplacementPolicy": ANYTHING,
        "podFailurePolicy": ANYTHING,
        "suspend": ANYTHING,
        "selector": ANYTHING,
        # With true, its selector takes Pods of others.
        "manualSelector": OneOf((False,)),
        "ttlSecondsAfterFinished": ANYTHING,
        "template": ANYTHING,
    },
)

REQUIRED_LABELS: Final = (LABEL_RUN, LABEL_NODE, LABEL_EXECUTION)
LABELS: Final = (
    *REQUIRED_LABELS,
    LABEL_RUN_UID,
    LABEL_WORKFLOW,
    LABEL_EXECUTOR,
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
)
"""Keys of labels in the platform's domains; of others, any."""
LABEL_PREFIXES: Final = ("app.kubernetes.io/",)
ANNOTATIONS: Final = (
    f"{GROUP}/input",
    f"{GROUP}/script",
    f"{GROUP}/node",
    f"{GROUP}/execution",
    f"{GROUP}/restart",
    "kubectl.kubernetes.io/default-container",
    "kubectl.kubernetes.io/default-logs-container",
)
OPENSHIFT_ANNOTATION: Final = "seccomp.security.alpha.kubernetes.io/pod"


def allowances(settings: Settings) -> Allowances:
    """Return what the operator's settings allow beyond the list."""
    defaults = settings.pod_defaults
    runtime = defaults.get("runtimeClassName")
    return Allowances(
        any_user=settings.arbitrary_user_ids,
        runtime_classes=(runtime,) if isinstance(runtime, str) else (),
        labels=tuple(defaults.get("labels") or ()),
        annotations=tuple(defaults.get("annotations") or ()),
    )


def check_pod(pod: Mapping[str, Any], settings: Settings) -> list[Problem]:
    """Return what the closed list has against a Pod, or against the template of a Job's Pods."""
    allowed = allowances(settings)
    spec = pod.get("spec") or {}
    meta = pod.get("metadata") or {}
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    if LABEL_EXECUTOR in labels:
        found = list(_of_executor(spec, allowed))
    else:
        found = list(check(POD_SPEC, spec, ("spec",), allowed))
        containers = spec.get("containers") or []
        if len(containers) != 1 or spec.get("initContainers"):
            found.append(Problem(("spec", "containers"), "must be one, named node"))
        for position, container in enumerate(containers):
            found += check(CONTAINER, container, ("spec", "containers", position), allowed)
    at: Path = ("metadata", "labels")
    found += [Problem((*at, key), "is missing") for key in REQUIRED_LABELS if key not in labels]
    found += _check_keys(labels, at, (*LABELS, *allowed.labels), LABEL_PREFIXES)
    more = (OPENSHIFT_ANNOTATION,) if allowed.any_user else ()
    keys = (*ANNOTATIONS, *more, *allowed.annotations)
    found += _check_keys(annotations, ("metadata", "annotations"), keys, ())
    return found


def _of_executor(spec: Mapping[str, Any], allowed: Allowances) -> Iterator[Problem]:
    yield from check(EXECUTOR_POD_SPEC, spec, ("spec",), allowed)
    for field in ("containers", "initContainers"):
        for position, container in enumerate(spec.get(field) or ()):
            yield from check(EXECUTOR_CONTAINER, container, ("spec", field, position), allowed)
    mains = [each for each in spec.get("containers") or () if each.get("name") == MAIN_CONTAINER]
    if len(mains) != 1:
        yield Problem(("spec", "containers"), f"must have one that is named {MAIN_CONTAINER}")


def _check_keys(
    given: Mapping[str, Any], path: Path, keys: tuple[str, ...], prefixes: tuple[str, ...]
) -> Iterator[Problem]:
    for key in given:
        if is_reserved_key(key) and key not in keys and not key.startswith(prefixes):
            yield Problem((*path, key), "belongs to the platform")
