"""The one builder of Jobs, checked on what it builds."""

import copy
import json
import random
import re

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.api.names import FINALIZER
from podium.api.run import RecordedAnswers
from podium.api.workflow import WorkflowSpec
from podium.artifacts import carried_input
from podium.artifacts.carried_input import measure
from podium.artifacts.packed_input import INPUT_VARIABLES, unpack_input
from podium.artifacts.pod import Task
from podium.cluster.jobs.adoption import is_job_as_built, is_pod_as_built
from podium.cluster.jobs.builder import BuildError, Owner, build_job, build_pod, job_name
from podium.cluster.jobs.claims import claim_name
from podium.cluster.jobs.pod_check import check_pod
from podium.cluster.kube.views import controller_of, job_view, pod_view
from podium.cluster.settings import Settings
from podium.engine import Launch, Plan

RECORDED = RecordedAnswers.model_validate({"configMapKeyRef": {"name": "answers", "key": "k.yaml"}})
SCRIPT = {"executor": "script", "config": {"script": "echo $HOME $(id) $$"}}
CONTAINER = {"executor": "container", "config": {"image": "busybox", "command": ["true"]}}
PERSONA = {"executor": "persona", "config": {"personas": ["writer"]}}


def build(
    node,
    *,
    defaults=None,
    config=None,
    given=None,
    run="release-x7",
    uid="uid-1",
    restart=0,
    execution=None,
    recorded=RECORDED,
    workflow="release",
    claims=(),
    **more,
):
    """Build the Job of a node's first execution."""
    node = {"id": "n", **node}
    spec = WorkflowSpec.model_validate({"nodes": [node], "volumeClaims": list(claims)})
    plan = Plan.build(spec, workflow_id="release")
    launch = Launch(
        node["id"],
        execution or f"{node['id']}-1",
        restart,
        node["config"] if config is None else config,
        {"inputs": {}} if given is None else given,
    )
    owner = Owner("team", run, uid, workflow, recorded)
    return build_job(owner, plan, launch, Settings(pod_defaults=defaults or {}, **more))


def template(node, **facts):
    return build(node, **facts)["spec"]["template"]


def spec_of(node, **facts):
    return template(node, **facts)["spec"]


def container(node, **facts):
    (only,) = spec_of(node, **facts)["containers"]
    return only


def env(node, **facts):
    variables = container(node, **facts)["env"]
    names = [variable["name"] for variable in variables]
    assert len(names) == len(set(names))
    return {variable["name"]: variable for variable in variables}


def as_the_program_sees(text, env=()):
    """Expand a word as the kubelet does."""
    return re.sub(
        r"\$(\$|\((\w+)\))",
        lambda found: "$" if found[1] == "$" else dict(env).get(found[2], found[0]),
        text,
    )


# Who decides


def test_a_node_goes_before_the_operators_defaults():
    defaults = {
        "nodeSelector": {"pool": "all"},
        "priorityClassName": "low",
        "tolerations": [{"key": "batch"}],
        "resources": {"requests": {"cpu": "100m"}},
        "imagePullSecrets": [{"name": "registry"}],
    }
    plain = spec_of(SCRIPT, defaults=defaults)
    assert plain["nodeSelector"] == {"pool": "all"}
    assert plain["priorityClassName"] == "low"
    assert plain["tolerations"] == [{"key": "batch"}]
    assert plain["imagePullSecrets"] == [{"name": "registry"}]
    assert plain["containers"][0]["resources"] == {"requests": {"cpu": "100m"}}
    assert "resources" not in plain, "they are the container's"
    own = spec_of(
        {
            **SCRIPT,
            "resources": {"limits": {"memory": "1Gi"}},
            "pod": {"nodeSelector": {"disk": "ssd"}, "priorityClassName": "high"},
        },
        defaults=defaults,
    )
    assert (own["nodeSelector"], own["priorityClassName"]) == ({"disk": "ssd"}, "high")
    assert own["tolerations"] == [{"key": "batch"}]
    assert own["containers"][0]["resources"] == {"limits": {"memory": "1Gi"}}


