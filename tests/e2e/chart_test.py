"""The chart against a real API server: what it installs, what it refuses, what it lets the operator do.

The release of these tests has a name, a namespace and cluster-wide objects of its own and no running
operator, so it stands beside any other. The CRDs belong to the cluster, not to it.
"""

import copy
import json
import shutil
import uuid

import pytest
import yaml

from tests.e2e.support import CHART, helm, kubectl_path, require_cluster, run, until

# One release serves all of them: they stay on one worker.
pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("chart")]

# `helm template` asks no server, and a helm built from its module thinks of 1.20.
KUBE = ("--kube-version", "1.35.0")


@pytest.fixture(scope="module")
def kubectl():
    require_cluster()

    def call(*arguments, stdin=None, ok=True):
        text = stdin if isinstance(stdin, str | None) else json.dumps(stdin)
        done = run(kubectl_path(), *arguments, stdin=text)
        assert not ok or done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done

    return call


@pytest.fixture(scope="module")
def render():
    def call(*options, release="podium", namespace="podium-system"):
        text = helm("template", release, str(CHART), "-n", namespace, *KUBE, *options).stdout
        return [document for document in yaml.safe_load_all(text) if document]

    return call


def pick(documents, kind, name=None):
    found = [d for d in documents if d["kind"] == kind and name in (None, d["metadata"]["name"])]
    assert len(found) == 1, f"{kind} {name or ''}: {[d['metadata']['name'] for d in found]}"
    return found[0]


def config_of(documents):
    return yaml.safe_load(pick(documents, "ConfigMap")["data"]["operator.yaml"])


# --- without an install -------------------------------------------------------------------------


def test_lint_is_clean():
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART)).stdout


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("replica=2", ["replica", "not allowed"]),
        ("jobs.succededTTLSeconds=1", ["succededTTLSeconds", "not allowed"]),
        ("podDefaults.hostNetwork=true", ["hostNetwork", "not allowed"]),
        ("replicas=11", ["/replicas", "10"]),
        ("logLevel=loud", ["/logLevel", "debug"]),
        ("watchNamespaces={Not_A_Name}", ["/watchNamespaces/0", "Not_A_Name"]),
        ("jobs.maxEnded=-1", ["/jobs/maxEnded", "0"]),
        ("allowInlineWorkflows=maybe", ["/allowInlineWorkflows", "boolean"]),
        ("image.digest=latest", ["/image/digest", "latest"]),
    ],
)
def test_unknown_and_wrong_values_are_refused_by_name(option, words):
    done = helm("template", "podium", str(CHART), *KUBE, "--set", option, ok=False)
    assert done.returncode != 0
    for word in words:
        assert word.replace("/", ".").lstrip(".") in done.stderr.replace("/", "."), done.stderr


def test_every_value_is_documented_and_in_the_schema():
    lines = (CHART / "values.yaml").read_text().splitlines()
    values = yaml.safe_load("\n".join(lines))
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(values) == set(schema["properties"]) - {"global"}
    containers = {k for k, v in schema["properties"].items() if v.get("properties")} - {
        "podDefaults"
    }
    for number, line in enumerate(lines):
        name = line.strip().split(":")[0]
        depth = len(line) - len(line.lstrip())
        documented = depth == 0 and name in set(values) - containers
        if documented or (
            depth == 2 and not name.startswith(("#", "requests", "limits", "memory"))
        ):
            above = number - 1
            while lines[above].strip().startswith("#") and "# --" not in lines[above]:
                above -= 1
            assert "# --" in lines[above], f"line {number + 1} has no comment: {line}"


