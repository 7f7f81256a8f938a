"""The chart against a real API server: what it installs, what it refuses, what it lets the operator do."""

import collections
import json
import re
import uuid

import pytest
import yaml

from podium.executors import shipped
from tests import pods
from tests.e2e.release import (
    KUBE,
    Release,
    crds,
    job,
    kubectl,
    owner,
    people,
    pod,
    refused,
    release,
    render,
    workflow_run,
)
from tests.e2e.support import CHART, helm, until

# One release serves all of them: they stay on one worker.
__all__ = ["crds", "kubectl", "people", "release", "render"]  # fixtures
pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("chart")]


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
    top = ""
    for number, line in enumerate(lines):
        name = line.strip().split(":")[0]
        depth = len(line) - len(line.lstrip())
        if not name or name.startswith("#"):
            continue
        top = name if depth == 0 else top
        group = number + 1 < len(lines) and lines[number + 1].strip().startswith("# --")
        if (group and name != "resources") or (top == "resources" and depth):
            continue
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
            "activeRunsMegabytes": 160,
            "activeRunsMegabytesPerNamespace": 64,
        },
        "outputs": {"fromLogs": False},
        "allowInlineWorkflows": True,
        "allowExecutors": True,
        "allowRecordedAnswers": None,
        "requestersAreVerified": True,
        "approversAreVerified": True,
        "overridesAreVerified": True,
        "creatorsAreVerified": False,
        "requireUsableServiceAccounts": True,
        "referenceChecks": True,
        "requireUsableSecrets": False,
        "podDefaults": {},
        "arbitraryUserIDs": False,
        "artifacts": {
            "image": "podium:0.1.0",
            "uploadSeconds": 600,
            "sizeLimit": "10Gi",
            "resources": {
                "requests": {"cpu": "50m", "memory": "64Mi"},
                "limits": {"memory": "512Mi"},
            },
            "allowedHosts": [],
            "caBundle": "",
            "stsEndpoint": "",
            "tokenAudience": "sts.amazonaws.com",
        },
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