def test_labels_annotations_and_variables_of_the_operator_come_first():
    """So a node's own replace them, and Podium's replace both."""
    reserved = {"podium.dev/node": "forged", "podium.dev/input": "forged"}
    defaults = {
        "labels": {"team": "all", "cost": "1", **reserved},
        "annotations": {"note": "all", "scrape": "no", **reserved},
        "env": [
            {"name": "A", "value": "$(HOME)"},
            {"name": "B", "value": "all"},
            {"name": "PODIUM_NODE", "value": "forged"},
        ],
    }
    pod = {
        "labels": {"team": "mine"},
        "annotations": {"note": "mine"},
        "env": [{"name": "B", "value": "mine"}],
    }
    made = template({**CONTAINER, "pod": pod}, defaults=defaults)
    labels, notes = made["metadata"]["labels"], made["metadata"]["annotations"]
    assert (labels["team"], labels["cost"], labels["podium.dev/node"]) == ("mine", "1", "n")
    assert (notes["note"], notes["scrape"]) == ("mine", "no")
    assert json.loads(notes["podium.dev/input"]) == {"inputs": {}}
    found = env({**CONTAINER, "pod": pod}, defaults=defaults)
    assert found["A"]["value"] == "$(HOME)", "the operator's own are as Kubernetes has them"
    assert (found["B"]["value"], found["PODIUM_NODE"]["value"]) == ("mine", "n")
    assert not {"labels", "annotations", "env"} & set(made["spec"])
    job = build(CONTAINER, defaults=defaults)
    assert "team" not in job["metadata"]["labels"], "they are the Pod's"


def check_enforced(pod):
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["restartPolicy"] == "Never"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (only,) = pod["containers"]
    assert only["name"] == "node"
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert only["terminationMessagePath"] == "/dev/termination-log"
    assert only["terminationMessagePolicy"] == "FallbackToLogsOnError"
    for name in ("hostNetwork", "hostPID", "hostIPC", "runtimeClassName", "schedulerName"):
        assert name not in pod
    for volume in pod.get("volumes", ()):
        assert "hostPath" not in volume


LIFTED = {
    "automountServiceAccountToken": True,
    "enableServiceLinks": True,
    "restartPolicy": "Always",
    "securityContext": {"runAsUser": 0},
    "containers": [{"name": "evil", "securityContext": {"privileged": True}}],
}


@pytest.mark.parametrize("node", [SCRIPT, CONTAINER, PERSONA])
def test_what_is_enforced_goes_before_the_operators_defaults(node):
    check_enforced(spec_of(node, defaults=LIFTED))


EVERYTHING = {
    "env": [{"name": "A", "value": "1"}],
    "labels": {"a": "b"},
    "annotations": {"a": "b"},
    "nodeSelector": {"a": "b"},
    "tolerations": [{"key": "a"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
    "volumes": [{"name": "v", "emptyDir": {}}],
    "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    "serviceAccountName": "builder",
}


@settings(max_examples=100, deadline=None)
@given(st.sets(st.sampled_from(sorted(EVERYTHING))), st.sampled_from([SCRIPT, CONTAINER, PERSONA]))
def test_no_field_of_a_node_lifts_what_is_enforced(fields, node):
    fields = fields | {"volumes"} if "volumeMounts" in fields else fields
    pod = spec_of({**node, "pod": {name: EVERYTHING[name] for name in fields}}, defaults=LIFTED)
    check_enforced(pod)
    for name in fields - {"env", "labels", "annotations", "volumes", "volumeMounts"}:
        assert pod[name] == EVERYTHING[name]


def test_the_settings_are_not_changed_by_building():
    settings_ = Settings(pod_defaults={"resources": {"limits": {"cpu": "1"}}})
    plan = Plan.build(
        WorkflowSpec.model_validate({"nodes": [{"id": "n", **SCRIPT}]}), workflow_id="w"
    )
    launch = Launch("n", "n-1", 0, SCRIPT["config"], {})
    owner = Owner("team", "r", "u", "w", None)
    first = build_job(owner, plan, launch, settings_)
    assert build_job(owner, plan, launch, settings_) == first


def test_labels_and_annotations_of_podium_are_not_the_nodes():
    pod = {"labels": {"team": "a"}, "annotations": {"note": "b"}}
    made = template({**SCRIPT, "pod": pod})["metadata"]
    assert made["labels"]["team"] == "a"
    assert made["labels"]["podium.dev/node"] == "n"
    assert made["annotations"]["note"] == "b"
    assert json.loads(made["annotations"]["podium.dev/input"]) == {"inputs": {}}


def test_what_the_checks_would_have_refused_does_not_win_either():
    forged = {"labels": {"podium.dev/run": "x"}, "annotations": {"podium.dev/input": "{}"}}
    node = {"id": "n", **SCRIPT, "pod": forged}
    spec = WorkflowSpec.model_validate({"nodes": [node]})
    plan = Plan.build(spec, workflow_id="w", is_pinned=True)
    launch = Launch("n", "n-1", 0, SCRIPT["config"], {"inputs": {}})
    job = build_job(Owner("team", "r", "u", "w", None), plan, launch, Settings())
    made = job["spec"]["template"]["metadata"]
    assert made["labels"]["podium.dev/run"] == "r"
    assert made["annotations"]["podium.dev/input"] == '{"inputs":{}}'


# Last words

SECRET = {"secretKeyRef": {"name": "s", "key": "k"}}
FIELD = {"fieldRef": {"fieldPath": "metadata.name"}}


@pytest.mark.parametrize(
    ("pod", "defaults", "policy"),
    [
        ({}, {}, "FallbackToLogsOnError"),
        ({"env": [{"name": "A", "value": "1"}]}, {}, "FallbackToLogsOnError"),
        ({"env": [{"name": "A", "valueFrom": FIELD}]}, {}, "FallbackToLogsOnError"),
        ({"volumes": [{"name": "v", "emptyDir": {}}]}, {}, "FallbackToLogsOnError"),
        ({"env": [{"name": "A", "valueFrom": SECRET}]}, {}, "File"),
        ({}, {"env": [{"name": "A", "valueFrom": SECRET}]}, "File"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}, {}, "File"),
        (
            {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}]},
            {},
            "File",
        ),
    ],
)
def test_the_log_of_a_node_that_holds_secrets_is_not_shown(pod, defaults, policy):
    for node in (CONTAINER, SCRIPT):
        made = container({**node, "pod": pod}, defaults=defaults)
        assert made["terminationMessagePolicy"] == policy