def test_the_configuration_is_what_the_operator_reads(render):
    assert config_of(render()) == {
        "namespaces": [],
        "installation": "podium-system.podium",
        "runnerImage": "podium:0.1.0",
        "livenessPort": 8080,
        "jobs": {"succeededTTLSeconds": 600, "failedTTLSeconds": 86400, "maxEnded": 1000},
        "limits": {
            "maxRunning": 0,
            "maxRunningPerNamespace": 10000,
            "maxActiveRunsPerNamespace": 1000,
        },
        "allowInlineWorkflows": True,
        "allowRecordedAnswers": None,
        "requireUsableServiceAccounts": True,
        "referenceChecks": True,
        "requireUsableSecrets": False,
        "podDefaults": {},
        "leaderElection": {
            "leaseDurationSeconds": 10,
            "renewDeadlineSeconds": 6,
            "retryPeriodSeconds": 1.5,
            "requestTimeoutSeconds": 3,
        },
        "featureGates": {},
        "logLevel": "info",
        "logFormat": "json",
    }
    defaults = {"resources": {"limits": {"memory": "1Gi"}}, "imagePullSecrets": [{"name": "pull"}]}
    changed = config_of(
        render("--set-json", f"podDefaults={json.dumps(defaults)}", "--set", "runnerImage=r:1")
    )
    assert changed["podDefaults"] == defaults
    assert changed["runnerImage"] == "r:1"


def test_the_configuration_stays_text_of_its_type(render):
    """Large numbers stay integers, and no value breaks out of its string."""
    documents = render(
        "--set", "jobs.maxEnded=20000000", "--set-string", "runnerImage=a: {b\n- c\\, 'd' \"e\""
    )
    config = config_of(documents)
    assert config["jobs"]["maxEnded"] == 20_000_000
    assert config["runnerImage"] == "a: {b\n- c, 'd' \"e\""


def test_a_changed_value_makes_a_new_pod(render):
    def checksum(*options):
        template = pick(render(*options), "Deployment")["spec"]["template"]
        return template["metadata"]["annotations"]["checksum/config"]

    assert checksum() == checksum()
    assert checksum() != checksum("--set", "limits.maxRunning=5")