def documented_rights(table="| API group | resource | verbs |"):
    """Return a table of rights in docs/security.md."""
    page = (CHART.parents[1] / "docs/security.md").read_text()
    rows = page.partition(table)[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in rows]
    return {
        ("" if group == "core" else group, resource): set(verbs.split(", "))
        for group, resource, verbs in cells
    }


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
        ("podium.dev", "executors"): {"get", "list", "watch"},
        ("podium.dev", "clusterexecutors"): {"get", "list", "watch"},
        ("podium.dev", "artifactstores"): {"get", "list", "watch"},
        ("podium.dev", "contractschemas"): {"get", "list", "watch"},
        ("podium.dev", "contractschemas/status"): {"patch"},
        ("podium.dev", "personas"): {"get"},
        ("podium.dev", "modelconfigs"): {"get"},
        ("podium.dev", "workflowruns"): {"get", "list", "watch", "create", "patch", "delete"},
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
        ("", "persistentvolumeclaims"): {"get", "create"},
        ("", "secrets"): {"get"},
        ("", "configmaps"): {"get"},
    }
    assert documented_rights() == rights
    lease = pick(documents, "Role")
    assert lease["metadata"]["namespace"] == "podium-system"
    own = {
        (group, resource): set(rule["verbs"])
        for rule in lease["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert own == {
        ("coordination.k8s.io", "leases"): {"get", "create", "update"},
        ("apps", "deployments"): {"get"},
        ("apps", "deployments/scale"): {"patch"},
    }
    assert documented_rights("| own namespace | resource | verbs |") == own
    for rule in lease["rules"][1:]:
        assert rule["resourceNames"] == ["podium"]


def test_logs_are_read_only_where_the_chart_says_so(render):
    def rules(*options):
        return pick(render(*options), "ClusterRole", "podium-operator")["rules"]

    on = rules("--set", "outputs.fromLogs=true")
    (more,) = [rule for rule in on if rule not in rules()]
    assert more == {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}
    assert config_of(render("--set", "outputs.fromLogs=true"))["outputs"] == {"fromLogs": True}


@pytest.mark.parametrize(
    ("resources", "name"),
    [
        ({"executors", "clusterexecutors"}, "podium-executors"),
        ({"artifactstores"}, "podium-stores"),
    ],
)
def test_writing_executors_and_stores_are_rights_of_their_own(render, resources, name):
    """The right to run Pods of any shape, or to say where artifacts go: no role of the cluster gains it."""
    roles = [d for d in render() if d["kind"] in ("Role", "ClusterRole")]
    writing = [
        role
        for role in roles
        for rule in role["rules"]
        if resources & set(rule["resources"]) and set(rule["verbs"]) - {"get", "list", "watch"}
    ]
    assert [role["metadata"]["name"] for role in writing] == [name]
    labels = writing[0]["metadata"]["labels"]
    assert not [key for key in labels if key.startswith("rbac.authorization.k8s.io/")]
    view = pick(render(), "ClusterRole", "podium-view")["rules"]
    assert resources <= {each for rule in view for each in rule["resources"]}


@pytest.mark.parametrize("name", shipped.NAMES)
def test_executors_that_come_with_podium_are_off_and_as_they_are_written(render, name):
    assert not [d for d in render() if d["kind"] == "ClusterExecutor"]
    on = ("--set", f"executors.{name}.enabled=true")
    known = ("--api-versions", "podium.dev/v1alpha1/ClusterExecutor")
    (made,) = [d for d in render(*on, *known) if d["kind"] == "ClusterExecutor"]
    written = yaml.safe_load((shipped.HERE / f"{name}.yaml").read_text())
    assert made["metadata"]["name"] == name
    assert made["spec"] == written["spec"]


def test_executors_need_the_crds_first():
    done = helm("template", "podium", str(CHART), "-n", "podium-system", *KUBE,
                "--set", "executors.http.enabled=true", ok=False)  # fmt: skip
    assert done.returncode != 0
    assert "install Podium first" in done.stderr


def test_no_policy_allows_more_where_executors_are_not_allowed(render):
    """Whoever has the operator's token makes no Pod beyond the closed list then."""

    def widens(*options):
        policies = [d for d in render(*options) if d["kind"] == "ValidatingAdmissionPolicy"]
        return [
            variable["expression"].split(" && ")[1]
            for policy in policies
            for variable in policy["spec"].get("variables", ())
            if variable["name"] == "widens"
        ]

    off = ("--set", "allowExecutors=false")
    assert (widens(), widens(*off)) == (["true", "true"], ["false", "false"])
    assert config_of(render(*off))["allowExecutors"] is False
    done = helm("template", "podium", str(CHART), "-n", "podium-system", *KUBE, *off,
                "--set", "executors.http.enabled=true", ok=False)  # fmt: skip
    assert "set allowExecutors, or none of these" in done.stderr


STORES = [
    {"namespace": "a"},
    {"namespace": "a", "store": "x", "credentialsSecret": "keys"},
    {"namespace": "b", "store": "y", "roleARN": "arn:aws:iam::1:role/r"},
]


def test_volumes_and_stores_are_swept_from_inside_their_namespaces(render):
    sweep = {"schedule": "0 0 * * *", "stores": STORES}
    values = json.dumps({"pvc": {"claimName": "store"}, "sweep": sweep})
    documents = render("--set-json", f"artifacts={values}")
    jobs = {
        (d["metadata"]["namespace"], d["metadata"]["name"]): d["spec"]["jobTemplate"]["spec"]
        for d in documents
        if d["kind"] == "CronJob"
    }
    found = {}
    for key, job_ in jobs.items():
        spec = job_["template"]["spec"]
        (volume,) = [v for v in spec["volumes"] if v["name"] == "store"]
        found[key] = (spec["containers"][0]["args"][2:], sorted(set(volume) - {"name"}))
        assert spec["serviceAccountName"] == key[1]
        (role,) = [
            d
            for d in documents
            if d["kind"] == "Role" and (d["metadata"]["namespace"], d["metadata"]["name"]) == key
        ]
        assert [rule["verbs"] for rule in role["rules"]] in ([["list"]], [["list"], ["get"]])
    assert found == {
        ("a", "podium-sweep"): (["--namespace=a"], ["persistentVolumeClaim"]),
        ("a", "podium-sweep-x"): (["--namespace=a", "--store=x"], ["secret"]),
        ("b", "podium-sweep-y"): (["--namespace=b", "--store=y"], ["projected"]),
    }


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ({"schedule": "0 0 * * *"}, "there is nothing to sweep"),
        ({"stores": STORES[1:]}, "set artifacts.sweep.schedule too"),
        ({"schedule": "0 0 * * *", "stores": STORES[:1]}, "set one of credentialsSecret"),
        ({"schedule": "0 0 * * *", "stores": [{"store": "x"}]}, "namespace"),
    ],
)
def test_what_cannot_be_swept_is_refused(sweep, words):
    given = f"artifacts.sweep={json.dumps(sweep)}"
    done = helm("template", "podium", str(CHART), *KUBE, "--set-json", given, ok=False)
    assert done.returncode != 0
    assert words in done.stderr


