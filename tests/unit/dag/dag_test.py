"""The graph of a definition: questions about it, and all that is wrong with it."""

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.api.problems import Severity, format_path
from podium.api.reasons import RETRYABLE
from podium.api.workflow import Edge, Node, WorkflowSpec
from podium.dag import NEAREST, WorkflowDAG, nearest_ancestors
from podium.dag.checks import DefinitionChecks


def node(name, *after, **fields):
    given_ = {"id": name, "dependsOn": list(after), **fields}
    return {"executor": "script", "config": {"script": "true"}, **given_}


def dag(*nodes, edges=(), **spec):
    return WorkflowDAG(
        WorkflowSpec.model_validate({"nodes": list(nodes), "edges": list(edges), **spec})
    )


def edge(source, target, **fields):
    return {"from": source, "to": target, **fields}


def said(graph):
    return [f"{format_path(each.path)}: {each.message}" for each in graph.problems()]


def only(graph, severity=Severity.ERROR):
    (problem,) = graph.problems()
    assert problem.severity is severity, problem
    return f"{format_path(problem.path)}: {problem.message}"


DIAMOND = dag(node("a"), node("b", "a"), node("c", "a"), node("d", "b", "c"))


# Questions


def test_a_diamond_has_three_levels():
    assert DIAMOND.levels() == [["a"], ["b", "c"], ["d"]]
    assert DIAMOND.entry_points() == ["a"]
    assert said(DIAMOND) == []
    assert DIAMOND.validate() == []


def test_dependencies_are_direct_and_ancestors_are_all():
    assert DIAMOND.dependencies("d") == ["b", "c"]
    assert DIAMOND.ancestors("d") == {"a", "b", "c"}
    assert DIAMOND.dependents("a") == ["b", "c"]
    assert DIAMOND.descendants("a") == {"b", "c", "d"}
    assert DIAMOND.dependencies("a") == DIAMOND.dependents("d") == []
    assert DIAMOND.ancestors("a") == DIAMOND.descendants("d") == set()


def test_a_level_is_the_longest_way_from_an_entry_point():
    graph = dag(node("long2", "long1"), node("end", "long2", "a"), node("a"), node("long1", "a"))
    assert graph.levels() == [["a"], ["long1"], ["long2"], ["end"]]


def test_levels_and_entry_points_keep_the_order_of_the_definition():
    graph = dag(node("z"), node("m", "z"), node("y"), node("b", "y"), node("x"))
    assert graph.entry_points() == ["z", "y", "x"]
    assert graph.levels() == [["z", "y", "x"], ["m", "b"]]


def test_edges_and_depends_on_may_mix():
    graph = dag(node("a"), node("b", "a"), node("c"), edges=[edge("b", "c"), edge("a", "c")])
    assert [(each.source, each.target) for each in graph.edges] == [
        ("b", "c"),
        ("a", "c"),
        ("a", "b"),
    ]
    assert said(graph) == []


def test_every_type_of_edge_orders_but_only_depends_on_shows():
    graph = dag(
        *map(node, "abcd"),
        edges=[
            edge("a", "b"),
            edge("b", "c", type="produces_for", dataMapping={"x": "y"}),
            edge("c", "d", type="triggers"),
        ],
    )
    assert graph.levels() == [["a"], ["b"], ["c"], ["d"]]
    assert graph.ancestors("d") == {"a", "b", "c"}
    assert graph.can_read("b", "a")
    assert not any(
        graph.can_read(*pair) for pair in [("c", "a"), ("c", "b"), ("d", "c"), ("a", "b")]
    )


def test_one_node_is_a_graph():
    graph = dag(node("a"))
    assert (graph.levels(), graph.entry_points(), said(graph)) == ([["a"]], ["a"], [])


def test_a_graph_is_built_by_hand_too():
    graph = WorkflowDAG()
    for name in ("a", "b", "b", "c d"):
        graph.add_node(Node(id=name))
    graph.add_edge(Edge(from_="a", to="b"))
    graph.add_edge(Edge(from_="b", to="nowhere"))
    assert graph.levels() == [["a", "c d"], ["b"]]
    assert [line.split(": ")[0] for line in graph.validate()] == [
        "spec.nodes[2].id",
        "spec.nodes[3].id",
        "spec.edges[1].to",
        "spec.nodes[3]",
    ]


# Cycles


@pytest.mark.parametrize(
    ("edges", "way"),
    [
        (["ab", "ba"], "a → b → a"),
        (["bc", "ca", "ab"], "a → b → c → a"),
        (["ab", "bc", "cd", "db"], "b → c → d → b"),
        (["ac", "cb", "bd", "dc"], "b → d → c → b"),
    ],
)
def test_a_cycle_is_reported_as_the_way_round(edges, way):
    graph = dag(*map(node, "abcd"), edges=[edge(*pair) for pair in edges])
    found = [line for line in said(graph) if "isolated" not in line]
    start = "abcd".index(way[0])
    assert found == [
        f"spec.nodes[{start}]: cycle: {way}; a workflow has none: remove one of these edges"
    ]
    with pytest.raises(nx.NetworkXUnfeasible):
        graph.levels()