def test_a_secret_of_the_executors_config_counts():
    config = {**CONTAINER["config"], "env": [{"name": "A", "valueFrom": SECRET}]}
    assert container({**CONTAINER, "config": config})["terminationMessagePolicy"] == "File"


# The Job


@pytest.mark.parametrize("installation", ["podium", "other"])
def test_the_job_names_who_makes_its_pods(installation):
    """Two installations leave each other's alone."""
    job = build(SCRIPT, installation=installation)
    assert job["spec"]["managedBy"] == f"podium.dev/{installation}"


@pytest.mark.parametrize("switched", [True, False])
def test_the_gate_decides_who_makes_pods(switched):
    job = build(SCRIPT, feature_gates={"ManagedJobs": switched})
    assert ("managedBy" in job["spec"]) is switched
    managed = build(SCRIPT)
    managed["spec"].pop("managedBy")
    job["spec"].pop("managedBy", None)
    assert job == managed, "and nothing else"


def test_the_job_is_the_runs_and_says_what_it_runs():
    job = build(SCRIPT, restart=2)
    view = job_view({**job, "metadata": {**job["metadata"], "uid": "u"}})
    assert (view.namespace, view.run_uid, view.node) == ("team", "uid-1", "n")
    assert (view.execution, view.restart) == ("n-1", 2)
    assert job_name("release-x7", "uid-1", view.execution, view.restart) == view.name
    labels = job["metadata"]["labels"]
    assert labels.items() <= job["spec"]["template"]["metadata"]["labels"].items()
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["podReplacementPolicy"] == "Failed"
    assert "ttlSecondsAfterFinished" not in job["spec"], "not before its outcome is recorded"
    assert "activeDeadlineSeconds" not in job["spec"]


def test_names_are_derived_from_run_execution_and_restart():
    base = ("release-x7", "uid-1", "build-1", 0)
    assert job_name(*base) == job_name(*base)
    assert job_name(*base).startswith("release-x7-build-1-")
    others = [
        ("release-x7", "uid-2", "build-1", 0),
        ("release-x7", "uid-1", "build-2", 0),
        ("release-x7", "uid-1", "build-1", 1),
        ("release-x7", "uid-1", "Build-1", 0),
        ("release-x7", "uid-1", "build_1", 0),
    ]
    assert len({job_name(*each) for each in (base, *others)}) == 6


LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
NAMES = st.from_regex(r"\A[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
IDS = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_-]{0,62}\Z")