def test_the_operator_runs_restricted(render):
    deployment = pick(render(), "Deployment")["spec"]
    assert deployment["replicas"] == 1
    # A new one must be there before the old one ends: the lease decides which of them works.
    rolling = {"maxSurge": 1, "maxUnavailable": 0}
    assert deployment["strategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}
    pod = deployment["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 15
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["args"] == ["operator", "--config", "/etc/podium/operator.yaml"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}
    assert container["resources"]["requests"] == {"cpu": "100m", "memory": "256Mi"}
    assert container["resources"]["limits"] == {"memory": "512Mi"}


def documented_rights():
    """Return the table of rights in docs/security.md."""
    page = (CHART.parents[1] / "docs/security.md").read_text()
    rows = (
        page.partition("| API group | resource | verbs |")[2].partition("\n\n")[0].splitlines()[2:]
    )
    cells = [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in rows]
    return {
        ("" if group == "core" else group, resource): set(verbs.split(", "))
        for group, resource, verbs in cells
    }


MESH = {"containers": ["istio-init", "istio-proxy"], "volumes": ["istio-token"]}


def test_only_injected_containers_that_are_named_have_rights_of_their_own(render):
    def expressions(*options):
        policy = pick(render(*options), "ValidatingAdmissionPolicy", "podium-pods")["spec"]
        variables = {each["name"]: each["expression"] for each in policy["variables"]}
        return variables, [each["expression"] for each in policy["validations"]]

    variables, _ = expressions()
    assert variables["containers"] == "variables.everyContainer"
    value = f"admissionPolicies.allowedInjection={json.dumps(MESH)}"
    variables, rules = expressions("--set-json", value)
    assert variables["containers"] == (
        'variables.everyContainer.filter(c, !(c.name in ["istio-init","istio-proxy"]))'
    )
    (tokens,) = (rule for rule in rules if "projected" in rule and "sources" in rule)
    assert 'v.name in ["istio-token"] ||' in tokens
    for bound in ("privileged", "hostPort"):
        (rule,) = (rule for rule in rules if bound in rule)
        assert rule.startswith("variables.everyContainer.all("), "for injected ones, too"


def test_the_operators_rights_are_these_and_no_more(render):
    documents = render()
    rules = pick(documents, "ClusterRole", "podium-operator")["rules"]
    rights = {
        (group, resource): set(rule["verbs"])
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert rights == {
        ("podium.dev", "workflows"): {"get", "list", "watch"},
        ("podium.dev", "workflowruns"): {"get", "list", "watch", "patch", "delete"},
        ("podium.dev", "workflows/status"): {"patch"},
        ("podium.dev", "workflowruns/status"): {"patch"},
        ("podium.dev", "workflowrunnodes"): {"list", "create", "delete"},
        ("podium.dev", "workflowruns/finalizers"): {"update"},
        ("batch", "jobs"): {"get", "list", "watch", "create", "patch", "delete"},
        ("batch", "jobs/status"): {"patch"},
        ("batch", "jobs/finalizers"): {"update"},
        ("", "pods"): {"get", "list", "watch", "create", "patch", "delete"},
        ("", "events"): {"create", "patch", "list"},
        ("apps", "controllerrevisions"): {"get", "list", "create", "delete"},
        ("", "serviceaccounts"): {"get"},
        ("", "secrets"): {"get"},
        ("", "configmaps"): {"get"},
    }
    assert documented_rights() == rights
    lease = pick(documents, "Role")
    assert lease["metadata"]["namespace"] == "podium-system"
    assert [rule["resources"] for rule in lease["rules"]] == [
        ["leases"],
        ["deployments", "deployments/scale"],
    ]
    assert lease["rules"][1]["resourceNames"] == ["podium"]


def test_no_role_holds_a_wildcard_secrets_or_a_written_status(render):
    documents = render("--set", "referenceChecks=false")
    roles = [d for d in documents if d["kind"] in ("Role", "ClusterRole")]
    for role in roles:
        for rule in role["rules"]:
            every = rule["apiGroups"] + rule["resources"] + rule["verbs"]
            assert "*" not in every
            assert not {"secrets", "configmaps"} & set(every)
            if not role["metadata"]["name"].endswith("-operator"):
                assert not [r for r in rule["resources"] if r.endswith("/status")]


def test_watch_namespaces_makes_roles_there_only(render):
    documents = render("--set", "watchNamespaces={team-a,team-b}")
    operator = [d for d in documents if d["metadata"]["name"] == "podium-operator"]
    assert {(d["kind"], d["metadata"]["namespace"]) for d in operator} == {
        (kind, namespace) for kind in ("Role", "RoleBinding") for namespace in ("team-a", "team-b")
    }
    assert config_of(documents)["namespaces"] == ["team-a", "team-b"]
    assert not [d for d in documents if d["kind"] == "ClusterRoleBinding"]


def test_what_can_be_switched_off_is_off(render):
    documents = render(
        "--set", "admissionPolicies.enabled=false,userRoles.create=false,networkPolicy.enabled=true"
    )
    kinds = [d["kind"] for d in documents]
    assert "NetworkPolicy" in kinds
    assert "NetworkPolicy" not in [d["kind"] for d in render()]
    assert not [kind for kind in kinds if kind.startswith("ValidatingAdmissionPolicy")]
    assert kinds.count("ClusterRole") == 1


# --- installed ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crds(kubectl, render):
    """Make sure that the cluster has the chart's CRDs."""
    documents = [d for d in render() if d["kind"] == "CustomResourceDefinition"]
    names = {d["metadata"]["name"] for d in documents}
    assert names >= {"workflows.podium.dev", "workflowruns.podium.dev"}, names
    for document in documents:
        assert document["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        name = document["metadata"]["name"]
        if kubectl("get", "crd", name, ok=False).returncode:
            kubectl("apply", "--server-side", "-f", "-", stdin=document)
        kubectl("wait", "--for=condition=Established", "--timeout=120s", f"crd/{name}")


class Release:
    """An install of the chart in a namespace of its own, watching only that, with no operator."""

    def __init__(self, kubectl, chart):
        self.kubectl, self.chart = kubectl, chart
        self.namespace = f"podium-chart-{uuid.uuid4().hex[:8]}"
        self.name = self.namespace
        self.user = f"system:serviceaccount:{self.namespace}:{self.name}"

    def apply(self, *options):
        helm(
            "upgrade", "--install", self.name, str(self.chart), "-n", self.namespace,
            "--set", "replicas=0", "--set", f"watchNamespaces={{{self.namespace}}}",
            "--set", "image.repository=docker.io/library/podium,image.tag=dev", *options,
        )  # fmt: skip

    def create(self, thing, user=None, *options):
        who = ("--as", user) if user else ()
        return self.kubectl(
            "create", "-n", self.namespace, *who, *options, "-f", "-", stdin=thing, ok=False
        )

    def try_out(self, thing, user=None):
        """Ask the server what it would say, and make nothing."""
        return self.create(thing, user, "--dry-run=server")


@pytest.fixture(scope="module")
def release(kubectl, crds, tmp_path_factory):
    chart = tmp_path_factory.mktemp("chart") / "podium"
    shutil.copytree(CHART, chart, ignore=shutil.ignore_patterns("crds"))
    made = Release(kubectl, chart)
    kubectl("create", "namespace", made.namespace)
    try:
        made.apply()

        def effective():
            """The policies are in force"""
            bad = change(job(), "spec.template.spec.hostNetwork", True)
            forged = workflow_run(annotations={"podium.dev/approved-by": "nobody"})
            return made.try_out(bad, made.user).returncode and made.try_out(forged).returncode

        until(effective)
        yield made
    finally:
        helm("uninstall", made.name, "-n", made.namespace, "--ignore-not-found", ok=False)
        kubectl("delete", "namespace", made.namespace, "--wait=false", ok=False)


POD_LABELS = {"podium.dev/run": "r", "podium.dev/node": "a", "podium.dev/execution": "a-1"}


def pod_spec():
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "node",
                "image": "busybox",
                "command": ["true"],
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    }


def owner(kind, version):
    return {"apiVersion": version, "kind": kind, "name": "r", "uid": str(uuid.uuid4()),
            "controller": True, "blockOwnerDeletion": True}  # fmt: skip


def job():
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "a",
            "labels": {
                **POD_LABELS,
                "podium.dev/workflow": "w",
                "app.kubernetes.io/name": "podium",
            },
            "ownerReferences": [owner("WorkflowRun", "podium.dev/v1alpha1")],
        },
        "spec": {
            "backoffLimit": 0,
            "template": {
                "metadata": {
                    "labels": {
                        **POD_LABELS,
                        "app.kubernetes.io/name": "podium",
                        "team": "x",
                        "kueue.x-k8s.io/queue-name": "q",
                    },
                    "annotations": {
                        "podium.dev/input": "{}",
                        "kubectl.kubernetes.io/default-container": "node",
                    },
                },
                "spec": pod_spec(),
            },
        },
    }


def pod():
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "a", "labels": POD_LABELS, "ownerReferences": [owner("Job", "batch/v1")]
        },
        "spec": pod_spec(),
    }  # fmt: skip


