"""Pods that an Executor shapes: whose word counts where, and what stays Podium's."""

import copy

import pytest

from podium.api.executors import ExecutorSpec
from podium.api.workflow import Node, WorkflowSpec
from podium.cluster.jobs.adoption import is_job_as_built
from podium.cluster.jobs.builder import BuildError, Owner, build_job
from podium.cluster.jobs.pod_check import check_pod
from podium.cluster.settings import Settings
from podium.engine import Launch, Plan
from podium.executors import custom

TEMPLATE = {
    "metadata": {"labels": {"team": "data"}, "annotations": {"example.com/a": "executor"}},
    "spec": {
        "hostNetwork": True,
        "serviceAccountName": "dbt",
        "automountServiceAccountToken": True,
        "nodeSelector": {"disk": "ssd", "zone": "a"},
        "tolerations": [{"key": "data", "operator": "Exists"}],
        "volumes": [{"name": "host", "hostPath": {"path": "/data"}}],
        "initContainers": [
            {"name": "proxy", "image": "proxy", "restartPolicy": "Always", "args": ["$(HOME)"]}
        ],
        "containers": [
            {"name": "log", "image": "log", "env": [{"name": "X", "value": "$(Y)"}]},
            {
                "name": "node",
                "image": "dbt:1.8",
                "env": [
                    {"name": "A", "value": "executor $(B)"},
                    {"name": "C", "value": "executor"},
                ],
                "resources": {"requests": {"cpu": "1"}},
                "securityContext": {"privileged": True},
                "volumeMounts": [{"name": "host", "mountPath": "/host"}],
            },
        ],
    },
}


def build(*, node=None, template=TEMPLATE, settings=None, config=None):
    spec = {"config": {"additionalProperties": True}, "template": template, "command": ["dbt"]}
    definition = WorkflowSpec.model_validate(
        {"nodes": [{"id": "n", "executor": "dbt", "config": config or {}, **(node or {})}]}
    ).model_copy(update={"executors": {"dbt": ExecutorSpec.model_validate(spec)}})
    plan = Plan.build(definition, workflow_id="release")
    planned = plan.nodes["n"]
    filled = custom.fill("dbt", planned.executor, config or {}, {}, {"id": "n"})
    launch = Launch("n", "n-1", 0, filled.config, {"inputs": {}}, template=filled.template)
    owner = Owner("team", "release-x7", "uid-1", "release", None)
    return build_job(owner, plan, launch, settings or Settings())


def parts(job):
    template = job["spec"]["template"]
    main = next(c for c in template["spec"]["containers"] if c["name"] == "node")
    return template["metadata"], template["spec"], main


def test_an_executor_brings_what_a_node_may_not():
    meta, spec, main = parts(build())
    assert spec["hostNetwork"] is True
    assert spec["automountServiceAccountToken"] is True
    assert spec["serviceAccountName"] == "dbt"
    assert spec["volumes"][-1] == {"name": "host", "hostPath": {"path": "/data"}}
    assert main["securityContext"] == {"privileged": True}
    assert main["image"] == "dbt:1.8"
    assert main["command"] == ["dbt"]
    assert [each["name"] for each in spec["containers"]] == ["log", "node"]
    assert meta["labels"]["podium.dev/executor"] == "dbt"
    assert meta["labels"]["team"] == "data"


def test_other_containers_are_restricted_unless_they_say_else():
    _, spec, _ = parts(build())
    (proxy,), log = spec["initContainers"], spec["containers"][0]
    for each in (proxy, log):
        assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert proxy["restartPolicy"] == "Always"
    assert spec["securityContext"]["runAsNonRoot"] is True


def test_nothing_is_expanded_by_the_kubelet():
    _, spec, main = parts(build())
    assert spec["initContainers"][0]["args"] == ["$$(HOME)"]
    assert spec["containers"][0]["env"] == [{"name": "X", "value": "$$(Y)"}]
    assert {"name": "A", "value": "executor $$(B)"} in main["env"]


def test_the_order_is_defaults_then_executor_then_node_then_what_is_enforced():
    defaults = {
        "nodeSelector": {"disk": "hdd", "pool": "x"},
        "tolerations": [{"key": "defaults"}],
        "priorityClassName": "low",
        "env": [{"name": "C", "value": "defaults"}, {"name": "D", "value": "defaults"}],
        "resources": {"requests": {"cpu": "9"}},
        "labels": {"team": "defaults", "of": "defaults"},
    }
    pod = {
        "nodeSelector": {"zone": "b"},
        "serviceAccountName": "node",
        "env": [{"name": "A", "value": "node"}, {"name": "PODIUM_NODE", "value": "forged"}],
        "annotations": {"example.com/a": "node"},
    }
    meta, spec, main = parts(build(node={"pod": pod}, settings=Settings(podDefaults=defaults)))
    assert spec["nodeSelector"] == {"disk": "ssd", "zone": "b"}
    assert spec["tolerations"] == [{"key": "data", "operator": "Exists"}]
    assert spec["priorityClassName"] == "low"
    assert spec["serviceAccountName"] == "node"
    env = {each["name"]: each.get("value") for each in main["env"]}
    assert (env["A"], env["C"], env["D"]) == ("node", "executor", "defaults")
    assert env["PODIUM_NODE"] == "n"
    assert main["resources"] == {"requests": {"cpu": "1"}}
    assert (meta["labels"]["team"], meta["labels"]["of"]) == ("data", "defaults")
    assert meta["annotations"]["example.com/a"] == "node"
    assert (spec["restartPolicy"], spec["enableServiceLinks"]) == ("Never", False)
    assert main["terminationMessagePath"] == "/dev/termination-log"


