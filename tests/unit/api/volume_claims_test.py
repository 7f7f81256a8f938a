"""Volumes that are made for a run: what a workflow may ask for."""

import pytest

from podium.api.problems import InvalidError, format_path
from podium.api.source import files
from podium.api.volume_claims import volume_variable
from podium.api.workflow import WorkflowSpec
from podium.dag import WorkflowDAG
from tests.unit.api.workflow_test import HEAD, said

CLAIM = {"name": "work", "size": "1Gi"}


def of_claims(*claims):
    return [line.removeprefix("spec.volumeClaims") for line in said({"volumeClaims": list(claims)})]


def mounting(*mounts, claims=(CLAIM,), **pod):
    node = {"id": "a", "pod": {"volumeMounts": list(mounts), **pod}}
    lines = said({"volumeClaims": list(claims), "nodes": [node]})
    return [line.removeprefix("spec.nodes[0].pod.") for line in lines]


@pytest.mark.parametrize("size", ["1Gi", "500Mi", "1.5Ti", "100", 1024, "10k"])
def test_a_claim_needs_a_name_and_a_size(size):
    assert of_claims({"name": "work", "size": size}) == []


@pytest.mark.parametrize("size", ["0", "0Gi", "-1Gi", "1gb", "big", "", "500m", "1e99", "1Gi\n"])
def test_a_size_is_an_amount_of_storage(size):
    (problem,) = of_claims({"name": "work", "size": size})
    assert problem.startswith("[0].size: must be an amount of storage such as 500Mi or 1Gi, not ")


@pytest.mark.parametrize(
    ("claim", "line"),
    [
        ({"name": "work"}, "[0].size: is missing"),
        ({"name": "Work_1", "size": "1Gi"}, "[0].name: 'Work_1' is not a valid name of a volume"),
        ({"name": "a" * 64, "size": "1Gi"}, f"[0].name: '{'a' * 64}' is not a valid name of a"),
        ({**CLAIM, "storageClass": "Fast!"}, "[0].storageClass: 'Fast!' is not a Kubernetes name"),
        (
            {**CLAIM, "accessModes": ["ReadWriteonce"]},
            (
                "[0].accessModes[0]: must be one of ReadWriteOnce, ReadOnlyMany, ReadWriteMany,"
                " ReadWriteOncePod, not the string 'ReadWriteonce'; did you mean ReadWriteOnce?"
            ),
        ),
        ({**CLAIM, "accessModes": []}, "[0].accessModes: "),
        (
            {**CLAIM, "accessModes": ["ReadWriteOnce"] * 2},
            "[0].accessModes[1]: ReadWriteOnce is in the list already: remove one",
        ),
        (
            {**CLAIM, "accessModes": ["ReadWriteOncePod", "ReadWriteMany"]},
            "[0].accessModes: ReadWriteOncePod allows no other mode beside it",
        ),
        (
            {**CLAIM, "accessModes": ["ReadOnlyMany"]},
            "[0].accessModes: a new volume that is only read stays empty",
        ),
        ({**CLAIM, "keep": "yes"}, "[0].keep: "),
        ({**CLAIM, "storageClas": "x"}, "[0].storageClas: unknown field"),
        ({**CLAIM, "size": "${{ context.size }}"}, "[0].size: "),
    ],
)
def test_a_claim_that_is_wrong_names_its_field(claim, line):
    (problem, *_) = of_claims(claim)
    assert problem.startswith(line)


def test_two_claims_of_one_name_are_refused():
    assert of_claims(CLAIM, {**CLAIM, "size": "2Gi"}) == [
        "[1].name: duplicate claim 'work': entry 0 has it too"
    ]


def test_a_node_mounts_a_claim_by_its_name():
    mount = {"name": "work", "mountPath": "/work", "subPath": "a/b", "readOnly": True}
    assert mounting(mount, {"name": "work", "mountPath": "/again"}) == []


@pytest.mark.parametrize(
    ("mount", "line"),
    [
        (
            {"name": "wrok", "mountPath": "/a"},
            "volumeMounts[0].name: unknown volume 'wrok': known are tmp, work; did you mean 'work'?",
        ),
        (
            {"name": "elsewhere", "mountPath": "/a"},
            (
                "volumeMounts[0].name: unknown volume 'elsewhere': known are tmp, work; add it to"
                " volumes, or to spec.volumeClaims"
            ),
        ),
        ({"name": "work", "mountPath": "work"}, "volumeMounts[0].mountPath: must be an absolute"),
        ({"name": "work", "mountPath": "/"}, "volumeMounts[0].mountPath: would hide the whole"),
        (
            {"name": "work", "mountPath": "/a", "subPath": "x/../../y"},
            "volumeMounts[0].subPath: must be a path inside the volume: relative, without ..",
        ),
    ],
)
def test_a_mount_that_is_wrong_names_its_field(mount, line):
    (problem,) = mounting(mount, volumes=[{"name": "tmp", "emptyDir": {}}])
    assert problem.startswith(line)


def test_a_name_is_of_a_claim_or_of_a_volume():
    mount = {"name": "work", "mountPath": "/a"}
    (problem,) = mounting(mount, volumes=[{"name": "work", "emptyDir": {}}])
    assert problem.startswith(
        "volumes[0].name: duplicate volume 'work': spec.volumeClaims has it too"
    )


def test_defaults_mount_claims_too_and_so_do_graphs_in_runs():
    defaults = {"pod": {"volumeMounts": [{"name": "other", "mountPath": "/a"}]}}
    (problem,) = said({"volumeClaims": [CLAIM], "defaults": defaults})
    assert problem.startswith(
        "spec.defaults.pod.volumeMounts[0].name: unknown volume 'other': known are work"
    )
    graph = {"nodes": [{"id": "a"}], "volumeClaims": [{"name": "W", "size": "1"}]}
    with pytest.raises(InvalidError) as refused:
        files.parse({**HEAD, "kind": "WorkflowRun", "spec": {"workflowSpec": graph}})
    assert "spec.workflowSpec.volumeClaims[0].name: 'W' is not" in str(refused.value)


def warned(**spec):
    definition = WorkflowSpec.model_validate({"nodes": [{"id": "a", "executor": "x"}], **spec})
    return [
        f"{format_path(each.path)}: {each.message}"
        for each in WorkflowDAG(definition).problems()
        if each.severity == "warning"
    ]


def test_a_claim_that_no_node_mounts_is_a_warning():
    (problem,) = warned(volumeClaims=[CLAIM])
    assert problem.startswith("spec.volumeClaims[0]: no node mounts 'work', so it is not made")
    mounts = {"volumeMounts": [{"name": "work", "mountPath": "/a"}]}
    assert warned(volumeClaims=[CLAIM], defaults={"pod": mounts}) == []
    nodes = [{"id": "a", "executor": "x", "pod": mounts}]
    assert warned(volumeClaims=[CLAIM], nodes=nodes) == []


def test_no_two_names_have_the_same_variable():
    assert volume_variable("build-cache") == "PODIUM_VOLUME_BUILD_CACHE"
    names = ["a-b", "ab", "a1", "1a", "a-1"]
    assert len({volume_variable(name) for name in names}) == len(names)