def test_each_knot_tells_one_cycle():
    graph = dag(node("a", "b"), node("b", "a"), node("c", "b"), node("d", "e", "c"), node("e", "d"))
    assert graph.cycles() == [["a", "b"], ["d", "e"]]


def test_a_long_cycle_is_reported_in_short():
    size = 1000
    graph = dag(*(node(f"n{i}", f"n{(i - 1) % size}") for i in range(size)))
    text = only(graph)
    assert text.startswith("spec.nodes[0]: cycle: n0 → n1 → ")
    assert " → … → " in text
    assert text.count("→") == 20
    assert len(graph.cycles()[0]) == size


@pytest.mark.parametrize(
    ("graph", "path"),
    [
        (dag(node("a", "a")), "spec.nodes[0].dependsOn[0]"),
        (dag(node("a"), edges=[edge("a", "a")]), "spec.edges[0]"),
    ],
)
def test_a_node_that_depends_on_itself_is_reported_once(graph, path):
    assert only(graph) == f"{path}: node 'a' depends on itself: remove this edge"


# Isolated nodes


def test_an_isolated_node_gets_a_warning():
    graph = dag(node("a"), node("b", "a"), node("alone"))
    assert only(graph, Severity.WARNING) == (
        "spec.nodes[2]: node 'alone' is isolated: no edge leads to it or from it"
    )
    assert "spec.nodes[2]: warning: node 'alone' is isolated" in graph.validate()[0]


def test_a_graph_without_edges_has_no_isolated_nodes():
    assert said(dag(*map(node, "abc"))) == []


# Ids and edges that cannot be


@pytest.mark.parametrize("name", ["1a", "-a", "a b", "a.b", "é", "a\n", "a\x1b[31m"])
def test_a_bad_id_is_reported_with_the_pattern(name):
    graph = dag(node(name))
    assert only(graph) == (
        f"spec.nodes[0].id: {name!r} is not a node id: use ^[A-Za-z_][A-Za-z0-9_-]{{0,62}}$, that is"
        " a letter or _ first, then letters, digits, _ and -, 63 characters at most"
    )


@pytest.mark.parametrize("name", ["a", "_", "A-b_1", "x" * 63])
def test_an_id_of_the_seed_is_fine(name):
    assert said(dag(node(name))) == []


def test_a_second_node_of_one_id_is_reported_and_nothing_that_follows_from_it():
    graph = dag(node("a"), node("b", "a"), node("a", "b"), node("b", "a"))
    assert said(graph) == [
        (
            "spec.nodes[2].id: duplicate node id 'a': the node at position 0 has it too; give each"
            " node an id of its own"
        ),
        (
            "spec.nodes[3].id: duplicate node id 'b': the node at position 1 has it too; give each"
            " node an id of its own"
        ),
    ]


def test_unknown_nodes_before_a_second_node_of_one_id_are_reported_too():
    graph = dag(node("a"), node("a", "nowhere"))
    assert [line.split(": ")[0] for line in said(graph)] == [
        "spec.nodes[1].id",
        "spec.nodes[1].dependsOn[0]",
    ]


def test_unknown_nodes_of_edges_are_reported_with_the_near_name():
    graph = dag(
        node("design"),
        node("build", "desing"),
        edges=[edge("design", "biuld"), edge("nowhere", "neither")],
    )
    assert said(graph) == [
        "spec.edges[0].to: unknown node 'biuld'; did you mean 'build'?",
        "spec.edges[1].from: unknown node 'nowhere'",
        "spec.edges[1].to: unknown node 'neither'",
        "spec.nodes[1].dependsOn[0]: unknown node 'desing'; did you mean 'design'?",
    ]


def test_thousands_of_unknown_names_are_reported_without_a_hint_for_each():
    size = 1000
    graph = dag(*(node(f"node_{i}", f"nod_{i}") for i in range(size)))
    lines = said(graph)
    assert len(lines) == size
    assert lines[0] == "spec.nodes[0].dependsOn[0]: unknown node 'nod_0'; did you mean 'node_0'?"
    assert lines[-1] == "spec.nodes[999].dependsOn[0]: unknown node 'nod_999'"


@pytest.mark.parametrize(
    ("graph", "path"),
    [
        (dag(node("a"), node("b", "a", "a")), "spec.nodes[1].dependsOn[1]"),
        (dag(node("a"), node("b", "a"), edges=[edge("a", "b")]), "spec.nodes[1].dependsOn[0]"),
        (dag(node("a"), node("b"), edges=[edge("a", "b")] * 2), "spec.edges[1]"),
    ],
)
def test_a_second_edge_of_one_type_is_reported(graph, path):
    assert only(graph) == (
        f"{path}: duplicate edge a → b (depends_on): it is already in edges or dependsOn;"
        " remove one"
    )


