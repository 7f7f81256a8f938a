"""Pods outside the closed list, each by one change of a Pod that is on it."""

import copy

SAFE = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
LABELS = {"podium.dev/run": "r", "podium.dev/node": "a", "podium.dev/execution": "a-1"}
PROBE = {"exec": {"command": ["true"]}}


def pod():
    """Return a Pod, but for its kind and owner, as the operator makes it."""
    return {
        "metadata": {
            "name": "a",
            "labels": dict(LABELS),
            "annotations": {"podium.dev/input": "{}"},
        },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "node",
                    "image": "busybox",
                    "command": ["true"],
                    "securityContext": copy.deepcopy(SAFE),
                }
            ],
        },
    }


def changed(path, value, thing=None):
    """Return a Pod with one field set to a value, or without it where the value is `GONE`."""
    thing = copy.deepcopy(thing) if thing is not None else pod()
    *way, last = [
        int(part) if part.isdigit() else part.replace("~", ".") for part in path.split(".")
    ]
    place = thing
    for part in way:
        place = place[part] if isinstance(part, int) else place.setdefault(part, {})
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return thing


GONE = object()
NODE = "spec.containers.0"
PRIVILEGED = SAFE | {"privileged": True, "allowPrivilegeEscalation": True}
BESIDE = {"name": "beside", "image": "busybox", "securityContext": SAFE}


def _volume(**source):
    return [{"name": "v", **source}]


def _projected(*sources):
    return _volume(projected={"sources": list(sources)})


TOKEN = {"serviceAccountToken": {"path": "t"}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}

# path, value, a word of the message that the API server gives
REFUSED = [
    ("spec.hostNetwork", True, "may hold only"),
    ("spec.hostPID", True, "may hold only"),
    ("spec.hostIPC", True, "may hold only"),
    ("spec.shareProcessNamespace", True, "may hold only"),
    ("spec.nodeName", "n1", "may hold only"),
    ("spec.hostAliases", [{"ip": "10.0.0.1", "hostnames": ["h"]}], "may hold only"),
    ("spec.subdomain", "db", "may hold only"),
    ("spec.setHostnameAsFQDN", True, "may hold only"),
    ("spec.dnsConfig", {"nameservers": ["10.0.0.1"]}, "may hold only"),
    ("spec.dnsPolicy", "Default", "dnsPolicy"),
    ("spec.activeDeadlineSeconds", 5, "may hold only"),
    ("spec.readinessGates", [{"conditionType": "a.b/c"}], "may hold only"),
    ("spec.schedulingGates", [{"name": "a.b/c"}], "may hold only"),
    ("spec.topologySpreadConstraints",
     [{"maxSkew": 1, "topologyKey": "x", "whenUnsatisfiable": "ScheduleAnyway"}], "may hold only"),
    ("spec.resourceClaims", [{"name": "d", "resourceClaimName": "x"}], "may hold only"),
    ("spec.os", {"name": "linux"}, "may hold only"),
    ("spec.runtimeClassName", "kata", "may hold only"),
    ("spec.schedulerName", "mine", "schedulerName"),
    ("spec.priorityClassName", "system-node-critical", "priorityClassName"),
    ("spec.restartPolicy", "OnFailure", "restartPolicy"),
    ("spec.automountServiceAccountToken", True, "automountServiceAccountToken"),
    ("spec.automountServiceAccountToken", GONE, "automountServiceAccountToken"),
    ("spec.enableServiceLinks", True, "enableServiceLinks"),
    ("spec.securityContext.runAsNonRoot", GONE, "securityContext"),
    ("spec.securityContext.runAsNonRoot", False, "securityContext"),
    ("spec.securityContext.runAsUser", 0, "securityContext"),
    ("spec.securityContext.runAsUser", 1000, "securityContext"),
    ("spec.securityContext.runAsGroup", 0, "securityContext"),
    ("spec.securityContext.fsGroup", 0, "securityContext"),
    ("spec.securityContext.supplementalGroups", [0], "securityContext"),
    ("spec.securityContext.supplementalGroups", [1], "securityContext"),
    ("spec.securityContext.seccompProfile", GONE, "securityContext"),
    ("spec.securityContext.seccompProfile", {"type": "Unconfined"}, "securityContext"),
    ("spec.securityContext.sysctls", [{"name": "net.ipv4.tcp_syncookies", "value": "1"}],
     "securityContext"),
    ("spec.securityContext.seLinuxOptions", {"level": "s0"}, "securityContext"),
    ("spec.securityContext.appArmorProfile", {"type": "Unconfined"}, "securityContext"),
    ("spec.volumes", _volume(hostPath={"path": "/"}), "spec.volumes"),
    ("spec.volumes", _volume(nfs={"server": "h", "path": "/"}), "spec.volumes"),
    ("spec.volumes", _volume(csi={"driver": "x.example.com"}), "spec.volumes"),
    ("spec.volumes", _volume(ephemeral={"volumeClaimTemplate": {"spec": CLAIM}}), "spec.volumes"),
    ("spec.volumes", _volume(iscsi={"targetPortal": "10.0.0.1", "iqn": "iqn.2001-04.com.x:y",
                                    "lun": 0}), "spec.volumes"),
    ("spec.volumes", _projected(TOKEN), "spec.volumes"),
    ("spec.volumes", _projected({"secret": {"name": "s"}}, TOKEN), "spec.volumes"),
    ("spec.initContainers", [BESIDE], "initContainers"),
    ("spec.initContainers", [BESIDE | {"restartPolicy": "Always"}], "initContainers"),
    ("spec.containers", [pod()["spec"]["containers"][0], BESIDE], "spec.containers"),
    (f"{NODE}.name", "other", "spec.containers"),
    (f"{NODE}.securityContext", GONE, "securityContext"),
    (f"{NODE}.securityContext", PRIVILEGED, "securityContext"),
    (f"{NODE}.securityContext.allowPrivilegeEscalation", True, "allowPrivilegeEscalation"),
    (f"{NODE}.securityContext.allowPrivilegeEscalation", GONE, "allowPrivilegeEscalation"),
    (f"{NODE}.securityContext.capabilities", GONE, "capabilities"),
    (f"{NODE}.securityContext.capabilities.drop", ["NET_RAW"], "capabilities"),
    (f"{NODE}.securityContext.capabilities.add", ["NET_BIND_SERVICE"], "capabilities"),
    (f"{NODE}.securityContext.runAsNonRoot", False, "runAsNonRoot"),
    (f"{NODE}.securityContext.runAsUser", 0, "runAsUser"),
    (f"{NODE}.securityContext.runAsGroup", 0, "runAsGroup"),
    (f"{NODE}.securityContext.seccompProfile", {"type": "Unconfined"}, "seccompProfile"),
    (f"{NODE}.securityContext.seccompProfile",
     {"type": "Localhost", "localhostProfile": "x.json"}, "seccompProfile"),
    (f"{NODE}.securityContext.appArmorProfile", {"type": "Unconfined"}, "appArmorProfile"),
    (f"{NODE}.securityContext.seLinuxOptions", {"type": "spc_t"}, "seLinuxOptions"),
    (f"{NODE}.ports", [{"containerPort": 80}], "may hold only"),
    (f"{NODE}.ports", [{"containerPort": 80, "hostPort": 80}], "may hold only"),
    (f"{NODE}.lifecycle", {"preStop": PROBE}, "may hold only"),
    (f"{NODE}.envFrom", [{"secretRef": {"name": "x"}}], "may hold only"),
    (f"{NODE}.stdin", True, "may hold only"),
    (f"{NODE}.tty", True, "may hold only"),
    ("metadata.labels.podium~dev/run", GONE, "metadata.labels"),
    ("metadata.labels.podium~dev/recorded", "true", "metadata.labels"),
    ("metadata.labels.node-restriction~kubernetes~io/x", "y", "metadata.labels"),
    ("metadata.labels.k8s~io/x", "y", "metadata.labels"),
    ("metadata.annotations.node~kubernetes~io/x", "y", "metadata.annotations"),
    ("metadata.annotations.container~apparmor~security~beta~kubernetes~io/node", "unconfined",
     "metadata.annotations"),
    ("metadata.annotations.podium~dev/other", "y", "metadata.annotations"),
]  # fmt: skip