@settings(max_examples=150, deadline=None)
@given(NAMES, IDS, st.integers(1, 10**6), st.integers(0, 100), st.one_of(NAMES, IDS, st.text()))
def test_names_and_labels_are_valid_for_all_ids(run, node, count, restart, workflow):
    execution = f"{node}-{count}"
    job = build(
        {"id": node, **SCRIPT}, run=run, execution=execution, restart=restart, workflow=workflow
    )
    assert NAME.fullmatch(job["metadata"]["name"])
    for value in job["spec"]["template"]["metadata"]["labels"].values():
        assert LABEL.fullmatch(value), value
    notes = job["metadata"]["annotations"]
    assert (notes["podium.dev/node"], notes["podium.dev/execution"]) == (node, execution)


# The Pod


def returned(**changes):
    """Return a Job as the server hands it back."""
    job = build(SCRIPT)
    job["metadata"]["uid"] = "job-uid"
    made = job["spec"]["template"]["metadata"]
    made["labels"]["batch.kubernetes.io/job-name"] = job["metadata"]["name"]
    job["metadata"] |= changes
    return job


def test_the_pod_is_the_jobs_as_the_server_returned_it():
    job = returned()
    job["spec"]["template"]["spec"]["nodeSelector"] = {"added": "by a webhook"}
    pod = build_pod(job, 0)
    template = job["spec"]["template"]
    assert (pod["kind"], pod["spec"]) == ("Pod", template["spec"])
    assert pod["metadata"]["labels"] == template["metadata"]["labels"]
    assert pod["metadata"]["annotations"] == template["metadata"]["annotations"]
    assert pod["metadata"]["namespace"] == "team"
    assert pod["metadata"]["finalizers"] == [FINALIZER]
    assert controller_of(pod, "Job", "batch/v1") == "job-uid"
    view = pod_view({**pod, "metadata": {**pod["metadata"], "uid": "pod-uid"}})
    assert (view.job_uid, view.finalizer, view.recorded) == ("job-uid", 0, False)


def test_a_template_without_metadata_is_taken():
    job = returned()
    for metadata in (None, {}, {"labels": None}):
        job["spec"]["template"]["metadata"] = metadata
        pod = build_pod(job, 0)
        assert (pod["metadata"]["labels"], pod["metadata"]["annotations"]) == ({}, {})


def test_pods_are_named_after_their_job_and_number():
    names = [
        build_pod(returned(uid=uid), number)["metadata"]["name"]
        for uid in ("one", "two")
        for number in range(3)
    ]
    assert len(set(names)) == 6
    assert names[0] == build_pod(returned(uid="one"), 0)["metadata"]["name"], "found again"


@settings(max_examples=100, deadline=None)
@given(st.from_regex(r"\A[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?\Z"), st.integers(0, 10**6))
def test_names_of_pods_are_valid_for_all_jobs(name, number):
    made = build_pod(returned(name=name), number)["metadata"]["name"]
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", made)
    assert "--" not in made or "--" in name
    assert len(made) <= 63


# What the program gets

AWKWARD = ["$(HOME)", "$$", "$", "$$(HOME)", "a$b", "$(", "é☃", "", "'\"\\\n"]


@pytest.mark.parametrize("text", AWKWARD)
def test_words_reach_the_program_as_they_stand(text):
    made = container(
        {
            "executor": "container",
            "config": {
                "image": "i",
                "command": ["c", text],
                "args": [text],
                "env": [{"name": "A", "value": text}],
            },
            "pod": {"env": [{"name": "B", "value": text}]},
        }
    )
    variables = {variable["name"]: variable.get("value", "") for variable in made["env"]}
    for word in (made["command"][1], made["args"][0], variables["A"], variables["B"]):
        assert as_the_program_sees(word, {"HOME": "/root"}) == text


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="$()AHOME ", max_size=20))
def test_no_word_is_expanded(text):
    node = {"executor": "container", "config": {"image": "i", "args": [text]}}
    assert as_the_program_sees(container(node)["args"][0], {"HOME": "/root", "A": "x"}) == text


