"""What a Workflow may say: limits, and what the types alone cannot tell."""

import pytest

from podium.api.field_checks import is_reserved_key
from podium.api.problems import InvalidError, format_path
from podium.api.source import files
from podium.api.workflow import WorkflowSpec

HEAD = {"apiVersion": "podium.dev/v1alpha1", "kind": "Workflow", "metadata": {"name": "w"}}


def said(spec, **head):
    raw = {**HEAD, **head, "spec": {"nodes": [{"id": "a"}], **spec}}
    try:
        files.parse(raw)
    except InvalidError as error:
        return [f"{format_path(each.path)}: {each.message}" for each in error.problems]
    return []


def of_node(**fields):
    return [
        line.removeprefix("spec.nodes[0].") for line in said({"nodes": [{"id": "a", **fields}]})
    ]


def of_pod(**fields):
    return [line.removeprefix("pod.") for line in of_node(pod=fields)]


def test_what_is_left_out_has_its_default():
    spec = WorkflowSpec.model_validate({"nodes": [{"id": "a", "retryPolicy": {}}]})
    (node,) = spec.nodes
    assert (node.type, node.trigger_rule, node.input_as) == (
        "phase",
        "NoneFailedMinOneSuccess",
        "Environment",
    )
    assert (node.timeout_seconds, node.max_disruptions, spec.edges) == (None, 10, [])
    assert node.retry_policy.model_dump(by_alias=True) == {
        "maxAttempts": 1,
        "backoffSeconds": 0,
        "backoffFactor": 2,
        "maxBackoffSeconds": 300,
        "retryOn": None,
    }


# Limits


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ({"nodes": []}, "spec.nodes: must have at least 1 entry, and is empty"),
        (
            {"nodes": [{"id": f"n{i}"} for i in range(5001)]},
            "spec.nodes: must have at most 5,000 entries, and has 5,001",
        ),
        (
            {"edges": [{"from": "a", "to": "a"}] * 20_001},
            "spec.edges: must have at most 20,000 entries, and has 20,001",
        ),
        (
            {"nodes": [{"id": "a", "condition": "x" * 1025}]},
            "spec.nodes[0].condition: must have at most 1,024 characters, and has 1,025",
        ),
        (
            {"edges": [{"from": "a", "to": "b", "condition": "x" * 1025}]},
            "spec.edges[0].condition: must have at most 1,024 characters, and has 1,025",
        ),
        (
            {"nodes": [{"id": "x" * 64}]},
            "spec.nodes[0].id: must have at most 63 characters, and has 64",
        ),
        (
            {"nodes": [{"id": ""}]},
            "spec.nodes[0].id: must have at least 1 character, and is empty",
        ),
        (
            {"globalContext": {"x": "é" * 500_000}},
            (
                "spec: the definition has 1,000,047 bytes as JSON, and 900,000 is the limit: keep"
                " long scripts and data in images, volumes or ConfigMaps"
            ),
        ),
    ],
    ids=["empty", "nodes", "edges", "condition", "edge-condition", "id", "no-id", "bytes"],
)
def test_each_limit_has_its_message(spec, line):
    assert said(spec) == [line]


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"timeoutSeconds": 0}, "timeoutSeconds: must be greater than 0, not 0"),
        ({"timeoutSeconds": 1e9}, "timeoutSeconds: must be at most 31,536,000, not 1000000000.0"),
        ({"retryPolicy": {"maxAttempts": 0}}, "retryPolicy.maxAttempts: must be at least 1, not 0"),
        (
            {"retryPolicy": {"maxAttempts": 1.5}},
            "retryPolicy.maxAttempts: must be a whole number, not the number 1.5",
        ),
        ({"timeout": 5}, 'timeout: unknown field "timeout": write "timeoutSeconds" for that'),
        ({"when": "x"}, 'when: unknown field "when": write "condition" for that'),
        (
            {"forEach": [1, 2]},
            "forEach: must be a string, not a list: write it in quotes, as an expression is",
        ),
        ({"outputs": [1]}, "outputs: must be a mapping, not a list: write KEY: value, without -"),
        (
            {"artifacts": {"in": {"a": 1}}},
            "artifacts.in: must be a list, not a mapping: begin each entry with -",
        ),
        (
            {"allowedFailures": [1]},
            "allowedFailures: must be a number of items, or a percentage such as 10%, not a list",
        ),
        (
            {"allowedFailures": True},
            "allowedFailures: must be a number of items, or a percentage such as 10%, not the boolean true",
        ),
        (
            {"outputContract": {"qualityThreshold": 80}},
            "outputContract.qualityThreshold: must be at most 1, not 80",
        ),
        (
            {"type": "parallel_gruop"},
            (
                "type: must be one of phase, custom, conditional, approval, parallel_group, not the"
                " string 'parallel_gruop'; did you mean parallel_group?"
            ),
        ),
        (
            {"triggerRule": "one_success"},
            (
                "triggerRule: must be one of NoneFailedMinOneSuccess, NoneFailed, AllSuccess, OneSuccess, OneFailed, AllDone, not"
                " the string 'one_success'; did you mean OneSuccess?"
            ),
        ),
        (
            {"triggerRule": "AllCompleted"},
            "triggerRule: 'AllCompleted' of version 0.1.0 is now AllSuccess: write AllSuccess",
        ),
        (
            {"triggerRule": "AnyCompleted"},
            "triggerRule: 'AnyCompleted' of version 0.1.0 is now OneSuccess: write OneSuccess",
        ),
    ],
)
def test_a_field_out_of_its_range_is_reported(fields, line):
    assert of_node(**fields) == [line]


