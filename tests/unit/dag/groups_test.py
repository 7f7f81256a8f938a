"""Groups in a definition: names, borders, bounds, and what is said of what is wrong."""

import pytest

from podium.api.workflow import MAX_NODES, WorkflowSpec
from podium.dag import WorkflowDAG
from tests.unit.engine.groups_test import group
from tests.unit.engine.support import node


def problems(*nodes, edges=(), **spec):
    made = WorkflowSpec.model_validate({"nodes": list(nodes), "edges": list(edges), **spec})
    return WorkflowDAG(made).validate()


def edge(source, target, **fields):
    return {"from": source, "to": target, **fields}


def test_members_are_nodes_by_their_paths_each_after_its_group():
    spec = WorkflowSpec.model_validate(
        {
            "nodes": [
                node("u"),
                group("g", node("a"), group("h", node("b", "c"), node("c")), after=["u"]),
                node("z", "g"),
            ]
        }
    )
    dag = WorkflowDAG(spec)
    assert dag.validate() == []
    assert list(dag.nodes) == ["u", "g", "g.a", "g.h", "g.h.b", "g.h.c", "z"]
    assert dag.node_paths["g.h.c"] == ("nodes", 1, "nodes", 1, "nodes", 1)
    assert [(each.source, each.target) for each in dag.edges] == [
        *(("u", "g"), ("g.h.c", "g.h.b"), ("g", "z"))
    ]
    assert dag.levels() == [["u"], ["g"], ["g.a", "g.h"], ["g.h.c"], ["g.h.b"], ["z"]]
    assert dag.can_read("g.h.b", "u")
    assert not dag.can_read("z", "g.a")
    assert dag.comes_after("z", "g.h.b")
    assert not dag.comes_after("g.a", "g.h.b")


@pytest.mark.parametrize(
    ("nodes", "wanted"),
    [
        (
            [node("x"), group("g", node("a", "x"))],
            (
                "spec.nodes[1].nodes[0].dependsOn[0]: 'x' is not a member of the group 'g': no edge"
                " crosses its border"
            ),
        ),
        (
            [group("g", node("a")), node("x", "g.a")],
            (
                "spec.nodes[1].dependsOn[0]: 'g.a' is a member of a group: no edge crosses its border;"
                " name the group, 'g'"
            ),
        ),
        (
            [group("g", node("alpha"), node("b", "alfa"))],
            (
                "spec.nodes[0].nodes[1].dependsOn[0]: unknown node 'alfa' in the group 'g'; did you"
                " mean 'alpha'?"
            ),
        ),
        (
            [group("g", node("a"), node("b"), edges=[edge("a", "c")])],
            "spec.nodes[0].edges[0].to: unknown node 'c' in the group 'g'",
        ),
        (
            [group("g", node("a", "b"), node("b", "a"))],
            "spec.nodes[0].nodes[0]: cycle: g.a → g.b → g.a",
        ),
        (
            [group("g", node("a"), node("a"))],
            "spec.nodes[0].nodes[1].id: duplicate node id 'a': the node at position 0 has it too",
        ),
        ([group("g", node("a.b"))], "spec.nodes[0].nodes[0].id: 'a.b' is not a node id"),
        ([group("g")], "spec.nodes[0].nodes: is missing"),
        (
            [group("g", node("a"), minSuccess=2)],
            "spec.nodes[0].minSuccess: is 2, and the group has 1 nodes: lower it",
        ),
        (
            [group("g", node("a"), executor="script")],
            "spec.nodes[0].executor: a node of type parallel_group runs no program",
        ),
        (
            [node("a", nodes=[node("b")])],
            "spec.nodes[0].nodes: only a node of type parallel_group has it: leave it out",
        ),
        (
            [node("a", maxParallel=2)],
            "spec.nodes[0].maxParallel: only a node with forEach, or of type parallel_group, has it",
        ),
        (
            [group("g", group("h", group("i", group("j", node("a")))))],
            "spec.nodes[0].nodes[0].nodes[0].nodes[0].nodes: groups may be nested 3 deep",
        ),
        (
            [group("g" * 60, group("h" * 60, group("i" * 60, node("a" * 60))))],
            (
                "spec.nodes[0].nodes[0].nodes[0].nodes[0].id: the ids of its groups and its own have"
                " 243 characters together, and 200 is the limit"
            ),
        ),
        (
            [node("u"), group("g", node("u"), after=["u"])],
            "spec.nodes[1].nodes[0].id: 'u' is the name of a node before the group 'g'",
        ),
        (
            [group("g", node("key"))],
            "spec.nodes[0].nodes[0].id: 'key' is the name of a key of globalContext",
        ),
        (
            [group("g", node("a")), node("z", "g", condition="context.g.b.x == 1")],
            "spec.nodes[1].condition: names field 'b', which 'g' does not declare in its nodes",
        ),
        (
            [group("g", node("a")), node("z", "g", condition="nodes['g.b'].status == 'Failed'")],
            "spec.nodes[1].condition: nodes.g.b: unknown node 'g.b'",
        ),
        (
            [group("g", node("a")), node("z", condition="nodes['g.a'].status == 'Failed'")],
            "spec.nodes[1].condition: nodes.g.a is not an ancestor of 'z'",
        ),
        (
            [group("g", node("a", condition="context.z.x == 1")), node("z")],
            "spec.nodes[0].nodes[0].condition: names node 'z', which is not an ancestor of 'g.a'",
        ),
        (
            [group("g", node("a", config={"script": "x", "scirpt": "y"}))],
            "spec.nodes[0].nodes[0].config.scirpt",
        ),
        (
            [group("g", node("a", title="x"), edges=[edge("a", "a")])],
            "spec.nodes[0].edges[0]: node 'g.a' depends on itself",
        ),
        (
            [group("g", node("a", pod={"labels": {"x": "${{ context.y }}"}}))],
            "spec.nodes[0].nodes[0].pod.labels.x",
        ),
        (
            [
                group("g", node("a")),
                node("z", "g", artifacts={"in": [{"name": "f", "from": "g.a.f"}]}),
            ],
            "spec.nodes[1].artifacts.in[0].from: 'g.a' has no artifact 'f' in artifacts.out",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(nodes, wanted):
    found = problems(*nodes, globalContext={"key": 1})
    assert any(each.startswith(wanted) for each in found), found


def test_the_same_id_in_two_graphs_that_do_not_see_each_other_is_fine():
    nodes = [group("g", node("a"), node("b", "a")), group("h", node("a"), after=["g"])]
    assert problems(*nodes, node("a", "h")) == []


def test_members_count_toward_the_limit():
    half = MAX_NODES // 2
    groups = [group(f"g{i}", *(node(f"n{i}") for i in range(half))) for i in range(2)]
    found = problems(*groups)
    assert found == [
        (
            "spec.nodes: the graph has 5,002 nodes with the members of groups, and 5,000 is the limit:"
            " leave some out"
        )
    ]


def test_names_mean_the_nearest_node_from_the_inside_out():
    dag = WorkflowDAG(
        WorkflowSpec.model_validate(
            {"nodes": [node("a"), group("g", node("b"), group("h", node("c"), node("b")))]}
        )
    )
    assert dag.resolve("g.h.c", "b") == "g.h.b"
    assert dag.resolve("g.h", "b") == "g.b"
    assert dag.resolve("g.h.c", "a") == "a"
    assert dag.resolve("g.h.c", "h.b") == "g.h.b"
    assert dag.resolve("a", "b") == "b"
    assert dag.seen_from("a", "g.h.c") == "g"
    assert dag.seen_from("g.b", "g.h.c") == "g.h"
