"""The seed's file format becomes the same resource."""

from pathlib import Path

import orjson
import pytest

from podium.api import seed
from podium.api.source import files
from podium.dag import WorkflowDAG

SDLC = Path(__file__).parents[3] / "examples" / "sdlc" / "sdlc_complete_workflow.yaml"


def said(text):
    return [str(problem) for problem in files.read_text(text, "f.yaml").problems]


def loaded(text):
    (document,) = files.load_text(text)
    return document.resource


def test_the_seeds_file_loads_and_converts():
    (document,) = files.load_file(SDLC)
    workflow = document.resource
    assert document.is_seed
    assert document.kind == "Workflow"
    assert workflow.metadata.name == "sdlc-complete-workflow"
    spec = workflow.spec
    assert (spec.id, spec.title) == ("sdlc_complete_workflow", "Complete SDLC Workflow")
    assert spec.description == "Full software development lifecycle"
    assert (spec.owner, spec.tags) == ("platform_team", ["sdlc", "production"])
    assert spec.global_context["quality_threshold"] == 0.8
    assert [node.id for node in spec.nodes][:2] == ["requirements_phase", "design_phase"]
    assert spec.nodes[0].retry_policy.max_attempts == 3
    assert spec.nodes[0].input_contract.required_fields == ["initial_requirement"]
    assert "user_stories" in spec.nodes[0].output_contract.schema_["properties"]
    assert len(spec.edges) == 6
    assert WorkflowDAG(spec).problems() == []


def test_what_was_converted_reads_back_the_same():
    (document,) = files.load_file(SDLC)
    made = seed.resource(document.resource)
    (again,) = files.load_text(orjson.dumps(made), "f.json")
    assert again.resource == document.resource
    assert seed.resource(again.resource) == made
    assert "maxDisruptions" not in str(made)


def test_variables_in_a_config_are_renamed():
    workflow = loaded(
        "workflow:\n  id: w\n  nodes:\n  - {id: a, executor: script, config: {script: x, env:"
        " [{name: T, value_from: {secret_key_ref: {name: s, key: k}}}, {name: U, my_key: 1}]}}\n"
    )
    secret = {"secretKeyRef": {"name": "s", "key": "k"}}
    env = workflow.spec.nodes[0].config["env"]
    assert env == [{"name": "T", "valueFrom": secret}, {"name": "U", "my_key": 1}]


def test_free_form_parts_keep_their_names():
    workflow = loaded(
        "workflow:\n  id: w\n  global_context: {max_attempts: 1}\n  metadata: {x_y: 1, owner: me}\n"
        "  nodes:\n  - {id: a_b, config: {output_dir: x},"
        " output_contract: {schema: {properties: {user_id: {}}}}}\n  - {id: c, depends_on: [a_b]}\n"
        "  edges:\n  - {from: a_b, to: c, type: produces_for, data_mapping: {user_id: user_name}}\n"
    )
    spec = workflow.spec
    assert (spec.global_context, spec.metadata) == ({"max_attempts": 1}, {"x_y": 1})
    assert (spec.owner, spec.nodes[0].config) == ("me", {"output_dir": "x"})
    assert spec.nodes[0].output_contract.schema_ == {"properties": {"user_id": {}}}
    assert spec.edges[0].data_mapping == {"user_id": "user_name"}
    assert spec.nodes[1].depends_on == ["a_b"]


def test_problems_name_the_place_in_the_seeds_file():
    text = (
        "workflow:\n"
        "  id: w\n"
        "  name: yes\n"
        "  metadata:\n"
        "    tags: x\n"
        "  timeoutSeconds: 3\n"
        "  nodes:\n"
        "  - id: a\n"
        "    retry_policy: {max_attempts: 0,\n"
        "      maxAttempts: 1}\n"
        "    input_contract:\n"
        "      required_field: [x]\n"
        "  edges:\n"
        "  - from: a\n"
        "extra: 1\n"
    )
    assert said(text) == [
        'f.yaml:3: workflow.name: must be a string, not the boolean yes: write "yes" in quotes',
        "f.yaml:5: workflow.metadata.tags: must be a list, not the string 'x': write [x]",
        (
            'f.yaml:6: workflow.timeoutSeconds: unknown field "timeoutSeconds"; did you mean'
            ' "timeout_seconds"?'
        ),
        "f.yaml:9: workflow.nodes[0].retry_policy.max_attempts: must be at least 1, not 0",
        (
            "f.yaml:10: workflow.nodes[0].retry_policy.maxAttempts: unknown field"
            ' "maxAttempts"; did you mean "max_attempts"?'
        ),
        (
            "f.yaml:12: workflow.nodes[0].input_contract.required_field: unknown field"
            ' "required_field"; did you mean "required_fields"?'
        ),
        "f.yaml:14: workflow.edges[0].to: is missing: name the node that follows",
        'f.yaml:15: extra: unknown field "extra": this format has everything in workflow',
    ]