CASES = [{"when": "true", "value": "x"}]
CHOICE = {"id": "a", "type": "conditional", "cases": CASES, "default": "y"}


def routes(*given):
    return dag(
        CHOICE, node("b"), edges=[edge("a", "b", **({"route": r} if r else {})) for r in given]
    )


def test_edges_of_two_routes_may_join_two_nodes():
    assert said(routes("x", "y")) == []
    assert "duplicate edge a → b (depends_on, route 'x')" in only(routes("x", "y", "x"))


@pytest.mark.parametrize("given", [("x", None), (None, "x")])
def test_an_edge_without_a_route_beside_one_that_has_one_is_refused(given):
    assert "without one, which is active for every route: remove one" in only(routes(*given))


def test_edges_of_two_types_may_join_two_nodes():
    assert said(dag(node("a"), node("b", "a"), edges=[edge("a", "b", type="triggers")])) == []


def test_conditions_of_edges_that_lead_nowhere_are_read_all_the_same():
    graph = dag(node("a"), edges=[edge("a", "b", condition="1 +"), edge("a", "a", condition="x")])
    assert [line.split(": ")[0] for line in said(graph)] == [
        "spec.edges[0].to",
        "spec.edges[1]",
        "spec.edges[0].condition",
        "spec.edges[1].condition",
    ]


# Names in conditions, templates, contracts


def test_a_node_may_name_what_is_before_it():
    graph = dag(
        node("a", outputContract={"produces": ["x"]}),
        node("b", "a"),
        node(
            "c",
            "b",
            condition="context.a.x == 1 and exists(context.b.whatever) and context.key",
            inputContract={"requiredFields": ["a.x", "b", "some.key"], "include": ["a"]},
        ),
    )
    assert said(graph) == []


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"condition": "context.%s.x == 1"}, "condition"),
        ({"condition": "context['%s'].x == 1"}, "condition"),
        ({"inputContract": {"requiredFields": ["%s.x"]}}, "inputContract.requiredFields[0]"),
        ({"inputContract": {"include": ["%s"]}}, "inputContract.include[0]"),
        (
            {
                "executor": "container",
                "config": {"image": "x", "args": ["${{ context.%s.x }}"]},
            },
            "config.args[0]",
        ),
    ],
)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "other",
            (
                "names node 'other', which is not an ancestor of 'me' along depends_on edges: add"
                " 'other' to dependsOn of 'me' or of a node before it"
            ),
        ),
        (
            "after",
            (
                "names node 'after', which is not an ancestor of 'me' along depends_on edges: it comes"
                " after, and a node sees what is before it"
            ),
        ),
        ("me", "names node 'me' itself: a node sees what is before it"),
    ],
)
def test_a_node_may_name_no_other_node(fields, path, name, message):
    filled = WorkflowSpec.model_validate_json(
        WorkflowSpec.model_validate({"nodes": [node("me", "start", **fields)]})
        .model_dump_json(by_alias=True, exclude_unset=True)
        .replace("%s", name)
    ).nodes[0]
    graph = dag(
        filled.model_dump(by_alias=True, exclude_unset=True),
        node("start"),
        node("other", "start"),
        node("after", "me"),
    )
    assert only(graph) == f"spec.nodes[0].{path}: {message}"


def test_an_unknown_node_to_include_is_reported_with_the_near_name():
    graph = dag(node("design"), node("b", "design", inputContract={"include": ["desing"]}))
    assert only(graph) == (
        "spec.nodes[1].inputContract.include[0]: unknown node 'desing'; did you mean 'design'?"
    )


CLOSED = {"type": "object", "properties": {"who": {}}, "additionalProperties": False}


@pytest.mark.parametrize(
    ("nodes", "edges", "path"),
    [
        ([node("a", condition="context.whom")], [], "spec.nodes[0].condition"),
        (
            [node("a", inputContract={"requiredFields": ["whom"]})],
            [],
            "spec.nodes[0].inputContract.requiredFields[0]",
        ),
        (
            [node("a", outputContract={"schema": CLOSED | {"properties": {}}}), node("b")],
            [edge("a", "b", condition="context.whom")],
            "spec.edges[0].condition",
        ),
    ],
)
def test_a_name_that_closed_inputs_do_not_have_is_reported(nodes, edges, path):
    assert only(dag(*nodes, edges=edges, inputs=CLOSED)) == (
        f"{path}: names 'whom', which is neither a node nor a key of inputs (closed); did you mean"
        " 'who'?"
    )
    assert said(dag(*nodes, edges=edges)) == []
    assert said(dag(*nodes, edges=edges, inputs=CLOSED, globalContext={"whom": 1})) == []
    assert said(dag(*nodes, edges=edges, inputs=CLOSED | {"patternProperties": {"^w": {}}})) == []