# These need two fields that belong together: (path, value) each.
REFUSED_TOGETHER = [
    (("spec.volumes", _volume(persistentVolumeClaim={"claimName": "x"})),
     (f"{NODE}.volumeDevices", [{"name": "v", "devicePath": "/dev/x"}])),
    (("spec.volumes", _volume(emptyDir={})),
     (f"{NODE}.env", [{"name": "X", "value": "y"}]),
     (f"{NODE}.volumeMounts", [{"name": "v", "mountPath": "/v", "subPathExpr": "$(X)"}])),
    (("spec.volumes", _volume(emptyDir={})),
     (f"{NODE}.volumeMounts",
      [{"name": "v", "mountPath": "/v", "mountPropagation": "HostToContainer"}])),
]  # fmt: skip

ACCEPTED = [
    ("spec.hostname", "db-0"),
    ("spec.volumes",
     [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "c"}},
      {"name": "x", "secret": {"secretName": "s"}},
      {"name": "y", "persistentVolumeClaim": {"claimName": "c"}},
      {"name": "z", "projected": {"sources": [{"secret": {"name": "s"}}]}},
      {"name": "i", "downwardAPI": {"items": [
          {"path": "input", "fieldRef": {"fieldPath": "metadata.annotations['a']"}}]}}]),
    ("spec.nodeSelector", {"kubernetes.io/os": "linux"}),
    ("spec.tolerations", [{"operator": "Exists"}]),
    ("spec.terminationGracePeriodSeconds", 5),
    ("spec.hostUsers", False),
    ("spec.securityContext.runAsUser", GONE),
    (f"{NODE}.securityContext.readOnlyRootFilesystem", True),
    (f"{NODE}.securityContext.seccompProfile", {"type": "RuntimeDefault"}),
    (f"{NODE}.env", [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
    (f"{NODE}.resources", {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}),
    ("metadata.labels.app~kubernetes~io/name", "x"),
    ("metadata.labels.kueue~x-k8s~io/queue-name", "q"),
    ("metadata.annotations.kubectl~kubernetes~io/default-container", "node"),
]  # fmt: skip