def workflow_run(annotations=None, name="r", **spec):
    return {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "WorkflowRun",
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": {"workflowRef": {"name": "none"}, "suspend": True} | spec,
    }


GONE = object()


def change(thing, path, value):
    """Return the object with one field set, or removed."""
    thing = copy.deepcopy(thing)
    *way, last = [int(p) if p.isdigit() else p.replace("~", ".") for p in path.split(".")]
    place = thing
    for part in way:
        place = place[part] if isinstance(part, int) else place.setdefault(part, {})
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return thing


HOST_PATH = [{"name": "v", "hostPath": {"path": "/"}}]
TOKEN = [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]
SECRET_TOO = [{"name": "v", "projected": {"sources": [
    {"secret": {"name": "s"}}, {"serviceAccountToken": {"path": "t"}}]}}]  # fmt: skip
EPHEMERAL = [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {
    "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}}]  # fmt: skip
CSI = [{"name": "v", "csi": {"driver": "x.example.com"}}]
NFS = [{"name": "v", "nfs": {"server": "h", "path": "/"}}]
SAFE = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
BESIDE = {"name": "beside", "image": "busybox", "securityContext": SAFE}
INIT = [{**BESIDE, "name": "init"}]

# field of the Pod's spec, value, what the message names
FORBIDDEN = [
    ("hostNetwork", True, "spec.hostNetwork"),
    ("hostPID", True, "spec.hostPID"),
    ("hostIPC", True, "spec.hostIPC"),
    ("containers.0.securityContext", SAFE | {"privileged": True, "allowPrivilegeEscalation": True},
     "securityContext.privileged"),
    ("containers.0.securityContext.allowPrivilegeEscalation", True, "allowPrivilegeEscalation"),
    ("containers.0.securityContext.allowPrivilegeEscalation", GONE, "allowPrivilegeEscalation"),
    ("containers.0.securityContext", GONE, "allowPrivilegeEscalation"),
    ("containers.0.securityContext.capabilities", GONE, "capabilities.drop"),
    ("containers.0.securityContext.capabilities.drop", ["NET_RAW"], "capabilities.drop"),
    ("containers.0.securityContext.capabilities.add", ["NET_ADMIN"], "capabilities.add"),
    ("containers.0.securityContext.capabilities.add", ["NET_BIND_SERVICE"], "capabilities.add"),
    ("securityContext.runAsNonRoot", GONE, "runAsNonRoot"),
    ("containers.0.securityContext.runAsNonRoot", False, "runAsNonRoot"),
    ("securityContext", {"runAsNonRoot": True, "runAsUser": 0,
                         "seccompProfile": {"type": "RuntimeDefault"}}, "runAsUser"),
    ("containers.0.securityContext.runAsUser", 0, "runAsUser"),
    ("securityContext.seccompProfile", GONE, "seccompProfile"),
    ("containers.0.securityContext.seccompProfile", {"type": "Unconfined"}, "seccompProfile"),
    ("securityContext.sysctls", [{"name": "net.ipv4.tcp_syncookies", "value": "1"}], "sysctls"),
    ("securityContext.seLinuxOptions", {"type": "spc_t"}, "seLinuxOptions"),
    ("securityContext.appArmorProfile", {"type": "Unconfined"}, "appArmorProfile"),
    ("containers.0.securityContext.appArmorProfile", {"type": "Unconfined"}, "appArmorProfile"),
    ("containers.0.securityContext.seLinuxOptions", {"user": "system_u"}, "seLinuxOptions"),
    ("volumes", HOST_PATH, "hostPath"),
    ("volumes", NFS, "spec.volumes"),
    ("volumes", CSI, "spec.volumes"),
    ("volumes", EPHEMERAL, "spec.volumes"),
    ("volumes", TOKEN, "serviceAccountToken"),
    ("volumes", SECRET_TOO, "serviceAccountToken"),
    ("automountServiceAccountToken", True, "automountServiceAccountToken"),
    ("automountServiceAccountToken", GONE, "automountServiceAccountToken"),
    ("enableServiceLinks", GONE, "enableServiceLinks"),
    ("runtimeClassName", "kata", "runtimeClassName"),
    ("schedulerName", "mine", "schedulerName"),
    ("nodeName", "n1", "nodeName"),
    ("hostAliases", [{"ip": "10.0.0.1", "hostnames": ["h"]}], "hostAliases"),
    ("containers.0.ports", [{"containerPort": 80, "hostPort": 80}], "hostPort"),
    ("containers.0.lifecycle", {"preStop": {"exec": {"command": ["x"]}}}, "lifecycle"),
    ("containers.0.livenessProbe", {"httpGet": {"host": "10.0.0.1", "port": 80}}, "probes"),
    ("containers.0.name", "other", "spec.containers"),
    ("containers", [pod_spec()["containers"][0], BESIDE], "spec.containers"),
    ("initContainers", INIT, "initContainers"),
    ("initContainers", [INIT[0] | {"securityContext": SAFE | {"runAsUser": 0}}], "runAsUser"),
    ("initContainers", [INIT[0] | {"securityContext": {}}], "allowPrivilegeEscalation"),
    ("initContainers", [INIT[0] | {"securityContext": SAFE | {"runAsNonRoot": False}}],
     "runAsNonRoot"),
]  # fmt: skip

# field of the Pod's metadata, value, what the message names
FORBIDDEN_METADATA = [
    ("labels.podium~dev/run", GONE, "podium.dev/run"),
    ("labels.podium~dev/node", GONE, "podium.dev/node"),
    ("labels.podium~dev/execution", GONE, "podium.dev/execution"),
    ("labels", {}, "metadata.labels"),
    ("labels.node-restriction~kubernetes~io/x", "y", "metadata.labels"),
    ("labels.k8s~io/x", "y", "metadata.labels"),
    ("annotations.node~kubernetes~io/x", "y", "metadata.annotations"),
    ("annotations.cluster-autoscaler~kubernetes~io/safe-to-evict", "false", "podDefaults"),
]


def test_the_policies_have_no_type_warnings(release, kubectl):
    def checked():
        """The policies' types have been checked"""
        found = json.loads(
            kubectl("get", "validatingadmissionpolicies", "-o", "json",
                    "-l", f"app.kubernetes.io/instance={release.name}").stdout
        )["items"]  # fmt: skip
        assert {i["metadata"]["name"] for i in found} == {
            f"{release.name}-podium-{p}" if "podium" not in release.name else f"{release.name}-{p}"
            for p in ("jobs", "pods", "approvals")
        }
        done = all("observedGeneration" in i.get("status", {}) for i in found)
        return found if done else None

    for policy in until(checked):
        assert not policy["status"].get("typeChecking", {}).get("expressionWarnings")


def test_the_job_that_the_operator_makes_passes(release):
    done = release.try_out(job(), release.user)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("volumes", [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "c"}},
                     {"name": "x", "secret": {"secretName": "s"}},
                     {"name": "y", "persistentVolumeClaim": {"claimName": "c"}},
                     {"name": "z", "projected": {"sources": [{"secret": {"name": "s"}}]}},
                     {"name": "i", "downwardAPI": {"items": [
                         {"path": "input", "fieldRef": {"fieldPath": "metadata.annotations['a']"}}]}}]),
        ("nodeSelector", {"kubernetes.io/os": "linux"}),
        ("tolerations", [{"operator": "Exists"}]),
        ("serviceAccountName", "builder"),
        ("securityContext.runAsUser", GONE),
        ("securityContext.fsGroup", 65532),
        ("containers.0.securityContext.seccompProfile", {"type": "Localhost", "localhostProfile": "p"}),
        ("containers.0.securityContext.readOnlyRootFilesystem", True),
        ("activeDeadlineSeconds", 60),
    ],
)  # fmt: skip
def test_what_nodes_may_set_passes(release, field, value):
    done = release.try_out(change(job(), f"spec.template.spec.{field}", value), release.user)
    assert done.returncode == 0, done.stderr