@pytest.mark.parametrize("path", ["a..b", ".a", "a.", ""])
def test_a_required_field_that_is_no_path_is_reported(path):
    graph = dag(node("z", inputContract={"requiredFields": [path]}))
    assert "requiredFields[0]" in only(graph)
    assert "is not a path: write keys with dots, as in a.b" in only(graph)


@pytest.mark.parametrize(
    ("contract", "severity", "said_"),
    [
        ({"produces": ["score"]}, Severity.WARNING, ""),
        ({"schema": {"properties": {"score": {}}}}, Severity.WARNING, ""),
        (
            {"schema": {"properties": {"score": {}}, "additionalProperties": False}},
            Severity.ERROR,
            " (closed schema)",
        ),
    ],
)
def test_a_field_that_a_producer_does_not_declare_is_reported(contract, severity, said_):
    for fields, path in [
        ({"condition": "context.a.scor > 1"}, "condition"),
        ({"inputContract": {"requiredFields": ["a.scor"]}}, "inputContract.requiredFields[0]"),
    ]:
        graph = dag(node("a", outputContract=contract), node("b", "a", **fields))
        assert only(graph, severity) == (
            f"spec.nodes[1].{path}: names field 'scor', which 'a' does not declare in its"
            f" outputContract{said_}; did you mean 'score'?"
        )


def test_an_edge_may_name_its_source_and_what_is_before_it():
    nodes = [node("a"), node("b", "a", outputContract={"produces": ["ok"]}), node("c")]
    for condition in ("context.ok", "context.b.ok", "context.a.x", "context.key"):
        assert said(dag(*nodes, edges=[edge("b", "c", condition=condition)])) == []
    assert only(dag(*nodes, edges=[edge("b", "c", condition="context.c.x")])) == (
        "spec.edges[0].condition: names node 'c', which is not an ancestor of 'b' along depends_on"
        " edges: an edge's condition sees its source and what is before it"
    )


@pytest.mark.parametrize(
    ("name", "meanings"),
    [
        ("a", "an output field of 'b' and a node id"),
        ("who", "an output field of 'b' and a key of inputs"),
        ("env", "an output field of 'b' and a key of globalContext"),
        ("b", "a node id and a key of inputs"),
    ],
)
def test_a_name_of_two_meanings_is_refused_on_an_edge(name, meanings):
    graph = dag(
        node("a"),
        node("b", "a", outputContract={"produces": ["a", "who", "env"]}),
        node("c"),
        edges=[edge("b", "c", condition=f"context.{name}")],
        inputs={"properties": {"who": {}, "b": {}}},
        globalContext={"env": 1},
    )
    assert only(graph) == (
        f"spec.edges[0].condition: context.{name} has two meanings, {meanings}: rename one of them"
    )


def test_a_name_of_two_meanings_is_refused_on_a_node():
    graph = dag(node("a"), node("b", "a", condition="context.a"), globalContext={"a": 1})
    assert only(graph) == (
        "spec.nodes[1].condition: context.a has two meanings, a node id and a key of"
        " globalContext: rename one of them"
    )


def test_items_are_known_only_in_a_map():
    graph = dag(node("a", condition="item > index"))
    assert said(graph) == [
        f"spec.nodes[0].condition: {name} is known only in the condition and config of a node with"
        " forEach"
        for name in ("'item'", "'index'")
    ]


def test_a_config_may_read_the_item_under_any_key():
    context = {"name": "${{ item }}", "claimName": "${{ index }}"}
    config = {"workflowRef": {"name": "other"}, "context": context}
    graph = dag({"id": "a", "forEach": "[1]", "executor": "workflow", "config": config})
    assert said(graph) == []


def test_a_hyphen_in_an_expression_is_reported_as_what_it_is():
    graph = dag(node("my-node"), node("b", "my-node", condition="context.my-node.x"))
    assert "context['my-node']" in only(graph)


# Mapped data