BUCKET = {"bucket": "b", "credentialsSecret": "keys"}
LOGS = {"enabled": True}


@pytest.mark.parametrize(
    ("store", "logs", "watched", "expected"),
    [
        ({"s3": BUCKET}, {}, (), {("podium-system", ""): ("secret", {"ClusterRoleBinding": 1})}),
        (
            {"s3": BUCKET},
            {},
            ("a", "b"),
            {("podium-system", ""): ("secret", {"RoleBinding": 2})},
        ),
        (
            {"pvc": {"claimName": "store"}},
            {"namespaces": ["a", "b"]},
            (),
            {
                ("a", "--namespace=a"): ("persistentVolumeClaim", {"RoleBinding": 2}),
                ("b", "--namespace=b"): ("persistentVolumeClaim", {"RoleBinding": 2}),
            },
        ),
    ],
)
def test_what_keeps_logs_reads_pods_and_their_logs_and_no_more(
    render, store, logs, watched, expected
):
    values = json.dumps({**store, "logs": {**LOGS, **logs}})
    more = ("--set", f"watchNamespaces={{{','.join(watched)}}}") if watched else ()
    options = ("--set-json", f"artifacts={values}", *more)
    documents = [d for d in render(*options) if d["metadata"]["name"] == "podium-logs"]
    bindings = collections.Counter(d["kind"] for d in documents if d["kind"].endswith("Binding"))
    found = {}
    for made in documents:
        if made["kind"] == "Deployment":
            spec = made["spec"]["template"]["spec"]
            (volume,) = [v for v in spec["volumes"] if v["name"] == "store"]
            (kind,) = set(volume) - {"name"}
            args = spec["containers"][0]["args"]
            assert args[0] == "keep-logs"
            key = (made["metadata"]["namespace"], "".join(args[2:]))
            found[key] = (kind, dict(bindings))
        if made["kind"] in ("Role", "ClusterRole"):
            rights = [(rule["resources"], rule["verbs"]) for rule in made["rules"]]
            assert rights == [(["pods"], ["list", "watch"]), (["pods/log"], ["get"])]
    assert found == expected
    config = pick(render(*options), "ConfigMap", "podium")["data"]["operator.yaml"]
    told = yaml.safe_load(config)["artifacts"]["logs"]
    assert told == {"enabled": True, "keepBytes": 10 << 20, "namespaces": [], **logs}
    operator = [d for d in render(*options) if d["metadata"]["name"] == "podium-operator"]
    resources = {r for d in operator for rule in d.get("rules", ()) for r in rule["resources"]}
    assert "pods/log" not in resources, "the operator does not read them"


@pytest.mark.parametrize(
    ("artifacts", "words"),
    [
        ({"logs": LOGS}, "there is no store, set artifacts.s3 or artifacts.pvc"),
        ({"pvc": {"claimName": "c"}, "logs": LOGS}, "in artifacts.logs.namespaces"),
        ({"s3": BUCKET, "logs": {**LOGS, "namespaces": ["a"]}}, "remove it"),
        ({"s3": BUCKET, "logs": {**LOGS, "keepBytes": 1 << 30}}, "keepBytes"),
    ],
)
def test_logs_that_cannot_be_kept_are_refused(artifacts, words):
    given = f"artifacts={json.dumps(artifacts)}"
    done = helm("template", "podium", str(CHART), *KUBE, "--set-json", given, ok=False)
    assert done.returncode != 0
    assert words in done.stderr


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
        "--set",
        "admissionPolicies.enabled=false,userRoles.create=false,networkPolicy.enabled=false",
    )
    kinds = [d["kind"] for d in documents]
    assert "NetworkPolicy" not in kinds
    assert not [kind for kind in kinds if kind.startswith("ValidatingAdmissionPolicy")]
    assert kinds.count("ClusterRole") == 1