def refused(done, *words):
    assert done.returncode != 0, "it was let through"
    assert "ValidatingAdmissionPolicy" in done.stderr, done.stderr
    for word in words:
        assert word in done.stderr.split("denied request:")[-1], done.stderr


@pytest.mark.parametrize(("field", "value", "word"), FORBIDDEN)
def test_a_job_with_a_forbidden_pod_is_refused(release, field, value, word):
    bad = change(job(), f"spec.template.spec.{field}", value)
    refused(release.try_out(bad, release.user), "spec.template.spec", word)


@pytest.mark.parametrize(("field", "value", "word"), FORBIDDEN_METADATA)
def test_a_job_with_forbidden_pod_metadata_is_refused(release, field, value, word):
    bad = change(job(), f"spec.template.metadata.{field}", value)
    refused(release.try_out(bad, release.user), "spec.template.metadata", word)


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("metadata.ownerReferences", GONE, "ownerReferences"),
        ("metadata.ownerReferences", [owner("Deployment", "apps/v1")], "ownerReferences"),
        ("metadata.ownerReferences", [owner("WorkflowRun", "evil.dev/v1")], "ownerReferences"),
        ("metadata.ownerReferences.0.controller", False, "ownerReferences"),
        ("metadata.labels", {"team": "x"}, "metadata.labels"),  # none: the template's count
    ],
)
def test_a_job_that_belongs_to_no_run_is_refused(release, field, value, word):
    refused(release.try_out(change(job(), field, value), release.user), word)