def test_a_mapped_name_meets_a_required_field():
    inputs = {"inputContract": {"requiredFields": ["report.title"]}}
    mapping = {"type": "produces_for", "dataMapping": {"result": "report"}}
    nodes = [node("a"), node("b", **inputs)]
    assert said(dag(*nodes, edges=[edge("a", "b", **mapping)], inputs=CLOSED)) == []
    assert "names 'report'" in only(dag(*nodes, edges=[edge("a", "b")], inputs=CLOSED))


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        (
            {"type": "triggers", "dataMapping": {"x": "y"}},
            "",
            "an edge of type triggers brings no data: use produces_for or depends_on",
        ),
        (
            {"dataMapping": {"x": "y", "x.z": "y"}},
            '["x.z"]',
            "'x' is mapped to 'y' already: choose another name",
        ),
        (
            {"dataMapping": {"x": "y.z"}},
            ".x",
            "'y.z' is not an input name: use one word without dots",
        ),
        ({"dataMapping": {"x": ""}}, ".x", "'' is not an input name: use one word without dots"),
        (
            {"dataMapping": {"z": "y"}},
            ".z",
            "names field 'z', which 'a' does not declare in its outputContract (closed schema)",
        ),
    ],
)
def test_a_mapping_that_cannot_be_is_reported(fields, path, message):
    a = node("a", outputContract={"schema": CLOSED | {"properties": {"x": {}}}})
    assert only(dag(a, node("b"), edges=[edge("a", "b", **fields)])) == (
        f"spec.edges[0].dataMapping{path}: {message}"
    )


# Schemas and executors


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"inputs": {"type": "nothing"}}, "spec.inputs.type"),
        ({"input": {"properties": []}}, "spec.nodes[0].inputContract.schema.properties"),
        ({"output": {"required": "x"}}, "spec.nodes[0].outputContract.schema.required"),
    ],
)
def test_what_is_no_schema_is_reported(fields, path):
    contracts = {f"{name}Contract": {"schema": fields.get(name)} for name in ("input", "output")}
    graph = dag(node("a", **contracts), inputs=fields.get("inputs"))
    assert only(graph).startswith(f"{path}: not a valid JSON Schema: ")


@pytest.mark.parametrize("schema", [{}, {"properties": []}, {"properties": 3, "required": {}}])
def test_odd_schemas_never_break_the_checks(schema):
    graph = dag(
        node("a", outputContract={"schema": schema}),
        node("b", "a", condition="context.a.x"),
        inputs=schema,
    )
    assert all("not a valid JSON Schema" in line for line in said(graph))


@pytest.mark.parametrize(
    ("executor", "message"),
    [
        ("scrip", "unknown executor 'scrip': known are script, container"),
        (None, "is missing: name one of script, container"),
    ],
)
def test_a_node_needs_an_executor_that_is_known(executor, message):
    assert only(dag(node("a", executor=executor))).startswith(f"spec.nodes[0].executor: {message}")


# Limits


@pytest.mark.parametrize(
    ("reason", "meant"),
    [("Timout", "Timeout"), ("oomkilled", "OOMKilled"), ("OutputContrat", "OutputContract")],
)
def test_a_misspelt_reason_to_retry_on_is_refused_with_the_near_one(reason, meant):
    policy = {"retryPolicy": {"maxAttempts": 2, "retryOn": ["Error", reason]}}
    message = f"unknown reason '{reason}'; did you mean '{meant}'?"
    assert only(dag(node("a", **policy))) == (f"spec.nodes[0].retryPolicy.retryOn[1]: {message}")
    assert only(dag(node("a"), defaults=policy)) == (
        f"spec.defaults.retryPolicy.retryOn[1]: {message}"
    )


@pytest.mark.parametrize(
    ("reason", "begins"),
    [
        ("NoRecordedAnswer", "'NoRecordedAnswer' is never tried again"),
        ("Scheduling", "'Scheduling' is never tried again"),
        ("MyOwnWord", "unknown reason 'MyOwnWord', which only a program of yours can give"),
    ],
)
def test_a_reason_that_may_not_be_tried_again_gets_a_warning(reason, begins):
    graph = dag(node("a", retryPolicy={"retryOn": [reason]}))
    assert only(graph, Severity.WARNING).partition(": ")[2].startswith(begins)


@pytest.mark.parametrize("reason", RETRYABLE)
def test_a_failure_that_a_retry_may_change_can_be_named(reason):
    assert said(dag(node("a", retryPolicy={"retryOn": [reason]}))) == []


def test_edges_of_both_forms_are_limited_together():
    nodes = [node(f"s{i}") for i in range(101)]
    sources = [each["id"] for each in nodes]
    nodes += [node(f"t{i}", *sources) for i in range(198)]
    assert said(dag(*nodes)) == []
    first = [edge(source, "t") for source in sources]
    assert only(dag(*nodes, node("t"), edges=first)) == (
        "spec.edges: the graph has 20,099 edges, those of dependsOn included, and 20,000 is the"
        " limit: let one node gather what many others depend on"
    )


def test_an_expression_is_limited():
    long = "1 + " * 300 + "1"
    container = {"executor": "container", "config": {"image": "x", "args": ["${{ " + long + " }}"]}}
    text = only(dag(node("a", **container)))
    assert text.startswith("spec.nodes[0].config.args[0]: ")
    assert "1024 characters" in text