def test_the_input_is_an_annotation_read_by_field_ref():
    given = {"inputs": {"x": "$(HOME) $$"}}
    made = template(CONTAINER, given=given)
    assert json.loads(made["metadata"]["annotations"]["podium.dev/input"]) == given
    path = "metadata.annotations['podium.dev/input']"
    found = env(CONTAINER, given=given)
    assert found["PODIUM_INPUT_JSON"]["valueFrom"] == {"fieldRef": {"fieldPath": path}}
    assert "PODIUM_INPUT" not in found
    assert "volumes" not in made["spec"], "the cheapest Pod there is"
    found = env({**CONTAINER, "inputAs": "File"})
    assert found["PODIUM_INPUT"]["value"] == "/podium/given/input.json"
    assert "PODIUM_INPUT_JSON" not in found
    made = spec_of({**CONTAINER, "inputAs": "File"})
    assert made["volumes"] == [
        {
            "name": "podium-given",
            "downwardAPI": {"items": [{"path": "input.json", "fieldRef": {"fieldPath": path}}]},
        }
    ]


def test_a_script_is_an_annotation_and_has_its_input_twice():
    made = template(SCRIPT)
    assert made["metadata"]["annotations"]["podium.dev/script"] == "echo $HOME $(id) $$"
    assert made["spec"]["containers"][0]["command"] == [
        *("bash", "-eo", "pipefail", "/podium/given/script")
    ]
    assert {"PODIUM_INPUT", "PODIUM_INPUT_JSON", "PODIUM_ARTIFACTS_OUT"} <= set(env(SCRIPT))
    assert env(SCRIPT)["PYTHONUNBUFFERED"]["value"] == "1"
    own = {**SCRIPT["config"], "env": [{"name": "PYTHONUNBUFFERED", "value": ""}]}
    assert env({**SCRIPT, "config": own})["PYTHONUNBUFFERED"]["value"] == ""
    assert "PYTHONUNBUFFERED" not in env(CONTAINER)


@pytest.mark.parametrize(
    ("config", "command"),
    [
        ({"interpreter": ["python3", "-u", "$(X)"]}, ["python3", "-u", "$$(X)"]),
        ({"script": "#!/usr/bin/env python3\nx"}, ["/usr/bin/env", "python3"]),
        ({"interpreter": "sh"}, ["sh", "-e"]),
    ],
)
def test_a_script_runs_by_its_interpreter_as_on_a_laptop(config, command):
    made = spec_of({**SCRIPT, "config": {**SCRIPT["config"], **config}})
    assert made["containers"][0]["command"] == [*command, "/podium/given/script"]


def test_a_persona_has_its_config_and_the_recorded_answers():
    config = {"personas": ["writer"], "hint": "$(HOME) costs $$5"}
    found = env({**PERSONA, "config": config})
    assert json.loads(as_the_program_sees(found["PODIUM_CONFIG"]["value"])) == config
    volumes = {volume["name"]: volume for volume in spec_of(PERSONA)["volumes"]}
    assert volumes["podium-recorded"]["configMap"] == {
        "name": "answers",
        "items": [{"key": "k.yaml", "path": "answers"}],
    }


OWN = ("PODIUM_OUTPUT", "PODIUM_NODE", "PODIUM_EXECUTION", "PODIUM_RUN", "PODIUM_INPUT_JSON")


@pytest.mark.parametrize("name", OWN)
def test_podiums_variables_are_not_hidden(name):
    forged = [{"name": name, "value": "forged"}, {"name": "MINE", "value": "1"}]
    config = {**CONTAINER["config"], "env": forged}
    for node in ({**CONTAINER, "config": config}, {**CONTAINER, "pod": {"env": forged}}):
        found = env(node)
        assert found[name].get("value") != "forged"
        assert found["MINE"]["value"] == "1"