def test_the_door_is_open_for_health_and_metrics_only(render):
    spec = pick(render(), "NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    assert spec["ingress"] == [{"ports": [{"port": 8080, "protocol": "TCP"}]}]
    peers = [{"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}]
    spec = pick(
        render("--set-json", f"networkPolicy.from={json.dumps(peers)}", "--set",
               "networkPolicy.egress.enabled=true,networkPolicy.egress.apiServerCIDRs={10.0.0.1/32}"),
        "NetworkPolicy",
    )["spec"]  # fmt: skip
    assert spec["ingress"][0]["from"] == peers
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    dns, server = spec["egress"]
    assert "to" not in dns
    assert [port["port"] for port in server["ports"]] == [443, 6443]
    assert server["to"] == [{"ipBlock": {"cidr": "10.0.0.1/32"}}]


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ("watchNamespaces={podium-system}", "podium-system"),
        ("watchNamespaces={kube-system}", "kube-system"),
        ("admissionPolicies.allowedInjection.containers={istio-init}", "pods.allowedInjection"),
    ],
)
def test_what_no_schema_can_say_is_refused_too(option, word):
    done = helm("template", "podium", str(CHART), "-n", "podium-system", *KUBE, "--set", option,
                ok=False)  # fmt: skip
    assert done.returncode != 0
    assert word in done.stderr


@pytest.mark.parametrize(
    ("value", "policies"),
    [
        ("pods", {"pods", "artifactstores"}),
        ("jobs", {"jobs"}),
        ("executions", {"executions"}),
        ("serviceAccounts", {"serviceaccounts"}),
        ("controllerRevisions", {"controllerrevisions"}),
        ("volumeClaims", {"persistentvolumeclaims"}),
        ("workflowRunNodes", {"workflowrunnodes"}),
        ("contractSchemas", {"contractschemas"}),
        ("workflowRuns", set()),
        ("approvals", set()),
        ("requestedBy", set()),
    ],
)
def test_each_policy_has_a_switch(render, value, policies):
    def rules(documents):
        return {
            d["metadata"]["name"].removeprefix("podium-"): len(d["spec"]["validations"])
            for d in documents
            if d["kind"] == "ValidatingAdmissionPolicy"
        }

    every = ("--set", "admissionPolicies.executions.enabled=true")
    whole = rules(render(*every))
    left = rules(render(*every, "--set", f"admissionPolicies.{value}.enabled=false"))
    assert set(whole) == set(POLICIES)
    assert set(whole) - set(left) == policies
    if not policies:
        assert left["workflowruns"] < whole["workflowruns"]


def documented(table):
    """Return the rows of a table in docs/security.md, without the backticks."""
    page = (CHART.parents[1] / "docs/security.md").read_text()
    assert table in page
    rows = page.partition(table)[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def names(cell):
    return re.findall("`([^`]+)`", cell)


def test_the_documented_policies_are_those_of_the_chart(render):
    """Which there are, of whom each is, and whether it is on by default."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())["admissionPolicies"]
    switches = {name for name, value in values.items() if isinstance(value, dict)}
    of_whom = {
        name: whom
        for cell, whom, _ in documented("| switch | of whom | what |")
        for name in names(cell)
    }
    assert set(of_whom) == switches
    everything = render("--set", "admissionPolicies.executions.enabled=true")
    for switch, whom in of_whom.items():
        assert values[switch]["enabled"] is not whom.endswith("(off by default)"), switch
        left = render(
            "--set", "admissionPolicies.executions.enabled=true",
            "--set", f"admissionPolicies.{switch}.enabled=false",
        )  # fmt: skip
        off = [d for d in everything if d not in left and d["kind"] == "ValidatingAdmissionPolicy"]
        assert off, switch  # they are gone, or have other rules
        for policy in off:
            conditions = {each["name"] for each in policy["spec"].get("matchConditions", [])}
            by_podium = "by-podium" in conditions
            assert whom.startswith("the operator's account" if by_podium else "everybody"), switch


def test_the_documented_defaults_are_those_of_the_chart():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    found = {}
    for cell, default, _ in documented("| value | default | |"):
        defaults = default.split(", ") if len(names(cell)) > 1 else [default]
        found |= dict(zip(names(cell), defaults, strict=False))
    assert len(found) > 15
    for name, default in found.items():
        value = values
        for key in name.split("."):
            value = value[key]
        if default in ("all", "none", "no limit", "", "as `allowInlineWorkflows`"):
            assert not value, name
        else:
            assert value == yaml.safe_load(default.replace(",", "")), name


def test_the_tests_that_hold_attacks_exist():
    """Those that docs/security.md names."""
    root = CHART.parents[1]
    rows = documented("| attack | held by |")
    assert len(rows) > 5
    for _, tests in rows:
        files = [name for name in names(tests) if name.endswith((".py", ".yaml"))]
        assert files
        for file in files:
            path = root / file if "/" in file else root / "tests/e2e" / file
            assert path.exists(), file


def test_no_pod_leaves_the_sandbox_of_the_defaults(render):
    defaults = json.dumps({"runtimeClassName": "gvisor", "hostUsers": False})
    documents = render("--set-json", f"podDefaults={defaults}")
    assert config_of(documents)["podDefaults"] == json.loads(defaults)
    for policy, spec in (("pods", "spec"), ("jobs", "spec.template.spec")):
        rules = pick(documents, "ValidatingAdmissionPolicy", f"podium-{policy}")["spec"][
            "validations"
        ]
        told = [rule["message"] for rule in rules]
        assert (
            f"{spec}.runtimeClassName must be that of the chart's value podDefaults, gvisor" in told
        )
        assert f"{spec}.hostUsers must be false, as the chart's value podDefaults says" in told


def test_on_openshift_no_pod_of_the_chart_names_a_user(render):
    for options, expected in (((), 3), (("--set", "arbitraryUserIDs=true"), 0)):
        text = json.dumps(render(*options))
        assert text.count('"runAsUser": 65532') == expected


# --- installed ----------------------------------------------------------------------------------


POLICIES = (
    "jobs",
    "pods",
    "executions",
    "serviceaccounts",
    "controllerrevisions",
    "persistentvolumeclaims",
    "workflowrunnodes",
    "workflowruns",
    "artifactstores",
    "contractschemas",
)


def test_the_policies_have_no_type_warnings(release, kubectl):
    def checked():
        """The policies' types have been checked"""
        found = json.loads(
            kubectl("get", "validatingadmissionpolicies", "-o", "json",
                    "-l", f"app.kubernetes.io/instance={release.name}").stdout
        )["items"]  # fmt: skip
        assert {i["metadata"]["name"] for i in found} == {
            f"{release.name}-podium-{p}" if "podium" not in release.name else f"{release.name}-{p}"
            for p in POLICIES
        }
        done = all("observedGeneration" in i.get("status", {}) for i in found)
        return found if done else None

    for policy in until(checked):
        assert not policy["status"].get("typeChecking", {}).get("expressionWarnings")


def test_the_job_that_the_operator_makes_passes(release):
    done = release.try_out(job(), release.user)
    assert done.returncode == 0, done.stderr


def test_what_nodes_may_set_passes(release):
    for path, value in pods.ACCEPTED:
        for thing in (job, pod):
            done = release.try_out(thing(pods.changed(path, value)), release.user)
            assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("path", "value", "word"), pods.REFUSED)
def test_a_job_with_a_pod_outside_the_closed_list_is_refused(release, path, value, word):
    done = release.try_out(job(pods.changed(path, value)), release.user)
    refused(done, path.split(".")[1] if path.startswith("metadata") else word)


@pytest.mark.parametrize("fields", pods.REFUSED_TOGETHER)
def test_what_needs_two_fields_is_refused(release, fields):
    made = pods.pod()
    for path, value in fields:
        made = pods.changed(path, value, made)
    refused(release.try_out(job(made), release.user))


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("metadata.ownerReferences", pods.GONE, "ownerReferences"),
        ("metadata.ownerReferences", [owner("Deployment", "apps/v1")], "ownerReferences"),
        ("metadata.ownerReferences", [owner("WorkflowRun", "evil.dev/v1")], "ownerReferences"),
        ("metadata.ownerReferences.0.controller", False, "ownerReferences"),
        ("metadata.labels", {"team": "x"}, "metadata.labels"),  # none: the template's count
    ],
)
def test_a_job_that_belongs_to_no_run_is_refused(release, field, value, word):
    refused(release.try_out(pods.changed(field, value, job()), release.user), word)