def test_five_thousand_nodes_are_checked():
    size = 5000
    nodes = [
        node(
            f"n{i}",
            *(f"n{j}" for j in range(max(0, i - 4), i)),
            inputContract={"requiredFields": ["a", "b", f"n{max(0, i - 1)}"]} if i else {},
        )
        for i in range(size)
    ]
    graph = dag(*nodes)
    assert said(graph) == []
    assert len(graph.levels()) == size
    assert graph.can_read("n4999", "n0")


# All in one go


def test_everything_wrong_with_a_definition_is_reported_in_one_go():
    graph = dag(
        node("a", "b", condition="context.b =="),
        node("b", "a", executor="none"),
        node("a"),
        node("c", "d", inputContract={"include": ["nobody"], "schema": {"type": 3}}),
        node("1", config={"script": "x", "unknown": 1}),
        edges=[edge("c", "c"), edge("a", "c", condition="("), edge("a", "c", dataMapping={"": ""})],
    )
    assert [line.split(": ")[0] for line in said(graph)] == [
        "spec.nodes[2].id",
        "spec.nodes[4].id",
        "spec.edges[0]",
        "spec.edges[2]",
        "spec.nodes[3].dependsOn[0]",
        "spec.nodes[0]",
        "spec.nodes[4]",
        "spec.nodes[0].condition",
        "spec.nodes[1].executor",
        "spec.nodes[3].inputContract.schema.type",
        "spec.nodes[3].inputContract.include[0]",
        "spec.nodes[4].config.unknown",
        "spec.edges[1].condition",
    ]


def test_paths_begin_where_the_definition_stands():
    graph = dag(node("a", "b"))
    (problem,) = graph.problems(("spec", "workflowSpec"))
    assert format_path(problem.path) == "spec.workflowSpec.nodes[0].dependsOn[0]"


# The nearest ancestors


def test_the_nearest_ancestors_are_delivered():
    chain = {f"n{i}": (f"n{i - 1}",) if i else () for i in range(300)}
    nearest = nearest_ancestors(chain, "n299")
    assert nearest == [f"n{i}" for i in range(298, 297 - NEAREST, -1)]
    fan = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}
    assert nearest_ancestors(fan, "d") == ["b", "c", "a"]
    assert nearest_ancestors(fan, "d", 0) == ["b", "c"]
    assert nearest_ancestors(fan, "a") == []


# Against networkx