def test_the_pods_variables_go_before_the_configs():
    config = {**CONTAINER["config"], "env": [{"name": "A", "value": "config"}]}
    secret = {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    found = env(
        {**CONTAINER, "config": config, "pod": {"env": [{"name": "A", "value": "pod"}, secret]}}
    )
    assert found["A"]["value"] == "pod"
    assert found["S"] == secret


# What cannot be built


def problem(node, **facts):
    with pytest.raises(BuildError) as caught:
        build(node, **facts)
    return caught.value.reason, str(caught.value)


def test_an_input_too_large_for_the_environment_is_a_file():
    large = {"inputs": {"x": "é" * 60_000}}
    found = env(CONTAINER, given=large)
    assert "PODIUM_INPUT_JSON" not in found
    assert found["PODIUM_INPUT"]["value"] == "/podium/given/input.json"
    assert spec_of(CONTAINER, given=large) == spec_of({**CONTAINER, "inputAs": "File"}, given=large)
    assert "PODIUM_INPUT_JSON" not in env(SCRIPT, given=large)
    fits = {"x": "a" * (96 * 1024 - len('{"x":""}'))}
    assert "PODIUM_INPUT_JSON" in env(CONTAINER, given=fits)
    assert "PODIUM_INPUT" not in env(CONTAINER, given=fits)
    assert "PODIUM_INPUT" in env(CONTAINER, given={"x": fits["x"] + "a"})


NOISE = random.Random(1).randbytes(2 << 20).hex()


@pytest.mark.parametrize(
    ("node", "size"),
    [
        (SCRIPT, 250_000),
        ({**CONTAINER, "inputAs": "File"}, 250_000),
        (CONTAINER, 700_000),
        (PERSONA, 400_000),
        ({"executor": "script", "config": {"script": "#" * 130_000}}, 130_000),
    ],
)
def test_what_the_annotations_do_not_carry_is_laid_out_by_podiums_own_container(node, size):
    given = {"globalContext": {"x": NOISE[:size], "é": "\u2028$(HOME)"}, "inputs": {}}
    pod = template(node, given=given)
    assert check_pod(pod, Settings()) == []
    (fetcher,) = pod["spec"]["initContainers"]
    told = {each["name"]: each["value"] for each in fetcher["env"]}
    assert set(told) <= set(INPUT_VARIABLES)
    assert max(map(len, told.values())) <= 128 * 1024 - 32, "Linux takes no longer one"
    assert orjson.loads(unpack_input(told)) == given
    assert len(orjson.dumps(pod)) < 1_000_000, "etcd takes 1.5 MB"
    (program,) = pod["spec"]["containers"]
    found = {each["name"]: each.get("value") for each in program["env"]}
    assert found["PODIUM_INPUT"] == "/podium/input/input.json"
    assert "PODIUM_INPUT_JSON" not in found
    assert not set(INPUT_VARIABLES) & set(found)
    assert "podium.dev/input" not in pod["metadata"]["annotations"]
    mounts = {m["mountPath"]: m["readOnly"] for m in program["volumeMounts"]}
    assert mounts["/podium/input"] is True
    assert not [v for v in pod["spec"]["volumes"] if v["name"] == "podium-store"]


def test_a_job_with_a_packed_input_is_found_again():
    given = {"inputs": {"x": NOISE[:300_000]}}
    built = build(SCRIPT, given=given)
    assert is_job_as_built(built, copy.deepcopy(built))
    assert not is_job_as_built(built, build(SCRIPT, given={"inputs": {"x": NOISE[1:300_001]}}))


TOO_LARGE = [{"x": NOISE[:1_300_000]}, {"x": "a" * (9 << 20)}]
BUCKET = {"s3": {"bucket": "artifacts", "endpoint": "http://s3:1", "credentialsSecret": "keys"}}


@pytest.mark.parametrize(
    ("node", "store", "given"),
    [
        (SCRIPT, BUCKET, TOO_LARGE[0]),
        (SCRIPT, {"pvc": {"claimName": "store"}}, TOO_LARGE[1]),
        (CONTAINER, BUCKET, TOO_LARGE[0]),
        (PERSONA, BUCKET, TOO_LARGE[0]),
    ],
)
def test_what_no_pod_holds_comes_from_the_store(node, store, given):
    pod = template(node, given=given, artifacts=store)
    assert check_pod(pod, Settings(artifacts=store)) == []
    (fetcher,) = pod["spec"]["initContainers"]
    assert not set(INPUT_VARIABLES) & {each["name"] for each in fetcher["env"]}
    task = Task.load(pod["metadata"]["annotations"]["podium.dev/artifacts"])
    assert task.carried == measure(given)
    assert "podium.dev/input" not in pod["metadata"]["annotations"]
    assert {m["name"]: m["readOnly"] for m in fetcher["volumeMounts"]}["podium-store"] is True
    (program,) = pod["spec"]["containers"]
    assert not [m for m in program["volumeMounts"] if m["name"] == "podium-store"]
    found = {each["name"]: each.get("value") for each in program["env"]}
    assert found["PODIUM_INPUT"] == "/podium/input/input.json"
    assert "PODIUM_INPUT_JSON" not in found
    built = {"spec": {"template": pod}, "metadata": {}}
    assert is_job_as_built(built, copy.deepcopy(built))


@pytest.mark.parametrize("given", TOO_LARGE)
def test_without_a_store_the_error_says_that_one_is_needed(given):
    reason, message = problem(SCRIPT, given=given)
    assert reason == "InputTooLarge"
    assert "artifacts.s3 or artifacts.pvc" in message
    assert "spec.artifacts.store" in message


def test_more_than_that_is_too_large(monkeypatch):
    monkeypatch.setattr(carried_input, "MAX_PIECES", 0)
    reason, message = problem(SCRIPT, given=TOO_LARGE[0], artifacts=BUCKET)
    assert reason == "InputTooLarge"
    assert "largeOutput: true" in message


@pytest.mark.parametrize("given", [{}, {"x": NOISE[:300_000]}, TOO_LARGE[0]])
def test_a_script_that_no_pod_carries_is_too_large(given):
    node = {"executor": "script", "config": {"script": "#" * 251_000}}
    reason, message = problem(node, given=given, artifacts=BUCKET)
    assert reason == "InputTooLarge"
    assert "write a shorter script" in message


def test_a_config_that_no_environment_carries_is_too_large():
    reason, message = problem({**PERSONA, "config": {"personas": ["p"], "text": "x" * 98_304}})
    assert reason == "InputTooLarge"
    assert message.startswith("config, its templates filled in")


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"image": "a b"}, "config.image: "),
        ({"image": ""}, "config.image: "),
        ({"image": "i", "args": ["a", "b" * 40_000]}, "config.args[1]: "),
    ],
)
def test_a_config_whose_templates_made_it_wrong_is_reported_by_field(config, field):
    reason, message = problem(CONTAINER, config=config)
    assert reason == "Config"
    assert field in message
    assert len(message) < 300