def test_others_make_what_they_may_make(release):
    bad = change(job(), "spec.template.spec.hostNetwork", True)
    assert release.try_out(bad).returncode == 0


def test_pods_follow_the_same_rules(release, kubectl):
    kubectl("create", "serviceaccount", "default", "-n", release.namespace, ok=False)
    done = release.try_out(pod(), release.user)
    assert done.returncode == 0, done.stderr
    for field, value, word in FORBIDDEN:
        bad = change(pod(), f"spec.{field}", value)
        if field == "runtimeClassName":  # looked up before the policy sees it
            assert release.try_out(bad, release.user).returncode != 0
            continue
        refused(release.try_out(bad, release.user), word)
    for field, value, word in FORBIDDEN_METADATA:
        refused(release.try_out(change(pod(), f"metadata.{field}", value), release.user), word)
    refused(
        release.try_out(change(pod(), "metadata.ownerReferences", GONE), release.user),
        "ownerReferences",
    )


# --- who may what -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "resource", "allowed"),
    [
        ("create", "jobs.batch", True),
        ("delete", "pods", True),
        ("patch", "workflowruns.podium.dev/status", True),
        ("patch", "workflowruns.podium.dev", True),
        ("create", "workflowruns.podium.dev", False),
        ("patch", "workflows.podium.dev", False),
        ("create", "pods", True),
        ("create", "pods/exec", False),
        ("get", "pods/log", False),
        ("get", "secrets", False),
        ("get", "configmaps", False),
        ("create", "serviceaccounts/token", False),
        ("approve", "workflowruns.podium.dev/approve", False),
    ],
)
def test_the_operators_rights_on_the_server(release, kubectl, verb, resource, allowed):
    resource, _, subresource = resource.partition("/")

    def may(namespace):
        sub = [f"--subresource={subresource}"] if subresource else []
        ask = kubectl("auth", "can-i", verb, resource, *sub, "-n", namespace, "--as", release.user,
                      ok=False)  # fmt: skip
        return ask.stdout.strip().endswith("yes")

    assert may(release.namespace) is allowed
    assert may("default") is False


