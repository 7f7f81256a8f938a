"""Child runs on the command line: found in files, shown, and worked on by way of their parent."""

import json

import pytest

from tests.unit.cli.support import Directory

WORK = {"id": "work", "executor": "script", "config": {"script": "echo hello"}}


@pytest.fixture
def here(tmp_path):
    return Directory(tmp_path)


def child(name, workflow):
    return {"id": name, "executor": "workflow", "config": {"workflowRef": {"name": workflow}}}


def file(here, name, **workflows):
    """Write Workflows by name, each a list of its nodes."""
    documents = [
        json.dumps(
            {
                "apiVersion": "podium.dev/v1alpha1",
                "kind": "Workflow",
                "metadata": {"name": each},
                "spec": {"nodes": nodes, **({"id": f"{each}_id"} if each == "inner" else {})},
            }
        )
        for each, nodes in workflows.items()
    ]
    return here.write(name, "---\n" + "\n---\n".join(documents))


def test_the_other_workflow_is_in_the_same_file_or_one_that_is_named(here):
    file(here, "one.yaml", outer=[child("sub", "inner")])
    file(here, "two.yaml", inner=[WORK])
    refused = here.podium("run", "one.yaml", code=2).stderr
    assert "nodes[0].config.workflowRef.name" in refused
    assert (
        "there is no Workflow 'inner': write it in the same file, or name its file too" in refused
    )
    assert "Completed" in here.podium("run", "one.yaml", "-f", "two.yaml").stdout
    file(here, "both.yaml", outer=[child("sub", "inner_id")], inner=[WORK])
    here.podium("run", "both.yaml", "--name", "outer")


def test_one_that_is_wrong_is_refused_before_anything_starts(here):
    file(here, "one.yaml", outer=[child("sub", "inner")])
    file(here, "two.yaml", inner=[{**WORK, "condition": "context.nothing.at ="}])
    assert "condition" in here.podium("run", "one.yaml", "-f", "two.yaml", code=2).stderr


def test_validation_warns_of_what_is_missing_and_of_circles(here):
    file(here, "w.yaml", a=[child("x", "b")], b=[child("x", "c")], c=[child("x", "a")])
    said = here.podium("validate", "w.yaml")
    assert "'b' starts a again: child runs are nested 8 deep at most" in said.stdout + said.stderr
    here.podium("validate", "--strict", "w.yaml", code=2)
    file(here, "w.yaml", a=[child("x", "elsewhere")])
    said = here.podium("validate", "w.yaml")
    assert "'elsewhere' is not in this file: it must be on the cluster" in said.stdout + said.stderr


def test_verbs_name_the_child_and_work_on_it_by_way_of_its_parent(here):
    file(here, "w.yaml", outer=[child("sub", "inner")], inner=[WORK])
    here.podium("run", "w.yaml", "--name", "outer", "--run-name", "r")
    name = json.loads(here.podium("get", "r", "-o", "json").stdout)["status"]["nodes"]["sub"][
        "childRun"
    ]
    assert f"child run of sub: {name}" in here.podium("get", "r").stdout
    assert name in here.podium("get", "r", "sub").stdout
    assert name in here.podium("get").stdout
    shown = json.loads(here.podium("get", name, "-o", "json").stdout)
    assert shown["metadata"]["ownerReferences"][0]["name"] == "r"
    assert "hello" in here.podium("logs", name).stdout
    said = here.podium("logs", "r", "sub", code=2).stderr
    assert f"node sub has no log of its own: look at those of its child run {name}" in said
    for verb in (["rerun", name, "--node", "work"], ["restore", name, "--version", "0"]):
        refused = here.podium(*verb, code=2).stderr
        assert f"{name} is a child run of r: run its node there again" in refused
        assert "rerun r --node sub" in refused
    here.podium("rerun", "r", "--node", "sub")
    assert json.loads(here.podium("get", "r", "-o", "json").stdout)["status"]["nodes"]["sub"][
        "childRun"
    ] not in (None, name)


def test_the_children_of_items_are_named_and_worked_on_by_way_of_their_parent(here):
    broken = {**WORK, "config": {"script": "exit 3"}, "condition": "context.x == 1"}
    each = child("sub", "inner") | {"forEach": "[0, 1, 2]"}
    each["config"]["context"] = {"x": "${{ item }}"}
    file(here, "w.yaml", outer=[each], inner=[broken])
    said = here.podium("run", "w.yaml", "--name", "outer", "--run-name", "r", code=1).stdout
    shown = here.podium("get", "r")
    name = next(line.split()[-1] for line in shown.stdout.splitlines() if "run of sub[1]:" in line)
    assert f"podium logs {name}" in said
    assert "Failed ItemFailed" in " ".join(shown.stdout.split())
    assert f"node sub[1] has no log of its own: look at those of its child run {name}" in (
        here.podium("logs", "r", "sub[1]", code=2).stderr
    )
    refused = here.podium("rerun", name, "--failed", code=2).stderr
    assert "rerun r --node 'sub[1]'" in refused
    here.podium("rerun", "r", "--node", "sub[1]", code=1)
    assert name not in here.podium("get", "r").stdout
    here.podium("delete", "r")
    assert "no runs" in here.podium("get").stderr


def test_children_are_pruned_and_deleted_with_their_parent(here):
    file(here, "w.yaml", outer=[child("sub", "inner")], inner=[WORK])
    here.podium("run", "w.yaml", "--name", "outer", "--run-name", "r")
    said = here.podium("prune", "--keep", "0", "--dry-run").stdout
    assert len(said.splitlines()) == 2, "the child goes with its parent"
    here.podium("delete", "r")
    assert "no runs" in here.podium("get").stderr


def test_the_retention_of_its_workflow_is_for_runs_that_no_parent_has(here):
    keep = {"retention": {"successfulRuns": 1}}
    here.workflow(WORK, name="inner", file="inner.yaml", **keep)
    here.workflow(child("x", "inner"), child("y", "inner"), name="outer", file="outer.yaml")
    here.podium("run", "outer.yaml", "-f", "inner.yaml", "--run-name", "r")
    here.podium("run", "inner.yaml", "--run-name", "alone")
    runs = json.loads(here.podium("get", "-o", "json").stdout)["items"]
    assert len(runs) == 4


def test_a_compensation_may_be_one_and_a_node_that_is_one_may_have_one(here):
    undo = {"executor": "workflow", "config": {"workflowRef": {"name": "inner"}}}
    said = {"executor": "script", "config": {"script": "true"}}
    fails = {
        "id": "z",
        "executor": "script",
        "dependsOn": ["a", "sub"],
        "config": {"script": "exit 1"},
    }
    nodes = [
        {**WORK, "id": "a", "compensation": undo},
        {**child("sub", "inner"), "compensation": said},
        fails,
    ]
    file(here, "w.yaml", outer=nodes, inner=[WORK])
    here.podium("run", "w.yaml", "--name", "outer", "--run-name", "r", code=1)
    found = json.loads(here.podium("get", "r", "-o", "json").stdout)["status"]["nodes"]
    assert found["a.compensation"]["status"] == found["sub.compensation"]["status"] == "Completed"
    assert found["a.compensation"]["childRun"]
    here.podium("delete", "r")
    assert "no runs" in here.podium("get").stderr
