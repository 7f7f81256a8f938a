"""Definitions in the words of 0.1.0: read as it meant them where a run is pinned to them."""

import shutil
from pathlib import Path

import orjson
import pytest

from podium.api.formats import FORMAT_VERSION
from podium.api.problems import InvalidError
from podium.api.workflow import WorkflowSpec
from podium.cluster.runs.revisions import Definitions
from podium.cluster.runs.run_spec import in_current_format
from podium.cluster.watch.store import InformerCache
from podium.engine import RerunRequest
from podium.engine.plan import Plan
from podium.judge.pool import Pool
from podium.judge.reader import Reader
from podium.local.shell import LocalRun
from podium.local.store import RunDirectory
from tests.upgrade.states import STATES

REVISION = "flow-9a55c109ba84560c7bb0511cd963247c"
"""The name that 0.1.0 gave to this definition."""
RULES = {
    "a": "NoneFailedMinOneSuccess",
    "every": "AllSuccess",
    "any": "OneSuccess",
    "none": "NoneFailedMinOneSuccess",
}


def definition(**changes):
    def node(id, rule=None, **fields):  # noqa: A002
        made = {"id": id, "executor": "script", "config": {"script": "true"}, **fields}
        return made | {"dependsOn": ["a"], "triggerRule": rule} if rule else made

    nodes = [
        node("a", timeoutSeconds=2.0),
        node("every", "AllCompleted"),
        node("any", "AnyCompleted"),
        # Its rule was the default then, and left out.
        node("none", dependsOn=["a"]),
    ]
    return {"nodes": nodes, **changes}


class Server:
    """Has one revision."""

    def __init__(self, spec):
        self.spec = spec

    async def get_revision(self, namespace, name):
        return {"metadata": {"name": name}, "data": {"workflowId": "flow", "spec": self.spec}}


def rules(plan):
    return {node.id: node.rule.value for node in plan.nodes.values()}


@pytest.mark.parametrize("seconds", [2.0, 2])
async def test_a_pinned_definition_is_checked_as_stored_then_translated(seconds):
    stored = definition()
    stored["nodes"][0]["timeoutSeconds"] = seconds  # as servers write it
    definitions = Definitions(Server(stored), InformerCache(), Reader(Pool()))
    assert rules(await definitions.pinned("ns", REVISION, None)) == RULES


async def test_a_pinned_definition_that_was_changed_is_refused():
    definitions = Definitions(Server(definition(title="another")), InformerCache(), Reader(Pool()))
    with pytest.raises(InvalidError, match="does not hold what its name says"):
        await definitions.pinned("ns", REVISION, None)


async def test_the_same_revision_means_to_a_new_run_what_it_says(monkeypatch):
    """NoneFailed of today is another rule, and both runs are pinned to one revision."""
    stored = {"nodes": [{"id": "a"}, {"id": "b", "dependsOn": ["a"], "triggerRule": "NoneFailed"}]}
    monkeypatch.setattr("podium.cluster.runs.revisions.DIGITS", 0)
    definitions = Definitions(Server(stored), InformerCache(), Reader(Pool()))
    before = rules(await definitions.pinned("ns", "flow-", None))
    today = rules(await definitions.pinned("ns", "flow-", FORMAT_VERSION))
    again = rules(await definitions.pinned("ns", "flow-", None))
    assert (before["b"], today["b"]) == ("NoneFailedMinOneSuccess", "NoneFailed")
    assert again == before


@pytest.mark.parametrize(
    ("status", "rule"),
    [
        ({"nodes": {"a": {}}}, "NoneFailedMinOneSuccess"),
        ({"nodes": {"a": {}}, "formatVersion": FORMAT_VERSION}, "NoneFailed"),
        ({}, "NoneFailed"),  # it has not begun
    ],
)
def test_a_graph_inside_a_run_is_translated_once_the_run_has_begun_under_0_1_0(status, rule):
    body = {"spec": {"workflowSpec": {"nodes": [{"id": "a", "triggerRule": "NoneFailed"}]}}}
    (node,) = in_current_format(body, status)["spec"]["workflowSpec"]["nodes"]
    assert node["triggerRule"] == rule
    assert body["spec"]["workflowSpec"]["nodes"][0]["triggerRule"] == "NoneFailed"


def test_what_was_valid_under_0_1_0_still_is_where_it_is_pinned():
    """`run.status` is refused today."""
    made = WorkflowSpec.model_validate(
        {"nodes": [{"id": "a", "executor": "script", "condition": "exists(run.status)"}]}
    )
    assert Plan.build(made, workflow_id="w", is_pinned=True).nodes
    with pytest.raises(InvalidError):
        Plan.build(made, workflow_id="w")


def brought(tmp_path, saved, name, change=lambda record: None):
    """Return a saved run of a laptop as it is on this one."""
    directory = tmp_path / "runs" / name
    shutil.copytree(STATES / "laptop" / saved, directory)
    record = orjson.loads((directory / "run.json").read_bytes())
    record["workdir"] = str(tmp_path)
    change(record)
    (directory / "run.json").write_bytes(orjson.dumps(record))
    return RunDirectory(tmp_path, name)


@pytest.fixture
def saved(tmp_path):
    """A run that 0.1.0 made and that failed, one of its rules named although it is the default."""

    def change(record):
        (none,) = [node for node in record["workflow"]["nodes"] if node["id"] == "none"]
        none["triggerRule"] = "NoneFailed"

    return brought(tmp_path, "0.1.0", "rules", change)


async def test_a_run_of_a_laptop_goes_on_as_it_was_meant(saved: RunDirectory, tmp_path: Path):
    record, status = saved.load()
    assert {n.id: n.trigger_rule.value for n in record.workflow.nodes}["none"] == RULES["none"]
    (tmp_path / "fixed").touch()
    plan = Plan.build(record.workflow, workflow_id="rules", is_pinned=True)
    await LocalRun(saved, record, plan, status).run([RerunRequest("r", ("bad",))])
    ends = {n: f"{s.status} {s.reason}".strip() for n, s in saved.load()[1].nodes.items()}
    assert ends == {
        "good": "Completed",
        "unwanted": "Skipped ConditionFalse",
        "bad": "Completed",
        "every": "Completed",
        "any": "Completed",
        "none": "Completed",
        "none_of_skipped": "Skipped NoActiveEdge",
    }


async def test_a_map_of_a_laptop_goes_on_with_its_items(tmp_path: Path):
    """Of an item that failed, and of the node after it; what the others handed over is kept."""
    saved = brought(tmp_path, "maps", "maps")
    record, status = saved.load()
    before = status.nodes["each"].items
    assert before is not None
    assert [str(each) for each in (before.completed, before.failed, before.skipped)] == [
        "0,3",
        "1",
        "2",
    ]
    (tmp_path / "fixed").touch()
    plan = Plan.build(record.workflow, workflow_id="maps", is_pinned=True)
    await LocalRun(saved, record, plan, status).run([RerunRequest("r", ("each[1]",))])
    nodes = saved.load()[1].nodes
    assert {name: state.status.value for name, state in nodes.items()} == {
        "each": "Completed",
        "each[0]": "Completed",
        "each[1]": "Failed",
        "each[3]": "Completed",
        "last": "Completed",
    }
    assert [nodes[f"each[{index}]"].output for index in (0, 3)] == [{"item": "a"}, {"item": "d"}]
    ids = [nodes[name].execution_id for name in ("each", "each[0]", "each[1]", "last")]
    assert ids == ["each-2", "each[0]-1", "each[1]-2", "last-2"]