@pytest.fixture(scope="module")
def people(release, kubectl):
    """Alice may edit, Bob may approve as well."""
    for user, role in [("alice", "edit"), ("bob", "admin")]:
        kubectl("create", "rolebinding", user, f"--clusterrole={release.name}-{role}",
                f"--user={user}", "-n", release.namespace)  # fmt: skip

        def bound(user=user):
            """The binding is known"""
            return release.try_out(workflow_run(), user).returncode == 0

        until(bound)


@pytest.mark.usefixtures("people")
def test_who_approved_is_verified(release, kubectl):
    name = f"r-{uuid.uuid4().hex[:8]}"
    assert release.create(workflow_run(name=name), "alice").returncode == 0

    def annotate(user, *annotations):
        return kubectl("annotate", "--overwrite", "workflowrun", name, *annotations,
                       "-n", release.namespace, "--as", user, ok=False)  # fmt: skip

    for word in ("approved", "rejected"):
        key = f"podium.dev/{word}-by"
        refused(annotate("alice", f"{key}=alice"), key, "workflowruns/approve", "alice")
        refused(annotate("alice", f"{key}=bob"), key, "alice")
        refused(annotate("bob", f"{key}=alice"), key, "your own name", "bob")
        assert annotate("bob", f"{key}=bob").returncode == 0
        assert annotate("alice", "note=other").returncode == 0
        refused(annotate("alice", f"{key}-"), key, "workflowruns/approve")
        refused(annotate("alice", f"{key}=alice"), key)
        assert annotate("bob", f"{key}-").returncode == 0
    for annotation, user in [("alice", "alice"), ("bob", "alice"), ("alice", "bob")]:
        thing = workflow_run({"podium.dev/approved-by": annotation})
        refused(release.try_out(thing, user), "podium.dev/approved-by")
    assert release.try_out(workflow_run({"podium.dev/approved-by": "bob"}), "bob").returncode == 0
    kubectl("delete", "workflowrun", name, "-n", release.namespace, "--as", "alice")