def test_resources_of_the_node_come_before_those_of_the_executor():
    _, _, main = parts(build(node={"resources": {"requests": {"cpu": "3"}}}))
    assert main["resources"] == {"requests": {"cpu": "3"}}


def test_an_executor_leaves_no_sandbox_of_the_defaults():
    settings = Settings(podDefaults={"runtimeClassName": "gvisor"})
    assert parts(build(settings=settings))[1]["runtimeClassName"] == "gvisor"
    template = copy.deepcopy(TEMPLATE)
    template["spec"]["runtimeClassName"] = "runc"
    with pytest.raises(BuildError, match="runtimeClassName: must be gvisor here"):
        build(template=template, settings=settings)


def test_two_volumes_of_one_name_are_refused():
    pod = {"volumes": [{"name": "host", "emptyDir": {}}]}
    with pytest.raises(BuildError, match="the executor has a volume 'host'"):
        build(node={"pod": pod})


def test_last_words_are_not_shown_where_the_executor_brings_a_secret():
    for change in (
        {"volumes": [{"name": "host", "secret": {"secretName": "s"}}]},
        {"containers": [{"name": "node", "image": "x", "envFrom": [{"secretRef": {"name": "s"}}]}]},
    ):
        template = {"spec": {"containers": [{"name": "node", "image": "x"}], **change}}
        _, _, main = parts(build(template=template))
        assert main["terminationMessagePolicy"] == "File"
    plain = {"spec": {"containers": [{"name": "node", "image": "x"}]}}
    assert parts(build(template=plain))[2]["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_the_program_finds_its_config():
    _, _, main = parts(build(config={"text": "$(HOME)"}))
    assert {"name": "PODIUM_CONFIG", "value": '{"text":"$$(HOME)"}'} in main["env"]


def test_an_image_that_is_left_out_is_podiums():
    template = {"spec": {"containers": [{"name": "node"}]}}
    assert parts(build(template=template))[2]["image"] == Settings().runner_image


def test_the_job_is_found_again_after_a_crash():
    job = build()
    found = copy.deepcopy(job)
    found["metadata"]["uid"] = "u"
    spec = found["spec"]["template"]["spec"]
    spec |= {"schedulerName": "default-scheduler", "dnsPolicy": "ClusterFirst"}
    for each in (*spec["containers"], *spec["initContainers"]):
        each |= {"imagePullPolicy": "Always", "resources": each.get("resources", {})}
    assert is_job_as_built(job, found)
    spec["initContainers"][0]["image"] = "other"
    assert not is_job_as_built(job, found)


def test_the_closed_list_widens_by_the_operators_label_alone():
    template = build()["spec"]["template"]
    assert check_pod(template, Settings()) == []
    forged = copy.deepcopy(template)
    del forged["metadata"]["labels"]["podium.dev/executor"]
    assert check_pod(forged, Settings())
    for path, value in (("nodeName", "x"), ("restartPolicy", "Always"), ("later", 1)):
        changed = copy.deepcopy(template)
        changed["spec"][path] = value
        assert any(path in str(problem) for problem in check_pod(changed, Settings()))
    twice = copy.deepcopy(template)
    twice["spec"]["containers"][0]["name"] = "node"
    assert check_pod(twice, Settings())


def test_no_one_else_sets_the_label():
    """Neither a node, whose pod is checked, nor one that passed that check, nor podDefaults."""
    node = Node.model_validate(
        {
            "id": "n",
            "executor": "container",
            "config": {"image": "x"},
            "pod": {"labels": {"podium.dev/executor": "dbt"}},
        }
    )
    plan = Plan.build(WorkflowSpec(nodes=[node]), workflow_id="w")
    launch = Launch("n", "n-1", 0, {"image": "x"}, {})
    with pytest.raises(BuildError, match=r"podium\.dev/executor is Podium's own"):
        build_job(Owner("team", "r", "u", "w", None), plan, launch, Settings())
    defaults = Settings(podDefaults={"labels": {"podium.dev/executor": "dbt"}})
    node = node.model_copy(update={"pod": None})
    plan = Plan.build(WorkflowSpec(nodes=[node]), workflow_id="w")
    with pytest.raises(BuildError, match=r"podium\.dev/executor is Podium's own"):
        build_job(Owner("team", "r", "u", "w", None), plan, launch, defaults)