@st.composite
def graphs(draw):
    size = draw(st.integers(1, 12))
    order = draw(st.permutations(range(size)))
    pairs = [(f"n{order[i]}", f"n{order[j]}") for i in range(size) for j in range(i + 1, size)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    types = draw(
        st.lists(
            st.sampled_from(["depends_on", "triggers", "produces_for"]),
            min_size=len(chosen),
            max_size=len(chosen),
        )
    )
    return [f"n{i}" for i in range(size)], list(zip(chosen, types, strict=True))


@settings(max_examples=100, deadline=None)
@given(graphs(), st.data())
def test_levels_ancestors_and_descendants_are_those_of_networkx(drawn, data):
    names, chosen = drawn
    spelled = [data.draw(st.booleans()) and kind == "depends_on" for _, kind in chosen]
    written = list(zip(chosen, spelled, strict=True))
    graph = dag(
        *(
            node(name, *(pair[0] for (pair, _), short in written if short and pair[1] == name))
            for name in names
        ),
        edges=[edge(*pair, type=kind) for (pair, kind), short in written if not short],
    )
    model = nx.DiGraph()
    model.add_nodes_from(names)
    model.add_edges_from(pair for pair, _ in chosen)
    seen = nx.DiGraph()
    seen.add_nodes_from(names)
    seen.add_edges_from(pair for pair, kind in chosen if kind == "depends_on")

    assert all(each.severity is Severity.WARNING for each in graph.problems())
    assert [set(level) for level in graph.levels()] == [
        set(level) for level in nx.topological_generations(model)
    ]
    assert graph.entry_points() == [name for name in names if not model.pred[name]]
    for name in names:
        assert graph.ancestors(name) == nx.ancestors(model, name)
        assert graph.descendants(name) == nx.descendants(model, name)
        assert set(graph.dependencies(name)) == set(model.pred[name])
        assert set(graph.dependents(name)) == set(model.succ[name])
        assert {other for other in names if graph.can_read(name, other)} == nx.ancestors(seen, name)
        after = {other for other in names if graph.comes_after(name, other)}
        assert after == nx.ancestors(model, name)


@settings(max_examples=100, deadline=None)
@given(st.sets(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), max_size=14))
def test_a_graph_is_sound_or_its_cycles_are_cycles(pairs):
    graph = dag(*map(node, "abcdef"), edges=[edge(*pair) for pair in sorted(pairs)])
    model = nx.DiGraph(sorted(pairs))
    model.add_nodes_from("abcdef")
    sound = not any(each.severity is Severity.ERROR for each in graph.problems())
    assert sound == nx.is_directed_acyclic_graph(model)
    for cycle in graph.cycles():
        assert len(set(cycle)) == len(cycle) > 1
        assert all(pair in pairs for pair in zip(cycle, cycle[1:] + cycle[:1], strict=True))


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (
            "run.status == 'x'",
            "run has no field 'status': known are run.name, run.id, run.startedAt",
        ),
        ("run['nam'] == 'x'", "did you mean 'name'?"),
        ("workflow.name == 'x'", "workflow has no field 'name': known are workflow.id"),
        ("workflow.metadat.x == 1", "did you mean 'metadata'?"),
        ("node.name == 'x'", "node has no field 'name': known are node.id, node.executionId"),
        ("default(run.status, 1) == 1", "run has no field 'status'"),
        ("exists(node.title)", "node has no field 'title'"),
        ("run == 1", "run is not a value: name one of run.name"),
        (
            "run[context.x] == 1",
            "run has a computed field, which cannot be checked: name one of run.name",
        ),
        ("run.name.x == 1", "run.name is a string and has no fields"),
        ("run.id[0] == 'x'", "run.id is a string and has no fields"),
        ("nodes.a.output == 1", "nodes.a has no field 'output': known are status, reason"),
        ("nodes.a.statu == 1", "did you mean 'status'?"),
        ("nodes.a == 1", "nodes.a is not a value: name one of its fields"),
        ("nodes == 1", "nodes is not a value: name a node and a field, as in nodes.a.status"),
        ("nodes[context.x].status == 1", "nodes is not a value: name a node and a field"),
        ("nodes.a[context.x] == 1", "nodes.a has no computed fields"),
        ("nodes.a.reason.x == 1", "nodes.a.reason is a plain value: leave out the rest"),
        ("nodes.aa.status == 'Failed'", "nodes.aa: unknown node 'aa'; did you mean 'a'?"),
        ("nodes.b.status == 'Failed'", "nodes.b is the node itself: a node sees what is before it"),
        ("nodes.c.status == 'Failed'", "nodes.c is not an ancestor of 'b': it comes after"),
        ("nodes.d.status == 'Failed'", "nodes.d is not an ancestor of 'b': add an edge from 'd'"),
        ("all_status(['a', 'd'], 'Failed')", "nodes.d is not an ancestor of 'b'"),
    ],
)
def test_names_that_expressions_do_not_know_are_refused(condition, message):
    nodes = [node("a"), node("b", "a"), node("c", "b"), node("d", "a")]
    nodes[1]["condition"] = condition
    assert message in only(dag(*nodes, node("e", "c", "d")))
    nodes[1].pop("condition")
    nodes[1]["config"] = {
        "script": "true",
        "env": [{"name": "N", "value": f"${{{{ {condition} }}}}"}],
    }
    assert message in only(dag(*nodes, node("e", "c", "d")))


@pytest.mark.parametrize("kind", ["depends_on", "produces_for", "triggers"])
def test_statuses_are_known_along_edges_of_any_type(kind):
    nodes = [node("a"), node("b"), node("c", condition="nodes.a.status == 'Failed'")]
    edges = [edge("a", "b", type=kind), edge("b", "c", type=kind)]
    assert said(dag(*nodes, edges=edges)) == []


def test_an_edge_knows_the_status_of_its_source_and_of_what_is_before_it():
    def at(condition):
        return dag(*map(node, "abc"), edges=[edge("a", "b"), edge("b", "c", condition=condition)])

    assert said(at("nodes.b.exitCode == 0 and nodes.a.status == 'Skipped'")) == []
    assert "nodes.c is not an ancestor of 'b'" in only(at("nodes.c.status == 'Failed'"))


def test_fields_of_the_roots_are_known():
    fields = "run.name run.id run.startedAt run.scheduledAt workflow.id workflow.version node.id"
    fields += " workflow.metadata.a.b[0] node.executionId"
    condition = " and ".join(f"{each} != 'x'" for each in fields.split())
    assert said(dag(node("a", condition=condition))) == []


T = "${{ context.x }}"