@pytest.mark.usefixtures("people")
def test_no_person_writes_a_status(release, kubectl):
    name = f"r-{uuid.uuid4().hex[:8]}"
    assert release.create(workflow_run(name=name), "alice").returncode == 0
    for user in ("alice", "bob"):
        done = kubectl("patch", "workflowrun", name, "--subresource=status", "--type=merge",
                       "-p", '{"status": {"phase": "Succeeded"}}', "-n", release.namespace,
                       "--as", user, ok=False)  # fmt: skip
        assert "forbidden" in done.stderr
    kubectl("delete", "workflowrun", name, "-n", release.namespace)


# --- changed and taken away ---------------------------------------------------------------------


def inline(name="inline"):
    thing = workflow_run(name=name)
    del thing["spec"]["workflowRef"]
    node = {"id": "a", "executor": "script", "config": {"script": "true"}}
    thing["spec"]["workflowSpec"] = {"nodes": [node]}
    return thing


def test_upgrade_switches_inline_workflows_off_and_pod_defaults_on(release, kubectl):
    def annotations():
        found = kubectl("get", "deployment", release.name, "-n", release.namespace, "-o",
                        "jsonpath={.spec.template.metadata.annotations}").stdout  # fmt: skip
        return json.loads(found)

    before = annotations()["checksum/config"]
    autoscaler = "cluster-autoscaler.kubernetes.io/safe-to-evict"
    pinned = change(
        job(), f"spec.template.metadata.annotations.{autoscaler.replace('.', '~')}", "false"
    )
    assert release.create(inline("before")).returncode == 0
    defaults = json.dumps({"annotations": {autoscaler: "false"}})
    try:
        release.apply(
            "--set", "allowInlineWorkflows=false", "--set-json", f"podDefaults={defaults}"
        )
        assert annotations()["checksum/config"] != before

        def in_force():
            """The changed policies are in force"""
            refuses = release.try_out(inline()).returncode != 0
            return refuses and release.try_out(pinned, release.user).returncode == 0

        until(in_force)
        refused(release.try_out(inline()), "spec.workflowSpec", "spec.workflowRef.name")
        assert release.try_out(workflow_run()).returncode == 0
        cancel = ("workflowrun", "before", "--type=merge", "-p", '{"spec": {"cancel": true}}')
        kubectl("patch", *cancel, "-n", release.namespace)
    finally:
        release.apply()
        kubectl("delete", "workflowrun", "before", "-n", release.namespace)
    assert annotations()["checksum/config"] == before


@pytest.mark.parametrize("options", [(), ("--set", "watchNamespaces={default}")])
def test_the_server_accepts_the_whole_chart(kubectl, release, crds, options):
    text = helm("template", f"{release.name}-x", str(CHART), "-n", release.namespace, *KUBE, "--set",
                "networkPolicy.enabled=true,allowInlineWorkflows=false", *options).stdout  # fmt: skip
    kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", stdin=text
    )


def test_uninstall_leaves_the_resources_and_nothing_else(kubectl, release):
    """On a second release, so that the order of tests does not matter."""
    second = Release(kubectl, release.chart)
    kubectl("create", "namespace", second.namespace)
    try:
        second.apply()
        assert second.create(workflow_run()).returncode == 0
        helm("uninstall", second.name, "-n", second.namespace, "--wait", "--timeout=200s")
        kinds = (
            "clusterroles,clusterrolebindings,validatingadmissionpolicies,"
            "validatingadmissionpolicybindings,roles,rolebindings,deployments,configmaps,serviceaccounts"
        )
        left = kubectl("get", kinds, "-A", "-o", "name",
                       "-l", f"app.kubernetes.io/instance={second.name}").stdout  # fmt: skip
        assert left == ""
        kubectl("get", "workflowrun", "r", "-n", second.namespace)
    finally:
        helm("uninstall", second.name, "-n", second.namespace, "--ignore-not-found", ok=False)
        kubectl("delete", "namespace", second.namespace, "--timeout=200s")