def test_others_make_what_they_may_make(release):
    bad = job(pods.changed("spec.hostNetwork", True))
    assert release.try_out(bad).returncode == 0


def test_pods_follow_the_same_rules(release, kubectl):
    kubectl("create", "serviceaccount", "default", "-n", release.tenants, ok=False)
    done = release.try_out(pod(), release.user)
    assert done.returncode == 0, done.stderr
    for path, value, word in pods.REFUSED:
        done = release.try_out(pod(pods.changed(path, value)), release.user)
        if path == "spec.runtimeClassName":  # looked up before the policy sees it
            assert done.returncode != 0
        elif "Token" in path or "apparmor" in path:  # the server has made other fields of it by now
            refused(done)
        else:
            refused(done, word)
    for field, value in (
        ("metadata.ownerReferences", pods.GONE),
        ("metadata.ownerReferences", [owner("StatefulSet", "apps/v1")]),
        ("metadata.ownerReferences.0.controller", False),
        ("metadata.finalizers", ["example.com/forever"]),
    ):
        refused(
            release.try_out(pods.changed(field, value, pod()), release.user), field.split(".")[1]
        )


# --- who may what -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "resource", "allowed"),
    [
        ("create", "jobs.batch", True),
        ("delete", "pods", True),
        ("patch", "workflowruns.podium.dev/status", True),
        ("patch", "workflowruns.podium.dev", True),
        ("create", "workflowruns.podium.dev", True),  # child runs; a policy has the rest
        ("patch", "workflows.podium.dev", False),
        ("create", "pods", True),
        ("create", "pods/exec", False),
        ("get", "pods/log", False),
        ("get", "secrets", True),
        ("list", "secrets", False),
        ("watch", "secrets", False),
        ("get", "configmaps", True),
        ("list", "configmaps", False),
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

    assert may(release.tenants) is allowed
    assert may("default") is False


@pytest.mark.usefixtures("people")
def test_who_approved_is_verified(release, kubectl):
    name = f"r-{uuid.uuid4().hex[:8]}"
    assert release.create(workflow_run(name=name), "alice").returncode == 0

    def annotate(user, *annotations):
        return kubectl("annotate", "--overwrite", "workflowrun", name, *annotations,
                       "-n", release.tenants, "--as", user, ok=False)  # fmt: skip

    for word in ("approved", "rejected"):
        key = f"podium.dev/{word}-by"
        refused(annotate("alice", f"{key}=alice"), f"{word}-by", "workflowruns/approve")
        refused(annotate("alice", f"{key}=bob"), key, "your own name")
        refused(annotate("bob", f"{key}=alice"), key, "your own name")
        assert annotate("bob", f"{key}=bob").returncode == 0
        assert annotate("alice", "note=other").returncode == 0
        refused(annotate("alice", f"{key}-"), f"{word}-by", "workflowruns/approve")
        refused(annotate("alice", f"{key}=alice"), f"{word}-by")
        assert annotate("bob", f"{key}-").returncode == 0
    for annotation, user in [("alice", "alice"), ("bob", "alice"), ("alice", "bob")]:
        thing = workflow_run({"podium.dev/approved-by": annotation})
        refused(release.try_out(thing, user), "approved-by")
    assert release.try_out(workflow_run({"podium.dev/approved-by": "bob"}), "bob").returncode == 0
    kubectl("delete", "workflowrun", name, "-n", release.tenants, "--as", "alice")


@pytest.mark.usefixtures("people")
def test_no_person_writes_a_status(release, kubectl):
    name = f"r-{uuid.uuid4().hex[:8]}"
    assert release.create(workflow_run(name=name), "alice").returncode == 0
    for user in ("alice", "bob"):
        done = kubectl("patch", "workflowrun", name, "--subresource=status", "--type=merge",
                       "-p", '{"status": {"phase": "Succeeded"}}', "-n", release.tenants,
                       "--as", user, ok=False)  # fmt: skip
        assert "forbidden" in done.stderr
    kubectl("delete", "workflowrun", name, "-n", release.tenants)


# --- changed and taken away ---------------------------------------------------------------------


def inline(name="inline"):
    thing = workflow_run(name=name)
    del thing["spec"]["workflowRef"]
    node = {"id": "a", "executor": "script", "config": {"script": "true"}}
    thing["spec"]["workflowSpec"] = {"nodes": [node]}
    return thing


def may(kubectl, release, user, verb, resource):
    """Give a user a right in the tenants' namespace."""
    rules = [{"apiGroups": ["podium.dev"], "resources": [resource], "verbs": [verb]}]
    meta = {"name": f"{user}-{verb}", "namespace": release.tenants}
    group = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": rules}
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": meta,
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
        "roleRef": {"apiGroup": group, "kind": "Role", "name": meta["name"]},
    }
    for thing in (role, binding):
        kubectl("apply", "-f", "-", stdin=thing)