# Names


@pytest.mark.parametrize(
    ("metadata", "line"),
    [
        ({}, "metadata.name: is missing: write a name, such as my-flow"),
        ({"name": "My_Flow"}, "metadata.name: 'My_Flow' is not a Kubernetes name"),
        ({"name": "x" * 254}, "metadata.name: 'xxx"),
        ({"generateName": "-x"}, "metadata.generateName: '-x' is not a beginning of a Kubernetes"),
        (
            {"name": "w", "labels": {"a b": "x"}},
            "metadata.labels[\"a b\"]: 'a b' is not a valid key of a",
        ),
        (
            {"name": "w", "labels": {"a": "x y"}},
            "metadata.labels.a: 'x y' is not a valid value of a label",
        ),
        (
            {"name": "w", "labels": {"a": 1}},
            "metadata.labels.a: must be a string, not the number 1",
        ),
        (
            {"name": "w", "annotations": {"/a": "x"}},
            "metadata.annotations[\"/a\"]: '/a' is not a valid key",
        ),
    ],
)
def test_metadata_is_what_kubernetes_takes(metadata, line):
    (told,) = said({"id": "my_flow"}, metadata=metadata)
    assert told.startswith(line)
    assert len(told) < 300


@pytest.mark.parametrize(
    "metadata",
    [
        {"name": "a.b-c"},
        {"generateName": "hello-"},
        {"name": "w", "labels": {"app.kubernetes.io/name": "x", "empty": ""}},
        {"name": "w", "resourceVersion": "1", "finalizers": ["x"]},
    ],
)
def test_other_metadata_is_passed_over(metadata):
    assert said({}, metadata=metadata) == []


@pytest.mark.parametrize("name", ["sdlc_complete_workflow", "a.b", "X-1"])
def test_a_workflow_id_is_an_id_or_a_name(name):
    assert said({"id": name}) == []


@pytest.mark.parametrize("name", ["a b", "é", "A.b", "a/b", "\x1b[31m"])
def test_another_id_is_refused_with_one_that_would_do(name):
    (line,) = said({"id": name})
    assert line.startswith(f"spec.id: {name!r} is not a workflow id: use ^[A-Za-z_]")
    assert said({"id": line.rpartition("such as ")[2]}) == []


# Inputs


def test_inputs_are_not_secret_wherever_they_stand():
    password = {"type": "string", "format": "password"}
    schema = {
        "properties": {"a": password, "list": {"items": [{"anyOf": [password]}]}},
        "default": {"format": "password"},
    }
    lines = said({"inputs": schema})
    assert [line.split(": ")[0] for line in lines] == [
        "spec.inputs.properties.a.format",
        "spec.inputs.properties.list.items[0].anyOf[0].format",
    ]
    assert "secretKeyRef" in lines[0]