def test_problems_of_the_graph_find_their_place_too():
    (document,) = files.load_text(
        "workflow:\n  id: w\n  nodes:\n  - id: a\n    depends_on: [b]\n", "f"
    )
    (problem, _) = WorkflowDAG(document.resource.spec).problems()
    assert str(document.located(problem)) == (
        "f:5: workflow.nodes[0].depends_on[0]: unknown node 'b'"
    )


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        ("3", ["workflow: must be a mapping, not the number 3"]),
        ("[a]", ["workflow: must be a mapping, not a list: write KEY: value, without -"]),
        ("{nodes: [{id: a}]}", ["workflow.id: is missing: give the workflow an id"]),
        ("{id: , nodes: [{id: a}]}", ["workflow.id: is missing: give the workflow an id"]),
        (
            "{id: '', nodes: [{id: a}]}",
            ["workflow.id: must have at least 1 character, and is empty"],
        ),
        (
            "{id: 3, nodes: [{id: a}]}",
            ['workflow.id: must be a string, not the number 3: write "3" in quotes'],
        ),
        ("{id: w}", ["workflow.nodes: is missing: a workflow has at least one node"]),
        (
            "{id: w, nodes: {a: {}}}",
            ["workflow.nodes: must be a list, not a mapping: begin each entry with -"],
        ),
        ("{id: w, nodes: [a]}", ["workflow.nodes[0]: must be a mapping, not the string 'a'"]),
        (
            "{id: w, retry_policy: {}, nodes: [{id: a, global_context: {}}]}",
            [
                'workflow.retry_policy: unknown field "retry_policy": "retry_policy" belongs to a node, or to defaults',
                'workflow.nodes[0].global_context: unknown field "global_context": "global_context" belongs to the workflow\'s spec',
            ],
        ),
        (
            "{id: w, name: x, title: z, nodes: [{id: a}]}",
            ["workflow.title: says the same as workflow.name: remove one of them"],
        ),
        (
            "{id: w, owner: x, metadata: {owner: z}, nodes: [{id: a}]}",
            ["workflow.owner: says the same as workflow.metadata.owner: remove one of them"],
        ),
    ],
)
def test_what_is_wrong_is_reported_once(body, lines):
    assert said(f"workflow: {body}\n") == [f"f.yaml:1: {line}" for line in lines]


@pytest.mark.parametrize(
    ("identifier", "name"), [("My_Flow", "my-flow"), ("a.b", "a-b"), ("x" * 63, "x" * 63)]
)
def test_the_name_is_made_of_the_id(identifier, name):
    workflow = loaded(f"workflow: {{id: {identifier}, nodes: [{{id: a}}]}}\n")
    assert (workflow.metadata.name, workflow.spec.id) == (name, identifier)


def test_an_id_that_is_none_is_reported_by_its_place():
    (line,) = said("workflow: {id: 'a b!', nodes: [{id: a}]}\n")
    assert line.startswith("f.yaml:1: workflow.id: 'a b!' is not a workflow id: ")
    assert line.endswith("such as a_b")


@pytest.mark.parametrize(
    "data", [{"workflow": 1, "kind": "x"}, {"workflow": 1, "apiVersion": 1}, {}, []]
)
def test_resources_are_not_taken_for_the_seeds_format(data):
    assert not seed.is_seed(data)


def test_members_of_groups_are_in_snake_case_too():
    secret = "{name: T, value_from: {secret_key_ref: {name: s, key: k}}}"
    member = f"{{id: b, depends_on: [a], executor: script, config: {{env: [{secret}]}}}}"
    group = f"{{id: g, type: parallel_group, max_parallel: 1, nodes: [{{id: a}}, {member}]}}"
    workflow = loaded(f"workflow: {{id: w, nodes: [{group}]}}\n")
    (made,) = workflow.spec.nodes
    assert (made.max_parallel, made.nodes[1].depends_on) == (1, ["a"])
    assert made.nodes[1].config["env"] == [
        {"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    ]