def test_upgrade_switches_inline_workflows_off_and_pod_defaults_on(release, kubectl):
    def annotations():
        found = kubectl("get", "deployment", release.name, "-n", release.namespace, "-o",
                        "jsonpath={.spec.template.metadata.annotations}").stdout  # fmt: skip
        return json.loads(found)

    before = annotations()["checksum/config"]
    autoscaler = "cluster-autoscaler.kubernetes.io/safe-to-evict"
    pinned = job(pods.changed(f"metadata.annotations.{autoscaler.replace('.', '~')}", "false"))
    assert release.create(inline("before")).returncode == 0
    defaults = json.dumps({"annotations": {autoscaler: "false"}})
    try:
        release.apply(
            "--set", "allowInlineWorkflows=false", "--set-json", f"podDefaults={defaults}"
        )
        assert annotations()["checksum/config"] != before
        assert release.try_out(pinned, release.user).returncode == 0
        refused(release.try_out(inline()), "spec.workflowSpec", "spec.workflowRef.name")
        assert release.try_out(workflow_run()).returncode == 0
        may(kubectl, release, "dora", "create", "workflowruns")
        until(lambda: release.try_out(workflow_run(), "dora").returncode == 0)
        start, earlier = {"from": {"node": "a"}}, {"from": {"run": "before"}}
        for part in ({"only": ["a"]}, {"until": ["a"]}, start, earlier, {**start, "only": ["a"]}):
            refused(release.try_out(workflow_run(**part), "dora"), "workflowruns/override")
        may(kubectl, release, "dora", "override", "workflowruns/override")
        until(lambda: release.try_out(workflow_run(only=["a"]), "dora").returncode == 0)
        assert release.try_out(workflow_run(**earlier), "dora").returncode == 0
        cancel = ("workflowrun", "before", "--type=merge", "-p", '{"spec": {"cancel": true}}')
        kubectl("patch", *cancel, "-n", release.tenants)
    finally:
        release.apply()
        kubectl("delete", "workflowrun", "before", "-n", release.tenants)
    assert annotations()["checksum/config"] == before


@pytest.mark.parametrize("options", [(), ("--set", "watchNamespaces={default}")])
def test_the_server_accepts_the_whole_chart(kubectl, release, crds, options):
    text = helm("template", f"{release.name}-x", str(CHART), "-n", release.namespace, *KUBE, "--set",
                "networkPolicy.egress.enabled=true,allowInlineWorkflows=false", *options).stdout  # fmt: skip
    kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", stdin=text
    )


def test_uninstall_leaves_the_resources_and_nothing_else(kubectl, release):
    """On a second release, so that the order of tests does not matter."""
    second = Release(kubectl, release.chart, hooks=True)
    kubectl("create", "namespace", second.namespace)
    kubectl("create", "namespace", second.tenants)
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
        kubectl("get", "workflowrun", "r", "-n", second.tenants)
    finally:
        helm("uninstall", second.name, "-n", second.namespace, "--ignore-not-found", ok=False)
        kubectl("delete", "namespace", second.namespace, second.tenants, "--timeout=200s")