@pytest.mark.parametrize(
    ("place", "spec", "own"),
    [
        ("spec.globalContext.a[0].b", {"globalContext": {"a": [{"b": T}]}}, {}),
        ('spec.globalContext["${{ context.x }}"]', {"globalContext": {T: 1}}, {}),
        ("spec.constants.a", {"constants": {"a": T}}, {}),
        ("spec.inputs.properties.a.default", {"inputs": {"properties": {"a": {"default": T}}}}, {}),
        ("spec.id", {"id": T}, {}),
        (
            "spec.defaults.pod.env[0].value",
            {"defaults": {"pod": {"env": [{"name": "A", "value": T}]}}},
            {},
        ),
        (
            "spec.defaults.retryPolicy.retryOn[0]",
            {"defaults": {"retryPolicy": {"retryOn": [T]}}},
            {},
        ),
        (
            "spec.nodes[1].pod.volumes[0].secret.secretName",
            {},
            {"pod": {"volumes": [{"name": "v", "secret": {"secretName": T}}]}},
        ),
        (
            "spec.nodes[1].pod.env[0].value",
            {},
            {
                "type": "conditional",
                "cases": [{"when": "true", "value": "x"}],
                "pod": {"env": [{"name": "A", "value": T}]},
            },
        ),
        ("spec.nodes[1].pod.labels.a", {}, {"pod": {"labels": {"a": T}}}),
        ("spec.nodes[1].pod.affinity.nodeAffinity", {}, {"pod": {"affinity": {"nodeAffinity": T}}}),
        (
            "spec.defaults.resources.limits.cpu",
            {"defaults": {"resources": {"limits": {"cpu": T}}}},
            {},
        ),
        ("spec.nodes[1].outputContract.produces[0]", {}, {"outputContract": {"produces": [T]}}),
        (
            "spec.nodes[1].outputContract.schema.properties.a.const",
            {},
            {"outputContract": {"schema": {"properties": {"a": {"const": T}}}}},
        ),
        (
            'spec.nodes[1].config.env[0]["${{ context.x }}"]',
            {},
            {"executor": "persona", "config": {"personas": ["p"], "env": [{T: 1}]}},
        ),
        (
            'spec.edges[0].dataMapping["${{ context.x }}"]',
            {"edges": [edge("a", "b", type="produces_for", dataMapping={T: "y"})]},
            {"dependsOn": []},
        ),
    ],
)
def test_templates_that_would_stay_as_they_are_are_refused(place, spec, own):
    graph = dag(node("a"), node("b", **{"dependsOn": ["a"], **own}), **spec)
    found = [each for each in said(graph) if "is not filled in" in each]
    assert [each.split(": ")[0] for each in found] == [place]
    wrong = [each for each in graph.problems() if each.severity is Severity.ERROR]
    assert [format_path(each.path) for each in wrong].count(place) == 1


def test_templates_in_what_is_only_shown_are_warnings():
    graph = dag(node("a", title=T), node("b", "a"), title=T, description=T, metadata={"m": [T]})
    assert {each.severity for each in graph.problems()} == {Severity.WARNING}
    assert len(graph.problems()) == 4


def test_a_schema_may_speak_of_templates():
    assert said(dag(node("a"), node("b", "a"), inputs={"description": T})) == []


def test_none_failed_is_said_to_mean_something_else_now():
    message = only(dag(node("a"), node("b", "a", triggerRule="NoneFailed")), Severity.NOTE)
    assert message.startswith("spec.nodes[1].triggerRule: NoneFailed means more than in 0.1.0: ")
    assert "write NoneFailedMinOneSuccess" in message
    assert said(dag(node("a"), node("b", "a", triggerRule="NoneFailedMinOneSuccess"))) == []


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ({"inputs": {"properties": {"k": {}}}}, "inputs"),
        ({"inputs": {"allOf": [{"properties": {"k": {}}}]}}, "inputs"),
        ({"globalContext": {"k": 2}}, "globalContext"),
    ],
)
def test_a_constant_stands_nowhere_else(spec, where):
    message = only(dag(node("a"), node("b", "a"), constants={"k": 1}, **spec))
    assert message.startswith(f"spec.constants.k: 'k' is a key of {where} too")


DAY_ONLY = {"properties": {"day": {}}, "additionalProperties": False}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dya", "'dya', which is neither a node nor a key of inputs (closed); did you mean 'day'?"),
        ("a", "'a' is a node: its output is delivered, name context keys"),
        ("day.x", "'day.x' is a path: name the whole key, 'day'"),
    ],
)
def test_keys_that_a_contract_limits_the_context_to_are_keys(name, message):
    graph = dag(
        node("a"), node("b", "a", inputContract={"context": ["day", name]}), inputs=DAY_ONLY
    )
    assert only(graph).startswith("spec.nodes[1].inputContract.context[1]: ")
    assert message in only(graph)


def test_a_context_may_be_limited_to_nothing():
    assert (
        said(dag(node("a"), node("b", "a", inputContract={"context": []}), inputs=DAY_ONLY)) == []
    )


def test_a_graph_is_checked_once(monkeypatch):
    runs = []
    run = DefinitionChecks.run
    monkeypatch.setattr(DefinitionChecks, "run", lambda self: runs.append(1) or run(self))
    graph = dag(node("a"), node("b", "a"))
    assert graph.problems() == graph.problems(("x",)) == []
    assert len(runs) == 1
    graph.add_edge(Edge(from_="b", to="nowhere"))
    assert "unknown node 'nowhere'" in said(graph)[0]
    assert len(runs) == 2