# The closed list of the pod


@pytest.mark.parametrize(
    ("amount", "fine"),
    [
        *((each, True) for each in ("500m", "1Gi", "2", 2, 0, "0.5", "1e3", "+1", "100n")),
        *(
            (each, False)
            for each in ("1GB", "-1", "", "1 Gi", "m", "1gi", 0.5, True, None, [], "٣")
        ),
    ],
)
def test_resources_are_quantities(amount, fine):
    lines = of_node(resources={"limits": {"memory": amount}})
    if fine:
        assert lines == []
    else:
        (line,) = lines
        assert line.startswith(
            "resources.limits.memory: must be a quantity such as 500m, 1Gi or 2, not "
        )
    assert bool(said({"defaults": {"resources": {"requests": {"cpu": amount}}}})) is not fine


@pytest.mark.parametrize(
    ("variable", "line"),
    [
        ({"name": "1A", "value": "x"}, "env[0].name: '1A' is not a valid name of a variable"),
        ({"name": "A=B", "value": "x"}, "env[0].name: 'A=B' is not a valid name of a variable"),
        ({"name": "A"}, "env[0]: has no value: write value or valueFrom"),
        (
            {"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "x"}}},
            "env[0]: has both value and valueFrom: exactly one, remove the other",
        ),
        (
            {"name": "A", "valueFrom": {}},
            "env[0].valueFrom: has none of secretKeyRef, configMapKeyRef, fieldRef: name exactly one",
        ),
        (
            {
                "name": "A",
                "valueFrom": {
                    "secretKeyRef": {"name": "s", "key": "k"},
                    "fieldRef": {"fieldPath": "x"},
                },
            },
            "env[0].valueFrom: has secretKeyRef and fieldRef of secretKeyRef, configMapKeyRef,",
        ),
        ({"name": "A", "value": 3}, "env[0].value: must be a string, not the number 3: write "),
    ],
)
def test_variables_have_one_value(variable, line):
    (told,) = of_pod(env=[variable])
    assert told.startswith(line)


def test_a_variable_that_podium_sets_is_a_warning():
    (told,) = of_pod(env=[{"name": "PODIUM_OUTPUT", "value": "/tmp/x"}])
    assert told == (
        "env[0].name: PODIUM_OUTPUT is set by Podium, so what is written here has no"
        " effect: choose another name"
    )
    assert of_pod(env=[{"name": "PODIUM_STATE_DIR", "value": "/tmp/x"}]) == []


def test_a_second_variable_of_one_name_is_reported():
    assert of_pod(env=[{"name": "A", "value": ""}, {"name": "A", "value": "x"}]) == [
        "env[1].name: duplicate variable 'A': entry 0 of the list sets it already"
    ]


@pytest.mark.parametrize(
    "key",
    ["podium.dev/run", "x.podium.dev/a", "kubernetes.io/a", "batch.kubernetes.io/x", "K8S.io/a"],
)
@pytest.mark.parametrize("field", ["labels", "annotations"])
def test_keys_of_the_platform_are_not_the_nodes(field, key):
    lines = of_pod(**{field: {key: "x"}})
    assert any("belongs to the platform: a node may set keys outside" in line for line in lines)
    assert of_pod(**{field: {"notpodium.dev/run": "x", "plain": "x"}}) == []


VOLUME = {"name": "v", "emptyDir": {}}


@pytest.mark.parametrize(
    ("volume", "line"),
    [
        ({"name": "v"}, "volumes[0]: has none of emptyDir, persistentVolumeClaim, configMap,"),
        ({**VOLUME, "secret": {"secretName": "s"}}, "volumes[0]: has emptyDir and secret of"),
        ({"name": "V_1", "emptyDir": {}}, "volumes[0].name: 'V_1' is not a valid name of a volume"),
        ({"name": "v", "hostPath": {"path": "/"}}, 'volumes[0].hostPath: unknown field "hostPath"'),
        ({"name": "v", "secret": {}}, "volumes[0].secret.secretName: is missing"),
        (
            {"name": "v", "secret": {"secretname": "x", "secretName": "x"}},
            'volumes[0].secret.secretname: unknown field; did you mean "secretName"?',
        ),
        (
            {"name": "v", "projected": {"sources": [{"serviceAccountToken": {}}]}},
            "volumes[0].projected.sources[0].serviceAccountToken: service account tokens are refused",
        ),
        (
            {"name": "v", "projected": {"sources": [{}]}},
            "volumes[0].projected.sources[0]: must have exactly one of configMap, downwardAPI, secret",
        ),
        (
            {"name": "v", "projected": {"sources": [3]}},
            "volumes[0].projected.sources[0]: must be a mapping",
        ),
        (
            {"name": "v", "projected": {"sources": "x"}},
            "volumes[0].projected.sources: must be a list",
        ),
    ],
)
def test_volumes_come_from_a_closed_list(volume, line):
    (told,) = of_pod(volumes=[volume])
    assert told.startswith(line)


@pytest.mark.parametrize(
    ("mount", "line"),
    [
        (
            {"name": "w", "mountPath": "/a"},
            (
                "volumeMounts[0].name: unknown volume 'w': known are scratch; add it to volumes, or to"
                " spec.volumeClaims"
            ),
        ),
        (
            {"name": "scratchh", "mountPath": "/a"},
            (
                "volumeMounts[0].name: unknown volume 'scratchh': known are scratch; did you mean"
                " 'scratch'?"
            ),
        ),
        (
            {"name": "scratch", "mountPath": "a"},
            "volumeMounts[0].mountPath: must be an absolute path in the container, without ':'",
        ),
        (
            {"name": "scratch", "mountPath": "//"},
            "volumeMounts[0].mountPath: would hide the whole image: name a directory, such as /work",
        ),
        (
            {"name": "scratch", "mountPath": "/a", "subPath": "../b"},
            "volumeMounts[0].subPath: must be a path inside the volume: relative, without ..",
        ),
        (
            {"name": "scratch", "mountPath": "/a", "subPath": "/b"},
            "volumeMounts[0].subPath: must be a path inside the volume: relative, without ..",
        ),
    ],
)
def test_mounts_name_a_volume_and_a_path(mount, line):
    assert of_pod(volumes=[{"name": "scratch", "emptyDir": {}}], volumeMounts=[mount]) == [line]


def test_volumes_and_places_are_taken_once():
    mounts = [{"name": "v", "mountPath": path} for path in ("/a", "//a/./")]
    assert of_pod(volumes=[VOLUME, VOLUME], volumeMounts=mounts) == [
        "volumes[1].name: duplicate volume 'v': entry 0 has it too",
        "volumeMounts[1].mountPath: entry 0 mounts a volume there already",
    ]


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"hostNetwork": True}, 'hostNetwork: unknown field "hostNetwork"; known are env, labels'),
        ({"serviceAccountName": "A"}, "serviceAccountName: 'A' is not a Kubernetes name"),
        ({"priorityClassName": "A"}, "priorityClassName: 'A' is not a Kubernetes name"),
        (
            {"tolerations": [{"effects": "x"}]},
            'tolerations[0].effects: unknown field; did you mean "effect"?',
        ),
        ({"affinity": {"pod": {}}}, "affinity.pod: unknown field; "),
        ({"nodeSelector": {"a": "x y"}}, "nodeSelector.a: 'x y' is not a valid value of a label"),
    ],
)
def test_the_rest_of_the_pod_is_a_closed_list_too(fields, line):
    (told,) = of_pod(**fields)
    assert told.startswith(line)


def test_defaults_are_checked_as_nodes_are():
    assert said({"defaults": {"pod": {"env": [{"name": "A"}]}}}) == [
        'spec.defaults.pod.env[0]: has no value: write value or valueFrom (value: "" for an empty one)'
    ]


@pytest.mark.parametrize(
    ("key", "reserved"),
    [
        ("podium.dev/x", True),
        ("a.k8s.io/x", True),
        ("podium.dev./x", True),
        ("a/podium.dev/x", True),
        ("podium.dev", False),
        ("mypodium.dev/x", False),
        ("", False),
    ],
)
def test_reserved_keys_are_reported_by_their_domain(key, reserved):
    assert is_reserved_key(key) is reserved