def test_no_recorded_answers():
    reason, message = problem(PERSONA, recorded=None)
    assert reason == "NoRecordedAnswer"
    assert "spec.recordedAnswers.configMapKeyRef" in message


@pytest.mark.parametrize("name", ["podium-given", "podium-in", "podium-out", "podium-recorded"])
def test_podiums_volumes_are_not_the_nodes(name):
    pod = {"volumes": [{"name": name, "emptyDir": {}}]}
    reason, message = problem({**PERSONA, "pod": pod})
    assert reason == "Config"
    assert f"pod.volumes: {name} is reserved for Podium" in message


def test_volumes_of_a_node_stand_beside_podiums():
    pod = {
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}],
        "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": True}],
    }
    made = spec_of({**SCRIPT, "pod": pod})
    assert made["volumes"][0] == {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}
    assert made["containers"][0]["volumeMounts"][0] == {
        "name": "v",
        "mountPath": "/v",
        "readOnly": True,
    }
    names = [volume["name"] for volume in made["volumes"]]
    assert names == ["v", "podium-given", "podium-in", "podium-out"]
    given = next(m for m in made["containers"][0]["volumeMounts"] if m["name"] == "podium-given")
    assert given["readOnly"] is True


# Volumes of the run

CLAIMS = [{"name": name, "size": "1Gi"} for name in ("build-cache", "src", "unused")]
MOUNTS = [
    {"name": "src", "mountPath": "/src", "subPath": "a/b", "readOnly": True},
    {"name": "src", "mountPath": "/all"},
    {"name": "build-cache", "mountPath": "/c$(HOME)"},
    {"name": "tmp", "mountPath": "/scratch"},
]


