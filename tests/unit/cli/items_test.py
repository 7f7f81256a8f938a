"""Items of maps, as commands show them."""

import pytest

from podium.api.index_ranges import IndexRanges
from podium.api.node_state import ItemsState
from podium.api.run import NodeState, NodeStatus, RunPhase, WorkflowRunStatus
from podium.cli.items import items_text, nodes_in_order, require_node, state_of
from podium.cli.output import CliError
from podium.cli.tables import node_rows


def status(**items):
    state = NodeState(status=NodeStatus.RUNNING, items=ItemsState(digest="x", **items))
    nodes = {"m": state, "z": NodeState(status=NodeStatus.PENDING)}
    return WorkflowRunStatus(phase=RunPhase.RUNNING, nodes=nodes)


def made(*indexes):
    return IndexRanges(indexes)


def test_a_map_counts_its_items():
    assert items_text(ItemsState(count=1, completed=made(0))) == "1 of 1 item"
    many = ItemsState(count=9, completed=made(0, 1), failed=made(2), skipped=made(3, 4))
    assert items_text(many) == "2 of 9 items, 1 failed, 2 skipped"


def test_items_that_run_or_failed_come_after_their_map():
    run = status(count=30, completed=made(0), failed=made(1))
    run.nodes["m[20]"] = NodeState(status=NodeStatus.RUNNING)
    run.nodes["m[1]"] = NodeState(status=NodeStatus.FAILED, reason="Error")
    run.nodes["m[0]"] = NodeState(status=NodeStatus.COMPLETED, output={"n": 1})
    assert [node for node, _ in nodes_in_order(run.nodes)] == ["m", "m[1]", "m[20]", "z"]
    rows = list(node_rows(run))
    assert rows[1][:3] == ("m", "Running", "(1 of 30 items, 1 failed)")
    assert rows[2][:3] == ("m[1]", "Failed", "Error")


def test_of_many_items_those_that_failed_are_shown():
    run = status(count=99, failed=made(50))
    for index in range(30):
        run.nodes[f"m[{index}]"] = NodeState(status=NodeStatus.RUNNING)
    run.nodes["m[50]"] = NodeState(status=NodeStatus.FAILED)
    shown = [node for node, _ in nodes_in_order(run.nodes)]
    assert len(shown) == 12
    assert "m[50]" in shown


@pytest.mark.parametrize(
    ("node", "stands"),
    [
        ("m[0]", "Completed"),
        ("m[1]", "Failed"),
        ("m[2]", "Skipped"),
        ("m[3]", "Pending"),
        ("z", "Pending"),
    ],
)
def test_an_item_without_a_state_stands_as_the_ranges_say(node, stands):
    run = status(count=4, completed=made(0), failed=made(1), skipped=made(2))
    assert state_of(run, node).status.value == stands


@pytest.mark.parametrize(
    ("node", "why"),
    [
        ("m[4]", "m has m[3] as its last item"),
        ("z[0]", "z has no items"),
        ("y[0]", "nodes are m, z"),
        ("y", "nodes are m, z"),
    ],
)
def test_an_item_that_is_not_there_is_named_with_what_is(node, why):
    with pytest.raises(CliError, match="run r has no node") as error:
        require_node("r", status(count=4), node)
    assert why in str(error.value)