@pytest.mark.parametrize("program", [SCRIPT, CONTAINER, PERSONA])
def test_claims_are_mounted_by_the_names_that_follow_from_the_run(program):
    pod = {"volumes": [{"name": "tmp", "emptyDir": {}}], "volumeMounts": MOUNTS}
    spec = spec_of({**program, "pod": pod}, claims=CLAIMS)
    volumes = {each["name"]: each for each in spec["volumes"]}
    assert "unused" not in volumes
    for name in ("src", "build-cache"):
        claim = {"claimName": claim_name("release-x7", "uid-1", name)}
        assert volumes[name] == {"name": name, "persistentVolumeClaim": claim}
    (only,) = spec["containers"]
    assert only["volumeMounts"][: len(MOUNTS)] == MOUNTS
    assert spec["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
    variables = env({**program, "pod": pod}, claims=CLAIMS)
    given = {name: each["value"] for name, each in variables.items() if "VOLUME" in name}
    assert given == {
        "PODIUM_VOLUME_BUILD_CACHE": "/c$$(HOME)",
        "PODIUM_VOLUME_SRC": "/src",
    }


def test_without_claims_nothing_changes():
    assert "fsGroupChangePolicy" not in spec_of(SCRIPT, claims=CLAIMS)["securityContext"]
    assert not [name for name in env(SCRIPT, claims=CLAIMS) if "VOLUME" in name]


def test_names_of_claims_fit_and_differ():
    long = "r" * 253
    names = {
        claim_name(run, uid, claim, number)
        for run in (long, "r")
        for uid in ("uid-1", "uid-2")
        for claim in ("c" * 63, "c")
        for number in range(3)
    }
    assert len(names) == 24
    assert all(len(name) <= 63 for name in names)


def test_a_value_from_a_file_is_the_termination_message():
    node = {**CONTAINER, "outputs": {"version": {"path": "/out/version"}}}
    assert container(node)["terminationMessagePath"] == "/out/version"
    assert "PODIUM_OUTPUT" not in env(node)
    printed = {**CONTAINER, "outputs": {"version": {"stdout": "Text"}}}
    assert container(printed)["terminationMessagePath"] == "/dev/termination-log"
    assert env(printed)["PODIUM_OUTPUT"]["value"] == "/dev/termination-log"


def test_what_was_filled_in_is_in_the_pod():
    fields = {"resources": {"limits": {"memory": "${{ context.m }}"}}}
    fields["pod"] = {"env": [{"name": "A", "value": "${{ context.a }}"}]}
    spec = WorkflowSpec.model_validate({"nodes": [{"id": "n", **SCRIPT, **fields}]})
    plan = Plan.build(spec, workflow_id="w")
    filled = {"resources.limits.memory": "64Mi", "pod.env[0].value": "$(HOME)"}
    launch = Launch("n", "n-1", 0, SCRIPT["config"], {"inputs": {}}, fields=filled)
    job = build_job(Owner("team", "r", "u", "w", None), plan, launch, Settings())
    (made,) = job["spec"]["template"]["spec"]["containers"]
    assert made["resources"] == {"limits": {"memory": "64Mi"}}
    assert {"name": "A", "value": "$$(HOME)"} in made["env"], "it is not expanded"


# What stands under a derived name

MOUNTING = {
    "id": "a",
    "executor": "container",
    "config": {
        "image": "busybox",
        "command": ["sleep", "60"],
        "env": [{"name": "MODE", "value": "1000m"}, {"name": "EMPTY", "value": ""}],
    },
    "resources": {"limits": {"memory": "1024Mi"}},
    "pod": {
        "volumes": [{"name": "c", "configMap": {"name": "x"}}],
        "volumeMounts": [{"name": "c", "mountPath": "/c"}],
    },
}


def forged(change):
    """Return a Pod as it would be made, and the same with what a client changed."""
    job = build(MOUNTING)
    job["metadata"]["uid"] = "uid-of-the-job"
    made = build_pod(job, 0)
    found = copy.deepcopy(made)
    (own,) = found["spec"]["containers"]
    change(found["spec"], own)
    return made, found


def mode(container):
    return next(each for each in container["env"] if each["name"] == "MODE")


def empty(container):
    return next(each for each in container["env"] if each["name"] == "EMPTY")


@pytest.mark.parametrize(
    "change",
    [
        lambda _, own: own["volumeMounts"][-1].update(subPath="evil"),
        lambda _, own: own["volumeMounts"][-1].update(mountPropagation="Bidirectional"),
        lambda spec, _: spec["volumes"][-1]["configMap"].update(items=[{"key": "k", "path": "p"}]),
        lambda spec, _: spec["volumes"][-1]["configMap"].update(optional=True),
        lambda _, own: own.update(command=["sleep", "60000m"]),
        lambda _, own: mode(own).update(value="1"),
        lambda _, own: empty(own).update(value="evil"),
    ],
    ids=["subPath", "propagation", "items", "optional", "command", "amount", "value"],
)
def test_a_pod_with_another_input_is_not_taken_for_ours(change):
    made, found = forged(change)
    assert not is_pod_as_built(made, found, creators_are_verified=False)


def test_what_a_server_adds_makes_a_pod_no_other():
    def add(spec, own):
        spec["volumes"][-1]["configMap"]["defaultMode"] = 420
        own["volumeMounts"][-1]["readOnly"] = False
        own["resources"] = {"limits": {"memory": "1Gi"}, "requests": {"memory": "1Gi"}}
        del empty(own)["value"]

    made, found = forged(add)
    assert is_pod_as_built(made, found, creators_are_verified=False)
